"""The xoscar baselines; imported only when xoscar is installed."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import xoscar

from benchmarks.harness import Effort, async_rate


class Counter(xoscar.StatelessActor):  # type: ignore[misc]
    """Counts what it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    async def next(self) -> int:
        """Count."""
        self.count += 1
        return self.count


class Prober(xoscar.StatelessActor):  # type: ignore[misc]
    """Calls a counter as often as it is told."""

    def __init__(self, counter: Any) -> None:
        super().__init__()
        self.counter = counter

    async def call(self, size: int) -> None:
        """Call *size* times, one after the other."""
        for _ in range(size):
            await self.counter.next()


async def _measure(effort: Effort, same_process: bool, concurrent: int) -> float:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    pool = await xoscar.create_actor_pool(address, n_process=2)
    async with pool:
        places = [
            await xoscar.create_actor(
                Counter, address=address, allocate_strategy=xoscar.allocate_strategy.ProcessIndex(i)
            )
            for i in (1, 1 if same_process else 2)
        ]
        prober = await xoscar.create_actor(
            Prober,
            places[1],
            address=address,
            allocate_strategy=xoscar.allocate_strategy.ProcessIndex(1),
        )

        async def batch(size: int) -> None:
            share = size // concurrent + 1
            await asyncio.gather(*(prober.call(share) for _ in range(concurrent)))

        return await async_rate(batch, effort, start=concurrent)


async def local(effort: Effort) -> float:
    """Between two actors of one process."""
    return await _measure(effort, same_process=True, concurrent=1)


async def cross(effort: Effort) -> float:
    """Between two actors of two processes."""
    return await _measure(effort, same_process=False, concurrent=1)


async def cross_50(effort: Effort) -> float:
    """The same by fifty callers at once."""
    return await _measure(effort, same_process=False, concurrent=50)
