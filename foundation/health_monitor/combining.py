"""From what the nodes report to the metrics of the cluster. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from foundation.cluster.lanes import BACKLOG
from foundation.health_monitor.settings import Settings
from foundation.health_monitor.values import (
    HIGH,
    LOW,
    MEDIUM,
    ClusterMetrics,
    Connectivity,
    Mailbox,
    NodeMetrics,
    NodeReport,
    ServiceMetrics,
)
from foundation.health_monitor.windows import percentile

LONGEST = 10  # mailboxes of the cluster that are named
UP, SUSPECT, SILENT = "up", "suspect", "silent"


@dataclass(frozen=True)
class Asked:
    """What the asking node knows besides the reports.

    Attributes:
        view: the members that it sees.
        settled: whether it knows that all agree.
        expected: ``ClusterConfig.expected_size`` of it.
        connectivity: who answered.
        services: instances, by service.
        discovery_us: that looking through all services took.
        duplicates: ids of children that run twice.
        checked_at: seconds since 1970.
        duration_ms: that all took.
        settings: of its health monitor.
    """

    view: tuple[str, ...]
    settled: bool
    expected: int | None
    connectivity: Connectivity
    services: tuple[ServiceMetrics, ...] = ()
    discovery_us: float | None = None
    duplicates: tuple[str, ...] = ()
    checked_at: float = 0.0
    duration_ms: float = 0.0
    settings: Settings = field(default_factory=Settings)


def combine(asked: Asked, reports: Mapping[str, NodeReport]) -> ClusterMetrics:
    """Return the metrics of the cluster; *reports* by node, of those that answered."""
    known = [reports[name] for name in asked.view if name in reports]
    suspects = _suspects(known, asked.view)
    silent = tuple(name for name in asked.view if name not in reports)
    nodes = tuple(_node(name, asked, reports.get(name), suspects) for name in asked.view)
    expected = asked.expected or max([1, len(asked.view), *(r.high_water for r in known)])
    return ClusterMetrics(
        node=asked.connectivity.node,
        checked_at=asked.checked_at,
        check_duration_ms=asked.duration_ms,
        complete=not silent,
        not_answering=silent,
        node_count=len(asked.view),
        connected_nodes=len(asked.connectivity.connected),
        healthy_nodes=sum(node.status == UP for node in nodes),
        expected_nodes=expected,
        expected_is_set=asked.expected is not None,
        expected_sizes={report.node: report.expected_size for report in known},
        suspect_nodes=suspects,
        partitions=partitions(known),
        settled=asked.settled,
        clock_skew_seconds=clock_skew(asked.connectivity),
        nodes=nodes,
        services=asked.services,
        services_total=sum(s.total for s in asked.services),
        services_healthy=sum(s.healthy for s in asked.services),
        services_unhealthy=sum(s.total - s.healthy for s in asked.services),
        service_discovery_us=asked.discovery_us,
        duplicates=asked.duplicates,
        settings=asked.settings,
        **_topology(known),
        **_registry(known, asked),
        **_topics(known),
        **_lanes(known),
        **_processes(known),
        **_messages(known),
        **_mailboxes(known),
        **_invariants(known),
    )


def _suspects(known: Iterable[NodeReport], view: tuple[str, ...]) -> tuple[str, ...]:
    named = {name: None for report in known for name in report.suspects}
    return tuple(name for name in view if name in named)


def _node(
    name: str, asked: Asked, report: NodeReport | None, suspects: tuple[str, ...]
) -> NodeMetrics:
    ping = asked.connectivity.ping_us.get(name)
    ahead = asked.connectivity.clock_ahead_seconds.get(name)
    if report is None:
        return NodeMetrics(name, SILENT, ping, ahead)
    return NodeMetrics(
        node=name,
        status=SUSPECT if name in suspects else UP,
        ping_us=ping,
        clock_ahead_seconds=ahead,
        load_average=report.load_average,
        cores=report.cores,
        cpu_percent=report.cpu_percent,
        memory_percent=report.memory_percent,
        memory_bytes=sum(host.memory_bytes for host in report.hosts),
        processes=sum(host.processes for host in report.hosts),
        children=sum(report.children.values()),
        messages_per_second=report.rates.get("messages_taken", 0.0) / 60.0,
        messages_total=int(report.totals.get("messages_taken", 0)),
        hogs_total=int(report.totals.get("hogs", 0)),
        messages_waiting=sum(host.messages_waiting for host in report.hosts),
        hosts=report.hosts,
    )


def clock_skew(reached: Connectivity) -> float:
    """Return how many seconds the wall clocks of two nodes certainly are apart, at most."""
    ahead = reached.clock_ahead_seconds
    if not ahead:
        return 0.0
    first = max(ahead, key=lambda node: ahead[node])
    last = min(ahead, key=lambda node: ahead[node])
    unsure = (reached.ping_us.get(first, 0.0) + reached.ping_us.get(last, 0.0)) / 2e6
    return max(0.0, ahead[first] - ahead[last] - unsure)


def partitions(known: Sequence[NodeReport]) -> int:
    """Return in how many parts the cluster is, as far as these nodes can tell.

    Nodes are in one part when each sees the other. Members that fell silent and have not come
    back count as one part more, as nobody here can tell how many they are in.
    """
    parts: list[list[NodeReport]] = []
    for report in known:
        linked = [part for part in parts if any(_see_each_other(report, one) for one in part)]
        parts = [part for part in parts if part not in linked]
        parts.append([report, *(one for part in linked for one in part)])
    seen = {name: None for report in known for name in report.view}
    lost = any(name not in seen for report in known for name in report.fell_silent)
    return max(1, len(parts)) + lost


def _see_each_other(one: NodeReport, other: NodeReport) -> bool:
    return one.node in other.view and other.node in one.view


def _topology(known: Sequence[NodeReport]) -> dict[str, Any]:
    """Return what the node says that has watched longest: each member sees every change."""
    watcher = max(known, key=lambda report: report.running, default=None)
    rates = watcher.rates if watcher is not None else {}
    return {
        "last_topology_change_seconds": None if watcher is None else watcher.last_change,
        "joins_per_minute": rates.get("joins", 0.0),
        "leaves_per_minute": rates.get("leaves", 0.0),
        "topology_changes_per_minute": rates.get("topology_changes", 0.0),
    }


def churn_level(changes: float, nodes: int, settings: Settings) -> str:
    """Return the level of *changes* per minute of the registries of *nodes* nodes."""
    each = changes / max(1, nodes)
    if each < settings.churn_low:
        return LOW
    return HIGH if each > settings.churn_high else MEDIUM


def _registry(known: Sequence[NodeReport], asked: Asked) -> dict[str, Any]:
    changes = total(known, "registry_changes")
    delays = [sample for report in known for sample in report.propagation]
    names = {name: None for report in known for name in report.registry_entries}
    entries = {
        name: sum(report.registry_entries.get(name, {}).get(report.node, 0) for report in known)
        for name in sorted(names)
    }
    return {
        "registry_changes_per_minute": changes,
        "registry_churn_rate": churn_level(changes, len(asked.view), asked.settings),
        "registry_entries": entries,
        "registry_replica_lag": replica_lag(known),
        "registry_propagation_p50_us": percentile(delays, 0.5),
        "registry_propagation_p99_us": percentile(delays, 0.99),
    }


def replica_lag(known: Sequence[NodeReport]) -> int:
    """Return by how many entries the worst copy of a node's slice differs from that slice."""
    worst = 0
    for owner in known:
        for copy in known:
            for name in dict.fromkeys((*owner.registry_entries, *copy.registry_entries)):
                have = owner.registry_entries.get(name, {}).get(owner.node, 0)
                seen = copy.registry_entries.get(name, {}).get(owner.node, 0)
                worst = max(worst, abs(have - seen))
    return worst


