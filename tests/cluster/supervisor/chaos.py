"""Everything that can go wrong, drawn from a seed, while children come and go."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from foundation.cluster.supervisor import (
    drain,
    start_child,
    terminate_child,
    whereis_child,
)
from foundation.errors import FoundationError
from foundation.otp import call
from foundation.testing.cluster_sim import ClusterSimulation
from tests.cluster.supervisor.supkit import Jobs, Worker


class Chaos:
    """Faults and requests, in an order that the simulation's seed decides.

    Args:
        jobs: the cluster.
        look: called every few milliseconds of virtual time; raises when something is wrong.
        split: whether nodes may lose sight of each other.
    """

    def __init__(
        self, jobs: Jobs, look: Callable[[], None] | None = None, split: bool = True
    ) -> None:
        self.split = split
        self.jobs = jobs
        self.cluster: ClusterSimulation = jobs.cluster
        self.look = look
        self.rng: random.Random = self.cluster.random
        self._number = 0

    def pass_time(self, seconds: float) -> None:
        """Let time pass, looking all the while."""
        if self.look is None:
            self.cluster.advance(seconds)
            return
        end = self.cluster.now + seconds
        while self.cluster.now < end:
            self.cluster.advance(0.02)
            self.look()

    def step(self) -> None:
        """Do one thing, and let some time pass."""
        actions = [self.crash, self.crash_host, self.request, self.request,
                   self.drain, self.undrain, self.crash_child]  # fmt: skip
        if self.split:
            splits = [self.cut, self.cut, self.cut_one_way, self.heal, self.heal, self.pause]
            actions += splits
        self.rng.choice(actions)()
        self.pass_time(self.rng.choice((0.05, 0.3, 1.0, 3.0)))

    def _one(self) -> str:
        return self.rng.choice([node.name for node in self.cluster.live()])

    def crash(self) -> None:
        """Kill a node, unless it is the last but one; start those that are down."""
        down = [n.name for n in self.cluster.nodes.values() if not n.up]
        for name in down:
            self.jobs.restart(name)
        if not down and len(self.cluster.live()) > 2:
            self.cluster.crash(self._one(), refused=not self.split or self.rng.random() < 0.7)

    def cut(self) -> None:
        """Cut some nodes off from the others."""
        names = list(self.cluster.nodes)
        self.cluster.isolate(self.rng.sample(names, self.rng.randint(1, len(names) // 2)))

    def cut_one_way(self) -> None:
        """Let nothing get from one node to another."""
        one, other = self.rng.sample(list(self.cluster.nodes), 2)
        self.cluster.network.cut(one, other, one_way=True)

    def heal(self) -> None:
        """Mend all links."""
        self.cluster.network.heal()
        for node in self.cluster.live():
            node.agent.candidates([n.address for n in self.cluster.nodes.values()])

    def pause(self) -> None:
        """Freeze a node."""
        self.cluster.pause(self._one(), self.rng.choice((0.5, 2.0, 5.0)))

    def crash_host(self) -> None:
        """Kill a worker host."""
        self.cluster.nodes[self._one()].crash_host("w2")

    def drain(self) -> None:
        """Have a node give its children away."""
        node = self._one()
        self._begin(lambda: drain(node, timeout=3.0))

    def undrain(self) -> None:
        """Have all nodes take children."""
        for node in self.cluster.live():
            node.agent.update(draining=False)

    def crash_child(self) -> None:
        """Crash some child, if it is where it was."""
        number = self.rng.randint(1, self._number + 1)

        async def body() -> None:
            pid = whereis_child("jobs", number)
            if pid is not None:
                await call(pid, "crash")

        self._begin(body)

    def _begin(self, body: Callable[[], Any]) -> None:
        async def quietly() -> None:
            try:
                await body()
            except (FoundationError, TimeoutError):
                return

        self.cluster.spawn(self._one(), quietly)

    def request(self) -> None:
        """Start or terminate children; nobody waits for the answer."""

        async def body(number: int, start: bool) -> None:
            try:
                if start:
                    await start_child("jobs", Worker.spec(number), id=number, timeout=5)
                else:
                    await terminate_child("jobs", number, timeout=5)
            except (FoundationError, TimeoutError):
                return

        self._number += 1
        for _ in range(self.rng.choice((1, 1, 2, 3))):  # the same id, on several nodes
            self.cluster.spawn(self._one(), body, self._number, True)
        if self.rng.random() < 0.3:
            victim = self.rng.randint(1, self._number)
            self.cluster.spawn(self._one(), body, victim, False)

    def calm(self) -> None:
        """Mend everything and start all nodes."""
        self.heal()
        self.undrain()
        self.cluster.network.faults.loss = self.cluster.network.faults.duplicate = 0.0
        for node in self.cluster.nodes.values():
            if not node.up:
                self.jobs.restart(node.name)
        self.heal()
