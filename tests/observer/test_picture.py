"""From what was looked up to sorted tables, and from these to a judgement. Pure."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from foundation.observer.history import POINTS, History
from foundation.observer.judge import FULL
from foundation.observer.picture import PROCESSES, of_nodes, picture
from foundation.observer.plain import TEXT, plain
from foundation.observer.tree import CHILDREN, tree
from tests.observer.kit import answered, found, host, members, node, process


def shop(**more: Any) -> dict[str, Any]:
    a = node("a", host("a/w1", process("a/w1.1.1", mailbox=3), process("a/w1.1.2")))
    b = node("b", host("b/w1", process("b/w1.1.1", mailbox=9)), missing=("b/w2",))
    return found(a, b, **{"parts": {"cluster": members("a", "b")}, **more})


# The picture


def test_tables_are_sorted_and_sums_are_of_all_nodes() -> None:
    made = picture(shop())
    assert [row["name"] for row in made["nodes"]] == ["a", "b"]
    assert [(r["host"], r["answered"]) for r in made["hosts"]] == [
        ("a/w1", True), ("b/w1", True), ("b/w2", False),
    ]  # fmt: skip
    assert [row["pid"] for row in made["processes"]] == ["b/w1.1.1", "a/w1.1.1", "a/w1.1.2"]
    assert made["totals"]["processes"] == 3
    assert made["totals"]["mailboxes"] == 12
    assert made["totals"]["rss_bytes"] == 6_000_000
    assert made["nodes"][0]["process_count"] == 2


def test_pids_are_ordered_by_number() -> None:
    rows = [process(f"a/w1.1.{n}") for n in (10, 9, 100)]
    made = picture(found(node("a", host("a/w1", *rows))))
    assert [row["pid"] for row in made["processes"]] == ["a/w1.1.9", "a/w1.1.10", "a/w1.1.100"]


def test_a_member_that_did_not_answer_is_a_node_without_numbers() -> None:
    made = picture(found(node("a", host("a/w1")), parts={"cluster": members("a", "b")}))
    assert made["nodes"][1]["name"] == "b"
    assert not made["nodes"][1]["answered"]
    assert made["nodes"][1]["process_count"] is None
    assert made["missing"]["nodes"] == ["b"]


def test_a_node_alone_has_no_cluster() -> None:
    assert picture(found(node("a", host("a/w1"))))["cluster"] is None
    assert picture(shop())["cluster"]["cluster"] == "shop"


def test_one_node_can_be_shown_alone() -> None:
    made = picture(of_nodes(shop(), ["b"]))
    assert [row["name"] for row in made["nodes"]] == ["b"]
    assert made["totals"]["processes"] == 1
    assert made["cluster"]["size"] == 2
    assert made["missing"] == {"nodes": [], "hosts": ["b/w2"]}


def test_no_more_than_so_many_processes_are_in_it() -> None:
    rows = [process(f"a/w1.1.{n}") for n in range(PROCESSES + 20)]
    made = picture(found(node("a", host("a/w1", *rows))))
    assert len(made["processes"]) == PROCESSES
    assert made["totals"]["processes"] == PROCESSES + 20


def test_what_was_looked_up_is_not_changed() -> None:
    before = shop(answers=answered(services={"lines": []}))
    kept = copy.deepcopy(before)
    picture(of_nodes(before, ["a"]))
    assert before == kept
    json.dumps(picture(before))


@pytest.mark.parametrize(
    ("answers", "notes"),
    [
        ({}, []),
        ({"facades": {"ok": False, "value": "noproc"}}, []),
        (
            {"facades": {"ok": False, "value": "timeout"}},
            ["the facades of node a did not answer: timeout"],
        ),
        (answered(services={"error": "boom"}, mine={"x": 1}), ["services: boom"]),
    ],
)
def test_facades_that_do_not_answer_are_noted_and_those_not_there_are_not(
    answers: Any, notes: list[str]
) -> None:
    made = picture(shop(answers=answers))
    assert made["notes"] == notes
    assert made["services"] == []


def child(name: str, wanted: int = 1, **states: int) -> dict[str, Any]:
    return {
        "name": name, "pattern": "singleton", "restart": "permanent", "on_minority": "keep",
        "labels": {}, "wanted": wanted, "states": states, "instances": [], "well": False, "why": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (child("x", running=1), "running"),
        (child("x", wanted=3, running=2), "waiting"),
        (child("x", wanted=3, running=2, starting=1), "starting"),
        (child("x", moving=1), "moving"),
        (child("x", leaving=1), "moving"),
        (child("x", wanted=2, running=1, quarantined=1), "quarantined"),
        (child("x"), "waiting"),
    ],
)
def test_the_status_of_a_distributed_child(line: dict[str, Any], status: str) -> None:
    part = {"foundation.processes": {"names": [line]}}
    (row,) = picture(shop(parts={"supervisors": part}))["distributed"]
    assert row["status"] == status


def test_declared_channels_are_shown_without_subscribers_and_counts_are_summed() -> None:
    topic = {"topic": "foundation:events", "pattern": False, "hosts": 2, "nodes": ["a", "b"]}
    counted = {**topic, "subscribers": 2, "published": 5, "received": 1}
    hosts = [host(f"{n}/w1", parts={"subscribers": {"pubsub": [counted]}}) for n in "ab"]
    lines = [{"name": n, "priority": "normal", "bulk": n == "data"} for n in ("events", "data")]
    made = picture(
        found(
            *(node(each["host"][0], each) for each in hosts),
            parts={"topics": {"pubsub": {"topics": [topic]}}},
            answers=answered(channels={"lines": lines}),
        )
    )
    shown = [(r["channel"], r["subscribers"], r["published"], r["bulk"]) for r in made["channels"]]
    assert shown == [("data", 0, None, True), ("events", 4, 10, False)]


def test_of_a_chosen_node_subscribers_and_nodes_are_shown_alike() -> None:
    topics = [
        {"topic": "x", "pattern": False, "hosts": 2, "nodes": ["a", "b"]},
        {"topic": "y", "pattern": False, "hosts": 1, "nodes": ["b"]},
    ]
    hosts = [
        host(f"{n}/w1", parts={"subscribers": {"pubsub": [{**topics[0], "subscribers": 2}]}})
        for n in "ab"
    ]
    whole = found(
        *(node(each["host"][0], each) for each in hosts),
        parts={"topics": {"pubsub": {"topics": topics}}},
    )

    def shown(made: dict[str, Any]) -> list[tuple[str, int, list[str]]]:
        return [(row["topic"], row["subscribers"], row["nodes"]) for row in made["channels"]]

    assert shown(picture(whole)) == [("x", 4, ["a", "b"]), ("y", 0, ["b"])]
    assert shown(picture(of_nodes(whole, ["a"]))) == [("x", 2, ["a"])]


# Judging


@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        ({}, "degraded", "did not answer: host b/w2"),
        ({"missing": ["c"]}, "degraded", "did not answer: node c"),
        ({"missing": ["c", "d", "e"]}, "critical", "did not answer: nodes c, d, e"),
        ({"parts": {"cluster": members("a", "b", settled=False)}}, "degraded", "do not agree"),
        (
            {"parts": {"cluster": members("a", "b", expected_size=3)}},
            "degraded", "2 of 3 expected nodes",
        ),
        (
            {"parts": {"cluster": members("a", "b", expected_size=5)}},
            "critical", "2 of 5 expected nodes",
        ),
        (
            {"answers": answered(services={"lines": [{"name": "pay", "healthy": False}]})},
            "degraded", "unhealthy: service pay",
        ),
        (
            {"parts": {"supervisors": {"s": {"names": [child("x"), child("y")]}}}},
            "degraded", "waiting: distributed children x, y",
        ),
    ],
)  # fmt: skip
def test_what_needs_attention(change: Any, status: str, reason: str) -> None:
    health = picture(shop(**change))["health"]
    assert health["status"] == status
    assert any(reason in each for each in health["reasons"]), health["reasons"]
    assert health["source"] == "picture"


def test_a_full_mailbox_needs_attention() -> None:
    def status(mail: int) -> str:
        rows = [process("a/w1.1.1", mailbox=mail, name="slow")]
        return picture(found(node("a", host("a/w1", *rows))))["health"]["status"]  # type: ignore[no-any-return]

    assert status(FULL - 1) == "healthy"
    assert status(FULL) == "degraded"


@pytest.mark.parametrize(
    ("told", "status"),
    [("healthy", "degraded"), ("degraded", "degraded"), ("critical", "critical")],
)
def test_the_worse_of_the_monitor_and_the_picture_counts(told: str, status: str) -> None:
    report = {"status": told, "reasons": ["disk"], "recommendations": ["buy one"], "metrics": {}}
    health = picture(shop(answers=answered(health=report)))["health"]
    assert health["status"] == status
    assert health["reasons"] == ["disk", "did not answer: host b/w2"]
    assert health["recommendations"] == ["buy one"]
    assert health["source"] == "health_monitor"


def test_the_picture_does_not_judge_again_what_the_monitor_has_judged() -> None:
    told = "the health monitors of nodes b, c do not answer"
    report = {"status": "degraded", "reasons": [told], "recommendations": [], "metrics": {}}
    cluster = members("a", "b", "c", settled=False, expected_size=9)
    cluster["members"][1]["state"] = "suspect"
    lines = {"services": {"lines": [{"name": "pay", "healthy": False, "breaker": "closed"}]}}
    made = picture(
        shop(
            missing=["b", "d"], parts={"cluster": cluster}, answers=answered(health=report, **lines)
        )
    )
    assert made["health"]["status"] == "degraded"
    assert made["health"]["reasons"] == [
        told, "did not answer: node d", "did not answer: host b/w2",
    ]  # fmt: skip


def test_an_open_breaker_needs_attention_and_it_is_said_whose_it_is() -> None:
    line = {"name": "pay", "pid": "b/w1.1.2", "healthy": True}
    lines = [{**line, "breaker": state} for state in ("closed", "open", "half_open")]
    made = picture(shop(answers=answered(services={"breakers_of": "a/w1", "lines": lines})))
    assert made["breakers_of"] == "a/w1"
    assert made["notes"] == [
        f"the circuit breaker of a/w1 for service pay b/w1.1.2 is {state}"
        for state in ("open", "half open")
    ]


# Trees


def test_parents_come_before_their_children_which_come_in_the_order_of_pids() -> None:
    rows = [
        process("a/w1.1.10", "a/w1.1.1"), process("a/w1.1.9", "a/w1.1.1"),
        process("a/w1.1.1", "a/c.1.1", kind="supervisor"), process("a/c.1.1", kind="supervisor"),
        process("a/w1.1.5"), process("b/w1.1.2", "b/w1.1.1"), process("b/w1.1.1", kind="runner"),
    ]  # fmt: skip
    shown = [(row["pid"], row["depth"], row["last"]) for row in tree(rows, {"a/c.1.1": 4})]
    assert shown == [
        ("a/c.1.1", 0, True), ("a/w1.1.1", 1, True), ("a/w1.1.9", 2, False),
        ("a/w1.1.10", 2, True), ("b/w1.1.1", 0, True), ("b/w1.1.2", 1, True),
    ]  # fmt: skip
    assert tree(rows, {"a/c.1.1": 4})[0]["hidden"] == 4


def test_children_are_shown_below_the_server_that_their_parent_stands_for() -> None:
    rows = [
        process("a/c.1.1", kind="supervisor"), process("a/c.1.2", "a/c.1.1", name="jobs"),
        process("a/w1.1.1", kind="runner", stands_for="jobs"), process("a/w1.1.2", "a/w1.1.1"),
        process("a/w2.1.1", kind="runner", stands_for="jobs"), process("a/w2.1.2", "a/w2.1.1"),
        process("b/w1.1.1", kind="runner", stands_for="jobs"), process("b/w1.1.2", "b/w1.1.1"),
    ]  # fmt: skip
    shown = tree(rows, {"a/w1.1.1": 3, "a/w2.1.1": 1, "a/c.1.2": 1})
    assert [(row["pid"], row["depth"], row["parent"], row["hidden"]) for row in shown] == [
        ("a/c.1.1", 0, None, 0), ("a/c.1.2", 1, "a/c.1.1", 5),
        ("a/w1.1.2", 2, "a/c.1.2", 0), ("a/w2.1.2", 2, "a/c.1.2", 0),
        ("b/w1.1.1", 0, None, 0), ("b/w1.1.2", 1, "b/w1.1.1", 0),  # its server does not answer
    ]  # fmt: skip


def test_of_many_children_without_children_the_first_are_shown() -> None:
    rows = [process("a/c.1.1", kind="supervisor")]
    rows += [process(f"a/c.1.{n}", "a/c.1.1") for n in range(2, CHILDREN + 12)]
    rows += [process("a/c.1.90", "a/c.1.1", kind="supervisor"), process("a/c.1.91", "a/c.1.90")]
    shown = tree(rows, {"a/c.1.1": 100})
    assert len(shown) == 1 + CHILDREN + 2
    assert shown[0]["hidden"] == 110
    assert shown[-1]["pid"] == "a/c.1.91"


def test_a_circle_of_parents_ends() -> None:
    rows = [process("a/c.1.1", "a/c.1.2", kind="supervisor"), process("a/c.1.2", "a/c.1.1")]
    assert tree(rows, {}) == []
    assert len(tree([process("a/c.1.1", "a/c.1.9", kind="supervisor"), *rows[1:]], {})) == 2


def test_a_deep_tree_is_shown() -> None:
    rows = [process("a/c.1.1", kind="supervisor")]
    rows += [process(f"a/c.1.{n}", f"a/c.1.{n - 1}") for n in range(2, 3000)]
    assert tree(rows, {})[-1]["depth"] == 2998


# History


def at(cpu: float, slices: int, **more: Any) -> dict[str, Any]:
    one = host("a/w1", cpu_seconds=cpu, slices=slices, **more)
    return picture(found(node("a", one)))


def test_rates_are_of_two_looks_at_one_life_of_a_host() -> None:
    history = History()
    first = history.add(at(1.0, 100), 10.0)
    assert first["hosts"][0]["cpu_percent"] is None
    second = history.add(at(1.5, 300), 12.0)
    assert second["hosts"][0]["cpu_percent"] == 25.0
    assert second["nodes"][0]["cpu_percent"] == 25.0
    assert second["totals"]["slices_per_second"] == 100.0
    third = history.add(at(0.1, 5, os_pid=8), 13.0)
    assert third["hosts"][0]["cpu_percent"] is None
    assert third["series"]["cpu_percent"] == [None, 25.0, None]


def test_no_rate_without_time_between() -> None:
    history = History()
    history.add(at(1.0, 100), 10.0)
    assert history.add(at(1.0, 100), 10.0)["hosts"][0]["cpu_percent"] is None


def test_series_end_with_their_nodes_and_are_of_bounded_length() -> None:
    history = History()
    for second in range(POINTS + 10):
        made = history.add(at(1.0, second), float(second))
    assert len(made["series"]["rss_bytes"]) == POINTS
    assert list(made["node_series"]) == ["a"]
    other = picture(found(node("b", host("b/w1"))))
    assert list(history.add(other, 999.0)["node_series"]) == ["b"]


# Plain data


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1.5, 1.5), (float("nan"), "nan"), (True, True), (None, None), (b"x", "b'x'"),
        ({1: {2: 3}}, {"1": {"2": 3}}), ((1, (2,)), [1, [2]]), ({"b", "a"}, ["a", "b"]),
        (Rude(), "<Rude, whose repr fails: RuntimeError>"), ("\ud800", "?"),
    ],
)  # fmt: skip
def test_anything_becomes_plain_data(value: Any, shown: Any) -> None:
    assert plain(value) == shown
    json.dumps(plain(value), allow_nan=False)


def test_plain_data_are_bounded() -> None:
    deep: Any = "end"
    for _ in range(100):
        deep = [deep]
    wide = {"x" * 1000: ["y" * 1000] * 1000}
    assert len(json.dumps(plain([deep, wide], items=10))) < 15 * TEXT