def _topics(known: Sequence[NodeReport]) -> dict[str, Any]:
    said: dict[str, float] = {}
    for report in known:
        for topic, rate in report.broadcasts.items():
            said[topic] = said.get(topic, 0.0) + rate
    broadcasts = sum(said.values())
    return {
        "pubsub_topics": max((report.topics for report in known), default=0),
        "pubsub_subscriptions": sum(report.subscriptions for report in known),
        "broadcasts_per_minute": broadcasts,
        "broadcasts_per_second": {topic: rate / 60.0 for topic, rate in sorted(said.items())},
        "bytes_per_broadcast": total(known, "bytes_out") / broadcasts if broadcasts else None,
    }


def _lanes(known: Sequence[NodeReport]) -> dict[str, Any]:
    hosts = [host for report in known for host in report.hosts]
    fullest = max(hosts, key=lambda host: host.bulk_backlog, default=None)
    waits = fullest is not None and fullest.bulk_backlog > 0
    return {
        "bulk_utilisation": fullest.bulk_backlog / BACKLOG if fullest and waits else 0.0,
        "bulk_fullest": f"{fullest.host} -> {fullest.bulk_to}" if fullest and waits else "",
        "bulk_dropped_per_minute": total(known, "bulk_dropped"),
    }


def _processes(known: Sequence[NodeReport]) -> dict[str, Any]:
    hosts = [host for report in known for host in report.hosts]
    return {
        "processes": sum(host.processes for host in hosts),
        "memory_bytes": sum(host.memory_bytes for host in hosts),
        "children": sum(sum(report.children.values()) for report in known),
        "processes_started_per_minute": total(known, "started"),
        "process_failures_per_minute": total(known, "failed"),
        "migrations_per_minute": total(known, "migrated"),
        "crashes_per_minute": total(known, "crashes"),
    }


