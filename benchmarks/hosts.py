"""Across hosts: calls from worker to worker and from the embedding program, a killed host."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import foundation
from benchmarks.harness import Effort, async_rate, rate
from benchmarks.servers import Counter, Crowd
from foundation.otp import DynamicSupervisor, GenServer, call, monitor, receive, spawn
from foundation.runtime.node import AsyncNode

CONCURRENT = 50
POLL = 0.001  # seconds between two looks whether a server answers again


def on_two_hosts(**options: Any) -> Any:
    """Return the node that these benchmarks run on."""
    return foundation.start(hosts=2, log_level=logging.CRITICAL, **options)


def on_node(body: Callable[[AsyncNode, Effort], Awaitable[float]]) -> Any:
    """Return the measurement that runs *body* with an ``AsyncNode``."""

    def measure(effort: Effort) -> float:
        async def main() -> float:
            async with on_two_hosts() as node:
                return await body(node, effort)

        return asyncio.run(main())

    return measure


# From worker to worker


class Prober(GenServer):
    """Lives in one worker host and measures calls to a server in another."""

    async def init(self, host: str = "w2") -> None:
        """Start the server; w1 may have heard of *host* a little later than the program has."""
        while True:
            try:
                self.server = await Counter.start_link(host=host)
                return
            except foundation.StartError:
                await asyncio.sleep(0.01)

    async def handle_call(self, request: Any, caller: Any) -> float:
        """Measure with *request* concurrent callers."""
        concurrent, effort = request

        async def one(size: int) -> None:
            for _ in range(size):
                await call(self.server, "next")

        async def many(size: int) -> None:
            refs = {monitor(spawn(one, size // concurrent + 1)) for _ in range(concurrent)}
            while refs:
                down = await receive(lambda m: getattr(m, "ref", None) in refs)
                refs.discard(down.ref)

        return await async_rate(one if concurrent == 1 else many, effort, start=concurrent)


class Inside(GenServer):
    """Runs a measurement in the host it lives in."""

    async def handle_call(self, request: Any, caller: Any) -> float:
        """Run ``body(effort)``."""
        body, effort = request
        result: float = await body(effort)
        return result


def in_worker(body: Callable[[Effort], Awaitable[float]]) -> Any:
    """Return the measurement that runs *body*, a function of a module, in a worker host."""

    async def measure(effort: Effort) -> float:
        inside = await Inside.start(host="w1")
        result: float = await call(inside, (body, effort), timeout=60)
        return result

    return on_node(lambda node, effort: node.run(measure, effort))


async def _probe(concurrent: int, effort: Effort) -> float:
    prober = await Prober.start_link(host="w1")
    result: float = await call(prober, (concurrent, effort), timeout=60)
    return result


async def cross_host_call(node: AsyncNode, effort: Effort) -> float:
    """One caller, server in another worker host."""
    return await node.run(_probe, 1, effort)


async def cross_host_call_50(node: AsyncNode, effort: Effort) -> float:
    """Fifty concurrent callers in one worker host, server in another."""
    return await node.run(_probe, CONCURRENT, effort)


# From the embedding program


async def _start_in_worker() -> Any:
    return await Counter.start(host="w1")


def embedded_call(effort: Effort) -> float:
    """A blocking program calls a server in a worker host."""
    with on_two_hosts() as node:
        server = node.run(_start_in_worker)

        def batch(size: int) -> None:
            for _ in range(size):
                node.call(server, "next")

        return rate(batch, effort)


async def embedded_call_50(node: AsyncNode, effort: Effort) -> float:
    """Fifty asyncio tasks of a program call a server in a worker host."""
    server = await node.run(_start_in_worker)

    async def one(size: int) -> None:
        for _ in range(size):
            await node.call(server, "next")

    async def batch(size: int) -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(CONCURRENT):
                tasks.create_task(one(size // CONCURRENT + 1))

    return await async_rate(batch, effort, start=CONCURRENT)


# A killed host


async def host_kill_recovery(node: AsyncNode, effort: Effort) -> float:
    """From SIGKILL of a worker host until each of 1,000 spread servers answers, in ms."""
    return statistics.median(
        [await node.run(_kill_and_recover, node, effort) for _ in range(min(3, effort.repetitions))]
    )


async def _kill_and_recover(node: AsyncNode, effort: Effort) -> float:
    crowd = await Crowd.start_link()  # in this program, which survives
    names = [f"server-{number}" for number in range(effort.size(1000))]
    for name in names:
        spec = Counter.spec(name=name, host="spread")
        await DynamicSupervisor.start_child(crowd, spec)
    victim = node.hosts()[f"{node.name}/w1"]
    began = time.perf_counter()
    os.kill(victim, signal.SIGKILL)
    async with asyncio.TaskGroup() as clients:
        for first in range(CONCURRENT):
            clients.create_task(_until_all_answer(names[first::CONCURRENT]))
    milliseconds = (time.perf_counter() - began) * 1000
    while victim in node.hosts().values() or len(node.hosts()) < 3:
        await asyncio.sleep(0.01)
    return milliseconds


async def _until_all_answer(names: list[str]) -> None:
    for name in names:
        while True:
            try:
                await call(name, "next")
                break
            except foundation.CallExit:  # killed under way, or not restarted yet
                await asyncio.sleep(POLL)
