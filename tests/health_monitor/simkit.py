"""What the tests of health monitors in simulated clusters share."""

from __future__ import annotations

import asyncio
from typing import Any

from foundation import process_manager
from foundation.cluster.registry import DistributedRegistry
from foundation.entry import Facades
from foundation.health_monitor import (
    ClusterMetrics,
    HealthReport,
    cluster_health,
    cluster_metrics,
)
from foundation.otp import GenServer
from foundation.testing.cluster_sim import ClusterSimulation

SUPERVISOR = process_manager.SUPERVISOR


class Worker(GenServer):
    """Counts calls; crashes when told to."""

    def init(self) -> None:
        self.calls = 0

    def handle_call(self, request: Any, caller: Any) -> Any:
        if request == "crash":
            raise ValueError("told to")
        self.calls += 1
        return self.calls

    def handle_cast(self, request: Any) -> None:
        self.calls += 1


class Sleeper(GenServer):
    """Answers after the time that it is asked to."""

    async def handle_call(self, request: Any, caller: Any) -> None:
        await asyncio.sleep(request)


def monitored(seed: int = 1, **options: Any) -> ClusterSimulation:
    """Return a cluster that runs the facades and a registry ``"r"``."""
    app = [Facades.spec(id="facades", host="control"), DistributedRegistry.spec(name="r")]
    return ClusterSimulation(seed, app=app, **options)


def metrics(cluster: ClusterSimulation, node: str = "a") -> ClusterMetrics:
    return cluster.run(node, cluster_metrics)  # type: ignore[no-any-return]


def health(cluster: ClusterSimulation, node: str = "a") -> HealthReport:
    return cluster.run(node, cluster_health)  # type: ignore[no-any-return]
