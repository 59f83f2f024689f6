"""What a host says of its processes is bounded, and counts all of them."""

from __future__ import annotations

import json
from collections import Counter, deque
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from foundation.kernel.values import Pid
from foundation.runtime.survey import CHILDREN_FIRST, COUNTS, TEXT, Survey


class Worker:
    """A server's class."""


class Other:
    """Another."""


def made(serial: int, **more: Any) -> Any:
    values: dict[str, Any] = {
        "pid": Pid("n/w1", 1, serial), "parent": None, "name": None, "kind": "server",
        "mailbox": deque(), "state": "running", "coro": None, "idle": True, "server": Worker(),
        "links": None, "watchers": None, "restarts": 0, **more,
    }  # fmt: skip
    process = SimpleNamespace(**values)
    process.get_extra = lambda key, default=None: values["restarts"] or default
    return process


@st.composite
def populations(draw: Any) -> list[Any]:
    found = []
    for serial in range(1, draw(st.integers(0, 60)) + 1):
        parent = draw(st.integers(0, serial - 1))
        found.append(
            made(
                serial,
                parent=Pid("n/w1", 1, parent) if parent else None,
                kind=draw(st.sampled_from(("server", "server", "supervisor"))),
                mailbox=deque(range(draw(st.sampled_from((0, 0, 0, 1, 5, 40))))),
                name=draw(st.sampled_from((None, None, "one", "x" * 500, ("a", 1)))),
                server=draw(st.sampled_from((Worker(), Other()))),
                restarts=draw(st.sampled_from((0, 0, 3))),
            )
        )
    return found


def survey(processes: list[Any], rows: int, match: str = "", portion: int = 7) -> dict[str, Any]:
    one = Survey(rows, match)
    for start in range(0, len(processes), portion):
        one.take(processes[start : start + portion])
    return one.result()


@given(populations(), st.integers(1, 80), st.sampled_from(("", "one", "other", "w1.1.1")))
def test_everything_is_counted_and_little_is_described(
    processes: list[Any], rows: int, match: str
) -> None:
    result = survey(processes, rows, match)

    assert result["process_count"] == len(processes)
    assert result["mailboxes"] == sum(len(p.mailbox) for p in processes)
    kinds = Counter(type(p.server).__qualname__ for p in processes)
    assert result["classes"] == dict(kinds)
    described = [row["pid"] for row in result["processes"]]
    assert len(described) == min(rows, len(processes))  # V1, V3
    assert len(set(described)) == len(described)
    assert len(result["children"]) <= rows
    assert all(len(row["name"] or "") <= TEXT for row in result["processes"])
    json.dumps(result)


@given(populations(), st.integers(1, 80))
def test_described_and_hidden_children_make_all_children(processes: list[Any], rows: int) -> None:
    result = survey(processes, rows)
    shown = Counter(row["parent"] for row in result["processes"] if row["parent"])
    parents = Counter(f"n/w1.1.{p.parent.serial}" for p in processes if p.parent)
    for parent, hidden in result["children"].items():
        assert shown[parent] + hidden == parents[parent]
    if len(result["children"]) < rows:  # none was left out
        assert sum(shown.values()) + sum(result["children"].values()) == sum(parents.values())


@given(populations(), st.integers(4, 80))
def test_the_fullest_mailbox_is_always_described(processes: list[Any], rows: int) -> None:
    fullest = max((len(p.mailbox) for p in processes), default=0)
    result = survey(processes, rows)
    assert max((row["mailbox"] for row in result["processes"]), default=0) == fullest


@given(populations(), st.integers(1, 80))
def test_what_matches_comes_before_all_else(processes: list[Any], rows: int) -> None:
    result = survey(processes, rows, "OTHER")
    matching = sum(type(p.server) is Other for p in processes)
    assert result["matches"] == matching
    described = sum(row["class"] == "Other" for row in result["processes"])
    assert described >= min(matching, rows)


@given(populations())
def test_portions_make_no_difference(processes: list[Any]) -> None:
    assert survey(processes, 20, portion=1) == survey(processes, 20, portion=1000)


def test_each_supervisor_shows_its_first_children_before_one_shows_all() -> None:
    one, two = Pid("n/w1", 1, 1), Pid("n/w1", 1, 2)
    processes = [made(1, kind="supervisor"), made(2, kind="supervisor")]
    processes += [made(n, parent=one) for n in range(3, 203)]
    processes += [made(n, parent=two) for n in range(203, 206)]
    result = survey(processes, 30)
    shown = Counter(row["parent"] for row in result["processes"])
    assert shown["n/w1.1.2"] == 3
    assert shown["n/w1.1.1"] >= CHILDREN_FIRST
    assert result["children"] == {"n/w1.1.1": 200 - shown["n/w1.1.1"]}


def test_few_classes_are_counted_by_name() -> None:
    kinds = [type(f"Kind{n:03}", (), {}) for n in range(COUNTS + 10)]
    processes = [made(n + 1, server=kinds[n // 2]()) for n in range(2 * len(kinds))]
    assert len(survey(processes, 5)["classes"]) == COUNTS
