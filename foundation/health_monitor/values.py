"""What the health monitor measures and says: plain data, that JSON can hold (``as_dict``).

All times are seconds, all latencies microseconds, all rates of the last minute or, with another
``Settings.window``, of that time. None stands for what could not be measured.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from foundation.health_monitor.settings import Settings

HEALTHY, DEGRADED, CRITICAL = "healthy", "degraded", "critical"
STATUSES = (HEALTHY, DEGRADED, CRITICAL)  # from good to bad
LOW, MEDIUM, HIGH = "low", "medium", "high"  # levels of churn


class Plain:
    """A dataclass of plain values."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as dicts, lists, strings and numbers."""
        return _plain(asdict(self))  # type: ignore[call-overload,no-any-return]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


@dataclass(frozen=True)
class Mailbox:
    """A mailbox with many messages.

    Attributes:
        pid: of its process, as text.
        label: its name, or its class.
        host: where it is.
        messages: how many wait.
        growth: by how many these rise in a minute; 0.0 where that is not known yet.
    """

    pid: str
    label: str
    host: str
    messages: int
    growth: float = 0.0


@dataclass(frozen=True)
class HostMetrics:
    """One operating-system process of a node.

    Attributes:
        host: address, ``"node/w1"``.
        os_pid: of the operating system.
        memory_bytes: resident.
        cpu_percent: of one processor, since the check before; None at the first.
        processes: light processes in it.
        messages_waiting: in all its mailboxes.
        messages_taken: by its servers, since it began.
        growth: by how many the waiting messages rise in a minute: the slope over the history.
        hogs: handlers that hogged it, since it began (the watchdog's count).
        frames_in: frames from other hosts, since it began.
        frames_out: frames to other hosts.
        operations_in: messages, calls, replies, links … in these.
        operations_out: the same, outwards.
        bytes_out: to other hosts, with what goes over lanes.
        bulk_backlog: bytes that wait in a lane for the host for which most wait.
        bulk_to: that host; ``""``: none.
    """

    host: str
    os_pid: int
    memory_bytes: int
    cpu_percent: float | None
    processes: int
    messages_waiting: int
    messages_taken: int
    growth: float
    hogs: int
    frames_in: int
    frames_out: int
    operations_in: int
    operations_out: int
    bytes_out: int = 0
    bulk_backlog: int = 0
    bulk_to: str = ""


@dataclass(frozen=True)
class NodeReport(Plain):
    """What the health monitor of one node says of it: the reply to ``Measure``.

    Attributes:
        node: its name.
        running: seconds since its health monitor started.
        duration_ms: that measuring took.
        hosts: its hosts.
        silent_hosts: hosts that did not answer.
        load_average: of the operating system, over a minute.
        cores: processors.
        cpu_percent: of all its processors, since the check before.
        memory_percent: of the machine's memory, in use.
        high_water: see ``windows.HighWater``.
        expected_size: of its ``ClusterConfig``.
        view: the members that it sees.
        suspects: those that it suspects to be down.
        settled: whether it knows that all members agree.
        last_change: seconds since its view last changed; None: not since the monitor started.
        fell_silent: members that have gone without a word and have not come back.
        rates: per minute, by name: ``joins``, ``leaves``, ``topology_changes``,
            ``registry_changes``, ``started``, ``failed``, ``migrated``, ``messages_taken``,
            ``messages_sent``, ``operations_out``, ``frames_out``, ``bytes_out``, ``calls_made``,
            ``calls_failed``, ``crashes``, ``hogs``, ``bulk_dropped``.
        totals: the same counters since the monitor started.
        broadcasts: per minute, by topic.
        latencies: of the latest probes, in microseconds; see ``prober.py``.
        calls: of the latest calls of users' processes that were timed, in microseconds.
        propagation: of the latest probe entries, in microseconds.
        mailboxes: the longest.
        orphans: children here that no entry of the supervisor's table names, as text.
        stale_names: entries of this node whose process is gone, as text.
        registry_entries: by registry, how many entries of each node this node has.
        topics: topics with subscribers.
        subscriptions: topics and patterns that hosts of this node subscribe to.
        children: distributed children that run here, by supervisor.
        settings: of its health monitor.
    """

    node: str
    running: float
    duration_ms: float
    hosts: tuple[HostMetrics, ...]
    silent_hosts: tuple[str, ...]
    load_average: float | None
    cores: int
    cpu_percent: float | None
    memory_percent: float | None
    high_water: int
    expected_size: int | None
    view: tuple[str, ...]
    suspects: tuple[str, ...]
    settled: bool
    last_change: float | None
    fell_silent: tuple[str, ...]
    rates: dict[str, float]
    totals: dict[str, float]
    broadcasts: dict[str, float]
    latencies: tuple[float, ...]
    calls: tuple[float, ...]
    propagation: tuple[float, ...]
    mailboxes: tuple[Mailbox, ...]
    orphans: tuple[str, ...]
    stale_names: tuple[str, ...]
    registry_entries: dict[str, dict[str, int]]
    topics: int
    subscriptions: int
    children: dict[str, int]
    settings: Settings


