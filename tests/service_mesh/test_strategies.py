"""How an instance is chosen, as pure functions."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.kernel.values import Pid
from foundation.service_mesh import ServiceInfo, strategies
from foundation.service_mesh.health import Health
from foundation.service_mesh.metadata import Metadata


def info(serial: int, node: str = "a") -> ServiceInfo:
    """Return an instance."""
    pid = Pid(f"{node}/w1", 1, serial)
    return ServiceInfo("s", pid, node, str(serial), (), Metadata(), True, 0)


def test_in_a_rotation_each_has_the_same_number_of_turns() -> None:
    three = [info(1), info(2), info(3)]
    last = None
    turns = []
    for _ in range(9):
        last = strategies.rotate(three, last).pid
        turns.append(last.serial)
    assert turns == [1, 2, 3] * 3


@given(st.lists(st.sets(st.integers(1, 9), max_size=8), min_size=1, max_size=60))
def test_between_two_turns_of_one_nobody_who_stays_is_passed_over(sets: list[set[int]]) -> None:
    last = None
    history: list[tuple[int, set[int]]] = []
    for there in sets:
        present = there | {5}
        last = strategies.rotate([info(i) for i in sorted(present)], last).pid
        history.append((last.serial, present))
    times = [i for i, (turn, _) in enumerate(history) if turn == 5]
    for one, other in pairwise(times):
        stayed = set.intersection(*(present for _, present in history[one + 1 : other + 1])) - {5}
        turns = Counter(turn for turn, _ in history[one + 1 : other])
        assert all(turns[each] == 1 for each in stayed)
        assert max(turns.values(), default=0) <= 1


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.integers(0, 7))
def test_least_outstanding_never_takes_one_with_more_calls_than_another(
    counts: list[int], last: int
) -> None:
    all_ = [info(i) for i in range(len(counts))]
    outstanding = {each.pid: n for each, n in zip(all_, counts, strict=True) if n}
    chosen = strategies.least_outstanding(all_, outstanding, Pid("a/w1", 1, last))
    assert outstanding.get(chosen.pid, 0) == min(counts)


def test_those_with_equally_few_calls_take_turns() -> None:
    all_ = [info(1), info(2), info(3)]
    last = None
    turns = []
    for _ in range(4):
        last = strategies.least_outstanding(all_, {all_[1].pid: 1}, last).pid
        turns.append(last.serial)
    assert turns == [1, 3, 1, 3]


def test_local_first_leaves_the_node_only_when_nobody_is_there() -> None:
    all_ = [info(1, "a"), info(1, "b"), info(2, "b")]
    last = None
    turns = []
    for _ in range(4):
        last = strategies.local_first(all_, "b", last).pid
        turns.append((last.host, last.serial))
    assert turns == [("b/w1", 1), ("b/w1", 2)] * 2
    assert strategies.local_first(all_, "c", None) == all_[0]


def test_random_takes_all_about_equally_and_repeats_with_its_seed() -> None:
    all_ = [info(1), info(2), info(3)]

    def draw() -> list[int]:
        rng = random.Random(7)
        return [strategies.at_random(all_, rng).pid.serial for _ in range(3000)]

    assert draw() == draw()
    assert all(850 < n < 1150 for n in Counter(draw()).values())


def test_a_function_chooses_from_a_list_of_its_own_and_only_from_it() -> None:
    all_ = (info(1), info(2))
    got: list[Any] = []

    def last(candidates: list[ServiceInfo]) -> ServiceInfo:
        got.append(candidates.pop())
        return got[0]  # type: ignore[no-any-return]

    assert strategies.by_function(last, all_) == all_[1]
    assert len(all_) == 2
    for wrong in (None, info(3)):
        with pytest.raises(ValueError, match="must return one of the 2 instances"):
            strategies.by_function(lambda _, wrong=wrong: wrong, all_)


def test_unknown_strategies_are_refused_with_a_list_of_those_there_are() -> None:
    with pytest.raises(ValueError, match="'round_robin', 'random', 'least_outstanding'"):
        strategies.check_strategy("fastest")


@given(st.lists(st.booleans()), st.integers(1, 4))
def test_unhealthy_exactly_after_so_many_failures_in_a_row(
    results: list[bool], strikes: int
) -> None:
    health = Health(strikes)
    for i, passed in enumerate(results):
        health = health.checked(passed)
        row = 0
        for each in reversed(results[: i + 1]):
            if each:
                break
            row += 1
        assert health.healthy == (row < strikes)
        assert health.failures == min(row, strikes)
