"""The awaitable endpoint of an ordinary asyncio program."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from foundation.errors import TransportError
from foundation.transport import Outside
from tests.transport.actors import BytesFailing, DeadLetters, Echo, Watcher


def run(system: Any, main: Callable[[Outside], Awaitable[Any]]) -> Any:
    async def body() -> Any:
        async with Outside(system) as outside:
            return await main(outside)

    return asyncio.run(asyncio.wait_for(body(), 30))


def test_create_ask_tell(system: Any) -> None:
    async def main(outside: Outside) -> None:
        echo = await outside.create_actor(Echo)
        assert await outside.ask(echo, "hello", 5) == "hello"
        assert await outside.ask(echo, b"bytes", 5) == b"bytes"
        got: list[Any] = []
        outside.on_message = lambda message, sender: got.append((message, sender == echo))
        outside.tell(echo, "unsolicited")
        outside.tell(echo, ("forward", pickle.loads(pickle.dumps(outside.address)), 7))
        async with asyncio.timeout(5):
            while len(got) < 2:
                await asyncio.sleep(0.002)
        assert got == [("unsolicited", True), (7, True)]

    run(system, main)


def test_concurrent_asks_of_many_actors(system: Any) -> None:
    async def main(outside: Outside) -> None:
        echoes = await asyncio.gather(*(outside.create_actor(Echo) for _ in range(5)))
        asked = [outside.ask(e, (n, k), 10) for n in range(50) for k, e in enumerate(echoes)]
        answers = await asyncio.gather(*asked)
        assert answers == [(n, k) for n in range(50) for k in range(5)]

    run(system, main)


def test_ask_times_out(system: Any) -> None:
    async def main(outside: Outside) -> None:
        echo = await outside.create_actor(Echo)
        with pytest.raises(TimeoutError):
            await outside.ask(echo, "quiet", 0.05)
        assert await outside.ask(echo, "hello", 5) == "hello"

    run(system, main)


def test_ask_of_a_killed_actor_fails_at_once_and_loss_is_reported(system: Any) -> None:
    async def main(outside: Outside) -> None:
        echo = await outside.create_actor(Echo)
        pid = await outside.ask(echo, "pid", 5)
        lost: list[tuple[Any, float]] = []
        outside.on_lost = lambda address: lost.append((address, time.monotonic()))
        waiting = asyncio.create_task(outside.ask(echo, ("sleep", 20)))
        await asyncio.sleep(0.05)
        killed = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(TransportError, match="gone"):
            await waiting
        assert lost[0][0] == echo
        assert lost[0][1] - killed < 0.5
        with pytest.raises(TransportError, match="gone"):
            await outside.ask(echo, "anybody there?", 5)

    run(system, main)


def test_answer_of_a_failing_actor(system: Any) -> None:
    async def main(outside: Outside) -> None:
        failing = await outside.create_actor(BytesFailing)
        with pytest.raises(TransportError, match="on purpose"):
            await outside.ask(failing, b"boom", 5)

    run(system, main)


def test_unknown_class_is_refused_with_the_reason(system: Any) -> None:
    async def main(outside: Outside) -> None:
        with pytest.raises(TransportError, match="no_such_module"):
            await outside.create_actor("no_such_module.Actor")

    run(system, main)


def test_undeliverable_messages_reach_thespians_dead_letter_handler(system: Any) -> None:
    async def main(outside: Outside) -> None:
        letters = await outside.create_actor(DeadLetters)
        assert await outside.ask(letters, "start", 5) == "started"
        echo = await outside.create_actor(Echo)
        os.kill(await outside.ask(echo, "pid", 5), signal.SIGKILL)
        outside.tell(echo, "into the void")
        async with asyncio.timeout(5):
            while await outside.ask(letters, "letters", 5) != ["into the void"]:
                await asyncio.sleep(0.01)

    run(system, main)


def test_actors_hear_of_lost_peers(system: Any) -> None:
    async def main(outside: Outside) -> None:
        watcher, victim = await outside.create_actor(Watcher), await outside.create_actor(Echo)
        pid = await outside.ask(victim, "pid", 5)
        assert await outside.ask(watcher, ("watch", victim), 5) == "watching"
        # The watcher's own message has made the connection when the victim has counted it.
        async with asyncio.timeout(5):
            while await outside.ask(victim, "count", 5) < 3:
                await asyncio.sleep(0.005)
        got: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        outside.on_message = lambda message, sender: got.set_result(message)
        killed = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        word, address = await asyncio.wait_for(got, 5)
        assert word == "lost"
        assert address == victim
        assert time.monotonic() - killed < 0.5

    run(system, main)


def test_several_endpoints_in_one_program(system: Any) -> None:
    async def main(outside: Outside) -> None:
        echo = await outside.create_actor(Echo)
        async with Outside(system) as second, Outside(system) as third:
            answers = await asyncio.gather(
                outside.ask(echo, 1, 5), second.ask(echo, 2, 5), third.ask(echo, 3, 5)
            )
        assert answers == [1, 2, 3]

    run(system, main)


def test_system_gone(system: Any) -> None:
    async def main(outside: Outside) -> None:
        lost: list[Any] = []
        outside.on_lost = lost.append
        echo = await outside.create_actor(Echo)
        await asyncio.to_thread(system.shutdown)
        async with asyncio.timeout(5):
            while not lost:
                await asyncio.sleep(0.005)
        with pytest.raises(TransportError):
            await outside.ask(echo, 1, 5)

    run(system, main)
