"""What the tests of optimizers in simulated clusters share."""

from __future__ import annotations

import asyncio
from typing import Any

from foundation import process_manager
from foundation.cluster.registry import DistributedRegistry, register, unregister
from foundation.entry import Facades
from foundation.optimizer import SINGLETON, history
from foundation.otp import me
from foundation.testing.cluster_sim import ClusterSimulation

USUAL, SHORT = 0.003, 0.00075


def optimized(seed: int = 1, **how: Any) -> ClusterSimulation:
    """Return a cluster that runs the facades and a registry ``"r"``."""
    app = [Facades.spec(id="facades", host="control"), DistributedRegistry.spec(name="r")]
    return ClusterSimulation(seed, app=app, **how)


async def churn() -> None:
    """Change a registry twice a second, for ever."""
    while True:
        await register("r", me())
        await asyncio.sleep(0.5)
        await unregister("r", me())
        await asyncio.sleep(0.5)


def node_of(pid: Any) -> str:
    return str(pid.host).partition("/")[0]


def started(cluster: ClusterSimulation, node: str = "a") -> Any:
    """Wait until the optimizer runs; return its pid."""
    cluster.form()
    return cluster.run(node, lambda: process_manager.wait_for(SINGLETON))


def hold_backs(cluster: ClusterSimulation) -> dict[str, float]:
    return {node.name: node.agent.hosts.hold_back for node in cluster.live()}


def outcomes(cluster: ClusterSimulation, node: str = "a") -> list[str]:
    found = cluster.run(node, history)
    return [one.outcome for one in found if one.rule == "registry_hold_back"]
