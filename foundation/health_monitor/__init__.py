"""How the cluster does: metrics that are measured, a judgement with reasons, exporters.

Inside processes (from outside: ``node.run(cluster_health)``)::

    report = await cluster_health()
    report.status, report.reasons, report.recommendations
    report.metrics.message_latency_p99_us, report.metrics.registry_churn_rate

A server ``"foundation.health_monitor"`` on each node checks its node every 30 s (``Settings``) and
keeps the last 10 checks; the first member by name judges the cluster as often and tells the log
when its status has changed. Nothing is on the path of a message: the kernel counts by slices
and frames, and the rest is listened to or looked at.

``prometheus.exposition(metrics)`` is the text that Prometheus scrapes; ``otel`` needs
``foundation-otp[otel]``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from foundation.cluster.registry import DistributedRegistry
from foundation.health_monitor.server import HealthMonitor
from foundation.health_monitor.settings import REGISTRY, SERVER, Settings
from foundation.otp.child_spec import ChildSpec

if TYPE_CHECKING:
    from foundation.health_monitor.combining import Asked, churn_level, combine
    from foundation.health_monitor.functions import (
        check_connectivity,
        cluster_health,
        cluster_metrics,
        get_cluster_health,
        health_history,
    )
    from foundation.health_monitor.judging import judge
    from foundation.health_monitor.messages import (
        CheckConnectivity,
        History,
        JudgeCluster,
        Measure,
        MeasureCluster,
    )
    from foundation.health_monitor.prometheus import exposition
    from foundation.health_monitor.values import (
        ClusterMetrics,
        Connectivity,
        HealthReport,
        HostMetrics,
        Mailbox,
        NodeMetrics,
        NodeReport,
        ServiceMetrics,
    )

# The control host of each node imports this package when it starts, for ``specs`` alone; all else
# is imported when it is first asked for.
_LATER = {
    "combining": "Asked churn_level combine",
    "functions": (
        "check_connectivity cluster_health cluster_metrics get_cluster_health health_history"
    ),
    "judging": "judge",
    "messages": "CheckConnectivity History JudgeCluster Measure MeasureCluster",
    "prometheus": "exposition",
    "values": (
        "ClusterMetrics Connectivity HealthReport HostMetrics Mailbox NodeMetrics NodeReport "
        "ServiceMetrics"
    ),
}


def specs(settings: Settings | None = None) -> list[ChildSpec]:
    """Return the parts of a node: a registry for probe entries, and the server."""
    return [
        DistributedRegistry.spec(name=REGISTRY, keys="unique", on_conflict="message"),
        HealthMonitor.spec(settings),
    ]


def __getattr__(name: str) -> Any:
    for module, names in _LATER.items():
        if name in names.split():
            found = getattr(importlib.import_module(f"{__name__}.{module}"), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "REGISTRY",
    "SERVER",
    "Asked",
    "CheckConnectivity",
    "ClusterMetrics",
    "Connectivity",
    "HealthMonitor",
    "HealthReport",
    "History",
    "HostMetrics",
    "JudgeCluster",
    "Mailbox",
    "Measure",
    "MeasureCluster",
    "NodeMetrics",
    "NodeReport",
    "ServiceMetrics",
    "Settings",
    "check_connectivity",
    "churn_level",
    "cluster_health",
    "cluster_metrics",
    "combine",
    "exposition",
    "get_cluster_health",
    "health_history",
    "judge",
    "specs",
]
