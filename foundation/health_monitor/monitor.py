"""What the health monitor of one node remembers, and how it makes a ``NodeReport`` of it.

The server (``server.py``) drives it; processes of the same host that serve requests read it. All
numbers of hosts are polled (``foundation/cluster/measures.py``), those about tables come from
this host's copies.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Any

from foundation.cluster.host import ClusterHost
from foundation.cluster.measures import OTHER
from foundation.cluster.measures import SERVICE as MEASURES
from foundation.cluster.polling import Polled, poll_hosts
from foundation.cluster.pubsub.service import TOPICS
from foundation.cluster.pubsub.topics import TOPIC
from foundation.cluster.supervisor import UnknownSupervisor, wanted_children
from foundation.cluster.supervisor.ids import key_of
from foundation.cluster.supervisor.records import RUNNING
from foundation.errors import NotInCluster
from foundation.health_monitor import system
from foundation.health_monitor.changes import CHILDREN, NAMES, TableWatch
from foundation.health_monitor.settings import Settings
from foundation.health_monitor.values import (
    HEALTHY,
    HostMetrics,
    Mailbox,
    NodeReport,
)
from foundation.health_monitor.windows import HighWater, Rate, Sums, Window, grows, slope

if TYPE_CHECKING:
    from foundation.kernel.kernel import Kernel

TABLE = "health monitor"  # where a kernel keeps its Monitor
POLL_SECONDS = 1.0  # that hosts of the node may take to answer
EVENTS = (
    *("joins", "leaves", "topology_changes", "registry_changes"),
    *("started", "failed", "migrated"),
)
COUNTERS = (
    *("messages_taken", "messages_sent", "operations_out", "frames_out", "bytes_out"),
    *("calls_made", "calls_failed", "crashes", "hogs", "bulk_dropped"),
)
SAMPLES = 500  # of latencies that are kept
ROUNDS = 4  # of probes, whose results are shown
TOPICS_SHOWN = 50  # by name; the rest is summed up
GROWING = 4  # of the latest checks by which a mailbox is said to grow

Life = tuple[str, int]


class Monitor:
    """See the module docstring.

    Args:
        cluster: of this host.
        settings: of the monitor.

    Attributes:
        history: the latest checks.
        sent: number and time of the probe entry that is under way.
        pings: latest round trip to each node, in seconds.
        judged: the status of the cluster at the latest check, where this node makes it.
    """

    def __init__(self, cluster: ClusterHost, settings: Settings) -> None:
        self.cluster = cluster
        self.settings = settings
        self.history: deque[NodeReport] = deque(maxlen=settings.history)
        self.sent: tuple[int, float] = (0, 0.0)
        self.pings: dict[str, float] = {}
        self.judged = HEALTHY
        self._began = self._now()
        self._times: deque[float] = deque(maxlen=settings.history)  # of the history
        self._events = {name: Window(settings.window) for name in EVENTS}
        self._sums, self._topics = Sums(), Sums()
        self._rates: dict[str, Rate] = {}
        self._host_cpu: dict[Life, Rate] = {}
        self._busy, self._total = Rate(settings.window), Rate(settings.window)
        self._latencies: deque[tuple[float, float]] = deque(maxlen=SAMPLES)
        self._propagation: deque[tuple[float, float]] = deque(maxlen=SAMPLES)
        self._high_water = HighWater()
        self._high_water.size(len(cluster.view))
        self._changed_at: float | None = None
        self._silent: dict[str, None] = {}
        self._polled_at: float | None = None
        self.watch = TableWatch(cluster, self._note)
        cluster.kernel.tables[TABLE] = self

    def _now(self) -> float:
        return self.cluster.kernel.driver.now()

    def _note(self, event: str) -> None:
        self._events[event].add(self._now())

    def close(self) -> None:
        """The server ends."""
        self.watch.close()
        tables = self.cluster.kernel.tables
        if tables.get(TABLE) is self:
            del tables[TABLE]

    # What the server is told

    def node_up(self, node: str) -> None:
        """A member has come."""
        self._silent.pop(node, None)
        self._note("joins")
        self._high_water.size(len(self.cluster.view))

    def node_down(self, node: str, reason: str) -> None:
        """A member has gone."""
        self._note("leaves")
        if reason == "left":
            self._high_water.left(len(self.cluster.view))
        elif reason == "silent":
            self._silent[node] = None

    def view_changed(self) -> None:
        """The set of members has changed, or what they say of themselves."""
        self._note("topology_changes")
        self._changed_at = self._now()
        self._high_water.size(len(self.cluster.view))

    def latency(self, seconds: float) -> None:
        """A probe has come back."""
        self._latencies.append((self._now(), seconds * 1e6))

    def seen(self, number: int, node: str) -> None:
        """*node* says that it sees the probe entry *number*; half a ping is the way back."""
        expected, at = self.sent
        if number == expected and node in self.pings:
            back = self.pings[node] / 2
            took = max(0.0, self._now() - at - back)
            self._propagation.append((self._now(), took * 1e6))

    def _recent(
        self, samples: deque[tuple[float, float]], within: float | None
    ) -> tuple[float, ...]:
        """Return what was measured by the latest rounds of probes."""
        settings = self.settings
        seconds = max(settings.window, ROUNDS * settings.interval) if within is None else within
        since = self._now() - seconds
        return tuple(value for at, value in samples if at >= since)

    # Reports

    async def check(self) -> NodeReport:
        """Measure, and keep the report in the history."""
        await self._learn_replicated()
        report = await self.report()
        self.history.append(report)
        self._times.append(self._now())
        return report

    async def _learn_replicated(self) -> None:
        for supervisor in self.watch.supervisors():
            try:
                wanted = await wanted_children(supervisor)
            except UnknownSupervisor:
                continue
            everywhere = {key_of(child.id): None for child in wanted if child.every_node}
            self.watch.replicated[supervisor] = everywhere

    async def report(self, within: float | None = None) -> NodeReport:
        """Measure this node now; *within* as ``Measure`` has it."""
        start = self._now()
        polled = await poll_hosts(MEASURES, timeout=POLL_SECONDS)
        self._count(polled)
        return self._report(polled, start, within)

    def _count(self, polled: Polled) -> None:
        now, before = self._now(), self._polled_at
        first, self._polled_at = before is None, now
        cpu: dict[Life, Rate] = {}
        for host, found in polled.answers.items():
            life: Life = (host, found["incarnation"])
            sent = found["messages_taken"] + found["messages_waiting"]
            counters = {**found, "messages_sent": sent}
            values = {name: counters[name] for name in COUNTERS}
            self._sums.note(*life, values, first=first)
            self._topics.note(*life, found["broadcasts"], first=first)
            cpu[life] = self._host_cpu.get(life) or Rate(self.settings.window)
            cpu[life].note(now, found["cpu_seconds"])
        self._host_cpu = cpu
        for name in COUNTERS:
            self._rate(name).note(now, self._sums.totals.get(name, 0))
        for topic, count in self._topics.totals.items():
            if before is not None and f"topic {topic}" not in self._rates:
                self._rate(f"topic {topic}").note(before, 0)  # nobody had said anything
            self._rate(f"topic {topic}").note(now, count)
        times = system.cpu_times()
        if times is not None:
            self._busy.note(now, times.busy)
            self._total.note(now, times.total)

    def _rate(self, name: str) -> Rate:
        rate = self._rates.get(name)
        if rate is None:
            rate = self._rates[name] = Rate(self.settings.window)
        return rate

    def _per_minute(self, name: str, within: float | None) -> float:
        rate = self._rate(name)
        each = rate.per_second if within is None else rate.within(self._now(), within)
        return each * 60.0

    def _report(self, polled: Polled, start: float, within: float | None) -> NodeReport:
        now, cluster = self._now(), self.cluster
        answers = polled.answers
        agent = next((a["agent"] for a in answers.values() if a["agent"] is not None), None)
        known = [found for _, found in sorted(answers.items())]
        events = {name: window.per_minute(now, within) for name, window in self._events.items()}
        rates = {name: self._per_minute(name, within) for name in COUNTERS}
        topics = [t for t in cluster.tables if t.name.startswith(TOPICS)]
        changed = self._changed_at
        return NodeReport(
            node=cluster.node,
            running=now - self._began,
            duration_ms=(now - start) * 1e3,
            hosts=tuple(self._host(found) for found in known),
            silent_hosts=tuple(sorted((*polled.silent, *polled.failures))),
            load_average=system.load_average(),
            cores=system.cores(),
            cpu_percent=self._cpu_percent(),
            memory_percent=system.memory_percent(),
            high_water=self._high_water.mark,
            expected_size=cluster.config.expected_size,
            view=cluster.view.names,
            suspects=tuple(agent["suspects"]) if agent else (),
            settled=cluster.settled,
            last_change=None if changed is None else now - changed,
            fell_silent=tuple(n for n in self._silent if n not in cluster.view),
            rates={**events, **rates},
            totals={**{n: w.total for n, w in self._events.items()}, **self._sums.totals},
            broadcasts=self._broadcasts(within),
            latencies=self._recent(self._latencies, within),
            calls=self._calls(known, within),
            propagation=self._recent(self._propagation, within),
            mailboxes=self._mailboxes(known),
            orphans=tuple(f"{s}: {c} {p}" for a in known for s, c, p in a["orphans"]),
            stale_names=tuple(f"{r}: {n} {p}" for a in known for r, n, p in a["stale_names"]),
            registry_entries=self._entries(),
            topics=len({(t.name, k[2]) for t in topics for _, k, _ in t.items() if k[1] == TOPIC}),
            subscriptions=sum(len(t.of(cluster.node)) for t in topics),
            children=self._children(),
            settings=self.settings,
        )

    def _host(self, found: dict[str, Any]) -> HostMetrics:
        host = found["host"]
        cpu = self._host_cpu[(host, found["incarnation"])]
        points = [
            (at, float(one.messages_waiting))
            for at, report in zip(self._times, self.history, strict=True)
            for one in report.hosts
            if one.host == host and one.os_pid == found["os_pid"]
        ]
        return HostMetrics(
            host=host,
            os_pid=found["os_pid"],
            memory_bytes=found["memory_bytes"],
            cpu_percent=round(cpu.within(0.0, math.inf) * 100.0, 2) if cpu.increase else None,
            processes=found["processes"],
            messages_waiting=found["messages_waiting"],
            messages_taken=found["messages_taken"],
            growth=slope([*points, (self._now(), float(found["messages_waiting"]))]) * 60.0,
            hogs=found["hogs"],
            frames_in=found["frames_in"],
            frames_out=found["frames_out"],
            operations_in=found["operations_in"],
            operations_out=found["operations_out"],
            bytes_out=found["bytes_out"],
            bulk_backlog=found["bulk_backlog"],
            bulk_to=found["bulk_to"],
        )

    def _cpu_percent(self) -> float | None:
        total = self._total.increase
        return round(100.0 * self._busy.increase / total, 2) if total > 0 else None

    def _calls(self, known: list[dict[str, Any]], within: float | None) -> tuple[float, ...]:
        seconds = self.settings.window if within is None else within
        return tuple(
            took * 1e6 for one in known for ago, took in one["calls_timed"] if ago <= seconds
        )

    def _broadcasts(self, within: float | None) -> dict[str, float]:
        rates = {
            topic: self._per_minute(f"topic {topic}", within) for topic in self._topics.totals
        }
        ranked = sorted(rates, key=lambda topic: (-rates[topic], topic))
        found = {topic: rates[topic] for topic in ranked[:TOPICS_SHOWN]}
        rest = sum(rates[topic] for topic in ranked[TOPICS_SHOWN:])
        if rest:  # hosts may have summed up some of theirs under that name, too
            found[OTHER] = found.get(OTHER, 0.0) + rest
        return found

    def _mailboxes(self, known: list[dict[str, Any]]) -> tuple[Mailbox, ...]:
        now = self._now()
        found = []
        for one in known:
            for pid, label, length in one["longest_mailboxes"]:
                points = [*self._lengths(pid)[1 - GROWING :], (now, float(length))]
                growth = slope(points) * 60.0 if grows(points) else 0.0
                found.append(Mailbox(pid, label, one["host"], length, growth))
        return tuple(sorted(found, key=lambda box: (-box.messages, box.pid)))

    def _lengths(self, pid: str) -> list[tuple[float, float]]:
        """Return how long the mailbox of *pid* was at the latest checks, as far as it was named."""
        points: list[tuple[float, float]] = []
        for at, report in zip(self._times, self.history, strict=True):
            length = next((box.messages for box in report.mailboxes if box.pid == pid), None)
            if length is None:
                points.clear()  # it was short, or not there
            else:
                points.append((at, float(length)))
        return points

    def _entries(self) -> dict[str, dict[str, int]]:
        return {
            table.name[len(NAMES) :]: {node: len(table.of(node)) for node in table.nodes()}
            for table in self.cluster.tables
            if table.name.startswith(NAMES)
        }

    def _children(self) -> dict[str, int]:
        found = {}
        for table in self.cluster.tables:
            if table.name.startswith(CHILDREN):
                entries = table.of(self.cluster.node).values()
                running = sum(entry.status == RUNNING for entry in entries)
                found[table.name[len(CHILDREN) :]] = running
        return found


def monitor_of(kernel: Kernel) -> Monitor:
    """Return the monitor of the node, in the host where it lives.

    Raises:
        NotInCluster: this is another host, or the node has none.
    """
    found: Monitor | None = kernel.tables.get(TABLE)
    if found is None:
        raise NotInCluster(
            f"host {kernel.address!r} has no health monitor; ask ('foundation.health_monitor', "
            "node) of a node that was started with its facades"
        )
    return found
