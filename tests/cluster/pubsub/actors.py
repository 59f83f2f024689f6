"""Processes that the tests of topics and presences run in a simulated cluster."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from foundation.cluster.pubsub import PresenceDiff, Tracker, broadcast, subscribe
from foundation.kernel.kernel import Kernel
from foundation.otp import receive
from foundation.testing.cluster_sim import ClusterSimulation


class Listener:
    """A process that subscribes and keeps what it gets."""

    def __init__(
        self, cluster: ClusterSimulation, node: str, host: str, *args: Any, **options: Any
    ) -> None:
        self.node, self.host = node, host
        self.topic = args[0] if args else options.get("pattern")
        self.got: list[Any] = []
        self.subscribed = False
        self._options = (args, options)
        self.kernel = cluster.kernel(node, host)
        self.body = cluster.spawn(node, self._listen, host=host)

    @property
    def pid(self) -> Any:
        """The process."""
        return self.body.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return not self.kernel.closed and self.body.pid in self.kernel.procs

    async def _listen(self) -> None:
        args, options = self._options
        await subscribe(*args, **options)
        self.subscribed = True
        while True:
            self.got.append(await receive())


class Watcher:
    """A process that follows the diffs of a tracker, and checks that they are exact."""

    def __init__(self, cluster: ClusterSimulation, node: str, host: str, topic: str) -> None:
        self.node, self.host, self.topic = node, host, topic
        self.here: dict[tuple[Any, Any], Any] = {}  # (key, pid) -> Meta
        self.diffs: list[PresenceDiff] = []
        self.kernel = cluster.kernel(node, host)
        self.body = cluster.spawn(node, self._watch, host=host)

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        if self.body.ended and not self.kernel.closed:
            self.body.result()  # raises what it found
        return not self.kernel.closed and not self.body.ended

    async def _watch(self) -> None:
        for key, metas in Tracker.subscribe(self.topic).items():
            for meta in metas:
                self.here[(key, meta.pid)] = meta
        while True:
            diff = await receive()
            assert diff.topic == self.topic
            assert diff.joins or diff.leaves
            self.diffs.append(diff)
            for key, metas in diff.leaves.items():
                for meta in metas:
                    assert self.here.pop((key, meta.pid), None) == meta, (diff, self.here)
            for key, metas in diff.joins.items():
                for meta in metas:
                    assert (key, meta.pid) not in self.here, (diff, self.here)
                    self.here[(key, meta.pid)] = meta

    def values(self) -> dict[tuple[Any, Any], Any]:
        """Return what is said about whom, by (key, pid)."""
        return {place: meta.value for place, meta in self.here.items()}


def publish(
    cluster: ClusterSimulation, node: str, topic: str, *messages: Any, **options: Any
) -> Any:
    """Broadcast *messages* from *node*; let them arrive."""

    async def body() -> list[int]:
        return [broadcast(topic, message) for message in messages]

    counts = cluster.run(node, body, **options)
    cluster.advance(0.05)
    return counts


def ask(
    cluster: ClusterSimulation,
    node: str,
    function: Callable[..., Any],
    *args: Any,
    host: str = "w1",
) -> Any:
    """Run *function* in a process on *node*."""

    async def body() -> Any:
        return function(*args)

    return cluster.run(node, body, host=host)


async def sleep_for_ever() -> None:
    """Wait for a message that never comes."""
    await receive(lambda message: False)


def ops_sent(cluster: ClusterSimulation, code: Any) -> dict[str, int]:
    """Count the operations *code* that each host takes from now on."""
    counts: dict[str, int] = {}

    def count(kernel: Kernel) -> None:
        handler = kernel.remote.handlers[code]

        def counting(host: str, *args: Any) -> None:
            counts[kernel.address] = counts.get(kernel.address, 0) + 1
            handler(host, *args)

        kernel.remote.handlers[code] = counting

    for node in cluster.live():
        for host in node.hosts.values():
            count(host.kernel)
    return counts


def kill(kernel: Kernel, pid: Any) -> None:
    """End a process at once."""
    process = kernel.procs.get(pid)
    if process is not None:
        kernel.turn(kernel.die, process, "killed")


def trouble(cluster: ClusterSimulation, rng: random.Random) -> None:
    """Do something bad to the cluster, or mend something."""
    names = list(cluster.nodes)
    name, other = rng.sample(names, 2)
    what = rng.random()
    if what < 0.2:
        cluster.network.cut(name, other, one_way=rng.random() < 0.3)
    elif what < 0.3:
        cluster.isolate([name])
    elif what < 0.5:
        cluster.network.heal()
    elif what < 0.6 and len(cluster.live()) > 1:
        cluster.crash(name, refused=rng.random() < 0.7)
    elif what < 0.8:
        cluster.start(name)
    elif what < 0.9 and cluster.nodes[name].up:
        cluster.nodes[name].crash_host("w1")
    elif cluster.nodes[name].up:
        cluster.pause(name, rng.uniform(0.1, 4.0))


def calm(cluster: ClusterSimulation) -> None:
    """End all trouble and wait until all nodes agree."""
    cluster.network.heal()
    cluster.network.faults = type(cluster.network.faults)()
    cluster.advance(5)  # pauses end
    for name in cluster.nodes:
        cluster.start(name)
    cluster.until(cluster.agreed, 60)
    cluster.advance(3)
