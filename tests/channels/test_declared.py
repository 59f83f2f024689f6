"""Declared channels, counters, and the functions as messages, over a simulated cluster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from foundation import channels
from foundation.channels import ChannelExists, ChannelsNotStarted, UnknownChannel
from foundation.channels.messages import Broadcast, Declare, Route, Subscribe, Unsubscribe
from foundation.facade import Failed, explain
from foundation.otp import call, me, receive
from foundation.otp import exit as send_exit
from foundation.testing.cluster_sim import ClusterSimulation
from tests.channels.kit import App, Ear


@pytest.fixture(params=range(3))
def cluster(request: pytest.FixtureRequest) -> Iterator[ClusterSimulation]:
    with ClusterSimulation(seed=request.param, nodes=3, workers=2, app=App) as made:
        made.form()
        yield made


def say(cluster: ClusterSimulation, node: str, *args: Any, **options: Any) -> Any:
    async def body() -> Any:
        return channels.broadcast(*args, **options)

    result = cluster.run(node, body)
    cluster.advance(0.1)
    return result


def test_a_declared_channel_is_known_on_all_nodes(cluster: ClusterSimulation) -> None:
    async def declare() -> None:
        await channels.declare("video", bulk=True)
        await channels.declare("video", bulk=True)  # again, the same: nothing

    cluster.run("a", declare)
    ear = Ear(cluster, "b", "video")

    async def body() -> list[str]:
        with explain() as plan:
            channels.broadcast("video", "frame")
        return [str(step) for step in plan]

    assert cluster.run("c", body, host="w2") == ["publish('foundation:video', 'frame', bulk=True)"]
    cluster.until(lambda: ear.got == ["frame"])


def test_a_channel_is_the_same_on_all_nodes(cluster: ClusterSimulation) -> None:
    async def declare(priority: str) -> None:
        await channels.declare("alarm", priority=priority)

    cluster.run("a", declare, "high")
    with pytest.raises(ChannelExists, match="high priority, not bulk"):
        cluster.run("b", declare, "low")
    with pytest.raises(ChannelExists):
        cluster.run("b", _declare, "events", {"bulk": True})
    cluster.run("b", _declare, "events", {})


async def _declare(name: Any, options: dict[str, Any]) -> None:
    await channels.declare(name, **options)


@pytest.mark.parametrize(
    ("name", "options", "error"),
    [
        ("", {}, ValueError),
        (7, {}, TypeError),
        ("x", {"priority": "top"}, ValueError),
        ("x", {"priority": "high", "bulk": True}, ValueError),
        ("x", {"bulk": "yes"}, TypeError),
    ],
)
def test_a_bad_declaration_is_refused(
    cluster: ClusterSimulation, name: Any, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        cluster.run("a", _declare, name, options)


def test_what_was_declared_outlives_the_keeper_and_ends_with_the_node(
    cluster: ClusterSimulation,
) -> None:
    cluster.run("a", _declare, "video", {})
    control = cluster.kernel("a", "control")
    keeper = control.names.lookup("foundation.channels.keeper")

    async def kill() -> None:
        send_exit(keeper, "kill")

    cluster.run("a", kill)
    cluster.advance(1)
    assert control.names.lookup("foundation.channels.keeper") not in (None, keeper)
    say(cluster, "b", "video", 1)
    cluster.crash("a")
    cluster.until(cluster.agreed)
    with pytest.raises(UnknownChannel):
        say(cluster, "b", "video", 1)


def test_without_the_facades_the_built_in_channels_work_and_nothing_is_declared() -> None:
    with ClusterSimulation(seed=1, nodes=1) as alone:
        alone.form()
        ear = Ear(alone, "a", "events")
        say(alone, "a", "events", 1)
        assert ear.got == [1]
        with pytest.raises(ChannelsNotStarted, match="facades=True"):
            alone.run("a", _declare, "video", {})


def test_what_is_said_on_channels_is_counted(cluster: ClusterSimulation) -> None:
    Ear(cluster, "b", "events")

    async def count() -> tuple[int, int]:
        found = channels.statistics()["events"]
        return found.published, found.received

    assert cluster.run("a", count) == (0, 0)
    for _ in range(3):
        say(cluster, "a", "events", "x")
    assert cluster.run("a", count) == (3, 0)
    assert cluster.run("b", count) == (0, 3)


# The server


def test_the_functions_are_messages_too(cluster: ClusterSimulation) -> None:
    server = "foundation.channels"

    async def body() -> list[Any]:
        await call(server, Declare("video"))
        subscription = await call(server, Subscribe("video", me(), match=str))
        found = [
            await call(server, Broadcast("video", "seen")),
            await call(server, Broadcast("video", 7)),
            await receive(timeout=1),
            await call(server, Route("m", priority="high")),
            await call(server, Unsubscribe(subscription)),
        ]
        failed = await call(server, Broadcast("no such", 1))
        assert isinstance(failed, Failed)
        assert isinstance(failed.error, UnknownChannel)
        return found

    for host in ("w1", "w2"):
        _, _, seen, routed, ended = cluster.run("a", body, host=host)
        assert (seen, routed, ended) == ("seen", "control", True)