def _messages(known: Sequence[NodeReport]) -> dict[str, Any]:
    probes = [sample for report in known for sample in report.latencies]
    calls = [sample for report in known for sample in report.calls]
    samples = calls or probes
    taken, failed = total(known, "messages_taken"), total(known, "calls_failed")
    made = max(total(known, "calls_made"), failed)  # some that fail now were made before
    return {
        "messages_total": int(sum(report.totals.get("messages_taken", 0) for report in known)),
        "messages_received_per_minute": taken,
        "messages_sent_per_minute": total(known, "messages_sent"),
        "throughput_per_second": taken / 60.0,
        "remote_operations_per_second": total(known, "operations_out") / 60.0,
        "frames_per_second": total(known, "frames_out") / 60.0,
        "bytes_per_second": total(known, "bytes_out") / 60.0,
        "message_latency_p50_us": percentile(samples, 0.5),
        "message_latency_p99_us": percentile(samples, 0.99),
        "message_latency_average_us": sum(samples) / len(samples) if samples else None,
        "latency_samples": len(calls),
        "probe_latency_p50_us": percentile(probes, 0.5),
        "probe_latency_p99_us": percentile(probes, 0.99),
        "calls_per_minute": made,
        "calls_failed_per_minute": failed,
        "error_rate_percent": 100.0 * failed / made if made else 0.0,
    }


def _mailboxes(known: Sequence[NodeReport]) -> dict[str, Any]:
    boxes: list[Mailbox] = [box for report in known for box in report.mailboxes]
    boxes.sort(key=lambda box: (-box.messages, box.pid))
    return {
        "messages_waiting": sum(h.messages_waiting for report in known for h in report.hosts),
        "longest_mailboxes": tuple(boxes[:LONGEST]),
        "growing_mailboxes": tuple(box for box in boxes if box.growth > 0),
    }


def _invariants(known: Sequence[NodeReport]) -> dict[str, Any]:
    return {
        "orphans": tuple(one for report in known for one in report.orphans),
        "stale_names": tuple(one for report in known for one in report.stale_names),
        "hogs_per_minute": total(known, "hogs"),
        "hogs_total": int(sum(report.totals.get("hogs", 0) for report in known)),
        "silent_hosts": tuple(host for report in known for host in report.silent_hosts),
    }


def total(known: Iterable[NodeReport], rate: str) -> float:
    """Return a rate of all nodes together."""
    return sum(report.rates.get(rate, 0.0) for report in known)
