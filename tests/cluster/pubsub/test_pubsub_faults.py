"""Topics and presences while everything goes wrong, against what must always hold."""

from __future__ import annotations

import random
from typing import Any

import pytest

from foundation.cluster.pubsub import Tracker, broadcast
from foundation.cluster.pubsub.host import TABLE
from foundation.otp import receive
from foundation.testing.cluster_sim import ClusterSimulation, Faults
from tests.cluster.pubsub.actors import Listener, Watcher, ask, calm, kill, publish, trouble

TOPICS = ("orders.new", "orders.paid", "news")
FAULTS = Faults(delay=(0.0002, 0.01), loss=0.1, duplicate=0.1, reorder=0.1, gap=0.01)


def hosts_up(cluster: ClusterSimulation) -> list[tuple[str, str]]:
    return [
        (node.name, name) for node in cluster.live() for name, host in node.hosts.items() if host.up
    ]


class Publisher:
    """A process that broadcasts (its number, topic, sequence number) every few milliseconds."""

    def __init__(self, cluster: ClusterSimulation, number: int, node: str, host: str) -> None:
        self.number = number
        self.kernel = cluster.kernel(node, host)
        self._rng = random.Random(f"{cluster.seed} publisher {number}")
        cluster.spawn(node, self._publish, host=host)

    async def _publish(self) -> None:
        sequence = 0
        while True:
            for _ in range(self._rng.randint(1, 4)):
                topic = self._rng.choice(TOPICS)
                sequence += 1
                broadcast(topic, (self.number, topic, sequence))
            try:
                await receive(timeout=self._rng.uniform(0.001, 0.05))
            except TimeoutError:
                continue


def check_order(listener: Listener) -> None:
    """At most once and FIFO: strictly increasing for each publisher and topic."""
    last: dict[tuple[int, str], int] = {}
    for number, topic, sequence in listener.got:
        assert sequence > last.get((number, topic), 0), (number, topic, sequence)
        last[(number, topic)] = sequence


@pytest.mark.parametrize("seed", range(12))
def test_order_and_at_most_once_through_faults(seed: int) -> None:
    with ClusterSimulation(seed=seed, nodes=3, workers=2, faults=FAULTS) as cluster:
        rng = cluster.random
        cluster.form()
        listeners: list[Listener] = []
        for number in range(30):
            node, host = rng.choice(hosts_up(cluster))
            if number % 5 == 0:
                Publisher(cluster, number, node, host)
            elif rng.random() < 0.5:
                listeners.append(Listener(cluster, node, host, rng.choice(TOPICS)))
            else:
                listeners.append(Listener(cluster, node, host, pattern="orders.*"))
            if number % 7 == 6:
                kill(listeners[0].kernel, rng.choice(listeners).pid)
            trouble(cluster, rng)
            cluster.advance(rng.uniform(0.01, 1.5))
        calm(cluster)
        for listener in listeners:
            check_order(listener)
        assert sum(len(listener.got) for listener in listeners) > 300
        check_routes(cluster)
        check_delivery(cluster, [listener for listener in listeners if listener.alive])


def check_delivery(cluster: ClusterSimulation, listeners: list[Listener]) -> None:
    """When all is well everybody gets what he is to get, once."""
    for number, topic in enumerate(TOPICS):
        last = (1000 + number, topic, 1)
        publish(cluster, "b", topic, last)
        for listener in listeners:
            wants = listener.topic == topic or (
                "*" in listener.topic and topic.startswith("orders.")
            )
            assert listener.got.count(last) == int(wants), (listener.topic, topic)


def check_routes(cluster: ClusterSimulation) -> None:
    """Each host knows just the interests of the others."""
    kernels = [host.kernel for node in cluster.live() for host in node.hosts.values()]
    exchanges = {kernel.address: kernel.tables[TABLE].exchange("pubsub") for kernel in kernels}
    for address, exchange in exchanges.items():
        for kind in (0, 1):
            wanted: dict[str, list[str]] = {}
            for other, theirs in exchanges.items():
                for text in theirs.local.texts(kind) if other != address else ():
                    wanted.setdefault(text, []).append(other)
            known = {t: sorted(exchange.remote.of(kind, t)) for t in exchange.remote.texts(kind)}
            assert known == {text: sorted(found) for text, found in wanted.items()}, address


class Guest:
    """A process that is tracked, changes what is said about it, and leaves."""

    def __init__(self, cluster: ClusterSimulation, node: str, host: str, key: str) -> None:
        self.key = key
        self.kernel = cluster.kernel(node, host)
        self.value: Any = None
        self._rng = random.Random(f"{cluster.seed} guest {key} {cluster.now}")
        self.body = cluster.spawn(node, self._live, host=host)

    @property
    def alive(self) -> bool:
        return not self.kernel.closed and self.body.pid in self.kernel.procs

    async def _live(self) -> None:
        number = 0
        while True:
            number += 1
            if self.value is None:
                self.value = [number]
                change = Tracker.track("room", self.key, self.value)
            elif self._rng.random() < 0.7:
                self.value = [*self.value, number]
                change = Tracker.update("room", self.key, lambda old, n=number: [*old, n])
            else:
                self.value = None
                change = Tracker.untrack("room")
            if self._rng.random() < 0.3:
                await change
            try:
                await receive(timeout=self._rng.uniform(0.1, 3))
            except TimeoutError:
                continue


def expected(guests: list[Guest]) -> dict[tuple[Any, Any], Any]:
    """Return who should be there, as the processes themselves see it."""
    return {
        (guest.key, guest.body.pid): guest.value
        for guest in guests
        if guest.alive and guest.value is not None
    }


@pytest.mark.parametrize("seed", range(12))
def test_presence_is_exact_through_faults(seed: int) -> None:
    faults = Faults(delay=(0.0002, 0.01), loss=0.1, duplicate=0.1, reorder=0.1, gap=0.01)
    with ClusterSimulation(seed=seed, nodes=3, workers=2, faults=faults) as cluster:
        rng = cluster.random
        cluster.form()
        watchers: list[Watcher] = []
        guests: list[Guest] = []
        for number in range(40):
            node, host = rng.choice(hosts_up(cluster))
            if number % 4 == 0:
                watchers.append(Watcher(cluster, node, host, "room"))
            else:
                guests.append(Guest(cluster, node, host, f"user{rng.randrange(5)}"))
            if number % 5 == 4:
                victim = rng.choice(guests)
                kill(victim.kernel, victim.body.pid)
            trouble(cluster, rng)
            cluster.advance(rng.uniform(0.01, 1.0))
            for watcher in watchers:
                _ = watcher.alive  # raises what it found
        calm(cluster)
        watchers.append(Watcher(cluster, "a", "w1", "room"))
        cluster.advance(0.01)
        for guest in guests:  # they stop changing; nothing is under way a little later
            if guest.alive:
                guest._rng = Still()
        cluster.advance(4)
        present = expected(guests)
        assert present
        for watcher in watchers:
            if watcher.alive:
                assert watcher.values() == present
        for node, host in hosts_up(cluster):
            listed = ask(cluster, node, Tracker.list, "room", host=host)
            found = {(k, m.pid): m.value for k, metas in listed.items() for m in metas}
            assert found == present, (node, host)


class Still:
    """Instead of a generator: change nothing any more."""

    def random(self) -> float:
        return 0.5

    def uniform(self, low: float, high: float) -> float:
        return 1e6
