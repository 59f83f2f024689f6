"""How the cluster does, why, and what to do: the rules."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from foundation.health_monitor import HealthReport, Mailbox, NodeReport, ServiceMetrics, judge
from foundation.health_monitor.judging import by_share, imbalance, worst
from tests.health_monitor.made import metrics, report


def judged(*reports: NodeReport, **changes: Any) -> HealthReport:
    return judge(replace(metrics(*reports), **changes))


def quiet(**changes: Any) -> HealthReport:
    return judged(report("a"), report("b"), report("c"), **changes)


def test_where_nothing_is_wrong_all_is_healthy() -> None:
    found = quiet()
    assert (found.status, found.cluster, found.services, found.infrastructure) == ("healthy",) * 4
    assert found.reasons == ()
    assert found.score == 1.0


@pytest.mark.parametrize(
    ("good", "wanted", "status"),
    [
        (3, 3, "healthy"),
        (4, 3, "healthy"),
        (2, 3, "degraded"),
        (2, 4, "degraded"),
        (1, 3, "critical"),
        (0, 1, "critical"),
        (0, 0, "healthy"),
    ],
)
def test_all_is_healthy_half_is_degraded_fewer_are_critical(
    good: int, wanted: int, status: str
) -> None:
    assert by_share(good, wanted) == status


@pytest.mark.parametrize(("expected", "status"), [(3, "healthy"), (6, "degraded"), (7, "critical")])
def test_the_members_are_judged_by_what_is_expected(expected: int, status: str) -> None:
    found = quiet(expected_nodes=expected)
    assert found.cluster == found.status == status
    assert (status == "healthy") == (not found.reasons)
    assert found.score == pytest.approx(3 / expected, abs=1e-3)


def test_the_worst_part_decides() -> None:
    assert worst("healthy", "critical", "degraded") == "critical"
    found = quiet(services=(ServiceMetrics("s", 2, 1),), services_total=2, services_healthy=1)
    assert (found.cluster, found.services, found.status) == ("healthy", "degraded", "degraded")
    assert found.score == 0.5


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"duplicates": ("s: 'x'",)}, "critical", "run twice: s: 'x'"),
        ({"orphans": ("s: x p",)}, "degraded", "no supervisor knows"),
        ({"stale_names": ("r: x p",)}, "degraded", "names of dead processes"),
        ({"registry_replica_lag": 101}, "degraded", "differ by 101"),
        ({"registry_propagation_p99_us": 6e6}, "degraded", "6.0 s"),
        ({"silent_hosts": ("a/w1",)}, "degraded", "a/w1"),
        ({"hogs_per_minute": 2.0}, "degraded", "hogged"),
        ({"longest_mailboxes": (Mailbox("p", "slow", "a/w1", 10_000),)}, "degraded", "slow"),
        ({"growing_mailboxes": (Mailbox("p", "slow", "a/w1", 1000, 9.0),)}, "degraded", "grow"),
    ],
)
def test_what_is_wrong_inside_is_said(changes: dict[str, Any], status: str, words: str) -> None:
    found = quiet(**changes)
    assert found.infrastructure == found.status == status
    (reason,) = found.reasons
    assert words in reason
    assert found.score < 1.0


@pytest.mark.parametrize(
    "changes",
    [
        {"registry_replica_lag": 100},
        {"registry_propagation_p99_us": 4e6},
        {"longest_mailboxes": (Mailbox("p", "slow", "a/w1", 9_999),)},
        {"growing_mailboxes": (Mailbox("p", "slow", "a/w1", 999, 9.0),)},
    ],
)
def test_what_is_within_its_limits_is_not(changes: dict[str, Any]) -> None:
    assert quiet(**changes).status == "healthy"


def test_a_member_that_does_not_answer_is_named() -> None:
    found = judge(metrics(report("a"), report("b"), view=("a", "b", "c")))
    assert found.status == "degraded"
    assert any("c do not answer" in reason for reason in found.reasons)


def test_parts_that_do_not_see_each_other_are_said() -> None:
    found = quiet(partitions=2)
    assert found.cluster == "degraded"
    assert "2 parts" in found.reasons[0]


def test_loads_are_said_and_do_not_change_the_status() -> None:
    found = judged(
        report("a", cpu_percent=81.0, memory_percent=86.0), report("b"), report("c")
    )
    assert found.status == "healthy"
    said = " ".join(found.recommendations)
    assert "node a uses 81 % of its processors" in said
    assert "86 % of the memory of node a" in said
    assert "node b" not in said


def test_an_uneven_spread_is_said_from_twice_as_many_children_on() -> None:
    uneven = metrics(report("a", children={"s": 21}), report("b", children={"s": 10}))
    assert imbalance(uneven) == ("a", "b")
    assert any("more than 2 times" in text for text in judge(uneven).recommendations)
    even = metrics(report("a", children={"s": 20}), report("b", children={"s": 10}))
    assert imbalance(even) is None
    few = metrics(report("a", children={"s": 3}), report("b", children={}))
    assert imbalance(few) is None
    assert imbalance(metrics(report("a", children={"s": 99}))) is None


def test_an_expected_size_is_recommended_where_there_is_none() -> None:
    assert any("expected_size=3" in text for text in quiet().recommendations)
    assert not any("expected_size" in text for text in quiet(expected_is_set=True).recommendations)
    alone = judge(metrics(report("a", view=("a",))))
    assert not any("expected_size" in text for text in alone.recommendations)


def test_a_report_is_json() -> None:
    text = json.dumps(quiet(duplicates=("x",)).as_dict(), allow_nan=False)
    assert json.loads(text)["metrics"]["duplicates"] == ["x"]
