"""The metrics as families of samples, which the exporters write in their own ways. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from foundation.health_monitor.judging import judge
from foundation.health_monitor.values import (
    STATUSES,
    ClusterMetrics,
    HealthReport,
)

Value = float | int | None


@dataclass(frozen=True)
class Family:
    """The samples of one name.

    Attributes:
        name: in snake case; exporters put ``foundation`` before it.
        kind: ``"gauge"``, ``"counter"`` or ``"summary"`` (labels are quantiles).
        about: what it is, in a sentence.
        samples: ``(labels, value)``.
    """

    name: str
    kind: str
    about: str
    samples: tuple[tuple[dict[str, str], float | int], ...]


class _Page:
    """Gathers families."""

    def __init__(self) -> None:
        self.families: list[Family] = []

    def family(
        self, name: str, kind: str, about: str, samples: Iterable[tuple[dict[str, str], Value]]
    ) -> None:
        """Add a family of samples; those without a value are left out, and so is an empty one."""
        known = tuple((labels, value) for labels, value in samples if value is not None)
        if known:
            self.families.append(Family(name, kind, about, known))

    def gauge(self, name: str, about: str, value: Value) -> None:
        """Add a gauge without labels."""
        self.family(name, "gauge", about, [({}, value)])

    def counter(self, name: str, about: str, rows: Iterable[tuple[str, Value]]) -> None:
        """Add a counter of each node.

        A sum over nodes would fall when one leaves or does not answer, which a counter must not.
        """
        self.family(name, "counter", about, [({"node": node}, value) for node, value in rows])

    def by(self, name: str, about: str, label: str, rows: Iterable[tuple[str, Value]]) -> None:
        """Add a gauge with one label; where that is a quantile, a summary."""
        kind = "summary" if label == "quantile" else "gauge"
        self.family(name, kind, about, [({label: key}, value) for key, value in rows])


def families(source: ClusterMetrics | HealthReport) -> list[Family]:
    """Return all that is exported.

    Args:
        source: what ``cluster_metrics`` or ``cluster_health`` returned.
    """
    report = source if isinstance(source, HealthReport) else judge(source)
    page, metrics = _Page(), report.metrics
    _health(page, report)
    _cluster(page, metrics)
    _nodes(page, metrics)
    _messages(page, metrics)
    _registries(page, metrics)
    _faults(page, metrics)
    return page.families


def _health(page: _Page, report: HealthReport) -> None:
    page.gauge("health_score", "How well the cluster does, from 0 to 1.", report.score)
    page.by(
        "health_status",
        "1 for the status that the cluster has.",
        "status",
        [(status, float(status == report.status)) for status in STATUSES],
    )
    page.gauge(
        "health_check_duration_seconds",
        "How long gathering the metrics took.",
        report.check_duration_ms / 1e3,
    )


def _cluster(page: _Page, metrics: ClusterMetrics) -> None:
    page.gauge("cluster_nodes", "Members of the cluster.", metrics.node_count)
    page.gauge("cluster_nodes_expected", "Members there should be.", metrics.expected_nodes)
    page.gauge("cluster_nodes_healthy", "Members that answer unsuspected.", metrics.healthy_nodes)
    page.gauge("cluster_partitions", "Parts that do not see each other.", metrics.partitions)
    page.gauge("cluster_settled", "1 when all members agree.", int(metrics.settled))
    page.gauge("clock_skew_seconds", "Between wall clocks, at most.", metrics.clock_skew_seconds)
    page.gauge("cluster_joins_per_minute", "Nodes that joined.", metrics.joins_per_minute)
    page.gauge("cluster_leaves_per_minute", "Nodes that went.", metrics.leaves_per_minute)
    page.gauge("services_total", "Instances of services.", metrics.services_total)
    page.gauge("services_healthy", "Those whose checks pass.", metrics.services_healthy)
    page.by(
        "service_instances",
        "Instances by service.",
        "service",
        [(one.name, float(one.total)) for one in metrics.services],
    )
    page.gauge(
        "service_discovery_duration_microseconds",
        "How long looking through all services took.",
        metrics.service_discovery_us,
    )
    page.gauge("processes_total", "Light processes.", metrics.processes)
    page.gauge("children_total", "Distributed children that run.", metrics.children)
    page.gauge(
        "children_started_per_minute", "Starts of these.", metrics.processes_started_per_minute
    )
    page.gauge(
        "children_failures_per_minute", "Failures of these.", metrics.process_failures_per_minute
    )
    page.gauge("children_migrations_per_minute", "Moves of these.", metrics.migrations_per_minute)


def _nodes(page: _Page, metrics: ClusterMetrics) -> None:
    nodes = metrics.nodes
    page.by(
        "node_up",
        "1 when the node answers unsuspected.",
        "node",
        [(node.node, float(node.status == "up")) for node in nodes],
    )
    rows = {
        "node_ping_microseconds": ("Round trip from the asking node.", "ping_us"),
        "node_load_average": ("Load of its machine over a minute.", "load_average"),
        "node_cpu_percent": ("Of all processors of its machine.", "cpu_percent"),
        "node_memory_percent": ("Of its machine's memory, in use.", "memory_percent"),
        "node_memory_bytes": ("Resident, of all its hosts.", "memory_bytes"),
        "node_processes": ("Light processes.", "processes"),
        "node_children": ("Distributed children that run there.", "children"),
        "node_messages_waiting": ("In its mailboxes.", "messages_waiting"),
    }
    for name, (about, field) in rows.items():
        page.by(name, about, "node", [(node.node, getattr(node, field)) for node in nodes])


def _messages(page: _Page, metrics: ClusterMetrics) -> None:
    page.counter(
        "messages_total",
        "Messages that servers of the node have taken since its health monitor began.",
        [(node.node, node.messages_total) for node in metrics.nodes],
    )
    page.gauge("messages_per_second", "Messages that servers take.", metrics.throughput_per_second)
    page.gauge("messages_waiting", "Messages in mailboxes.", metrics.messages_waiting)
    page.gauge(
        "remote_operations_per_second", "Between hosts.", metrics.remote_operations_per_second
    )
    page.gauge("frames_per_second", "Between hosts.", metrics.frames_per_second)
    page.gauge("bytes_per_second", "Between hosts.", metrics.bytes_per_second)
    page.gauge("calls_per_minute", "Calls that were made.", metrics.calls_per_minute)
    page.gauge("call_failures_per_minute", "Failed calls.", metrics.calls_failed_per_minute)
    page.gauge("error_rate_percent", "Share of failed calls.", metrics.error_rate_percent)
    page.gauge("crashes_per_minute", "Processes that crashed.", metrics.crashes_per_minute)
    page.by(
        "message_latency_microseconds",
        "Calls of users that waited for a reply; of probes where there are none.",
        "quantile",
        [("0.5", metrics.message_latency_p50_us), ("0.99", metrics.message_latency_p99_us)],
    )
    page.by(
        "probe_latency_microseconds",
        "Calls between hosts and nodes, measured by probes.",
        "quantile",
        [("0.5", metrics.probe_latency_p50_us), ("0.99", metrics.probe_latency_p99_us)],
    )
    page.gauge("bulk_utilisation", "How full the fullest lane is.", metrics.bulk_utilisation)
    page.gauge("bulk_dropped_per_minute", "By full lanes.", metrics.bulk_dropped_per_minute)
    page.by(
        "broadcasts_per_second",
        "By topic.",
        "topic",
        [(topic, rate) for topic, rate in metrics.broadcasts_per_second.items()],
    )


def _registries(page: _Page, metrics: ClusterMetrics) -> None:
    page.by(
        "registry_entries",
        "By registry.",
        "registry",
        [(name, float(count)) for name, count in metrics.registry_entries.items()],
    )
    page.gauge(
        "registry_changes_per_minute", "Of all registries.", metrics.registry_changes_per_minute
    )
    page.gauge(
        "registry_replica_lag", "Entries by which the worst copy differs.",
        metrics.registry_replica_lag,
    )  # fmt: skip
    page.by(
        "registry_propagation_microseconds",
        "From writing an entry until another node sees it.",
        "quantile",
        [
            ("0.5", metrics.registry_propagation_p50_us),
            ("0.99", metrics.registry_propagation_p99_us),
        ],
    )
    page.gauge("pubsub_topics", "Topics with subscribers.", metrics.pubsub_topics)
    page.gauge("pubsub_subscriptions", "Of hosts.", metrics.pubsub_subscriptions)


def _faults(page: _Page, metrics: ClusterMetrics) -> None:
    page.gauge("duplicates", "Children that run twice.", len(metrics.duplicates))
    page.gauge("orphans", "Children that no supervisor knows.", len(metrics.orphans))
    page.gauge("stale_names", "Names of dead processes.", len(metrics.stale_names))
    page.gauge("growing_mailboxes", "That grow steadily.", len(metrics.growing_mailboxes))
    page.gauge("silent_hosts", "Hosts that did not answer.", len(metrics.silent_hosts))
    page.gauge("nodes_not_answering", "Members that did not.", len(metrics.not_answering))
    page.counter(
        "hogs_total",
        "Handlers that hogged hosts of the node since its health monitor began.",
        [(node.node, node.hogs_total) for node in metrics.nodes],
    )
