"""The messages of the health monitor.

Send one to ``"foundation.health_monitor"`` of this node, or to ``("foundation.health_monitor",
node)`` of another; the reply is what the function of the package returns, or
``foundation.facade.Failed``. The call ``"ping"`` is answered at once by ``"pong"``.
"""

from __future__ import annotations

from dataclasses import dataclass

from foundation.facade import Request
from foundation.health_monitor.values import (
    ClusterMetrics,
    Connectivity,
    HealthReport,
    NodeReport,
)
from foundation.kernel.ops import current


@dataclass(frozen=True)
class Measure(Request[NodeReport]):
    """What this node measures of itself, now.

    Attributes:
        within: rates, latencies and the like are of the last so many seconds only; None: of
            ``Settings.window``.
    """

    within: float | None = None

    async def perform(self) -> NodeReport:
        """Measure."""
        from foundation.health_monitor.monitor import monitor_of

        return await monitor_of(current().kernel).report(self.within)


@dataclass(frozen=True)
class History(Request[list[NodeReport]]):
    """The latest checks of this node, the oldest first."""

    async def perform(self) -> list[NodeReport]:
        """Look."""
        from foundation.health_monitor.monitor import monitor_of

        return list(monitor_of(current().kernel).history)


@dataclass(frozen=True)
class MeasureCluster(Request[ClusterMetrics]):
    """``cluster_metrics``."""

    timeout: float = 5.0
    within: float | None = None

    async def perform(self) -> ClusterMetrics:
        """Measure."""
        from foundation.health_monitor import functions

        return await functions.cluster_metrics(self.timeout, within=self.within)


@dataclass(frozen=True)
class JudgeCluster(Request[HealthReport]):
    """``cluster_health``."""

    timeout: float = 5.0

    async def perform(self) -> HealthReport:
        """Judge."""
        from foundation.health_monitor import functions

        return await functions.cluster_health(self.timeout)


@dataclass(frozen=True)
class CheckConnectivity(Request[Connectivity]):
    """``check_connectivity``."""

    timeout: float = 5.0

    async def perform(self) -> Connectivity:
        """Ask."""
        from foundation.health_monitor import functions

        return await functions.check_connectivity(self.timeout)
