"""Channels between the hosts of two real nodes, over TCP."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

import foundation
from foundation import channels
from foundation.channels.messages import Broadcast
from foundation.cluster import ClusterConfig, await_cluster
from foundation.cluster.discovery import Loopback
from foundation.otp import call
from foundation.runtime.node import AsyncNode
from tests.channels.inside import Ear, Mouth
from tests.channels.kit import stamp

pytestmark = pytest.mark.real
PATIENCE = 30.0


@contextlib.asynccontextmanager
async def two_nodes() -> AsyncIterator[tuple[AsyncNode, Any, AsyncNode, Any]]:
    """Two nodes with a worker host each; a mouth in the first's, an ear in the other's."""
    async with contextlib.AsyncExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        nodes = []
        for name in ("n1", "n2"):
            config = ClusterConfig(
                name=f"channels-{os.getpid()}", strategies=(Loopback(directory),), unix=False
            )
            node = foundation.start(
                name=name,
                hosts=1,
                cluster=config,
                cookie="a cookie for this test only",
                log_level=logging.CRITICAL,
            )
            nodes.append(await stack.enter_async_context(node))
        for each in nodes:
            await each.run(await_cluster, 2)
        ear = await nodes[1].run(start, Ear, "data", "control", "events")
        mouth = await nodes[0].run(start, Mouth)
        yield nodes[0], mouth, nodes[1], ear


async def start(server: Any, *args: Any) -> Any:
    return await server.start(*args, host="w1")


async def ask(server: Any, *request: Any) -> Any:
    return await call(server, request, timeout=60)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await condition():
            await asyncio.sleep(0.02)


async def heard(node: AsyncNode, ear: Any) -> list[Any]:
    found: list[Any] = await node.call(ear, "what")
    return found


def test_bulk_has_a_connection_of_its_own_and_what_is_urgent_does_not_wait() -> None:
    async def main() -> None:
        async with two_nodes() as (first, mouth, second, ear):
            await first.run(ask, mouth, "stream", 1)
            said = await first.run(ask, mouth, "both", 50)
            await until(lambda: _has(second, ear, 52))
            got = await heard(second, ear)
            order = [message for _, message in got]
            assert [m for m in order if m != "now"] == [
                (0, 1_000_000),
                *((number, 1_000_000) for number in range(50)),
            ]
            assert order.index("now") < 40  # the last of the blocks were still to come
            late = next(when for when, message in got if message == "now") - said
            took = got[-1][0] - said
            assert late < took / 2
            (lane,) = await first.run(ask, mouth, "lanes")
            assert (lane.host, lane.separate) == ("n2/w1", True)
            assert (lane.sent, lane.dropped, lane.lost) == (51, 0, 0)

    asyncio.run(main())


async def _has(node: AsyncNode, ear: Any, count: int) -> bool:
    return len(await heard(node, ear)) >= count


def test_bulk_goes_on_after_its_connection_has_broken() -> None:
    async def main() -> None:
        async with two_nodes() as (first, mouth, second, ear):
            (lane,) = await first.run(ask, mouth, "stream", 60, 5)
            assert lane.separate
            await until(lambda: _had_last(second, ear, (59, 1_000_000)))
            got = [number for _, (number, _) in await heard(second, ear)]
            assert got == sorted(set(got))
            assert len(got) >= 40

    asyncio.run(main())


async def _had_last(node: AsyncNode, ear: Any, message: Any) -> bool:
    got = await heard(node, ear)
    return bool(got) and got[-1][1] == message


def test_a_receiving_host_that_is_killed_frees_the_sender_and_the_next_one_gets_bulk() -> None:
    async def main() -> None:
        async with two_nodes() as (first, mouth, second, ear):
            pid = await second.call(ear, "pid")
            streaming = asyncio.ensure_future(first.run(ask, mouth, "stream", 100))
            await until(lambda: _has(second, ear, 5))
            os.kill(pid, signal.SIGKILL)
            await streaming  # nobody to wait for: the sender goes on

            async def again() -> bool:
                try:
                    ears.append(await second.run(start, Ear, "data"))
                except foundation.StartError:
                    return False
                return True

            ears: list[Any] = []
            await until(again)
            await first.run(ask, mouth, "stream", 3)
            await until(lambda: _had_last(second, ears[0], (2, 1_000_000)))
            gone, lane = await first.run(ask, mouth, "lanes")
            assert (gone.host, lane.backlog) == ("", 0)
            assert gone.sent + gone.lost + lane.sent <= 103

    asyncio.run(main())


def test_a_node_starts_with_what_declarations_and_middleware_need() -> None:
    async def main() -> None:
        async with two_nodes() as (first, mouth, second, _):
            await first.run(_settle)
            ear = await second.run(start, Ear, "video")
            await first.run(ask, mouth, "until_known", "video")
            await first.run(ask, mouth, "say", "video", ["x" * 100_000])
            await until(lambda: _has(second, ear, 1))
            ((_, message),) = await heard(second, ear)
            assert message == ["x" * 100_000, ("stamp", "publish")]
            answer = await first.call("foundation.channels", Broadcast("video", "asked for"))
            assert answer == 0
            await until(lambda: _had_last(second, ear, "asked for"))

    began = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began < 60


async def _settle() -> None:
    await channels.declare("video", bulk=True)
    await channels.use(stamp, sides="publish")
    await channels.use(channels.Compression())
