"""The health monitor of a node: one server, in a worker host."""

from __future__ import annotations

from typing import Any

from foundation.cluster.api import cluster_of, subscribe
from foundation.cluster.registry import Registered, Updated
from foundation.cluster.registry import subscribe as subscribe_registry
from foundation.cluster.values import NodeDown, NodeUp, ViewChanged
from foundation.errors import ClusterError, FoundationError
from foundation.facade import FacadeServer
from foundation.health_monitor import functions
from foundation.health_monitor.judge import judge
from foundation.health_monitor.messages import PING, PONG, SEEN
from foundation.health_monitor.monitor import Monitor, monitor_of
from foundation.health_monitor.prober import probing
from foundation.health_monitor.values import HEALTHY, REGISTRY, SERVER, Settings
from foundation.kernel.ops import cast, current, me, send_after, spawn, spawn_link
from foundation.kernel.reports import Notice
from foundation.otp.child_spec import ChildSpec
from foundation.otp.results import NoReply

CHECK = "foundation.health_monitor.check"


class HealthMonitor(FacadeServer):
    """Measures its node now and then, and answers the messages of ``messages.py``.

    The functions of the package are here, too: ``await HealthMonitor.cluster_health()``.
    """

    cluster_metrics = staticmethod(functions.cluster_metrics)
    cluster_health = staticmethod(functions.cluster_health)
    get_cluster_health = staticmethod(functions.cluster_health)
    check_connectivity = staticmethod(functions.check_connectivity)

    def init(self, settings: Settings | None = None) -> Any:
        """Begin to listen and to count; the first check is ``settings.first`` later."""
        process = current()
        self.monitor = Monitor(cluster_of(process), settings or Settings())
        process.add_exit_hook(lambda process, reason: self.monitor.close())
        subscribe()
        return NoReply(continue_="begin")

    def handle_continue(self, argument: Any) -> None:
        """Begin to probe."""
        subscribe_registry(REGISTRY)
        spawn_link(probing, me())
        send_after(self.monitor.settings.first, me(), CHECK)

    def handle_call(self, request: Any, caller: Any) -> Any:
        """Answer a probe, or serve a request in a process of its own."""
        if request == PING:
            return PONG
        return super().handle_call(request, caller)

    def handle_cast(self, request: Any) -> Any:
        """Another node sees our probe entry."""
        match request:
            case ("seen", int(number), str(node)):
                self.monitor.seen(number, node)
                return None
        return super().handle_cast(request)

    def handle_info(self, message: Any) -> Any:
        """Note what has happened."""
        if isinstance(message, (Registered, Updated)):
            self._probe_seen(message)
        elif type(message) is NodeUp:
            self.monitor.node_up(message.node)
        elif type(message) is NodeDown:
            self.monitor.node_down(message.node, message.reason)
        elif type(message) is ViewChanged:
            self.monitor.view_changed()
        elif message == CHECK:
            send_after(self.monitor.settings.interval, me(), CHECK)
            spawn(_check)

    def _probe_seen(self, event: Registered | Updated) -> None:
        number, peers = event.value
        if self.monitor.cluster.node in peers:
            cast((SERVER, event.node), (SEEN, number, self.monitor.cluster.node))

    @classmethod
    def spec(cls, *args: Any, **options: Any) -> ChildSpec:
        """Return the child specification of the health monitor of a node."""
        return super().spec(*args, **{"name": SERVER, "host": "worker", **options})


async def _check() -> None:
    """Check this node; the first member by name also judges the cluster, and tells the log."""
    monitor = monitor_of(current().kernel)
    await monitor.check()
    cluster = monitor.cluster
    if cluster.view.names[:1] != (cluster.node,):
        monitor.judged = HEALTHY
        return
    try:
        report = judge(await functions.cluster_metrics())
    except (ClusterError, FoundationError, TimeoutError):
        return  # the cluster is changing; the next check follows
    if report.status != monitor.judged:
        level = "info" if report.status == HEALTHY else "warning"
        why = "; ".join(report.reasons) or "nothing is wrong"
        text = f"cluster {cluster.config.name!r} is {report.status}: {why}"
        cluster.kernel.driver.report(Notice(level, text, {"event": "health.check_completed"}))
        monitor.judged = report.status



