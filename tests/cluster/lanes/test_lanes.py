"""Bulk between the hosts of a simulated cluster, where chunks travel as operations of kernels."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Iterator
from typing import Any

import pytest

from foundation import channels
from foundation.cluster.lanes import CHUNK, lanes_of
from foundation.cluster.lanes.values import LaneState
from foundation.cluster.pubsub import broadcast, drained, lanes, publish, subscribe, volume
from foundation.cluster.pubsub import mailboxes as bounds
from foundation.otp import receive
from foundation.testing.cluster_sim import ClusterSimulation, Faults
from tests.cluster.pubsub.actors import Listener


@pytest.fixture
def cluster() -> Iterator[ClusterSimulation]:
    with ClusterSimulation(seed=3, nodes=3) as made:
        made.form()
        yield made


def listen(cluster: ClusterSimulation, node: str, topic: str = "t") -> Listener:
    listener = Listener(cluster, node, "w1", topic)
    cluster.until(lambda: listener.subscribed)
    return listener


def block(number: int, size: int = 1_000_000) -> bytes:
    return number.to_bytes(4, "big") + bytes(size)


async def send(count: int, *, wait: bool = True) -> list[LaneState]:
    for number in range(count):
        publish("t", block(number), bulk=True)
        if wait:
            await drained()
    return lanes()


def numbers(listener: Listener) -> list[int]:
    return [int.from_bytes(each[:4], "big") for each in listener.got]


def nothing_remains(cluster: ClusterSimulation, node: str, other: str) -> bool:
    state = lanes_of(cluster.kernel(node))._lanes.get(f"{other}/w1")
    if state is None:
        return True
    return not (state.outgoing.backlog or state.outgoing.under_way or state.incoming.held)


def test_bulk_arrives_whole_and_in_order_on_all_nodes(cluster: ClusterSimulation) -> None:
    listeners = [listen(cluster, node) for node in "abc"]
    states = cluster.run("a", send, 20)
    cluster.until(lambda: all(len(each.got) == 20 for each in listeners))
    assert all(numbers(each) == list(range(20)) for each in listeners)
    assert listeners[1].got[7] == block(7)
    assert [(s.host, s.dropped, s.lost) for s in states] == [("b/w1", 0, 0), ("c/w1", 0, 0)]
    assert nothing_remains(cluster, "a", "b")
    assert nothing_remains(cluster, "b", "a")


def test_what_is_broadcast_does_not_wait_for_bulk(cluster: ClusterSimulation) -> None:
    cluster.network.faults = Faults(delay=(0.01, 0.01))
    listener = listen(cluster, "b")
    urgent = listen(cluster, "b", "urgent")

    async def both() -> None:
        for number in range(10):
            publish("t", block(number), bulk=True)
        broadcast("urgent", "now")

    cluster.run("a", both)
    took = cluster.until(lambda: urgent.got, step=0.001)
    assert took < 0.05
    assert len(listener.got) == 0
    cluster.until(lambda: len(listener.got) == 10)


def test_a_host_that_does_not_take_bulk_delays_no_other(cluster: ClusterSimulation) -> None:
    slow, quick = listen(cluster, "b"), listen(cluster, "c")
    cluster.network.faults = Faults(delay=(0.0001, 0.0002))
    cluster.pause("b", 1.0)

    async def flood() -> list[LaneState]:
        for number in range(100):
            publish("t", block(number), bulk=True)
            if number % 10 == 9:
                await drained(below=CHUNK, timeout=0.02)
        return lanes()

    cluster.run("a", flood)
    cluster.until(lambda: len(quick.got) == 100, seconds=0.9)
    assert numbers(quick) == list(range(100))
    assert not slow.got
    states = {s.host: s for s in cluster.run("a", lanes_now)}
    assert states["c/w1"].dropped == 0
    assert states["b/w1"].dropped == 100 - 67  # 64 MiB hold 67 of these
    cluster.until(lambda: len(slow.got) == 67)
    assert numbers(slow) == list(range(67))
    warned = [str(report) for host, report in cluster.reports if "are dropped" in str(report)]
    assert len(warned) == 1


async def lanes_now() -> list[LaneState]:
    return lanes()


def test_drained_says_when_the_time_has_passed(cluster: ClusterSimulation) -> None:
    listen(cluster, "b")
    cluster.pause("b", 1.0)

    async def body() -> tuple[bool, bool, bool]:
        for number in range(3):
            publish("t", block(number), bulk=True)
        late = await drained(timeout=0.1)
        return late, await drained(below=10_000_000), await drained()

    assert cluster.run("a", body) == (False, True, True)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"below": 0}, ValueError, "below must be 1 or more, got 0"),
        ({"below": -1}, ValueError, "below=1 waits until nothing waits"),
        ({"below": True}, TypeError, "below must be bytes, an int, got True"),
        ({"below": "x"}, TypeError, "got 'x'"),
        ({"below": 1.0}, TypeError, "got 1.0"),
        ({"below": None}, TypeError, "got None"),
        ({"timeout": "x"}, TypeError, "timeout must be None or seconds, a number, got 'x'"),
        ({"timeout": True}, TypeError, "got True"),
        ({"timeout": -1}, ValueError, "seconds of 0 or more, got -1"),
        ({"timeout": float("nan")}, ValueError, "got nan"),
        ({"timeout": float("inf")}, ValueError, "got inf"),
    ],
)
@pytest.mark.parametrize("function", [drained, channels.drained])
def test_drained_refuses_what_would_never_come(
    cluster: ClusterSimulation,
    function: Any,
    arguments: dict[str, Any],
    error: type[Exception],
    text: str,
) -> None:
    async def body() -> None:
        await function(**arguments)

    with pytest.raises(error, match=re.escape(text)):
        cluster.run("a", body)


def test_drained_below_1_waits_until_nothing_waits(cluster: ClusterSimulation) -> None:
    listener = listen(cluster, "b")

    async def body() -> int:
        publish("t", block(1), bulk=True)
        assert await drained(below=1)
        return lanes()[0].backlog

    assert cluster.run("a", body) == 0
    cluster.until(lambda: len(listener.got) == 1)


def test_a_receiver_that_dies_in_mid_transfer_frees_everything(cluster: ClusterSimulation) -> None:
    listen(cluster, "b")
    other = listen(cluster, "c")
    cluster.network.faults = Faults(delay=(0.01, 0.01))

    async def flood() -> None:
        for number in range(30):
            publish("t", block(number), bulk=True)

    cluster.run("a", flood)
    cluster.advance(0.1)
    assert not nothing_remains(cluster, "a", "b")
    cluster.crash("b")
    cluster.until(lambda: len(other.got) == 30)
    cluster.until(lambda: "b/w1" not in lanes_of(cluster.kernel("a"))._lanes)
    gone = cluster.run("a", lanes_now)[0]
    assert gone.host == ""
    assert gone.sent + gone.lost == 30
    assert cluster.run("a", drained)


def test_a_sender_that_dies_in_mid_transfer_frees_everything(cluster: ClusterSimulation) -> None:
    listener = listen(cluster, "b")
    cluster.network.faults = Faults(delay=(0.01, 0.01))
    cluster.spawn("a", send, 30)
    there = lanes_of(cluster.kernel("b"))._lanes
    cluster.until(lambda: "a/w1" in there and there["a/w1"].incoming.held, step=0.005)
    cluster.crash("a")
    cluster.until(lambda: "a/w1" not in there)
    got = numbers(listener)
    assert got == list(range(len(got)))


def test_a_new_life_of_a_node_gets_what_is_sent_to_it(cluster: ClusterSimulation) -> None:
    listen(cluster, "b")
    cluster.run("a", send, 3)
    cluster.crash("b")
    cluster.until(cluster.agreed)
    cluster.start("b")
    cluster.until(cluster.agreed)
    again = listen(cluster, "b")
    cluster.run("a", send, 3)
    cluster.until(lambda: numbers(again) == [0, 1, 2])


def test_a_short_cut_loses_some_and_never_the_order(cluster: ClusterSimulation) -> None:
    listener = listen(cluster, "b")
    sending = cluster.spawn("a", send, 200)
    for _ in range(5):
        cluster.advance(0.2)
        cluster.network.cut("a", "b")
        cluster.advance(0.1)
        cluster.network.heal()
    cluster.until(lambda: sending.ended, 120)
    cluster.until(lambda: numbers(listener)[-1:] == [199], 60)
    got = numbers(listener)
    assert got == sorted(set(got))
    cluster.until(lambda: nothing_remains(cluster, "a", "b"))


@pytest.mark.parametrize("seed", range(12))
def test_lanes_go_on_whatever_the_network_loses(seed: int) -> None:
    faults = Faults(loss=0.05, gap=0.01)
    with ClusterSimulation(seed=seed, nodes=2, faults=faults) as cluster:
        cluster.form(60)
        listener = Listener(cluster, "b", "w1", "t")
        cluster.until(lambda: listener.subscribed, 60)
        rng = random.Random(seed)

        async def some() -> None:
            for number in range(40):
                publish("t", block(number, rng.choice((10, 100_000, 400_000))), bulk=True)
                await drained(below=CHUNK)

        sending = cluster.spawn("a", some)
        cluster.until(lambda: sending.ended, 300)
        cluster.network.faults = Faults()
        cluster.until(lambda: nothing_remains(cluster, "a", "b"), 60)
        got = numbers(listener)
        assert got == sorted(set(got))
        assert got


def test_a_subscriber_that_is_too_slow_misses_some_and_no_other_does(
    cluster: ClusterSimulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "LIMIT", 5_500_000)
    quick = listen(cluster, "b")
    taken: list[int] = []
    go = False

    async def slow() -> None:
        await subscribe("t")
        while not go:
            await asyncio.sleep(0.01)
        while True:
            message = await receive()
            taken.append(int.from_bytes(message[:4], "big"))

    async def count() -> Any:
        return volume("t")

    cluster.spawn("b", slow)
    cluster.advance(1)
    cluster.run("b", count)
    cluster.run("a", send, 20)
    cluster.until(lambda: len(quick.got) == 20)
    said = cluster.run("b", count)
    assert (said.received, said.overrun) == (20, 15)
    go = True
    cluster.until(lambda: taken == [0, 1, 2, 3, 4])
    cluster.run("a", send, 3)  # it has room again
    cluster.until(lambda: taken == [0, 1, 2, 3, 4, 0, 1, 2])
    assert cluster.run("b", count).overrun == 15


def test_nothing_is_sent_where_nobody_subscribes(cluster: ClusterSimulation) -> None:
    assert cluster.run("a", send, 1) == []


def test_who_awaits_drained_gives_others_a_turn(cluster: ClusterSimulation) -> None:
    listener = listen(cluster, "a")

    async def flood() -> int:
        count = 0
        while not listener.got:
            publish("t", b"x", bulk=True)
            await drained()
            count += 1
        return count

    assert cluster.run("a", flood) < 100
