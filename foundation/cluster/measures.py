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
from foundation.cluster.polling import serve_hosts
from foundation.cluster.pubsub.exchange import Exchange
from foundation.cluster.pubsub.host import TABLE as PUBSUB
from foundation.cluster.pubsub.host import PubSubHost
from foundation.cluster.pubsub.service import TOPICS
from foundation.cluster.pubsub.topics import TOPIC
from foundation.cluster.registry.keys import decode_key
from foundation.cluster.slices import GONE, Table
from foundation.cluster.supervisor.ids import shown
from foundation.cluster.supervisor.managed_process import CHILD
from foundation.cluster.supervisor.records import table_of
from foundation.kernel.values import Pid
from foundation.runtime.inspect import PARTS, resident_bytes, text

if TYPE_CHECKING:
    from foundation.cluster.host import ClusterHost

SERVICE = "measures"  # the poll
LONGEST = 10  # mailboxes that are named
TOPICS_MAX = 500  # topics that are counted in one host
STALE_SECONDS = 1.0  # news of a death may be under way for so long
REGISTRY = "reg:"  # tables of distributed registries begin so


class Measures:
    """Measures one host."""

    def __init__(self, cluster: ClusterHost) -> None:
        self._cluster = cluster
        self._kernel = cluster.kernel
        self._counted: dict[str, None] = {}  # names of topics whose broadcasts are counted
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
            "messages_taken": kernel.messages_taken(),
            "messages_waiting": waiting,
            "longest_mailboxes": longest,
            "calls_failed": kernel.counts.calls_failed,
            "crashes": kernel.counts.crashes,
            "frames_in": remote.frames_in,
            "frames_out": remote.frames_out,
            "operations_in": remote.ops_in,
            "operations_out": remote.ops_out,
            "hogs": 0 if hogs is None else hogs(),
            "broadcasts": self._broadcasts(),
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

    # Topics, membership

    def _broadcasts(self) -> dict[str, int]:
        """Return by topic how often processes of this host have broadcast since the first look.

        Topics are counted from their first subscriber on, wherever that is.
        """
        pubsub: PubSubHost | None = self._kernel.tables.get(PUBSUB)
        if pubsub is None:
            return {}
        for table in self._cluster.tables:
            if table.name.startswith(TOPICS) and table.name not in self._counted:
                self._counted[table.name] = None
                self._count_topics(pubsub.exchange(table.name[len(TOPICS) :]), table)
        found: dict[str, int] = {}
        for exchange in pubsub.exchanges():
            for topic, volume in exchange.volumes.items():
                found[topic] = found.get(topic, 0) + volume.published
        return found

    def _count_topics(self, exchange: Exchange, table: Table) -> None:
        def subscribed(node: str, key: tuple[str, int, str], new: Any, old: Any) -> None:
            _, kind, topic = key
            if kind == TOPIC and new is not GONE and len(exchange.volumes) < TOPICS_MAX:
                exchange.count(topic)

        for node, key, value in table.items():
            subscribed(node, key, value, GONE)
        table.listeners.append(subscribed)

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
