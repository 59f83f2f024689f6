"""All topics and presences of one host; see ``exchange.py`` and ``presences.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foundation.cluster.agent import Agent
from foundation.cluster.host import ClusterHost
from foundation.cluster.lanes import lanes_of
from foundation.cluster.pubsub.exchange import Exchange, Interest
from foundation.cluster.pubsub.presences import Presences
from foundation.cluster.pubsub.service import Alone, serve
from foundation.errors import NotInCluster
from foundation.kernel.codec import loads
from foundation.kernel.process import Process
from foundation.kernel.values import Pid

if TYPE_CHECKING:
    from foundation.kernel.kernel import Kernel

TABLE = "pubsub"  # where a kernel keeps its PubSubHost
DEAD = 4096  # deaths in other hosts that are remembered


class PubSubHost:
    """See the module docstring."""

    def __init__(self, kernel: Kernel, cluster: ClusterHost | Alone) -> None:
        self.kernel = kernel
        self.cluster = cluster
        self._exchanges: dict[str, Exchange] = {}
        self._presences: dict[str, Presences] = {}
        self._dead: dict[Pid, None] = {}  # the latest deaths in other hosts
        kernel.tables[TABLE] = self
        kernel.remote.handlers["ps"] = self._on_message
        kernel.remote.handlers["psx"] = self._on_more
        kernel.remote.handlers["ps_again"] = lambda host: self._again()
        kernel.remote.on_gone.append(self._died_elsewhere)

    def exchange(self, name: str) -> Exchange:
        """Return the topics of *name*."""
        found = self._exchanges.get(name)
        if found is None:
            found = self._exchanges[name] = Exchange(self.kernel, self.cluster, name)
        return found

    def exchanges(self) -> list[Exchange]:
        """Return the topics of all names that are used in this host."""
        return list(self._exchanges.values())

    def presences(self, name: str) -> Presences:
        """Return the presences of *name*."""
        found = self._presences.get(name)
        if found is None:
            found = self._presences[name] = Presences(self.kernel, self.cluster, name, self._dead)
        return found

    # Processes of this host

    def subscribed(self, process: Process, name: str, interest: Interest) -> None:
        """Note a subscription, to end it with *process*."""
        self._noted(process, "pubsub", self._subscriber_ends)[(name, *interest)] = None

    def subscriptions(self, process: Process) -> dict[tuple[str, int, str], None]:
        """Return the subscriptions of *process*."""
        return process.get_extra("pubsub", {})  # type: ignore[no-any-return]

    def tracked(self, process: Process, name: str) -> None:
        """Note that *process* is tracked, to end that with it."""
        self._noted(process, "tracked", self._tracked_ends)[name] = None

    def watches(self, process: Process, name: str, topic: str) -> None:
        """Note that *process* is told of presences, to end that with it."""
        self._noted(process, "watches", self._watcher_ends)[(name, topic)] = None

    def _noted(self, process: Process, what: str, ends: Any) -> dict[Any, None]:
        notes: dict[Any, None] | None = process.get_extra(what)
        if notes is None:
            process.set_extra(what, notes := {})
            process.add_exit_hook(ends)
        return notes

    def _subscriber_ends(self, process: Process, reason: Any) -> None:
        for name, *interest in process.get_extra("pubsub"):
            self._exchanges[name].leave((interest[0], interest[1]), process)

    def _tracked_ends(self, process: Process, reason: Any) -> None:
        for name in process.get_extra("tracked"):
            self._presences[name].ended(process.pid)

    def _watcher_ends(self, process: Process, reason: Any) -> None:
        for name, topic in process.get_extra("watches"):
            self._presences[name].unsubscribe(topic, process.pid)

    # What other hosts say

    def _on_message(
        self, host: str, name: str, topic: str, payload: bytes, serial: int, skip: Pid | None
    ) -> None:
        exchange = self._exchanges.get(name)
        if exchange is not None:
            publisher = Pid(host, self.kernel.remote.peers[host].incarnation, serial)
            exchange.receive(topic, payload, publisher, skip)

    def _on_more(
        self, host: str, name: str, topic: str, payload: bytes, serial: int, more: list[Any]
    ) -> None:
        exchange = self._exchanges.get(name)
        if exchange is not None:
            publisher = Pid(host, self.kernel.remote.peers[host].incarnation, serial)
            exchange.receive_more(topic, payload, publisher, more)

    def on_bulk(self, host: str, head: bytes, parts: list[bytes]) -> None:
        """A message has come over a lane."""
        fields: Any = loads(head)
        name, topic, serial, metadata = fields
        exchange = self._exchanges.get(name)
        if exchange is not None:
            publisher = Pid(host, self.kernel.remote.peers[host].incarnation, serial)
            exchange.receive_bulk(topic, parts, publisher, metadata)

    def _again(self) -> None:
        for exchange in self._exchanges.values():
            exchange.again()
        for presences in self._presences.values():
            presences.again()

    def _died_elsewhere(self, pid: Pid) -> None:
        """What is listed, or under way, of a process is hidden before its death is told here."""
        if len(self._dead) >= DEAD:
            del self._dead[next(iter(self._dead))]
        self._dead[pid] = None
        for presences in self._presences.values():
            presences.view.died(pid)


def install_pubsub(cluster: ClusterHost) -> None:
    """Make topics and presences work in the host of *cluster*."""
    pubsub = PubSubHost(cluster.kernel, cluster)
    lanes_of(cluster.kernel).take = pubsub.on_bulk
    if isinstance(cluster, Agent):
        serve(cluster)


def pubsub_of(process: Process) -> PubSubHost:
    """Return the topics and presences of the host of *process*.

    A program that is a single host has its own, without a cluster.

    Raises:
        NotInCluster: the node has several hosts and is not part of a cluster.
    """
    kernel = process.kernel
    found: PubSubHost | None = kernel.tables.get(TABLE)
    if found is None:
        if kernel.remote.neighbours:
            raise NotInCluster(
                f"node {kernel.address.partition('/')[0]!r} has several hosts, between which "
                "topics and presences travel by the cluster; start it with cluster=True and on our "
                "transport (without stock=True; an actor_system= opened with "
                "foundation.transport.open_system), or as a single host with hosts=0"
            )
        found = PubSubHost(kernel, Alone(kernel))
    return found
