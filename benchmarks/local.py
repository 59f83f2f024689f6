"""Within one host: calls, casts, look-ups, starts, memory, restarts."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import foundation
from benchmarks.harness import Effort, async_rate
from benchmarks.servers import Counter, Crowd, Patient, Relay
from foundation.otp import DynamicSupervisor, Registry, call, cast, registry, stop

CASTS = 1000  # between two calls that wait until they have been handled


def in_process(body: Callable[[Effort], Awaitable[float]], app: Any = None) -> Any:
    """Return the measurement that runs *body* as a process of a node without other hosts."""

    def measure(effort: Effort) -> float:
        async def main() -> float:
            async with foundation.start(app, hosts=0, log_level=logging.CRITICAL) as node:
                return await node.run(body, effort)

        return asyncio.run(main())

    return measure


async def local_call(effort: Effort) -> float:
    """One process calls a ``def handle_call`` server in its host."""
    server = await Counter.start_link()

    async def batch(size: int) -> None:
        for _ in range(size):
            await call(server, "next")

    return await async_rate(batch, effort)


async def local_call_async(effort: Effort) -> float:
    """One process calls an ``async def handle_call`` server that calls a second one."""
    server = await Relay.start_link()

    async def batch(size: int) -> None:
        for _ in range(size):
            await call(server, "next")

    return await async_rate(batch, effort)


async def local_cast(effort: Effort) -> float:
    """One process casts to a server in its host; counted when handled."""
    server = await Counter.start_link()

    async def batch(size: int) -> None:
        for _ in range(size // CASTS):
            for _ in range(CASTS):
                cast(server, "next")
            await call(server, "next")

    return await async_rate(batch, effort, start=CASTS)


async def registry_lookup(effort: Effort) -> float:
    """Look up a key of a registry that has a thousand."""
    await Registry.start_link(name="bench")
    for number in range(1000):
        await registry.register("bench", number)

    async def batch(size: int) -> None:
        for _ in range(size // 1000):
            for number in range(1000):
                registry.lookup("bench", number)

    return await async_rate(batch, effort, start=1000)


async def spawn(effort: Effort) -> float:
    """Start servers under a DynamicSupervisor, one after the other, within a worker host."""
    rates: list[float] = []
    size = effort.size(10_000)
    spec = Counter.spec(1)
    for _ in range(effort.repetitions + 1):
        crowd = await Crowd.start_link()
        gc.collect()
        began = time.perf_counter()
        for _ in range(size):
            await DynamicSupervisor.start_child(crowd, spec)
        rates.append(size / (time.perf_counter() - began))
        await stop(crowd)
    return statistics.median(rates[1:])


async def memory_per_process(effort: Effort) -> float:
    """Growth of resident memory for each idle server under a DynamicSupervisor, in bytes."""
    size = effort.size(100_000)
    crowd = await Crowd.start_link()
    spec = Counter.spec(1)
    for _ in range(100):
        await DynamicSupervisor.start_child(crowd, spec)
    gc.collect()
    before = resident_bytes()
    for _ in range(size):
        await DynamicSupervisor.start_child(crowd, spec)
    gc.collect()
    return (resident_bytes() - before) / size


def resident_bytes() -> int:
    """Return the resident memory of this interpreter."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def restart_latency(effort: Effort) -> float:
    """From the crash of a supervised named server to the answer of its replacement, in ms."""
    latencies: list[float] = []
    await Patient.start_link()
    for _ in range(effort.size(300)):
        began = time.perf_counter()
        cast("crasher", "crash")
        while True:
            try:
                await call("crasher", "next")
                break
            except foundation.CallExit:
                await asyncio.sleep(0)
        latencies.append((time.perf_counter() - began) * 1000)
    return statistics.median(latencies)
