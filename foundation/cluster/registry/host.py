"""Distributed registries in one host: indexes for readers, who is dead, who is subscribed.

Invariants:
    D1  Entries of a process are gone from this host's indexes before anything in this host is
        told of its death.
    D2  What a subscriber was told, applied in order, is what readers of its host see.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from foundation.cluster.agent import Agent
from foundation.cluster.registry.index import Index, new_index
from foundation.cluster.registry.keys import decode_key
from foundation.cluster.registry.service import RegistryAgent
from foundation.cluster.registry.subscribers import Subscribers
from foundation.cluster.registry.tables import DECLARED, Options, table_of
from foundation.cluster.registry.values import NameConflict
from foundation.cluster.slices import GONE
from foundation.kernel.values import Pid

if TYPE_CHECKING:
    from foundation.cluster.host import ClusterHost
    from foundation.kernel.process import Process

TABLE = "distributed registries"  # where a kernel keeps its RegistryHost
REMEMBERED = 10_000  # processes of other hosts known dead; their entries may be on their way

Done = Callable[[Any], None]  # gets the outcome


class RegistryHost:
    """See the module docstring.

    Attributes:
        cluster: of this host.
        agent: the agent's side, in the control host.
        by_name: the registries declared on this node.
    """

    def __init__(self, cluster: ClusterHost, agent: RegistryAgent | None) -> None:
        self.cluster = cluster
        self.agent = agent
        self.by_name: dict[str, Index] = {}
        self._following: dict[str, Callable[[str, Any, Any, Any], None]] = {}
        self._subscribers = Subscribers(cluster.kernel)
        self._gone: dict[Pid, None] = {}
        self._lives: dict[str, int] = {}  # incarnations of the other hosts of this node
        self._lost: dict[str, int] = {}  # and of those that went down
        cluster.tables[DECLARED].listeners.append(self._declared)
        remote = cluster.kernel.remote
        remote.on_gone.append(self._died_elsewhere)
        remote.on_host.append(self._host_changed)
        remote.handlers["dreg_probe"] = self._on_probe
        remote.handlers["dreg_lost"] = lambda host, *lost: self._on_lost(*lost)

    # Registries

    def _declared(self, node: str, registry: str, new: Any, old: Any) -> None:
        if node != self.cluster.node:
            return
        if registry in self.by_name:
            self._close(registry)
        if new is not GONE:
            self._open(registry, Options(*new))

    def _open(self, registry: str, options: Options) -> None:
        kernel = self.cluster.kernel

        def told(change: Any) -> None:
            self._subscribers.tell(index, change)

        index = new_index(options.unique, registry, kernel.isolate, self.dead, told)
        self.by_name[registry] = index
        table = self.cluster.tables[table_of(registry)]

        def follow(node: str, id: Any, new: Any, old: Any) -> None:
            index.apply(node, id, new)

        table.listeners.append(follow)
        self._following[registry] = follow
        for item in list(table.items()):
            index.apply(*item)

    def _close(self, registry: str) -> None:
        table = self.cluster.tables[table_of(registry)]
        table.listeners.remove(self._following.pop(registry))
        self.by_name.pop(registry).clear()

    # Deaths

    def dead(self, pid: Pid) -> bool:
        """Whether *pid* is known dead in this host."""
        kernel = self.cluster.kernel
        if pid.host == kernel.address:
            return pid not in kernel.procs
        return pid in self._gone or self._lost.get(pid.host, -1) >= pid.incarnation

    def attach(self, process: Process) -> None:
        """Have the agent told of the end of *process*, which registers something."""
        if process.get_extra("dreg") is None:
            process.set_extra("dreg", True)
            process.add_exit_hook(self._holder_ends)

    def _holder_ends(self, process: Process, reason: Any) -> None:
        self._hide(process.pid)
        self.cluster.say("reg.dead", process.pid)

    def _hide(self, pid: Pid) -> None:
        for index in self.by_name.values():
            index.hide(pid)

    def _died_elsewhere(self, pid: Pid) -> None:
        if self.by_name:
            while len(self._gone) >= REMEMBERED:
                del self._gone[next(iter(self._gone))]
            self._gone[pid] = None
            self._hide(pid)

    def _host_changed(self, host: str, up: bool) -> None:
        if up:
            life = self.cluster.kernel.remote.peers[host].incarnation
            self._lives[host] = life
            if self._lost.get(host) == life:  # it was only out of reach
                del self._lost[host]
                self._look_again(host)
            return
        self._lost[host] = self._lives.pop(host, -1)
        for index in self.by_name.values():
            for pid in index.pids(host):
                index.hide(pid)

    def _look_again(self, host: str) -> None:
        node = self.cluster.node
        for registry, index in self.by_name.items():
            entries = self.cluster.tables[table_of(registry)].of(node)
            for id, value in list(entries.items()):
                index.apply(node, id, value)

    # What the agent says

    def _on_probe(self, host: str, number: int, pid: Pid) -> None:
        kernel = self.cluster.kernel
        kernel.remote.op(host, ("dreg_probed", number, pid in kernel.procs))

    def _on_lost(
        self, registry: str, key: bytes, pid: Pid, winner: Pid, token: int, how: str
    ) -> None:
        """The local *pid* has lost a key to *winner*."""
        kernel = self.cluster.kernel
        conflict = NameConflict(registry, decode_key(key), winner, token)
        if how == "message":
            kernel.deliver(pid, conflict)
        else:
            kernel.signals.signal(winner, pid, conflict)

    # Requests of processes of this host

    def register(
        self,
        process: Process,
        registry: str,
        key: bytes,
        value: bytes,
        timeout: float,
        need_unique: bool,
        done: Done,
    ) -> None:
        """Have the agent register *process*; *done* gets the outcome, see ``claims.py``."""
        self.attach(process)
        args = (registry, key, process.pid, value, timeout, need_unique)
        self.request("reg.register", args, done)

    def request(self, service: str, args: tuple[Any, ...], done: Done) -> None:
        """Have the agent serve a request; *done* gets the outcome."""

        def answered(ok: bool, value: Any) -> None:
            done(tuple(value) if ok else ("failed", str(value)))

        self.cluster.request(service, args, answered)

    # Subscriptions

    def subscribe(self, process: Process, registry: str, key: Any) -> None:
        """Tell *process* of changes of *key*, or of all keys."""
        self._subscribers.add(process, registry, key)

    def unsubscribe(self, pid: Pid, registry: str, key: Any) -> None:
        """Tell *pid* no more."""
        self._subscribers.remove(pid, registry, key)


def install_registry(cluster: ClusterHost) -> None:
    """Make *cluster*'s host take part in distributed registries."""
    agent = RegistryAgent(cluster) if isinstance(cluster, Agent) else None
    cluster.kernel.tables[TABLE] = RegistryHost(cluster, agent)