@dataclass(frozen=True)
class NodeMetrics:
    """One member of the cluster.

    Attributes:
        node: its name.
        status: ``"up"``, ``"suspect"`` (another member suspects it) or ``"silent"`` (its health
            monitor did not answer).
        ping_us: of a call to its health monitor and back; None: it did not answer.
        clock_ahead_seconds: of its wall clock, against that of the node that asked.
        load_average: of the operating system, over a minute.
        cores: processors.
        cpu_percent: of all processors.
        memory_percent: of the machine's memory.
        memory_bytes: resident, of all its hosts.
        processes: light processes.
        children: distributed children that run there.
        messages_per_second: that its servers take.
        messages_total: that they have taken since its health monitor began.
        hogs_total: handlers that hogged its hosts since then.
        messages_waiting: in its mailboxes.
        hosts: its operating-system processes.
    """

    node: str
    status: str
    ping_us: float | None
    clock_ahead_seconds: float | None = None
    load_average: float | None = None
    cores: int | None = None
    cpu_percent: float | None = None
    memory_percent: float | None = None
    memory_bytes: int | None = None
    processes: int | None = None
    children: int | None = None
    messages_per_second: float | None = None
    messages_total: int | None = None
    hogs_total: int | None = None
    messages_waiting: int | None = None
    hosts: tuple[HostMetrics, ...] = ()


@dataclass(frozen=True)
class ServiceMetrics:
    """The instances of one service.

    Attributes:
        name: of the service.
        total: instances.
        healthy: those whose health checks pass.
    """

    name: str
    total: int
    healthy: int


@dataclass(frozen=True)
class ClusterMetrics(Plain):
    """The cluster in numbers; ``cluster_metrics()`` says how each is computed.

    Attributes: see ``cluster_metrics``; those without a unit in their name are counts.
    """

    node: str  # who asked
    checked_at: float  # seconds since 1970, for people
    check_duration_ms: float
    complete: bool
    not_answering: tuple[str, ...]

    node_count: int
    connected_nodes: int
    healthy_nodes: int
    expected_nodes: int
    expected_is_set: bool
    expected_sizes: dict[str, int | None]  # ``ClusterConfig.expected_size`` of each node
    suspect_nodes: tuple[str, ...]
    partitions: int
    settled: bool
    last_topology_change_seconds: float | None
    joins_per_minute: float
    leaves_per_minute: float
    topology_changes_per_minute: float
    clock_skew_seconds: float
    nodes: tuple[NodeMetrics, ...]

    registry_changes_per_minute: float
    registry_churn_rate: str
    registry_entries: dict[str, int]
    registry_replica_lag: int
    registry_propagation_p50_us: float | None
    registry_propagation_p99_us: float | None

    pubsub_topics: int
    pubsub_subscriptions: int
    broadcasts_per_minute: float
    broadcasts_per_second: dict[str, float]
    bulk_utilisation: float
    bulk_fullest: str  # ``"a/w1 -> b/w1"``; "": no bulk waits
    bulk_dropped_per_minute: float

    services_total: int
    services_healthy: int
    services_unhealthy: int
    services: tuple[ServiceMetrics, ...]
    service_discovery_us: float | None

    processes: int
    memory_bytes: int
    children: int
    processes_started_per_minute: float
    process_failures_per_minute: float
    migrations_per_minute: float
    crashes_per_minute: float

    messages_total: int
    messages_received_per_minute: float
    messages_sent_per_minute: float
    throughput_per_second: float
    remote_operations_per_second: float
    frames_per_second: float
    bytes_per_second: float
    bytes_per_broadcast: float | None
    message_latency_p50_us: float | None
    message_latency_p99_us: float | None
    message_latency_average_us: float | None
    latency_samples: int  # of users' calls; 0: the latencies are those of the probes
    probe_latency_p50_us: float | None
    probe_latency_p99_us: float | None
    calls_per_minute: float
    calls_failed_per_minute: float
    error_rate_percent: float

    messages_waiting: int
    longest_mailboxes: tuple[Mailbox, ...]
    growing_mailboxes: tuple[Mailbox, ...]
    duplicates: tuple[str, ...]
    orphans: tuple[str, ...]
    stale_names: tuple[str, ...]
    hogs_per_minute: float
    hogs_total: int
    silent_hosts: tuple[str, ...]

    settings: Settings = field(default_factory=Settings)

    def churn_per_node(self) -> float:
        """Return registry changes per node and minute, by which the level is chosen."""
        return self.registry_changes_per_minute / max(1, self.node_count)

    def get(self, node: str) -> NodeMetrics | None:
        """Return the metrics of the member *node*, or None."""
        return next((one for one in self.nodes if one.node == node), None)


@dataclass(frozen=True)
class HealthReport(Plain):
    """A judgement.

    Attributes:
        status: ``"healthy"``, ``"degraded"`` or ``"critical"``: the worst of the next three.
        cluster: of the members.
        services: of the instances of services.
        infrastructure: of registries, supervisors, topics, hosts.
        reasons: why it is not healthy; sentences.
        recommendations: what to do; sentences. Also of what does not change the status.
        score: from 0.0 to 1.0; see ``judging.score``.
        metrics: what it was judged by.
        checked_at: seconds since 1970, for people.
        check_duration_ms: that gathering took.
    """

    status: str
    cluster: str
    services: str
    infrastructure: str
    reasons: tuple[str, ...]
    recommendations: tuple[str, ...]
    score: float
    metrics: ClusterMetrics
    checked_at: float
    check_duration_ms: float


@dataclass(frozen=True)
class Connectivity(Plain):
    """Who answers a call from this node.

    Attributes:
        node: who asked.
        connected: members whose health monitors answered, this node included.
        silent: members that did not.
        ping_us: of the round trip, by node.
        clock_ahead_seconds: by how much the wall clock of a node is ahead of that of *node*.
    """

    node: str
    connected: tuple[str, ...]
    silent: tuple[str, ...]
    ping_us: dict[str, float]
    clock_ahead_seconds: dict[str, float]

    @property
    def complete(self) -> bool:
        """Whether all members answered."""
        return not self.silent
