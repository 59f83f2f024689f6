"""Timers that were cancelled, and those of dead processes, do not stay."""

from __future__ import annotations

import asyncio

from foundation.errors import CallTimeout
from foundation.kernel.ops import current, me, receive, send_after, spawn_monitor
from foundation.testing import simulate


def test_cancelled_timers_leave_the_heap():
    async def body():
        heap = current().kernel.timers._heap
        for _ in range(10_000):
            assert send_after(3600, me(), "never").cancel()
        assert len(heap) < 3000
        kept = send_after(0.5, me(), "kept")
        for _ in range(5000):
            send_after(3600, me(), "never").cancel()
        assert await receive(timeout=1) == "kept"
        assert kept.cancel() is False

    simulate(body)


def test_dead_processes_leave_the_heap():
    async def waits():
        try:
            await receive(timeout=3600)
        except CallTimeout:
            raise AssertionError from None

    async def body():
        kernel = current().kernel
        for _ in range(5000):
            pid, ref = spawn_monitor(waits)
            await asyncio.sleep(0)
            kernel.signals.signal(kernel.outside, pid, "kill")
            await receive(lambda m, ref=ref: m.ref == ref)
        assert len(kernel.timers._heap) < 3000

    simulate(body)
