"""A callback whose server is ended while it awaits asyncio code: cleaned up, nothing left."""

from __future__ import annotations

import asyncio
import contextlib
import gc

import pytest

from foundation.otp import ExitMsg, GenServer, call, cast, exit, me, receive, send, trap_exit
from foundation.testing import eventually


class Worker(GenServer):
    """Does what it is told to; says when it has begun, when it ends, and what was cleaned up."""

    def init(self, log):
        self.log = log
        trap_exit()

    async def handle_cast(self, work):
        send(self.log, "begun")
        await work(self.log)

    def handle_call(self, request, caller):
        return request

    async def terminate(self, reason):
        async with asyncio.timeout(5):
            await asyncio.sleep(0)
        send(self.log, ("terminate", reason))


async def for_ever(log):
    try:
        await asyncio.sleep(3600)
    finally:
        send(log, "cleaned up")


@contextlib.asynccontextmanager
async def session(log):
    try:
        yield
    finally:
        await asyncio.sleep(0.001)  # says goodbye
        send(log, "cleaned up")


async def waiting_for(log):
    await asyncio.wait_for(for_ever(log), 1800)


async def in_a_group(log):
    async with asyncio.TaskGroup() as group:
        group.create_task(for_ever(log))


async def in_a_group_itself(log):
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(1800))
        await for_ever(log)


async def gathering(log):
    await asyncio.gather(for_ever(log), asyncio.sleep(1800))


async def in_a_session(log):
    async with session(log), asyncio.timeout(1800):
        await asyncio.sleep(3600)


async def in_a_generator(log):
    async def numbers():
        async with session(log):
            while True:
                await asyncio.sleep(0.001)
                yield 1

    async for _ in numbers():
        pass


async def on_a_condition(log):
    condition = asyncio.Condition()
    async with session(log), condition:
        await condition.wait()


async def saying_goodbye(log):
    other = await Worker.start(log)
    try:
        await asyncio.sleep(3600)
    finally:
        async with asyncio.timeout(5):
            assert await call(other, "bye") == "bye"
        exit(other, "kill")
        send(log, "cleaned up")


async def with_a_limit(log):
    try:
        await asyncio.sleep(3600)
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.002):
                await asyncio.sleep(3600)
        send(log, "cleaned up")


WORK = [
    for_ever,
    waiting_for,
    in_a_group,
    in_a_group_itself,
    gathering,
    in_a_session,
    in_a_generator,
    on_a_condition,
    saying_goodbye,
    with_a_limit,
]


@pytest.mark.parametrize("reason", ["kill", "shutdown"])
@pytest.mark.parametrize("work", WORK)
def test_gs_python_asyncio_code_of_an_ended_server_cleans_up(run, work, reason):
    async def body():
        trap_exit()
        server = await Worker.start_link(me())
        cast(server, work)
        assert await receive() == "begun"
        await asyncio.sleep(0.005)
        exit(server, reason)  # "shutdown" of its parent: it traps, so terminate follows
        got = [await receive(timeout=5) for _ in range(2 if reason == "kill" else 3)]
        assert "cleaned up" in got
        assert (("terminate", "shutdown") in got) == (reason == "shutdown")
        assert ExitMsg(server, "killed" if reason == "kill" else reason) in got
        gc.collect()

    run(body)
    gc.collect()  # asyncio complains of tasks and futures that nobody looked at
    assert run.reports == []


def test_gs_python_a_clean_up_that_does_not_end_is_abandoned(simulation):
    async def obstinate(log):
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)

    async def body():
        trap_exit()
        server = await Worker.start_link(me())
        cast(server, obstinate)
        assert await receive() == "begun"
        await asyncio.sleep(0.005)
        exit(server, "kill")
        await receive(timeout=1)
        await eventually(lambda: simulation.leftovers()[1:] == [], timeout=10)

    simulation.run(body)
    assert simulation.settle() == []
    (notice,) = simulation.reports
    assert "has not cleaned up within 5.0 s" in notice.text
