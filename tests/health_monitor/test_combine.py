"""From the reports of nodes to the metrics of the cluster."""

from __future__ import annotations

import json

import pytest

from foundation.cluster.lanes import BACKLOG
from foundation.health_monitor import Mailbox, ServiceMetrics, Settings, churn_level
from foundation.health_monitor.combining import partitions, replica_lag
from tests.health_monitor.made import host, metrics, report


def test_members_are_counted_by_who_answers_and_who_is_suspected() -> None:
    found = metrics(report("a", suspects=("c",)), report("c"), view=("a", "b", "c"))
    assert (found.node_count, found.healthy_nodes) == (3, 1)
    assert [node.status for node in found.nodes] == ["up", "silent", "suspect"]
    assert found.suspect_nodes == ("c",)
    assert found.not_answering == ("b",)
    assert not found.complete


def test_what_is_expected_is_set_or_the_most_that_any_node_has_seen() -> None:
    reports = (report("a", high_water=2), report("b", high_water=5))
    assert metrics(*reports).expected_nodes == 5
    assert not metrics(*reports).expected_is_set
    assert metrics(*reports, expected=3).expected_nodes == 3
    assert metrics(*reports, expected=3).expected_is_set


def test_nodes_are_in_one_part_when_each_sees_the_other() -> None:
    a, b, c = report("a"), report("b"), report("c")
    assert partitions([a, b, c]) == 1
    lonely = report("c", view=("c",))
    assert partitions([a, b, lonely]) == 2  # seeing is not enough: it must be mutual
    assert partitions([report(n, view=(n,)) for n in "abc"]) == 3
    assert partitions([]) == 1


def test_parts_that_share_a_node_are_one() -> None:
    a, b, c = report("a", ("a", "b")), report("b", ("a", "b", "c")), report("c", ("b", "c"))
    for order in ([a, b, c], [a, c, b], [c, a, b]):
        assert partitions(order) == 1


def test_members_that_fell_silent_are_one_part_more_until_somebody_sees_them() -> None:
    view = ("a", "b")
    assert partitions([report("a", view, fell_silent=("c",)), report("b", view)]) == 2
    sees = report("b", ("a", "b", "c"))
    assert partitions([report("a", ("a", "b"), fell_silent=("c",)), sees]) == 1


def test_the_topology_is_told_by_the_node_that_has_watched_longest() -> None:
    old = report("a", running=500.0, rates={"joins": 2.0, "leaves": 1.0}, last_change=7.0)
    young = report("b", running=5.0, rates={"joins": 30.0}, last_change=1.0)
    found = metrics(young, old)
    assert (found.joins_per_minute, found.leaves_per_minute) == (2.0, 1.0)
    assert found.last_topology_change_seconds == 7.0


@pytest.mark.parametrize(
    ("changes", "nodes", "level"),
    [
        (0.0, 1, "low"),
        (0.99, 1, "low"),
        (1.0, 1, "medium"),
        (10.0, 1, "medium"),
        (10.1, 1, "high"),
        (50.0, 10, "medium"),
        (5.0, 10, "low"),
    ],
)
def test_churn_has_levels_by_changes_per_node_and_minute(
    changes: float, nodes: int, level: str
) -> None:
    assert churn_level(changes, nodes, Settings()) == level


def test_changes_of_registries_are_added_up_over_their_owners() -> None:
    found = metrics(
        report("a", rates={"registry_changes": 30.0}), report("b", rates={"registry_changes": 1.0})
    )
    assert found.registry_changes_per_minute == 31.0
    assert found.registry_churn_rate == "high"
    assert found.churn_per_node() == 15.5


def test_a_copy_lags_by_what_it_lacks_or_has_too_much_of_the_owners_entries() -> None:
    a = report("a", registry_entries={"r": {"a": 10, "b": 3}})
    b = report("b", registry_entries={"r": {"a": 7, "b": 3}})
    assert replica_lag([a, b]) == 3
    assert replica_lag([a, report("b", registry_entries={})]) == 10
    assert metrics(a, b).registry_entries == {"r": 13}


def test_percentiles_are_of_the_samples_of_all_nodes() -> None:
    found = metrics(report("a", latencies=(1.0, 2.0, 3.0)), report("b", latencies=(100.0,)))
    assert found.message_latency_p50_us == 2.0
    assert found.message_latency_p99_us == 100.0
    assert found.message_latency_average_us == pytest.approx(26.5)
    assert metrics(report("a")).message_latency_p99_us is None


