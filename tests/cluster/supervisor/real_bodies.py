"""What runs in the nodes of ``test_real.py``."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from foundation.cluster.supervisor import (
    DistributedSupervisor,
    count_children,
    start_child,
    whereis_child,
    which_children,
)
from foundation.otp import GenServer, call


class Job(GenServer):
    """Counts, and moves with its count."""

    def init(self, n: int = 0) -> None:
        self.n = 0

    def handle_call(self, request: Any, caller: Any) -> Any:
        self.n += 1
        return self.n

    def export_state(self) -> Any:
        return self.n

    def import_state(self, state: Any) -> None:
        self.n = state


def application() -> Any:
    """Return the application of each node."""
    return [DistributedSupervisor.spec(name="jobs")]


async def start_many(count: int, first: int = 0) -> float:
    """Start so many children one after the other; return how long that took."""
    begin = time.monotonic()
    for number in range(first, first + count):
        await start_child("jobs", Job.spec(number), id=number)
    return time.monotonic() - begin


async def start_at_once(count: int, first: int = 0, at_once: int = 50) -> float:
    """Start so many children, some at a time, from one process."""
    begin = time.monotonic()
    numbers = iter(range(first, first + count))

    async def some() -> None:
        for number in numbers:
            await start_child("jobs", Job.spec(number), id=number, timeout=30)

    await asyncio.gather(*(some() for _ in range(at_once)))
    return time.monotonic() - begin


async def count_up(count: int) -> list[int]:
    """Call each of so many children, wherever they are now."""
    return [await call(whereis_child("jobs", number), "next") for number in range(count)]


async def counts() -> dict[str, int]:
    """Return ``count_children``."""
    return count_children("jobs")


async def states() -> list[Any]:
    """Return ``which_children``."""
    return which_children("jobs")


async def all_run_at(count: int, without: str, timeout: float) -> float:
    """Wait until *count* children run, none of them on *without*; return when."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        running = [s for s in which_children("jobs") if s.status == "running"]
        if len(running) == count and all(s.node != without for s in running):
            return time.monotonic()
        await asyncio.sleep(0.005)
    raise TimeoutError(f"{len(running)} of {count} run")
