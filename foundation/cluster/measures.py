"""What a host measures of itself, as plain data; polled by ``foundation.health_monitor``.

Nothing here is on the path of a message: counters that the kernel keeps anyway are read, and the
processes of the host are looked through once when asked.
"""

from __future__ import annotations

import os
import time
from heapq import nlargest
from typing import TYPE_CHECKING, Any

from foundation.cluster.agent import Agent
from foundation.cluster.lanes import Lanes
from foundation.cluster.lanes.host import TABLE as LANES
from foundation.cluster.polling import serve_hosts
from foundation.cluster.pubsub.host import TABLE as PUBSUB
from foundation.cluster.pubsub.host import PubSubHost
from foundation.cluster.registry.keys import decode_key
from foundation.cluster.slices import GONE
from foundation.cluster.supervisor.ids import shown
from foundation.cluster.supervisor.managed_process import CHILD
from foundation.cluster.supervisor.records import table_of
from foundation.kernel.values import Pid
from foundation.runtime.inspect import PARTS, resident_bytes, text

if TYPE_CHECKING:
    from foundation.cluster.host import ClusterHost

SERVICE = "measures"  # the poll
LONGEST = 10  # mailboxes that are named
OTHER = "(other)"  # topics, beyond those that are counted by themselves
STALE_SECONDS = 1.0  # news of a death may be under way for so long
REGISTRY = "reg:"  # tables of distributed registries begin so


