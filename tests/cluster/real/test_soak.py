"""Faults drawn from a seed, one after the other and two at a time, on nodes in namespaces.

``REAL_SEED`` chooses the seed, ``REAL_STEPS`` how many steps, ``REAL_NODES`` how many nodes; what
was done is printed.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.real.jobs import overlaps, tokens_rise
from tests.cluster.real.kit import RealCluster, eventually
from tests.cluster.real.netns import Lan, formed_in, lan_or_skip, options_in
from tests.cluster.real.test_services import all_run

BODIES = "tests.cluster.real.service_bodies"
APP = f"{BODIES}:strict_services"
COUNT = 12
STEPS = int(os.environ.get("REAL_STEPS", "12"))
NAMES = "abcdefgh"[: int(os.environ.get("REAL_NODES", "3"))]
SEED = os.environ.get("REAL_SEED")
pytestmark = [pytest.mark.real, pytest.mark.soak, pytest.mark.timeout(60 + 40 * STEPS)]


class Chaos:
    """Three nodes with jobs and a ledger, and what is done to them."""

    def __init__(self, cluster: RealCluster, lan: Lan, rng: random.Random) -> None:
        self.cluster = cluster
        self.lan = lan
        self.names = lan.names
        self.rng = rng
        self.folder = Path(cluster.folder)
        self.thawed: list[float] = []
        self.lives = 0
        self.clients: dict[str, Future[Any]] = {}
        self.began = time.monotonic()

    def say(self, text: str) -> None:
        """Print what is done, and when."""
        print(f"{time.monotonic() - self.began:8.2f} ({time.monotonic():.2f}) {text}", flush=True)

    def use(self, name: str) -> None:
        """Have the node's client go on."""
        self.lives += 1
        label = f"{name}{self.lives}"
        node = self.cluster.nodes[name]
        self.clients[name] = node.begin(f"{BODIES}:scribe", label, str(self.folder))

    def restart(self, name: str) -> None:
        """Start the node anew."""
        self.cluster.nodes[name].wait_gone()
        self.cluster.start(
            name, app=APP, **options_in(self.lan, name), expected_size=len(self.names)
        )
        self.use(name)

    def seconds(self) -> float:
        """Return how long a fault lasts."""
        return self.rng.choice((0.2, 0.8, 1.2, 1.6, 2.0, 2.6, 4.0)) * self.rng.uniform(0.8, 1.2)

    # The faults; each ends as it should be

    def kill(self, name: str) -> None:
        """SIGKILL the program."""
        self.cluster.nodes[name].kill()
        time.sleep(self.rng.uniform(0, 1))
        self.restart(name)

    def crash(self, name: str) -> None:
        """SIGKILL all."""
        self.cluster.nodes[name].crash()
        time.sleep(self.rng.uniform(0, 1))
        self.restart(name)

    def leave(self, name: str) -> None:
        """SIGTERM."""
        self.cluster.nodes[name].term()
        self.restart(name)

    def kill_control(self, name: str) -> None:
        """SIGKILL the control host."""
        self.cluster.nodes[name].kill("control")

    def kill_worker(self, name: str) -> None:
        """SIGKILL the worker."""
        self.cluster.nodes[name].kill("w1")

    def stop_worker(self, name: str) -> None:
        """SIGSTOP the worker: it is found, and killed."""
        self.cluster.nodes[name].signal(signal.SIGSTOP, "w1")
        time.sleep(self.seconds())

    def stop_control(self, name: str) -> None:
        """SIGSTOP the control host: it is found, and killed, unless it goes on before."""
        node = self.cluster.nodes[name]
        pid = node.pid("control")
        os.kill(pid, signal.SIGSTOP)
        time.sleep(self.seconds())
        if self.rng.random() < 0.5:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                self.say("  it was killed meanwhile")
            self.thawed.append(time.monotonic())

    def freeze(self, name: str) -> None:
        """SIGSTOP all, SIGCONT all."""
        node = self.cluster.nodes[name]
        node.freeze()
        time.sleep(self.seconds())
        self.thawed.append(node.thaw())

    def unplug(self, name: str) -> None:
        """Cut it off."""
        self.lan.unplug(name)
        time.sleep(self.seconds())
        self.lan.plug(name)

    def carrier(self, name: str) -> None:
        """Take its carrier away."""
        self.lan.carrier(name, up=False)
        time.sleep(self.seconds())
        self.lan.carrier(name, up=True)

    def one_way(self, name: str) -> None:
        """Lose what it sends to another."""
        other = self.rng.choice([n for n in self.names if n != name])
        self.lan.misdirect(name, other)
        time.sleep(self.seconds())
        self.lan.direct(name, other)

    def deaf(self, name: str) -> None:
        """Lose all that is sent to it."""
        others = [n for n in self.names if n != name]
        for other in others:
            self.lan.misdirect(other, name)
        time.sleep(self.seconds())
        for other in others:
            self.lan.direct(other, name)

    def flap(self, name: str) -> None:
        """Cut it off now and then."""
        for _ in range(self.rng.randrange(3, 8)):
            self.lan.unplug(name)
            time.sleep(self.rng.uniform(0.05, 1.5))
            self.lan.plug(name)
            time.sleep(self.rng.uniform(0.05, 0.8))

    def split(self, name: str) -> None:
        """Part a minority from the others."""
        others = [each for each in self.names if each != name]
        some = [name, *self.rng.sample(others, (len(self.names) - 3) // 2)]
        rest = [each for each in self.names if each not in some]
        self.lan.split("".join(some), "".join(rest))
        time.sleep(self.seconds())
        self.lan.heal("".join(some), "".join(rest))

    FAULTS = (
        kill, crash, leave, kill_control, kill_worker, stop_worker, stop_control, freeze, unplug,
        carrier, one_way, deaf, flap, split,
    )  # fmt: skip

    def step(self) -> None:
        """Do one thing, then wait until all is well."""
        for _ in range(self.rng.choice((1, 1, 2))):
            fault, name = self.rng.choice(self.FAULTS), self.rng.choice(self.names)
            self.say(f"{fault.__name__} {name}")
            fault(self, name)
            time.sleep(self.rng.choice((0.0, 0.1, 1.0)))
        ended = time.monotonic()
        self.cluster.agreed(self.names)
        agreed = time.monotonic() - ended
        all_run(self.cluster, self.names, "strict", COUNT)
        for node in self.names:
            eventually(lambda node: self.served(node), node, what=f"the ledger from {node}")
        self.say(f"  agreed after {agreed:.2f} s, all well after {time.monotonic() - ended:.2f} s")

    def served(self, node: str) -> bool:
        """Whether increments of that node have come through lately."""
        if self.clients[node].done():
            self.clients[node].result()  # it raises what went wrong
        path = self.folder / f"acknowledged-{node}{self.label(node)}"
        return path.exists() and time.time() - path.stat().st_mtime < 0.5

    def label(self, node: str) -> int:
        """Return the number of the present client of *node*."""
        numbers = [
            int(path.name.removeprefix(f"acknowledged-{node}"))
            for path in self.folder.glob(f"acknowledged-{node}*")
        ]
        return max(numbers, default=0)

    def check(self) -> None:
        """What must hold of all that was written."""
        late = []
        for id, one, other in overlaps(self.folder):
            # A process that was stopped may say a word before it finds out.
            if not any(0 <= one.last - at < 0.3 for at in self.thawed):
                late.append((id, one, other))
        assert late == []
        assert tokens_rise(self.folder)
        acknowledged, unsure = self.words("acknowledged"), self.words("unsure")
        lines = (self.folder / "ledger").read_text().splitlines()
        written = Counter(line.split()[0] for line in lines)
        asked = set(self.words("asking"))
        print(f"{len(acknowledged)} increments, {len(unsure)} unsure")
        twice = [request for request, count in written.items() if count > 1]
        assert twice == [], self.story(twice)
        assert [request for request in acknowledged if request not in written] == []
        assert set(written) <= asked

    def words(self, what: str) -> list[str]:
        """Return the requests in the files of the clients."""
        paths = self.folder.glob(f"{what}-*")
        return [word for path in paths for word in path.read_text().split()]

    def story(self, requests: list[str]) -> list[str]:
        """Return all lines about some requests."""
        return [
            f"{path.name}: {line}"
            for path in (self.folder / "ledger", *self.folder.glob("retries-*"))
            for line in path.read_text().splitlines()
            if line.split()[0] in requests
        ]


@pytest.fixture
def net() -> Iterator[Lan]:
    """Namespaces, more than ``lan`` has if need be."""
    made = lan_or_skip(NAMES)
    yield made
    made.close()


@pytest.mark.parametrize("seed", [int(SEED)] if SEED else range(3))
def test_random_faults(net: Lan, cluster: RealCluster, seed: int) -> None:
    print(f"REAL_SEED={seed}")
    chaos = Chaos(cluster, net, random.Random(seed))
    formed_in(cluster, net, APP, expected_size=len(NAMES))
    a = cluster.nodes["a"]
    a.run(f"{BODIES}:start_jobs", "strict", COUNT, str(cluster.folder))
    a.run(f"{BODIES}:start_ledger", str(cluster.folder), "strict")
    for name in NAMES:
        chaos.use(name)
    for _ in range(STEPS):
        chaos.step()
        chaos.check()
