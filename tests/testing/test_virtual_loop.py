"""The event loop on virtual time."""

from __future__ import annotations

import asyncio
import math
import time

import pytest

from foundation.testing import Deadlock, Livelock, VirtualLoop


@pytest.fixture
def loop():
    made = VirtualLoop()
    yield made
    made.close()


def test_an_hour_passes_in_no_time(loop):
    async def body():
        start = time.monotonic()
        await asyncio.sleep(3600)
        return loop.time(), time.monotonic() - start

    virtual, real = loop.run_until_complete(body())
    assert virtual == pytest.approx(3600)
    assert real < 0.5


@pytest.mark.parametrize("years", [1, 1000, 10**7])
def test_the_far_future_is_reached(loop, years):
    async def body():
        await asyncio.sleep(years * 365.25 * 86400)
        for _ in range(10):
            await asyncio.sleep(0.1)
        async with asyncio.timeout(5):
            await asyncio.sleep(1)
        return loop.time()

    assert loop.run_until_complete(body()) >= years * 365.25 * 86400


def test_timeouts_locks_and_queues_of_asyncio_work(loop):
    async def body():
        queue = asyncio.Queue(1)

        async def produce():
            for n in range(5):
                await asyncio.sleep(n)
                await queue.put(n)

        async with asyncio.TaskGroup() as group:
            group.create_task(produce())
            got = [await queue.get() for _ in range(5)]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(queue.get(), 60)
        return got, loop.time()

    got, now = loop.run_until_complete(body())
    assert got == [0, 1, 2, 3, 4]
    assert now == pytest.approx(70)


def test_timers_fire_in_order_of_time_and_never_early(loop):
    fired = []
    for delay in (5.0, 0.5, 3.0, 0.25):
        loop.call_later(delay, lambda due: fired.append((due, loop.time())), delay)
    loop.run_until_complete(asyncio.sleep(10))
    assert [due for due, _ in fired] == [0.25, 0.5, 3.0, 5.0]
    assert all(now >= due for due, now in fired)


def test_nothing_left_to_happen_is_a_deadlock(loop):
    future = loop.create_future()
    with pytest.raises(Deadlock, match="no timer is pending"):
        loop.run_until_complete(future)


def test_threads_are_run_in_line(loop):
    async def body():
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 / 0)
        return await asyncio.to_thread(sum, [1, 2, 3])

    assert loop.run_until_complete(body()) == 6


def test_real_input_and_output_is_refused_with_advice(loop):
    async def body():
        with pytest.raises(NotImplementedError, match="give the code under test a fake"):
            await asyncio.open_connection("127.0.0.1", 1)

    loop.run_until_complete(body())


def test_no_timer_runs_early_whatever_is_ready():
    """A callback that finds itself early and waits again must not stop the clock."""
    loop = VirtualLoop(max_turns=1000)
    early = []
    due = 3.1813095861418095

    def tick():
        if loop.time() < due:
            early.append(loop.time())
            loop.call_soon(lambda: None)
            loop.call_at(due, tick)

    async def body():
        await asyncio.sleep(math.nextafter(due, 0))
        loop.call_at(due, tick)
        for _ in range(5):
            await asyncio.sleep(0)
        assert not early
        await asyncio.sleep(1)

    loop.run_until_complete(body())
    assert not early
    loop.close()


def test_time_that_stands_still_for_ever_is_an_error():
    loop = VirtualLoop(max_turns=1000)

    async def body():
        while True:
            await asyncio.sleep(0)

    task = loop.create_task(body())
    with pytest.raises(Livelock, match="1000 turns"):
        loop.run_until_complete(task)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()
