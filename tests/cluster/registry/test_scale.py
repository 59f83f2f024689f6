"""Many names: they replicate, cost little to look up, and leave nothing behind."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from foundation.cluster import registry as reg
from foundation.kernel.ops import receive
from tests.cluster.registry.regsim import cluster, host_of, shown

NAMES = 10_000


async def _many(first: int, count: int) -> None:
    for start in range(first, first + count, 500):
        names = range(start, min(start + 500, first + count))
        await asyncio.gather(*(reg.register("names", ("user", n), n) for n in names))
    await receive()


def test_ten_thousand_names_replicate_and_leave_nothing_behind() -> None:
    with cluster(1, nodes=3) as c:
        empty = [_sizes(c, node) for node in c.nodes]
        share = NAMES // 2
        bodies = [c.spawn(node, _many, i * share, share) for i, node in enumerate("ab")]
        c.until(lambda: all(len(v) == NAMES for v in shown(c).values()), 60, step=0.2)
        assert len({tuple(sorted(v.items())) for v in shown(c).values()}) == 1
        for node in c.nodes:
            agent = host_of(c, node, "control").agent
            assert agent is not None
            assert agent.grants.unused == len(agent.claims) == 0
        for body in bodies:
            kernel = c.kernel(body.pid.host[0])  # type: ignore[union-attr]
            kernel.turn(kernel.die, kernel.procs[body.pid], "shutdown")
        c.advance(1.0)
        assert [_sizes(c, node) for node in c.nodes] == empty


def _sizes(c: Any, node: str) -> list[int]:
    """How much the registry keeps on a node."""
    sizes = []
    for label in c.nodes[node].hosts:
        host = host_of(c, node, label)
        index = host.by_name["names"]
        sizes += [len(index), len(index._records), len(index._by_pid), len(host._gone)]
        sizes += [len(index._contest), len(host._subscribers._by_topic)]  # type: ignore[attr-defined]
        sizes += [len(list(host.cluster.table("reg:names").items())), len(host.cluster._asked)]
        if host.agent is not None:
            agent = host.agent
            sizes += [len(agent._held), len(agent.claims), agent.grants.unused]
            sizes += [len(agent._probes), len(agent._contested)]
    return sizes


def test_a_look_up_costs_microseconds_on_a_node_that_does_not_own_the_name() -> None:
    async def measure() -> float:
        start = time.perf_counter()
        for n in range(20_000):
            reg.lookup("names", ("user", n % 100))
        return 20_000 / (time.perf_counter() - start)

    with cluster(2, nodes=2) as c:
        c.spawn("a", _many, 0, 100)
        c.advance(1.0)
        assert c.run("b", measure) > 100_000  # a dictionary read; 5 to 10 times that alone
