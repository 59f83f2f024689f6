"""What uses configuration inside the nodes."""

from __future__ import annotations

import time
from typing import Any

from foundation import config
from foundation.config.messages import Status
from foundation.config.names import SERVER
from foundation.otp import call

PATH = "limits.rate"


def _positive(rate: int) -> bool:
    return rate > 0


async def declare() -> None:
    """Declare ``PATH``."""
    await config.declare(PATH, int, 100, validator=_positive)


async def share(value: int, timeout: float = 5.0) -> Any:
    """Set ``PATH`` cluster-wide; return the version, or the name of the error."""
    try:
        return await config.set_cluster_wide(PATH, value, timeout=timeout)
    except config.ConfigError as error:
        return type(error).__name__


async def value() -> Any:
    """Return what ``PATH`` has here."""
    return config.get(PATH)


async def agreed() -> Any:
    """Return what a majority agrees on."""
    return await config.get(PATH, consistency="quorum")


async def status() -> config.ConfigStatus:
    """Return the state of the server."""
    return await config.status()


async def figures(count: int, other: str) -> tuple[float, float, float]:
    """Return how many a second: reads, cluster-wide writes, calls to the server of *other*."""
    start = time.perf_counter()
    for _ in range(100 * count):
        config.get(PATH)
    reads = 100 * count / (time.perf_counter() - start)
    start = time.perf_counter()
    for number in range(count):
        await config.set_cluster_wide(PATH, number + 1)
    writes = count / (time.perf_counter() - start)
    start = time.perf_counter()
    for _ in range(count):
        await call((SERVER, other), Status())
    return reads, writes, count / (time.perf_counter() - start)
