"""Several nodes on this machine, over TCP with a cookie: calls between nodes, forming, names."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import foundation
from benchmarks.harness import Effort
from benchmarks.hosts import CONCURRENT, Prober
from foundation.cluster import ClusterConfig, await_cluster
from foundation.cluster.discovery import Loopback
from foundation.otp import call
from foundation.runtime.node import AsyncNode

COOKIE = "a cookie for the benchmarks only"


@contextlib.asynccontextmanager
async def cluster(
    count: int, app: Any = None, **options: Any
) -> AsyncIterator[list[AsyncNode]]:
    """Start *count* nodes ``n1``, ``n2`` … of one worker host each; wait until all agree."""
    async with contextlib.AsyncExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        nodes = [
            await stack.enter_async_context(node(f"n{number}", directory, app, **options))
            for number in range(1, count + 1)
        ]
        for each in nodes:
            await each.run(await_cluster, count)
        yield nodes


def node(name: str, directory: str, app: Any = None, **options: Any) -> Any:
    """Return a node that finds the others by *directory*."""
    config = ClusterConfig(
        name=f"bench-{os.getpid()}", strategies=(Loopback(directory),), unix=False, **options
    )
    return foundation.start(
        app, name=name, hosts=1, cluster=config, cookie=COOKIE, log_level=logging.CRITICAL
    )


def on_cluster(
    body: Callable[[list[AsyncNode], Effort], Awaitable[float]], count: int = 3, app: Any = None
) -> Any:
    """Return the measurement that runs *body* with *count* nodes."""

    def measure(effort: Effort) -> float:
        async def main() -> float:
            async with cluster(count, app) as nodes:
                return await body(nodes, effort)

        return asyncio.run(main())

    return measure


async def _probe(concurrent: int, effort: Effort) -> float:
    prober = await Prober.start_link("n2/w1", host="w1")
    result: float = await call(prober, (concurrent, effort), timeout=60)
    return result


async def node_call(nodes: list[AsyncNode], effort: Effort) -> float:
    """One caller in a worker host, server in a worker host of another node."""
    return await nodes[0].run(_probe, 1, effort)


async def node_call_50(nodes: list[AsyncNode], effort: Effort) -> float:
    """Fifty concurrent callers in one worker host, server on another node."""
    return await nodes[0].run(_probe, CONCURRENT, effort)


def form(count: int) -> Any:
    """Return the measurement of forming: from the start of the last node to equal views, in s."""

    def measure(effort: Effort) -> float:
        times = [asyncio.run(_form(count)) for _ in range(min(3, effort.repetitions))]
        return statistics.median(times)

    return measure


async def _form(count: int) -> float:
    async with contextlib.AsyncExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        nodes = [
            await stack.enter_async_context(node(f"n{number}", directory))
            for number in range(1, count)
        ]
        for each in nodes:
            await each.run(await_cluster, count - 1)
        began = time.perf_counter()
        nodes.append(await stack.enter_async_context(node(f"n{count}", directory)))
        views = [(await each.run(await_cluster, count)).digest for each in nodes]
        took = time.perf_counter() - began
        if len(set(views)) != 1:
            raise RuntimeError("the views differ")
        return took
