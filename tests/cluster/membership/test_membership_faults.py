"""Random faults, then healing; bounded memory; messages from nowhere."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from simnet import Net, Node

from foundation.cluster.membership.records import Record
from foundation.cluster.membership.table import MOST_GONE
from foundation.cluster.membership.wire import pack_item
from foundation.cluster.timing import Timing


class Chaos:
    """Random faults on a small cluster; discovery names every address now and then."""

    def __init__(self, seed: int) -> None:
        rng = self.rng = Random(seed)
        self.net = Net(
            seed,
            loss=rng.choice([0.0, 0.02, 0.2]),
            duplicate=rng.choice([0.0, 0.1]),
            latency=rng.choice([(0.0002, 0.005), (0.001, 0.05)]),
            encode=seed % 8 == 0,
        )
        self.size = rng.randint(2, 6)
        for index in range(self.size):
            self.net.add(f"n{index}")
        self.addresses = [node.address for node in self.net.nodes.values()]
        self._discover()

    def _discover(self) -> None:
        for node in self.net.running():
            if not node.paused:
                node.do("candidates", self.addresses)
        self.net.later(3.0, self._discover)

    def _any(self) -> Node:
        return self.rng.choice(list(self.net.nodes.values()))

    def step(self) -> None:
        """One random fault, then a while."""
        net, rng, node = self.net, self.rng, self._any()
        fault = rng.choice(["crash", "leave", "pause", "split", "oneway", "lost", "say", "heal"])
        if fault in ("crash", "leave") and node.running and not node.paused:
            if fault == "leave":
                node.do("leave")
            net.kill(node.name) if rng.random() < 0.5 else net.crash(node.name)
            net.later(rng.uniform(0.0, 4.0), self._restart, node.name)
        elif fault == "pause":
            net.pause(node.name, rng.choice([0.2, 1.0, 4.0]))
        elif fault in ("split", "oneway"):
            side = [name for name in net.nodes if rng.random() < 0.5]
            rest = [name for name in net.nodes if name not in side]
            net.cut(side, rest)
            if fault == "split":
                net.cut(rest, side)
        elif fault == "lost" and node.running and not node.paused:
            node.do("lost", self._any().address, rng.random() < 0.3)
        elif fault == "say" and node.running and not node.paused:
            node.do("update", labels=(("n", str(rng.random())),), draining=rng.random() < 0.5)
        else:
            net.heal()
        net.run(rng.choice([0.01, 0.3, 2.0]))

    def _restart(self, name: str) -> None:
        if not self.net.nodes[name].running:
            generation = self.rng.choice([1, 1, int(self.net.now * 1000)])
            self.net.add(name, address=self.net.nodes[name].address, generation=generation)

    def settle(self) -> None:
        """End all faults; within the longest back-off everybody agrees."""
        self.net.heal()
        self.net.loss = self.net.duplicate = 0.0
        self.net.run(5.0)
        for node in list(self.net.nodes.values()):
            self._restart(node.name)
        self.net.until(self.net.agreed, 25, step=0.2)


@pytest.mark.parametrize("block", range(12))
def test_after_faults_all_agree_on_who_lives(block: int) -> None:
    for seed in range(block * 10, block * 10 + 10):
        chaos = Chaos(seed)
        try:
            for _ in range(8):
                chaos.step()
            chaos.settle()
            check_alternation(chaos.net)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error!r}") from error
        digests = {node.swim.view().digest for node in chaos.net.running()}
        labels = {str(node.swim.view().members) for node in chaos.net.running()}
        assert len(digests) == len(labels) == 1, f"seed {seed}"


def check_alternation(net: Net) -> None:
    """For each other node, up and down alternate, and up is of one life at a time (M2)."""
    for node in net.running():
        up: dict[str, int] = {}
        for _, event in node.log:
            if event[0] == "up":
                assert event[1].name not in up, event
                up[event[1].name] = event[1].generation
            elif event[0] == "down":
                assert up.pop(event[1].name) == event[1].generation, event
        lives = {r.name: r.generation for r in node.swim.members() if r.name != node.name}
        assert up == lives


def test_the_same_seed_is_the_same_run() -> None:
    logs = []
    for _ in range(2):
        chaos = Chaos(5)
        for _ in range(15):
            chaos.step()
        logs.append([(node.name, node.log) for node in chaos.net.nodes.values()])
    assert logs[0] == logs[1]


def test_a_thousand_restarts_of_one_name_leave_nothing_behind() -> None:
    net = Net(1)
    nodes = net.cluster(2)
    for life in range(1000):
        net.add("x", seeds=["n0"], generation=1 if life % 2 else life + 1)
        net.run(0.05)
        net.crash("x")
    for node in nodes:
        assert len(node.swim.table.records()) == 3
        assert len(node.swim.news) <= 3
        assert len(node.swim.joining) <= 1
        assert len(node.happened("up", "x")) == 1000
    net.run(5)
    assert [node.names() for node in nodes] == [["n0", "n1"]] * 2


@pytest.mark.parametrize("same_address", [True, False])
def test_a_thousand_names_leave_a_bounded_rest(same_address: bool) -> None:
    net = Net(2, check=False, timing=Timing(forget=600.0))
    nodes = net.cluster(2)
    for life in range(1000):
        name = f"x{life}"
        net.add(name, address="10.5.5.5:1" if same_address else None, seeds=["n0"])
        net.run(0.03)
        net.kill(name) if life % 10 else net.crash(name)
        if life % 50 == 0:
            for node in nodes:
                node.swim.check()
    net.run(30)
    for node in nodes:
        node.swim.check()
        assert len(node.swim.table.records()) <= MOST_GONE + 2
        assert len(node.swim.news) <= MOST_GONE
        assert node.names() == ["n0", "n1"]
    net.run(200)  # the intervals between attempts have grown
    attempts = nodes[0].swim.counters["joins"]
    net.run(60)
    assert nodes[0].swim.counters["joins"] - attempts < 60 * 3
    net.run(700)
    for node in nodes:
        assert len(node.swim.table.records()) == 2
        assert len(node.swim.joining) == 0


def test_no_message_raises() -> None:
    """Well-formed and mangled messages from anybody, in any order."""
    rng = Random(1)
    names = ["n0", "n1", "n2", "stranger"]
    net = Net(3)
    node = net.cluster(3)[0]

    def record() -> Any:
        status = rng.choice(["alive", "suspect", "dead", "left"])
        reason = rng.choice(["killed", "silent"]) if status == "dead" else ""
        name = rng.choice(names)
        address = f"10.0.0.{rng.choice(names)}:7000"
        numbers = rng.randrange(3), rng.choice([0, 1, 1 << 40])
        return pack_item(Record(name, *numbers, status, address, reason=reason), rng.choice(names))

    def news() -> Any:
        return [record() for _ in range(rng.randrange(3))]

    def good() -> list[Any]:
        who = (rng.choice(names), rng.randrange(3))
        to = (rng.choice(names), rng.randrange(3))
        number = rng.randrange(200)
        return list(
            rng.choice(
                [
                    ("swim.ping", number, *who, *to, news()),
                    ("swim.ack", number, *who, rng.choice(["", "n1"]), news()),
                    ("swim.ask", number, *who, *to, "h:1", news()),
                    ("swim.nack", number, *who),
                    ("swim.news", *who, news()),
                    ("swim.digest", *who, rng.randrange(9)),
                    ("swim.sync", *who, news(), rng.random() < 0.5),
                    ("swim.join", rng.randrange(3), 2, "c", record(), news(), "h:9"),
                    ("swim.welcome", rng.randrange(3), news(), "h:9"),
                    ("swim.refuse", rng.choice(["stale", "name"]), "text", number, "h:9"),
                ]
            )
        )

    for _ in range(4000):
        message = good()
        if rng.random() < 0.5:
            junk = rng.choice([None, -1, 1.5, "x", b"x", [], (), {}, ["a"], True])
            message[rng.randrange(len(message))] = junk
        net.now += rng.choice([0.0, 0.001, 0.05, 0.3])
        node.do("receive", f"10.0.0.{rng.choice(names)}:7000", tuple(message))
        if rng.random() < 0.3:
            node.do("tick")
    assert node.swim.malformed > 1000
    assert len(node.swim.table.records()) <= len(names)
