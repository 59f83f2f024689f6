"""Helpers for the tests of distributed registries in simulated clusters, and an oracle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from foundation.cluster import registry as reg
from foundation.cluster.registry.host import TABLE, RegistryHost
from foundation.errors import AlreadyRegistered, RegistryError
from foundation.kernel.ops import current, receive
from foundation.kernel.values import Pid
from foundation.otp import Supervisor
from foundation.testing.bodies import Body
from foundation.testing.cluster_sim import ClusterSimulation, SimNode


async def _declare(name: str, options: dict[str, Any]) -> Pid:
    return await reg.DistributedRegistry.start(name=name, **options)


def declare(c: ClusterSimulation, *nodes: str, name: str = "names", **options: Any) -> None:
    """Declare a registry on *nodes*; on all when none are given."""
    for node in nodes or list(c.nodes):
        c.run(node, _declare, name, options)


@contextmanager
def cluster(seed: int, nodes: Any = 3, workers: int = 1, **options: Any) -> Iterator[Any]:
    """Give a formed cluster with the unique registry ``"names"`` on all nodes."""
    with ClusterSimulation(seed=seed, nodes=nodes, workers=workers, **options) as c:
        c.form()
        declare(c)
        yield c


def host_of(c: ClusterSimulation, node: str, host: str) -> RegistryHost:
    """Return the registries of a host."""
    return c.kernel(node, host).tables[TABLE]  # type: ignore[no-any-return]


def shown(c: ClusterSimulation, name: str = "names") -> dict[str, dict[Any, Any]]:
    """Return what each host that is up shows: ``{host: {key: (pid, token)}}``."""
    found = {}
    for node in c.live():
        for label, host in node.hosts.items():
            index = host_of(c, node.name, label).by_name.get(name) if host.up else None
            if index is not None:
                found[host.address] = {r.key: (r.pid, r.token) for r in index}
    return found


class Holder:
    """A process that claims a key and holds it until told otherwise; what is known of it."""

    def __init__(self, oracle: Oracle, node: SimNode, host: str, key: Any, **options: Any) -> None:
        self.oracle = oracle
        self.node = node
        self.host = node.hosts[host]
        self.key = key
        self.options = options
        self.token: int | None = None
        self.refused_by: Pid | None = None
        self.failed: Exception | None = None
        self.acked_at: float | None = None
        self.released = False
        self.life = node.life
        self.body = Body(self.main, ())
        self.body.start(self.host.kernel)

    async def main(self) -> None:
        """Claim, then hold."""
        try:
            self.token = await reg.register(
                self.oracle.name, self.key, self.options.pop("value", None), **self.options
            )
        except AlreadyRegistered as error:
            self.refused_by = error.pid
            return
        except RegistryError as error:
            self.failed = error
            return
        self.acked_at = self.oracle.c.now
        self.oracle.acked(self)
        while True:
            message = await receive()
            if message == "unregister":
                self.released = True
                await reg.unregister(self.oracle.name, self.key)
            elif message == "stop":
                return
            elif isinstance(message, reg.NameConflict):
                self.released = True

    def tell(self, message: Any) -> None:
        """Send *message* to the process."""
        kernel = self.host.kernel
        if self.body.pid in kernel.procs:
            kernel.deliver(self.body.pid, message)

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        node = self.node
        return node.up and node.life == self.life and self.host.up and not self.body.ended

    @property
    def holds(self) -> bool:
        """Whether it was told that it has the key, and nothing since."""
        return self.alive and self.token is not None and not self.released

    def __repr__(self) -> str:
        return f"<Holder {self.body.pid!r} of {self.key!r}, token {self.token}, {self.holds=}>"


class Oracle:
    """What processes were told, against which all that hosts show is judged.

    Args:
        c: the cluster.
        name: of the registry.
        strict: whether at no time two processes may hold a key (there are no splits).
    """

    def __init__(
        self, c: ClusterSimulation, name: str = "names", *, strict: bool = False
    ) -> None:
        self.c = c
        self.name = name
        self.strict = strict
        self.holders: list[Holder] = []
        self.tokens: dict[Any, int] = {}

    def claim(self, node: str, key: Any, host: str = "w1", **options: Any) -> Holder:
        """Have a new process claim *key*."""
        holder = Holder(self, self.c.nodes[node], host, key, **options)
        self.holders.append(holder)
        return holder

    def acked(self, holder: Holder) -> None:
        """*holder* was told that it has its key; its own host must show that."""
        c = self.c
        mine = host_of(c, holder.node.name, holder.host.address.partition("/")[2])
        entries = list(mine.by_name[self.name].lookup(holder.key))
        assert entries, f"{holder} does not find itself"
        if self.strict:
            others = [h for h in self.holders if h is not holder and h.key == holder.key]
            assert not [h for h in others if h.holds], f"{holder} and {others}"
            before = self.tokens.get(holder.key, 0)
            assert holder.token is not None
            assert holder.token > before, f"{holder}: token not above {before}"
            self.tokens[holder.key] = holder.token
            assert [e.pid for e in entries] == [holder.body.pid]

    def holding(self) -> dict[Any, list[Holder]]:
        """Return who holds each key."""
        found: dict[Any, list[Holder]] = {}
        for holder in self.holders:
            if holder.holds:
                found.setdefault(holder.key, []).append(holder)
        return found

    def check(self) -> None:
        """The cluster is whole and quiet: every host shows exactly who holds what."""
        holding = self.holding()
        for key, holders in holding.items():
            assert len(holders) == 1, f"{key!r} is held by {holders}"
        expected = {k: (h[0].body.pid, h[0].token) for k, h in holding.items()}
        views = shown(self.c, self.name)
        assert len(views) >= sum(len(n.hosts) for n in self.c.live())
        for host, entries in views.items():
            assert entries == expected, f"{host} shows {entries}, held is {expected}"

    def quiet(self) -> None:
        """No claim is under way and no grant is left; nothing grows."""
        for node in self.c.live():
            agent = host_of(self.c, node.name, "control").agent
            assert agent is not None
            assert len(agent.claims) == 0
            assert not agent._probes
            assert not agent.grants._probes
            held = set(agent._held)
            alive = {h.body.pid for h in self.holders if h.holds}
            assert held <= alive, f"{node.name} keeps {held - alive}"


class Declares(Supervisor):
    """What a node's application would list."""

    def init(self, **options: Any) -> Any:
        """Return the one child."""
        return [reg.DistributedRegistry.spec(name="names", **options)]


def settle(c: ClusterSimulation, seconds: float = 60.0) -> None:
    """Wait until all nodes agree, and what follows from it has happened."""
    c.until(c.agreed, seconds)
    c.advance(3.0)


def run_all(c: ClusterSimulation, nodes: list[str], body: Callable[..., Any]) -> list[Any]:
    """Run *body* once on each of *nodes*; return the results."""
    return [c.run(node, body) for node in nodes]


__all__ = ["Declares", "Holder", "Oracle", "cluster", "current", "declare", "settle", "shown"]
