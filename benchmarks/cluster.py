"""Several nodes on this machine, over TCP with a cookie: calls, forming, names, work, topics."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import foundation
from benchmarks.cluster_app import JOBS, NAMES, TOPIC, App, Subscriber, node
from benchmarks.harness import Effort, async_rate
from benchmarks.hosts import CONCURRENT, Prober
from benchmarks.servers import Counter
from foundation.cluster import await_cluster, chaos
from foundation.cluster.pubsub import broadcast, nodes_interested
from foundation.cluster.registry import lookup, register
from foundation.cluster.supervisor import start_child, which_children
from foundation.otp import call, receive
from foundation.runtime.node import AsyncNode
from foundation.testing.cluster_sim import ClusterSimulation

CHILDREN = 2000
SUBSCRIBERS = 100
POLL = 0.005  # seconds between looks
OnNodes = Callable[[list[AsyncNode], Effort], Awaitable[float]]


@contextlib.asynccontextmanager
async def cluster(
    count: int, app: Any = None, **options: Any
) -> AsyncIterator[list[AsyncNode]]:
    """Start *count* nodes ``n1``, ``n2`` … of one worker host each; wait until all agree."""
    async with contextlib.AsyncExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        name = f"bench-{os.getpid()}"
        nodes = [
            await stack.enter_async_context(node(f"n{number}", name, directory, app, **options))
            for number in range(1, count + 1)
        ]
        for each in nodes:
            await each.run(await_cluster, count)
        yield nodes


def on_cluster(
    body: OnNodes,
    count: int = 3,
    app: Any = None,
    **options: Any,
) -> Any:
    """Return the measurement that runs *body* with *count* nodes."""

    def measure(effort: Effort) -> float:
        async def main() -> float:
            async with cluster(count, app, **options) as nodes:
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
        name = f"bench-{os.getpid()}"
        nodes = [
            await stack.enter_async_context(node(f"n{number}", name, directory))
            for number in range(1, count)
        ]
        for each in nodes:
            await each.run(await_cluster, count - 1)
        began = time.perf_counter()
        nodes.append(await stack.enter_async_context(node(f"n{count}", name, directory)))
        views = [(await each.run(await_cluster, count)).digest for each in nodes]
        took = time.perf_counter() - began
        if len(set(views)) != 1:
            raise RuntimeError("the views differ")
        return took


# Names


def cluster_register(under_way: int) -> OnNodes:
    """Return the measurement of one process that claims unique names, so many at a time."""
    return one_caller(under_way, lambda number: register(NAMES, number))


def one_caller(under_way: int, act: Callable[[int], Awaitable[Any]]) -> OnNodes:
    """Return the measurement of *act*, called with 1, 2, … by one process, so many at a time."""

    async def body(nodes: list[AsyncNode], effort: Effort) -> float:
        numbers = itertools.count(1)

        async def some(size: int) -> None:
            for _ in range(size):
                await act(next(numbers))

        async def batch(size: int) -> None:
            if under_way == 1:
                await some(size)
            else:
                share = size // under_way + 1
                await asyncio.gather(*(some(share) for _ in range(under_way)))

        async def measure() -> float:
            await some(1)  # a node that has just started waits before it starts children
            return await async_rate(batch, effort, start=4 * under_way)

        return await nodes[0].run(measure)

    return body


async def cluster_lookup(nodes: list[AsyncNode], effort: Effort) -> float:
    """Look-ups of a name that a process of another node holds."""

    async def hold() -> None:
        await register(NAMES, "there")
        await receive(lambda m: False)

    holder = asyncio.ensure_future(nodes[1].run(hold))

    async def look(size: int) -> None:
        for _ in range(size):
            lookup(NAMES, "there")

    async def measure() -> float:
        while not lookup(NAMES, "there"):
            await asyncio.sleep(POLL)
        return await async_rate(look, effort)

    try:
        return await nodes[0].run(measure)
    finally:
        holder.cancel()
        await asyncio.wait([holder])


# Work


def cluster_start_child(under_way: int) -> OnNodes:
    """Return the measurement of one process that has children started, so many at a time."""
    return one_caller(under_way, lambda n: start_child(JOBS, Counter.spec(), id=n, timeout=30))


async def _start_children(count: int) -> None:
    async def some(first: int) -> None:
        for number in range(first, count, CONCURRENT):
            await start_child(JOBS, Counter.spec(), id=number, timeout=30)

    await asyncio.gather(*(some(first) for first in range(CONCURRENT)))


async def _until_all_run(count: int, nodes: tuple[str, ...]) -> None:
    while True:
        states = which_children(JOBS)
        if sum(s.status == "running" and s.node in nodes for s in states) == count:
            return
        await asyncio.sleep(POLL)


async def _until_shared(count: int) -> None:
    """Wait until all run and the third node has a share of them (again)."""
    while not any(state.node == "n3" for state in which_children(JOBS)):
        await asyncio.sleep(POLL)
    await _until_all_run(count, ("n1", "n2", "n3"))


def failover_kill(effort: Effort) -> float:
    """From kill -9 of one of three nodes until all of 2,000 children run again, in ms."""
    return statistics.median(
        [asyncio.run(_failover_kill(effort)) for _ in range(min(3, effort.repetitions))]
    )


async def _failover_kill(effort: Effort) -> float:
    count, name = effort.size(CHILDREN), f"bench-{os.getpid()}"
    with tempfile.TemporaryDirectory() as directory, _program("n3", name, directory) as victim:
        async with (
            node("n1", name, directory, App, expected_size=3) as first,
            node("n2", name, directory, App, expected_size=3),
        ):
            await first.run(await_cluster, 3)
            await first.run(_start_children, count)
            await first.run(_until_all_run, count, ("n1", "n2", "n3"))
            began = time.perf_counter()
            os.kill(victim, signal.SIGKILL)
            await first.run(_until_all_run, count, ("n1", "n2"))
            return (time.perf_counter() - began) * 1000


@contextlib.contextmanager
def _program(name: str, cluster: str, directory: str) -> Iterator[int]:
    """Run a node in a program of its own; its process id."""
    command = [sys.executable, "-m", "benchmarks.cluster_app", name, cluster, directory]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as program:
        try:
            yield program.pid
        finally:
            program.kill()


async def failover_silent(nodes: list[AsyncNode], effort: Effort) -> float:
    """From cutting a node off, without a reset, until all its children run elsewhere, in s."""
    count = effort.size(300)
    await nodes[0].run(_start_children, count)
    times = []
    for _ in range(min(3, effort.repetitions)):
        await nodes[0].run(_until_shared, count)
        began = time.perf_counter()
        await nodes[2].run(chaos.cut_off, "n1", "n2")
        await nodes[0].run(_until_all_run, count, ("n1", "n2"))
        times.append(time.perf_counter() - began)
        await nodes[2].run(chaos.heal)
        for each in nodes:
            await each.run(await_cluster, 3)
    return statistics.median(times)


# Topics


async def _start_subscribers(count: int) -> list[Any]:
    return [await Subscriber.start() for _ in range(count)]


def pubsub_local(effort: Effort) -> float:
    """Deliveries to 100 subscribers in the publisher's host, all handled."""

    async def measure() -> float:
        servers = await _start_subscribers(SUBSCRIBERS)

        async def publish(size: int) -> None:
            for _ in range(max(1, size // 10)):
                for _ in range(10):
                    broadcast(TOPIC, "news")
                await call(servers[-1], "heard", timeout=60)

        return SUBSCRIBERS * await async_rate(publish, effort)

    async def main() -> float:
        async with foundation.start(hosts=0) as alone:
            return await alone.run(measure)

    return asyncio.run(main())


async def pubsub_cluster(nodes: list[AsyncNode], effort: Effort) -> float:
    """Broadcasts to 100 subscribers on each of three nodes, all handled."""
    servers = [await each.run(_start_subscribers, SUBSCRIBERS) for each in nodes]
    last = [some[-1] for some in servers]

    async def publish(size: int) -> None:
        for _ in range(max(1, size // 100)):
            for _ in range(100):
                broadcast(TOPIC, "news")
            for server in last:
                await call(server, "heard", timeout=60)

    async def measure() -> float:
        while len(nodes_interested(TOPIC)) < len(nodes):
            await asyncio.sleep(POLL)
        return await async_rate(publish, effort, start=100)

    return await nodes[0].run(measure)


# Membership


def membership_bytes(count: int) -> Callable[[Effort], float]:
    """Return the measurement of what one idle node of *count* says in a second, simulated."""

    def measure(effort: Effort) -> float:
        with ClusterSimulation(1, nodes=count) as simulated:
            simulated.form()
            simulated.advance(5)
            simulated.network.bytes.clear()
            seconds = 20
            simulated.advance(seconds)
            return sum(simulated.network.bytes.values()) / count / seconds

    return measure
