"""The hybrid logical clock: its laws, for any walls and any exchange of messages."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from foundation.scope.clock import HybridClock, Stamp, merge, tick

WALLS = st.lists(st.floats(0, 2**31, allow_nan=False), min_size=1, max_size=50)


class Wall:
    """A wall clock that shows what it is told."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


@given(WALLS)
def test_stamps_of_one_clock_rise_whatever_its_wall_does(walls: list[float]) -> None:
    wall = Wall()
    clock = HybridClock(wall)
    stamps = []
    for wall.time in walls:
        stamps += [clock.tick(), clock.tick()]
    assert all(a < b for a, b in itertools.pairwise(stamps))


STEPS = st.lists(
    st.tuples(
        st.integers(0, 3),  # which clock
        st.floats(-3, 5, allow_nan=False),  # how far its wall moves
        st.one_of(st.none(), st.integers(0, 200)),  # None: an event; else a message to take
    ),
    max_size=80,
)


@given(STEPS, st.lists(st.floats(0, 1000), min_size=4, max_size=4))
def test_what_can_have_caused_something_has_a_smaller_stamp(
    steps: list[Any], walls: list[float]
) -> None:
    wall = [Wall() for _ in range(4)]
    for each, start in zip(wall, walls, strict=True):
        each.time = start
    clocks = [HybridClock(each) for each in wall]
    history: list[list[int]] = [[] for _ in clocks]  # of each clock, its events
    stamps: list[Stamp] = []
    causes: list[set[int]] = []  # of each event, those before it (the oracle)
    for who, moves, takes in steps:
        wall[who].time = max(0.0, wall[who].time + moves)
        before = set(history[who])
        if takes is None or not stamps:
            stamps.append(clocks[who].tick())
        else:
            sent = takes % len(stamps)
            before |= {sent} | causes[sent]
            stamps.append(clocks[who].merge(stamps[sent]))
        for event in list(before):
            before |= causes[event]
        causes.append(before)
        history[who].append(len(stamps) - 1)
    for event, before in enumerate(causes):
        assert all(stamps[cause] < stamps[event] for cause in before)


@given(STEPS)
def test_a_stamp_is_never_ahead_of_all_walls_nor_behind_its_own(steps: list[Any]) -> None:
    wall = [Wall() for _ in range(4)]
    clocks = [HybridClock(each) for each in wall]
    latest, last = 0.0, Stamp(0, 0)
    for who, moves, takes in steps:
        wall[who].time = max(0.0, wall[who].time + moves)
        latest = max(latest, wall[who].time)
        last = clocks[who].tick() if takes is None else clocks[who].merge(last)
        assert int(wall[who].time * 1e6) <= last.micros <= int(latest * 1e6)


def test_the_tie_starts_again_when_the_wall_moves_on() -> None:
    assert tick(Stamp(5, 7), 5) == Stamp(5, 8)
    assert tick(Stamp(5, 7), 6) == Stamp(6, 0)
    assert merge(Stamp(5, 7), 5, Stamp(5, 9)) == Stamp(5, 10)
    assert merge(Stamp(5, 7), 5, Stamp(6, 3)) == Stamp(6, 4)
    assert merge(Stamp(5, 7), 9, Stamp(6, 3)) == Stamp(9, 0)
