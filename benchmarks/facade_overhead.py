"""What a facade costs on top of its own direct path: look-up, broadcast, discovery."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks.harness import Effort
from benchmarks.servers import Counter
from foundation import channels, service_mesh
from foundation.cluster.pubsub import broadcast
from foundation.cluster.registry import lookup
from foundation.cluster.supervisor import whereis_child
from foundation.process_manager import SUPERVISOR, start_singleton
from foundation.process_manager import lookup as lookup_singleton
from foundation.runtime.node import AsyncNode

CALLS = 1000  # in one sample
ROUNDS = 200  # of one sample of each path, one after the other


def _sample(path: Callable[..., Any], args: tuple[Any, ...]) -> float:
    began = time.perf_counter()
    for _ in range(CALLS):
        path(*args)
    return time.perf_counter() - began


def _overhead(
    facade: tuple[Callable[..., Any], tuple[Any, ...]],
    direct: tuple[Callable[..., Any], tuple[Any, ...]],
    rounds: int,
) -> float:
    """Return by how many percent *facade* takes longer: the median of paired samples."""
    ratios = []
    for number in range(rounds):
        first, second = (facade, direct) if number % 2 else (direct, facade)
        times = {id(path): _sample(*path) for path in (first, second)}
        ratios.append(times[id(facade)] / times[id(direct)])
    return 100 * (statistics.median(ratios) - 1)


async def _measure(effort: Effort) -> float:
    rounds = effort.size(ROUNDS)
    name = "benchmarks.Counter"
    await start_singleton(Counter, name=name)
    await service_mesh.register(name)
    gc.collect()
    gc.disable()
    try:
        found = [
            _overhead((lookup_singleton, (name,)), (whereis_child, (SUPERVISOR, name)), rounds),
            _overhead(
                (service_mesh.discover_services, (name,)),
                (lookup, ("foundation.services", name)),
                rounds,
            ),
            _overhead(
                (channels.broadcast, ("events", 7)), (broadcast, ("foundation:events", 7)), rounds
            ),
        ]
    finally:
        gc.enable()
    return max(found)


async def facade_overhead(nodes: list[AsyncNode], effort: Effort) -> float:
    """The largest of three overheads, in percent: singleton look-up, discovery, broadcast.

    The direct path of discovery is the bare look-up of the registry, which is less than what the
    facade's docstring gives as its equivalent.
    """
    return await nodes[0].run(_measure, effort)
