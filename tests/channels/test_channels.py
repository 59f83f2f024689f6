"""Channels over a simulated cluster: broadcast, subscribe, route, declare."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from foundation import channels
from foundation.channels import UnknownChannel
from foundation.cluster import pubsub
from foundation.errors import NoProc, Unsendable
from foundation.facade import explain
from foundation.otp import exit as send_exit
from foundation.otp import me, monitor, receive
from foundation.testing.cluster_sim import ClusterSimulation
from tests.channels.kit import App, Ear
from tests.cluster.pubsub.actors import Listener


@pytest.fixture(params=range(3))
def cluster(request: pytest.FixtureRequest) -> Iterator[ClusterSimulation]:
    with ClusterSimulation(seed=request.param, nodes=3, workers=2, app=App) as made:
        made.form()
        yield made


@dataclass(frozen=True)
class Order:
    number: int


def say(cluster: ClusterSimulation, node: str, *args: Any, **options: Any) -> Any:
    async def body() -> Any:
        return channels.broadcast(*args, **options)

    result = cluster.run(node, body)
    cluster.advance(0.1)
    return result


# Broadcast


@pytest.mark.parametrize("channel", ["control", "events", "telemetry", "data"])
def test_a_broadcast_reaches_the_subscribers_on_all_nodes(
    cluster: ClusterSimulation, channel: str
) -> None:
    ears = [Ear(cluster, *place) for place in (("a", channel), ("b", channel), ("c", channel))]
    other = Ear(cluster, "b", "events" if channel != "events" else "control")
    assert say(cluster, "a", channel, {"n": [1]}) == 1  # of this host
    assert [ear.got for ear in ears] == [[{"n": [1]}]] * 3
    assert other.got == []


def test_who_subscribes_by_the_primitive_gets_the_plain_message(
    cluster: ClusterSimulation,
) -> None:
    listeners = [Listener(cluster, node, "w1", "foundation:data") for node in "ab"]
    cluster.until(lambda: all(each.subscribed for each in listeners))
    say(cluster, "a", "data", bytes(200_000))
    say(cluster, "a", "data", "small", compress=True)
    assert [each.got for each in listeners] == [[bytes(200_000), "small"]] * 2


def test_who_broadcasts_by_the_primitive_reaches_the_channel(cluster: ClusterSimulation) -> None:
    ear = Ear(cluster, "b", "events")

    async def body() -> None:
        pubsub.broadcast("foundation:events", "direct")

    cluster.run("a", body)
    cluster.until(lambda: ear.got == ["direct"])


def test_what_is_not_bulk_is_the_broadcast_of_the_primitive_itself(
    cluster: ClusterSimulation,
) -> None:
    async def body() -> list[str]:
        await channels.subscribe("events")
        with explain() as plan:
            channels.broadcast("events", 1)
            channels.broadcast("data", 2)
            channels.broadcast("data", 3, priority="high")
            channels.broadcast("events", 4, priority="low", include_local=False)
            channels.broadcast("events", 5, compress=100)
        return [str(step) for step in plan]

    assert cluster.run("a", body) == [
        "broadcast('foundation:events', 1)",
        "publish('foundation:data', 2, bulk=True)",
        "broadcast('foundation:data', 3)",
        "publish('foundation:events', 4, bulk=True, others=True)",
        "publish('foundation:events', 5, compress=100)",
    ]


def test_the_messages_of_one_sender_on_one_channel_arrive_in_order(
    cluster: ClusterSimulation,
) -> None:
    ears = {name: Ear(cluster, "b", name) for name in ("events", "data")}

    async def body() -> None:
        for number in range(60):
            size = 150_000 if number % 7 == 0 else 10
            channels.broadcast("data", (number, bytes(size)))
            channels.broadcast("events", number)

    cluster.run("a", body)
    cluster.until(lambda: len(ears["data"].got) == 60)
    assert [number for number, _ in ears["data"].got] == list(range(60))
    assert ears["events"].got == list(range(60))


def test_without_include_local_the_senders_node_gets_nothing(cluster: ClusterSimulation) -> None:
    for channel in ("events", "data"):
        mine, beside = Ear(cluster, "a", channel), Ear(cluster, "a", channel, host="w2")
        other = Ear(cluster, "b", channel)
        assert say(cluster, "a", channel, "x", include_local=False) == 0
        assert (mine.got, beside.got, other.got) == ([], [], ["x"])


def test_an_unknown_channel_is_refused_with_those_there_are_and_the_direct_call(
    cluster: ClusterSimulation,
) -> None:
    with pytest.raises(UnknownChannel) as caught:
        say(cluster, "a", "evnets", 1)
    text = str(caught.value)
    assert "control, events, telemetry, data" in text
    assert "broadcast('foundation:evnets', message)" in text
    with pytest.raises(UnknownChannel):
        cluster.run("a", _subscribe, "evnets", None)
    with pytest.raises(UnknownChannel):
        cluster.run("a", _route, "x", "evnets")


async def _subscribe(*args: Any) -> Any:
    return channels.subscribe(*args)


def owned(cluster: ClusterSimulation, node: str, *args: Any) -> Any:
    """Subscribe in a process that goes on to live; return the subscription."""
    made: list[Any] = []

    async def owner() -> None:
        made.append(await channels.subscribe(*args))
        await receive(lambda message: False)

    cluster.spawn(node, owner)
    cluster.until(lambda: made)
    return made[0]


async def _route(message: Any, channel: Any = None, priority: Any = None) -> str:
    return channels.route(message, channel=channel, priority=priority)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"priority": "urgent"}, ValueError),
        ({"compress": -1}, ValueError),
        ({"compress": "yes"}, ValueError),
        ({"include_local": 1}, TypeError),
    ],
)
def test_bad_options_are_refused(
    cluster: ClusterSimulation, options: dict[str, Any], error: type[Exception]
) -> None:
    ear = Ear(cluster, "a", "events")
    with pytest.raises(error):
        say(cluster, "a", "events", 1, **options)
    assert ear.got == []


@pytest.mark.parametrize("channel", ["events", "data"])
def test_what_cannot_be_sent_is_refused_although_nobody_is_there(
    cluster: ClusterSimulation, channel: str
) -> None:
    with pytest.raises(Unsendable):
        say(cluster, "a", channel, [asyncio.Lock, (each for each in "x")])


@pytest.mark.parametrize("name", [7, None, ["events"]])
def test_a_channel_is_named_by_a_string(cluster: ClusterSimulation, name: Any) -> None:
    with pytest.raises(TypeError, match="named by a string"):
        say(cluster, "a", name, 1)


# Subscriptions


def test_a_subscription_ends_when_it_is_cancelled(cluster: ClusterSimulation) -> None:
    async def body() -> tuple[list[Any], list[bool], list[str]]:
        found: list[Any] = []
        subscription = await channels.subscribe("events")
        channels.broadcast("events", 1)
        ends = [subscription.cancel(), subscription.cancel()]
        channels.broadcast("events", 2)
        with channels.subscribe("events"):
            channels.broadcast("events", 3)
        channels.broadcast("events", 4)
        async with channels.subscribe("events") as again:
            channels.broadcast("events", 5)
            ends.append(channels.unsubscribe(again))
        await channels.subscribe("events")
        ends.append(channels.unsubscribe("events"))
        channels.broadcast("events", 6)
        while True:
            try:
                found.append(await receive(timeout=0.1))
            except TimeoutError:
                return found, ends, pubsub.nodes_interested("foundation:events")

    assert cluster.run("a", body) == ([1, 3, 5], [True, False, True, True], [])


@pytest.mark.parametrize(
    ("match", "kept"),
    [
        (Order, [Order(1), Order(2)]),
        (lambda message: message == "b", ["b"]),
        (("x", int), [("x", 3)]),
        ({"kind": "k"}, [{"kind": "k", "more": 1}]),
    ],
)
def test_only_what_matches_arrives(cluster: ClusterSimulation, match: Any, kept: list[Any]) -> None:
    ears = [Ear(cluster, node, "events", match=match) for node in "ab"]
    everything = Ear(cluster, "a", "events")
    for message in ("a", "b", Order(1), ("x", 3), ("x", "y"), {"kind": "k", "more": 1}, Order(2)):
        say(cluster, "a", "events", message)
    assert [ear.got for ear in ears] == [kept, kept]
    assert len(everything.got) == 7


def test_a_predicate_that_fails_drops_the_message_and_says_so(cluster: ClusterSimulation) -> None:
    ear = Ear(cluster, "b", "events", match=lambda message: message > 3)
    for message in (5, "text", 6):
        say(cluster, "a", "events", message)
    assert ear.got == [5, 6]
    assert any("TypeError" in str(report) for _, report in cluster.reports)


def test_a_pid_may_be_subscribed_by_another_process(cluster: ClusterSimulation) -> None:
    async def idle() -> None:
        while True:
            got.append(await receive())

    got: list[Any] = []
    target = cluster.spawn("a", idle)
    cluster.advance(0.1)
    subscription = cluster.run("a", _subscribe, "events", target.pid)
    assert subscription.pid == target.pid
    say(cluster, "a", "events", 1)
    say(cluster, "b", "events", 2)
    assert got == [1, 2]


def test_a_pid_of_another_host_gets_the_messages_until_it_ends(cluster: ClusterSimulation) -> None:
    got: list[Any] = []

    async def idle() -> None:
        while len(got) < 2:
            got.append(await receive())

    target = cluster.spawn("b", idle)
    cluster.advance(0.1)
    subscription = cluster.run("a", _subscribe, "events", target.pid)
    cluster.advance(0.1)
    say(cluster, "c", "events", 1)
    assert got == [1]
    say(cluster, "c", "events", 2)
    cluster.until(lambda: subscription.pid not in cluster.kernel("a").procs)  # ends with its target
    assert got == [1, 2]


def test_a_dead_pid_is_refused(cluster: ClusterSimulation) -> None:
    async def nothing() -> Any:
        return me()

    dead = cluster.run("a", nothing)
    with pytest.raises(NoProc):
        cluster.run("a", _subscribe, "events", dead)
    with pytest.raises(TypeError, match="handler must be"):
        cluster.run("a", _subscribe, "events", 7)


def test_a_function_is_called_in_a_process_of_its_own_with_one_after_the_other(
    cluster: ClusterSimulation,
) -> None:
    got: list[Any] = []
    running = 0

    async def handler(message: Any) -> None:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0.01)
        if message == "bad":
            running -= 1
            raise LookupError("no such thing")
        got.append((message, me()))
        running -= 1

    subscription = owned(cluster, "a", "events", handler)
    for message in (1, "bad", 2):
        say(cluster, "b", "events", message)
    assert got == [(1, subscription.pid), (2, subscription.pid)]
    assert any("LookupError" in str(report) for _, report in cluster.reports)

    async def end() -> bool:
        return subscription.cancel()

    assert cluster.run("a", end)
    say(cluster, "b", "events", 3)
    assert len(got) == 2
    assert subscription.pid not in cluster.kernel("a").procs


def test_a_handler_ends_when_who_subscribed_it_crashes(cluster: ClusterSimulation) -> None:
    found: list[Any] = []

    async def owner() -> None:
        found.append(channels.subscribe("events", found.append))
        await receive(lambda message: message == "crash")
        raise RuntimeError("crash")

    body = cluster.spawn("a", owner)
    cluster.until(lambda: found)
    assert found[0].pid in cluster.kernel("a").procs

    async def kill() -> None:
        monitor(found[0].pid)
        send_exit(body.pid, "boom")
        await receive(timeout=1)

    cluster.run("a", kill)
    assert found[0].pid not in cluster.kernel("a").procs


def test_a_subscription_ends_with_its_process(cluster: ClusterSimulation) -> None:
    async def body() -> None:
        await channels.subscribe("data")

    cluster.run("a", body)
    assert say(cluster, "a", "data", 1) == 0

    async def interested() -> list[str]:
        return pubsub.nodes_interested("foundation:data")

    cluster.until(lambda: cluster.run("b", interested) == [])


# Routes


@pytest.mark.parametrize(
    ("message", "options", "expected"),
    [
        ("m", {}, "events"),
        ("m", {"priority": "high"}, "control"),
        (bytes(20_000), {"priority": "high"}, "control"),
        (bytes(20_000), {}, "data"),
        (bytes(20_000), {"channel": "telemetry"}, "telemetry"),
        ({"x": "y" * 11_000}, {}, "data"),
        (bytes(10_000), {}, "events"),
        (("telemetry", 1), {}, "telemetry"),
        ({"type": "metric", "value": 1}, {}, "telemetry"),
        ({"type": "measurement"}, {}, "telemetry"),
        ({"type": "metric", "value": "x" * 11_000}, {}, "data"),
        ({"type": "order"}, {}, "events"),
        (("telemetry", 1), {"priority": "low"}, "telemetry"),
        ("m", {"channel": "data", "priority": "high"}, "data"),
    ],
)
def test_a_message_goes_where_the_rules_say(
    cluster: ClusterSimulation, message: Any, options: dict[str, Any], expected: str
) -> None:
    ears = {name: Ear(cluster, "b", name) for name in channels.BUILT_IN}

    async def body() -> tuple[str, str]:
        return channels.route(message, **options), channels.explain_route(message, **options)

    chosen, why = cluster.run("a", body)
    assert chosen == expected
    assert why.startswith(f"{expected}: ")
    cluster.until(lambda: ears[expected].got == [message])
    assert sum(len(ear.got) for ear in ears.values()) == 1  # explaining sends nothing


def test_explain_shows_the_process_of_a_handler_and_the_end_of_a_subscription(
    cluster: ClusterSimulation,
) -> None:
    async def body() -> tuple[list[str], list[Any]]:
        with explain() as plan:
            handled = channels.subscribe("events", print)
            handled.cancel()
            own = channels.subscribe("events")
            channels.unsubscribe(own)
        pids = [handled.pid, own.pid]
        return [step.function.__name__ for step in plan], [
            (pids.index(step.kwargs["pid"]), step.args) for step in plan if "pid" in step.kwargs
        ]

    names, of_pids = cluster.run("a", body)
    assert names == ["spawn", "subscribe", "unsubscribe", "exit", "subscribe", "unsubscribe"]
    assert of_pids == [(0, ("foundation:events",))] * 2 + [(1, ("foundation:events",))]
