"""Lanes with connections of their own, in a simulated cluster: these break, and cannot be had."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest

from foundation.cluster import chaos
from foundation.cluster.lanes import lanes_of
from foundation.cluster.pubsub import drained, lanes, publish
from foundation.testing.cluster_sim import ClusterSimulation
from tests.cluster.pubsub.actors import Listener

DELAY = 0.001  # seconds


class Wires:
    """All wires of a cluster: what is sent arrives, unless the connection is broken."""

    def __init__(self, cluster: ClusterSimulation) -> None:
        self.loop = cluster.loop
        self.wires: dict[str, Wire] = {}
        self.refused: set[str] = set()  # addresses that cannot be dialled
        self.breaks = 0  # connections that were broken so often: what was under way is lost
        self.carried = 0

    def give(self, cluster: ClusterSimulation, node: str) -> None:
        lanes_of(cluster.kernel(node))._open_wire = lambda: Wire(self, f"{node}:9")


class Wire:
    def __init__(self, wires: Wires, address: str) -> None:
        self.address = address
        self.on_message: Any = None
        self.on_lost: Any = None
        self._wires = wires
        self._under_way: dict[str, deque[tuple[bytes, int]]] = {}
        wires.wires[address] = self

    def send(self, address: str, payload: bytes) -> None:
        # Timers of one time come in any order, so each delivers the head of the queue.
        queue = self._under_way.setdefault(address, deque())
        queue.append((payload, self._wires.breaks))
        self._wires.loop.call_later(DELAY, self._arrive, address, queue)

    def _arrive(self, address: str, queue: deque[tuple[bytes, int]]) -> None:
        payload, breaks = queue.popleft()
        if breaks != self._wires.breaks or address in self._wires.refused:
            self.on_lost(address, payload)
            self.on_lost(address, b"")
        else:
            self._wires.carried += 1
            self._wires.wires[address].on_message(self.address, payload)

    def drop(self, address: str) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing is kept."""


@pytest.fixture
def cluster() -> Iterator[ClusterSimulation]:
    with ClusterSimulation(seed=4, nodes=2) as made:
        made.form()
        yield made


def begin(cluster: ClusterSimulation, nodes: str = "ab") -> tuple[Wires, Listener]:
    wires = Wires(cluster)
    for node in nodes:
        wires.give(cluster, node)
    listener = Listener(cluster, "b", "w1", "t")
    cluster.until(lambda: listener.subscribed)
    return wires, listener


async def send(count: int) -> Any:
    for number in range(count):
        publish("t", number.to_bytes(4, "big") + bytes(300_000), bulk=True)
        await drained(below=100_000)
    await drained(below=1)
    return lanes()


def numbers(listener: Listener) -> list[int]:
    return [int.from_bytes(each[:4], "big") for each in listener.got]


def ordinary_operations(cluster: ClusterSimulation) -> list[bytes]:
    """Return what a says to b on its lane the ordinary way, kept up to date."""
    found: list[bytes] = []
    handlers = cluster.kernel("b").remote.handlers
    before = handlers["lane"]

    def taken(host: str, data: bytes) -> None:
        found.append(data)
        before(host, data)

    handlers["lane"] = taken
    return found


def test_chunks_go_over_connections_of_their_own(cluster: ClusterSimulation) -> None:
    wires, listener = begin(cluster)
    ordinary = ordinary_operations(cluster)
    (state,) = cluster.run("a", send, 10)
    assert state.separate
    cluster.until(lambda: numbers(listener) == list(range(10)))
    assert not ordinary
    assert wires.carried >= 2 * 50


def test_when_its_connection_breaks_a_lane_goes_on_over_another(
    cluster: ClusterSimulation,
) -> None:
    wires, listener = begin(cluster)
    sending = cluster.spawn("a", send, 100)
    while not sending.ended:
        cluster.advance(0.02)
        wires.breaks += 1
    cluster.until(lambda: numbers(listener)[-1:] == [99])
    got = numbers(listener)
    assert got == sorted(set(got))
    (state,) = sending.result()
    assert state.separate
    assert state.lost > 0
    assert len(got) >= 100 - 2 * wires.breaks  # each break costs what was under way


@pytest.mark.parametrize("refused", ["a:9", "b:9"])
def test_where_there_can_be_no_connection_chunks_go_the_ordinary_way(
    cluster: ClusterSimulation, refused: str
) -> None:
    wires, listener = begin(cluster)
    wires.refused.add(refused)
    (state,) = cluster.run("a", send, 10)
    cluster.until(lambda: numbers(listener)[-1:] == [9])
    got = numbers(listener)
    assert got == sorted(set(got))
    assert len(got) >= 8
    if refused == "b:9":
        assert not state.separate
        assert any("the ordinary way" in str(report) for _, report in cluster.reports)


@pytest.mark.parametrize("who", ["a", "b"])
def test_where_one_host_has_no_wire_both_do_without(cluster: ClusterSimulation, who: str) -> None:
    wires, listener = begin(cluster, who)
    (state,) = cluster.run("a", send, 5)
    cluster.until(lambda: numbers(listener) == list(range(5)))
    assert not state.separate
    assert wires.carried == 0


def test_a_wire_that_cannot_be_opened_is_done_without(cluster: ClusterSimulation) -> None:
    _, listener = begin(cluster)

    def fail() -> Any:
        raise OSError("no port")

    lanes_of(cluster.kernel("a"))._open_wire = fail
    cluster.run("a", send, 5)
    cluster.until(lambda: numbers(listener) == list(range(5)))
    assert sum("no port" in str(report) for _, report in cluster.reports) == 1


def test_a_host_that_is_cut_off_is_sent_nothing_over_its_lane(cluster: ClusterSimulation) -> None:
    wires, listener = begin(cluster)
    cluster.run("a", send, 2)

    async def cut() -> None:
        await chaos.cut_off("b")

    cluster.run("a", cut)
    cluster.advance(0.1)
    before = wires.carried
    sending = cluster.spawn("a", send, 3)
    cluster.advance(0.5)
    assert wires.carried == before
    cluster.run("a", chaos.heal)
    cluster.until(lambda: cluster.agreed() and sending.ended, 60)
    cluster.run("a", send, 3)
    cluster.until(lambda: numbers(listener)[-3:] == [0, 1, 2])


def test_what_is_no_word_of_a_lane_is_reported_and_survived(cluster: ClusterSimulation) -> None:
    wires, listener = begin(cluster)
    cluster.run("a", send, 1)
    for junk in (b"", b"\xff", b"\xff\x01", b"\xff\x93\x07\x01\x01", bytes(5)):
        wires.wires["b:9"].on_message("a:9", junk)
        wires.wires["b:9"].on_message("nobody:1", junk)
    cluster.run("a", send, 2)
    cluster.until(lambda: len(listener.got) == 3)
    assert sum("a lane from a/w1" in str(report) for _, report in cluster.reports) == 5