def test_latencies_are_of_users_calls_or_of_probes_where_there_are_none() -> None:
    probes = report("a", latencies=(1.0, 2.0, 3.0))
    found = metrics(probes, report("b", calls=(200.0, 300.0)))
    assert (found.message_latency_p50_us, found.message_latency_p99_us) == (200.0, 300.0)
    assert (found.probe_latency_p50_us, found.probe_latency_p99_us) == (2.0, 3.0)
    assert found.latency_samples == 2
    assert metrics(probes).message_latency_p50_us == 2.0
    assert metrics(probes).latency_samples == 0


def test_how_full_bulk_lanes_are_is_told_of_the_fullest() -> None:
    full = host("a/w1", bulk_backlog=BACKLOG // 2, bulk_to="b/w1")
    found = metrics(report("a", hosts=(host("a/w2"), full), rates={"bulk_dropped": 3.0}))
    assert (found.bulk_utilisation, found.bulk_fullest) == (0.5, "a/w1 -> b/w1")
    assert found.bulk_dropped_per_minute == 3.0
    empty = metrics(report("a"))
    assert (empty.bulk_utilisation, empty.bulk_fullest) == (0.0, "")


def test_bytes_are_told_by_second_and_by_broadcast() -> None:
    found = metrics(
        report("a", rates={"bytes_out": 6000.0}, broadcasts={"t": 30.0}),
        report("b", rates={"bytes_out": 3000.0}),
    )
    assert (found.bytes_per_second, found.bytes_per_broadcast) == (150.0, 300.0)
    assert metrics(report("a")).bytes_per_broadcast is None


def test_the_error_rate_is_the_share_of_failed_calls() -> None:
    rates = {"messages_taken": 9000.0, "calls_made": 95.0, "calls_failed": 5.0}
    found = metrics(report("a", rates=rates), report("b", rates={"calls_made": 5.0}))
    assert found.error_rate_percent == pytest.approx(5.0)
    assert found.calls_per_minute == 100.0
    late = metrics(report("a", rates={"calls_made": 2.0, "calls_failed": 5.0}))
    assert late.error_rate_percent == 100.0  # they were made before
    assert metrics(report("a")).error_rate_percent == 0.0


def test_broadcasts_are_added_up_by_topic() -> None:
    found = metrics(
        report("a", broadcasts={"foundation:events": 60.0}),
        report("b", broadcasts={"foundation:events": 60.0, "t": 30.0}),
    )
    assert found.broadcasts_per_second == {"foundation:events": 2.0, "t": 0.5}
    assert found.broadcasts_per_minute == 150.0


def test_the_longest_mailboxes_of_all_nodes_are_named_and_those_that_grow() -> None:
    long = Mailbox("p1", "slow", "a/w1", 500)
    rising = Mailbox("p2", "slower", "b/w1", 900, growth=30.0)
    waits = host("a/w1", messages_waiting=500)
    full = report("a", mailboxes=(long,), hosts=(waits,))
    found = metrics(full, report("b", mailboxes=(rising,)))
    assert found.longest_mailboxes == (rising, long)
    assert found.growing_mailboxes == (rising,)
    assert found.messages_waiting == 500


def test_services_are_counted_by_instances() -> None:
    found = metrics(report("a"), services=(ServiceMetrics("s", 3, 1), ServiceMetrics("t", 1, 1)))
    assert (found.services_total, found.services_healthy, found.services_unhealthy) == (4, 2, 2)


def test_metrics_are_json() -> None:
    found = metrics(report("a", children={"s": 2}), report("b"))
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["node_count"] == 2
    assert found.get("a") is found.nodes[0]
    assert found.get("z") is None
    assert found.children == 2


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"interval": 0}, ValueError),
        ({"interval": float("inf")}, ValueError),
        ({"interval": "30"}, TypeError),
        ({"history": 2.5}, TypeError),
        ({"probes": True}, TypeError),
        ({"churn_low": 20.0}, ValueError),
    ],
)
def test_settings_that_make_no_sense_are_refused(options: dict, error: type) -> None:  # type: ignore[type-arg]
    with pytest.raises(error, match="Settings"):
        Settings(**options)
