"""Whoever waits when a node is closed is told; nobody hangs, nothing piles up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

import foundation
from foundation.errors import CallExit, CallTimeout, NodeError
from tests.runtime import apps
from tests.runtime.test_node import until


async def _start_one(name: str) -> Any:
    return await apps.Where.start(name=name)


async def _sleep() -> None:
    await asyncio.sleep(3600)


WAITS: dict[str, Callable[[Any], Any]] = {
    "call": lambda node: node.call("mine", "hang", timeout=None),
    "call elsewhere": lambda node: node.call("one", "hang", timeout=None),
    "run": lambda node: node.run(_sleep),
    "wait_for": lambda node: node.wait_for("nobody", timeout=3600),
}


@pytest.mark.parametrize("hosts", [0, 1])
@pytest.mark.parametrize("how", sorted(WAITS))
def test_a_thread_that_waits_is_told_when_the_node_closes(how: str, hosts: int) -> None:
    got: list[BaseException] = []
    waiting = threading.Event()

    def wait(node: Any) -> None:
        waiting.set()
        try:
            WAITS[how](node)
        except (CallExit, NodeError) as error:
            got.append(error)

    with foundation.start(apps.Home, hosts=hosts) as node:
        node.run(_start_one, "mine")
        thread = threading.Thread(target=wait, args=(node,), daemon=True)
        thread.start()
        waiting.wait()
        node.call("two", "value")
    thread.join(5)
    assert not thread.is_alive()
    assert len(got) == 1


def test_a_task_that_waits_is_told_when_the_node_closes() -> None:
    async def program() -> None:
        async with foundation.start(None, hosts=0) as node:
            await node.run(_start_one, "mine")
            call = asyncio.create_task(node.call("mine", "hang", timeout=None))
            run = asyncio.create_task(node.run(_sleep))
            await asyncio.sleep(0.01)
        for task in (call, run):
            with pytest.raises(CallExit):
                await asyncio.wait_for(task, 5)

    asyncio.run(program())


def test_a_closed_node_says_so() -> None:
    with foundation.start(apps.Home, hosts=0) as node:
        pass
    for use in (
        lambda: node.call("one", "value"),
        lambda: node.cast("one", 1),
        lambda: node.whereis("one"),
        lambda: node.run(_sleep),
    ):
        with pytest.raises(NodeError, match="closed"):
            use()


def test_calls_given_up_leave_nothing_behind() -> None:
    with foundation.start(apps.Home, hosts=1) as node:
        kernel = node.asynchronous.program.running.kernel
        for _ in range(3):
            with pytest.raises(CallTimeout):
                node.call("one", "hang", timeout=0.01)
        until(lambda: not any(peer.calls for peer in kernel.remote.peers.values()))
        assert node.call("one", "value") == 1
