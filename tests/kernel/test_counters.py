"""What a kernel counts, by slices: messages that servers have taken, failed calls, crashes."""

from __future__ import annotations

from typing import Any

import pytest

from foundation.errors import CallTimeout, NoProc
from foundation.otp import GenServer, call, cast, send, sys
from foundation.testing.simulator import Simulation


class Server(GenServer):
    """Takes anything; crashes when told to."""

    def handle_call(self, request: Any, caller: Any) -> Any:
        if request == "crash":
            raise ValueError("told to")
        return request

    async def handle_cast(self, request: Any) -> None:
        if request == "crash":
            raise ValueError("told to")

    def handle_info(self, message: Any) -> None:
        """Take it."""


class Slow(GenServer):
    """Answers too late."""

    async def handle_call(self, request: Any, caller: Any) -> Any:
        import asyncio

        await asyncio.sleep(10.0)


def counted(body: Any, seed: int = 1) -> tuple[int, int, int]:
    """Return how many messages, failures and crashes the kernel has counted of *body*."""
    with Simulation(seed) as simulation:
        simulation.run(body)
        simulation.advance(1.0)
        kernel = simulation.main.kernel
        counts = kernel.counts
        return counts.messages_taken(kernel.slices), counts.calls_failed, counts.crashes


@pytest.mark.parametrize("seed", range(10))
def test_each_message_that_a_server_takes_is_counted_once(seed: int) -> None:
    async def body() -> None:
        server = await Server.start_link()
        for number in range(130):
            cast(server, number)
            send(server, number)
        for number in range(140):
            await call(server, number)

    assert counted(body, seed) == (400, 0, 0)


def test_under_debugging_they_are_counted_just_so() -> None:
    async def body() -> None:
        server = await Server.start_link()
        for number in range(30):
            cast(server, number)
        await sys.statistics(server, "on")
        for number in range(30):
            await call(server, number)
            cast(server, number)
        await sys.statistics(server, "off")
        await call(server, "last")

    messages, failed, crashes = counted(body)
    assert (messages - 91, failed, crashes) in {(0, 0, 0), (1, 0, 0), (2, 0, 0)}  # system requests


def test_messages_before_a_crash_are_counted_and_the_crash() -> None:
    async def body() -> None:
        server = await Server.start()
        for number in range(5):
            cast(server, number)
        cast(server, "crash")
        with pytest.raises(Exception, match="told to"):
            await call(server, "after")

    messages, failed, crashes = counted(body)
    assert (messages, failed, crashes) == (6, 1, 1)


def test_calls_that_fail_are_counted_whatever_the_reason() -> None:
    async def body() -> None:
        server = await Server.start()
        with pytest.raises(Exception, match="told to"):
            await call(server, "crash")
        with pytest.raises(NoProc):
            await call(server, "x")
        with pytest.raises(NoProc):
            await call("nobody", "x")
        slow = await Slow.start()
        with pytest.raises(CallTimeout):
            await call(slow, "x", timeout=0.5)

    assert counted(body)[1:] == (4, 1)


def test_orderly_ends_are_no_crashes() -> None:
    async def body() -> None:
        from foundation.otp import stop

        for reason in ("normal", "shutdown"):
            await stop(await Server.start(), reason)

    assert counted(body)[1:] == (0, 0)
