"""What a node checks now and then; the first member by name judges the whole cluster."""

from __future__ import annotations

from foundation.errors import FoundationError
from foundation.health_monitor.functions import cluster_metrics
from foundation.health_monitor.judging import judge
from foundation.health_monitor.monitor import monitor_of
from foundation.health_monitor.values import HEALTHY
from foundation.kernel.ops import current
from foundation.kernel.reports import Notice
from foundation.scope.spans import note


async def check() -> None:
    """Check this node; the first member by name tells log and traces how the cluster does."""
    monitor = monitor_of(current().kernel)
    await monitor.check()
    cluster = monitor.cluster
    if cluster.view.names[:1] != (cluster.node,):
        monitor.judged = HEALTHY
        return
    try:
        report = judge(await cluster_metrics())
    except (FoundationError, TimeoutError):
        return  # the cluster is changing; the next check follows
    if report.status != monitor.judged:
        level = "info" if report.status == HEALTHY else "warning"
        why = "; ".join(report.reasons) or "nothing is wrong"
        text = f"cluster {cluster.config.name!r} is {report.status}: {why}"
        note(text)
        cluster.kernel.driver.report(Notice(level, text, {"event": "health.check_completed"}))
        monitor.judged = report.status