class Measures:
    """Measures one host."""

    def __init__(self, cluster: ClusterHost) -> None:
        self._cluster = cluster
        self._kernel = cluster.kernel
        self._odd: dict[tuple[str, ...], float] = {}  # what looked wrong: since when

    def read(self) -> dict[str, Any]:
        """Return what is measured now; see ``foundation.health_monitor.values.HostMetrics``."""
        kernel, remote = self._kernel, self._kernel.remote
        waiting, longest, loose = self._look_at_processes()
        odd = self._confirmed([*loose, *self._stale()])
        hogs = kernel.tables.get(PARTS, {}).get("hogs")
        return {
            "host": kernel.address,
            "incarnation": kernel.incarnation,
            "os_pid": os.getpid(),
            "memory_bytes": resident_bytes(),
            "cpu_seconds": time.process_time(),
            "processes": len(kernel.procs),
            "messages_taken": kernel.counts.messages_taken(kernel.slices),
            "messages_waiting": waiting,
            "longest_mailboxes": longest,
            "calls_made": kernel.counts.calls_made(kernel.slices),
            "calls_failed": kernel.counts.calls_failed,
            "calls_timed": self._calls_timed(),
            "crashes": kernel.counts.crashes,
            "frames_in": remote.frames_in,
            "frames_out": remote.frames_out,
            "operations_in": remote.ops_in,
            "operations_out": remote.ops_out,
            "hogs": 0 if hogs is None else hogs(),
            "broadcasts": self._broadcasts(),
            **self._lanes(),
            "orphans": [what[1:] for what in odd if what[0] == "orphan"],
            "stale_names": [what[1:] for what in odd if what[0] == "name"],
            "agent": self._agent(),
        }

    # Processes

    def _look_at_processes(self) -> tuple[int, list[Any], list[tuple[str, ...]]]:
        """Return how many messages wait, where most, and the children that no entry names."""
        waiting = 0
        filled: list[tuple[int, Any]] = []
        loose: list[tuple[str, ...]] = []
        for process in self._kernel.procs.values():
            length = len(process.mailbox)
            if length:
                waiting += length
                filled.append((length, process))
            if process.extra is not None and CHILD in process.extra:
                supervisor, key, _ = process.extra[CHILD]
                if not self._is_owned(supervisor, key, process.pid):
                    loose.append(("orphan", supervisor, shown(key), text(process.pid)))
        top = nlargest(LONGEST, filled, key=lambda one: one[0])
        longest = [(text(process.pid), _label(process), length) for length, process in top]
        return waiting, longest, loose

    def _is_owned(self, supervisor: str, key: bytes, pid: Pid) -> bool:
        """Whether the entry of this node for that child may be that of the process *pid*."""
        entry = self._cluster.tables[table_of(supervisor)].get(self._cluster.node, key)
        return entry is not GONE and entry.pid in (None, pid)

    # Names

    def _stale(self) -> list[tuple[str, ...]]:
        """Return the names and entries of dead processes that this host knows to be dead."""
        kernel, node = self._kernel, self._cluster.node
        found: list[tuple[str, ...]] = [
            ("name", "names", repr(name), text(pid))
            for name, pid in kernel.names.items()
            if self._is_dead(pid)
        ]
        for table in self._cluster.tables:
            if table.name.startswith(REGISTRY):
                for key, value in table.of(node).items():
                    pid = key[1] if type(key) is tuple else value[0]
                    if self._is_dead(pid):
                        name = decode_key(key[0] if type(key) is tuple else key)
                        registry = table.name[len(REGISTRY) :]
                        found.append(("name", registry, repr(name), text(pid)))
        return found

    def _is_dead(self, pid: Pid) -> bool:
        kernel = self._kernel
        if pid.host == kernel.address:
            return pid not in kernel.procs
        if pid.host.partition("/")[0] != self._cluster.node:
            return False  # its own node looks after it
        return isinstance(self._cluster, Agent) and not kernel.remote.reachable(pid)

    def _confirmed(self, odd: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
        """Return what looked wrong at an earlier look, too: not what is just under way."""
        now = self._kernel.driver.now()
        self._odd = {what: self._odd.get(what, now) for what in odd}
        return [what for what, since in self._odd.items() if now - since >= STALE_SECONDS]

    def _calls_timed(self) -> list[tuple[float, float]]:
        """Return how many seconds ago the calls that were timed ended, and how long they took."""
        now = self._kernel.driver.now()
        return [(now - at, took) for at, took in self._kernel.counts.timed]

    # Topics, lanes, membership

    def _broadcasts(self) -> dict[str, int]:
        """Return by topic how often processes of this host have broadcast.

        Topics are counted that have subscribers, wherever these are, by name or by a pattern.
        """
        pubsub: PubSubHost | None = self._kernel.tables.get(PUBSUB)
        found: dict[str, int] = {}
        for exchange in pubsub.exchanges() if pubsub is not None else ():
            for topic, volume in (*exchange.volumes.items(), (OTHER, exchange.rest)):
                if volume.published:
                    found[topic] = found.get(topic, 0) + volume.published
        return found

    def _lanes(self) -> dict[str, Any]:
        """Return how much bulk waits for the host for which most waits, and what was dropped."""
        lanes: Lanes | None = self._kernel.tables.get(LANES)
        states = lanes.states() if lanes is not None else []
        fullest = max(states, key=lambda one: one.backlog, default=None)
        return {
            "bytes_out": self._kernel.remote.bytes_out + (0 if lanes is None else lanes.bytes_out),
            "bulk_dropped": sum(one.dropped for one in states),
            "bulk_backlog": 0 if fullest is None else fullest.backlog,
            "bulk_to": "" if fullest is None else fullest.host,
        }

    def _agent(self) -> dict[str, Any] | None:
        """Return what only the agent of the node knows."""
        agent = self._cluster
        if not isinstance(agent, Agent):
            return None
        return {
            "suspects": [r.name for r in agent.swim.members() if r.status == "suspect"],
            "counters": dict(agent.swim.counters),
            "labels": dict(agent.config.labels),
        }


def _label(process: Any) -> str:
    if process.name is not None:
        return process.name if isinstance(process.name, str) else repr(process.name)
    return type(getattr(process, "server", None) or process).__qualname__


def install_measures(cluster: ClusterHost) -> None:
    """Have *cluster*'s host answer polls for its measures."""
    serve_hosts(cluster.kernel, SERVICE, Measures(cluster).read)
