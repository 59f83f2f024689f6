"""Splits, crashes and a bad network, over many seeds, against an oracle of what was told."""

from __future__ import annotations

import random
from typing import Any

import pytest

from foundation.cluster.host import SERVICES
from foundation.cluster.registry.service import RegistryAgent
from foundation.cluster.slices import GONE
from foundation.testing.cluster_sim import ClusterSimulation, Faults
from tests.cluster.registry.regsim import Oracle, cluster, declare, settle

KEYS = [("key", n) for n in range(6)]


class Chaos:
    """Random steps on a cluster of five nodes."""

    def __init__(self, c: ClusterSimulation, oracle: Oracle, splits: bool) -> None:
        self.c = c
        self.oracle = oracle
        self.rng: random.Random = c.random
        self.splits = splits

    def step(self) -> None:
        """Do one thing, then let some time pass."""
        rng = self.rng
        steps: list[Any] = [self.claim] * 8 + [self.tell] * 4
        steps += [self.crash_host, self.crash, self.restart, self.restart]
        if self.splits:
            steps += [self.cut, self.cut, self.heal, self.isolate, self.pause]
        rng.choice(steps)()
        self.c.advance(rng.choice((0.0, 0.001, 0.02, 0.3, 2.0)))

    def claim(self) -> None:
        """Have someone claim something."""
        node = self.rng.choice(self.c.live())
        hosts = [name for name, host in node.hosts.items() if host.up]
        self.oracle.claim(node.name, self.rng.choice(KEYS), self.rng.choice(hosts))

    def tell(self) -> None:
        """Have someone who holds something stop or give it up."""
        holding = [h for h in self.oracle.holders if h.holds]
        if holding:
            self.rng.choice(holding).tell(self.rng.choice(("unregister", "stop")))

    def crash_host(self) -> None:
        """Kill a worker host."""
        self.rng.choice(self.c.live()).crash_host("w1")

    def crash(self) -> None:
        """Kill a node."""
        live = self.c.live()
        if len(live) > 2:
            self.c.crash(self.rng.choice(live).name)

    def restart(self) -> None:
        """Start a node again."""
        down = [name for name, node in self.c.nodes.items() if not node.up]
        if down:
            name = self.rng.choice(down)
            self.c.start(name)
            declare(self.c, name)

    def cut(self) -> None:
        """Cut one link."""
        one, other = self.rng.sample(list(self.c.nodes), 2)
        self.c.network.cut(one, other)

    def isolate(self) -> None:
        """Split the cluster in two."""
        names = list(self.c.nodes)
        self.c.isolate(self.rng.sample(names, self.rng.randint(1, 4)))

    def heal(self) -> None:
        """Heal all links."""
        self.c.network.heal()

    def pause(self) -> None:
        """Stop a node for a while; nothing of it can be run meanwhile."""
        name = self.rng.choice(self.c.live()).name
        self.c.pause(name, self.rng.uniform(0.1, 4.0))
        while self.c.nodes[name].paused:
            self.c.advance(0.5)

    def finish(self) -> None:
        """Make the cluster whole and wait until it is quiet."""
        self.c.network.heal()
        self.c.network.faults = Faults()
        for name in self.c.nodes:
            if not self.c.nodes[name].up:
                self.c.start(name)
                declare(self.c, name)
            else:
                self.c.start(name)
        settle(self.c, 90.0)
        self.c.advance(5.0)


def chaos(seed: int, steps: int, *, splits: bool, faults: Faults | None) -> None:
    """Run one schedule and judge it."""
    with cluster(seed, nodes=5) as c:
        oracle = Oracle(c, strict=not splits)
        world = Chaos(c, oracle, splits)
        if faults is not None:
            c.network.faults = faults
        try:
            for _ in range(steps):
                world.step()
            world.finish()
            oracle.check()
            oracle.quiet()
            errors = [r for r in c.reports if getattr(r[1], "level", "") == "error"]
            assert not errors
        except BaseException as error:
            error.add_note(c.where())
            raise


@pytest.mark.parametrize("seed", range(12))
def test_crashes_alone_never_let_two_hold_one_key(seed: int) -> None:
    chaos(seed, 60, splits=False, faults=None)


BAD = Faults(delay=(0.0002, 0.01), loss=0.1, duplicate=0.1, reorder=0.1)


@pytest.mark.parametrize("seed", range(12))
def test_splits_leave_one_holder_whom_all_hosts_show(seed: int) -> None:
    chaos(seed, 50, splits=True, faults=None)


@pytest.mark.parametrize("seed", range(8))
def test_splits_on_a_bad_network(seed: int) -> None:
    chaos(seed + 100, 50, splits=True, faults=BAD)


@pytest.mark.parametrize("seed", range(8))
def test_epochs_that_come_and_go_let_nobody_hold_twice(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that stops and starts brings back an epoch that others have never left."""
    put = RegistryAgent._put

    def checked(self: Any, claim: Any, token: int) -> None:
        held = self._table(claim.registry).get(self._agent.node, claim.key)
        assert held is GONE, "a key was granted that this node holds"
        put(self, claim, token)

    monkeypatch.setattr(RegistryAgent, "_put", checked)
    slow = Faults(delay=(0.0002, 0.02), reorder=0.2)
    with cluster(seed, nodes=4, faults=slow) as c:
        oracle, rng = Oracle(c, strict=True), c.random
        for _ in range(250):
            agent = rng.choice(c.live()).agent
            if rng.random() < 0.3:
                agent.kernel.turn(agent.put, SERVICES, "x", 1)
                c.advance(rng.choice((0.0, 0.001, 0.003)))
                agent.kernel.turn(agent.delete, SERVICES, "x")
            elif rng.random() < 0.8:
                oracle.claim(agent.node, rng.choice(KEYS))
            else:
                for holder in [h for h in oracle.holders if h.holds]:
                    holder.tell("stop")
            c.advance(rng.choice((0.0, 0.001, 0.003, 0.05)))
        settle(c)
        oracle.check()
        oracle.quiet()
        assert not [r for r in c.reports if getattr(r[1], "level", "") == "error"]
