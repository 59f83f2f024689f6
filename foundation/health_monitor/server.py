"""The health monitor of a node: one server, in a worker host.

What it needs is imported a moment after the start of the node, and where it is needed only: that
takes longer than all else that a node does to start.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from foundation.cluster.api import cluster_of, subscribe
from foundation.cluster.values import NodeDown, NodeUp, ViewChanged
from foundation.facade import FacadeServer
from foundation.health_monitor.settings import SERVER, Settings
from foundation.kernel.ops import cast, current, me, send_after, spawn, spawn_link
from foundation.otp.child_spec import ChildSpec

if TYPE_CHECKING:
    from foundation.health_monitor.monitor import Monitor

BEGIN_SECONDS = 0.25  # after the start, or earlier when something is asked
BEGIN, CHECK = "foundation.health_monitor.begin", "foundation.health_monitor.check"
PING = "ping"  # plain, as is the answer: what is measured is not the encoding of a class
SEEN = "seen"  # cast ("seen", number, node): the host of the sender shows the probe entry *number*


def pong() -> float:
    """Return the answer to ``PING``: what the wall clock shows here, for ``clock_skew_seconds``."""
    return float(current().kernel.driver.wall())


class _Function:
    """A function of the package as an attribute of the class."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        return getattr(importlib.import_module("foundation.health_monitor"), self._name)


class HealthMonitor(FacadeServer):
    """Measures its node now and then, and answers the messages of ``messages.py``.

    The functions of the package are here, too: ``await HealthMonitor.cluster_health()``.
    """

    cluster_metrics = _Function()
    cluster_health = _Function()
    get_cluster_health = _Function()
    check_connectivity = _Function()
    health_history = _Function()

    monitor: Monitor | None = None

    def init(self, settings: Settings | None = None) -> None:
        """Begin to listen and to count in a moment; the first check is at ``settings.first``."""
        cluster_of(current())
        self.settings = settings or Settings()
        send_after(min(BEGIN_SECONDS, self.settings.first), me(), BEGIN)
        send_after(self.settings.first, me(), CHECK)

    def _begun(self) -> Monitor:
        if self.monitor is not None:
            return self.monitor
        from foundation.cluster.registry import subscribe as subscribe_registry
        from foundation.health_monitor.monitor import Monitor
        from foundation.health_monitor.prober import probing
        from foundation.health_monitor.settings import REGISTRY

        process = current()
        monitor = self.monitor = Monitor(cluster_of(process), self.settings)
        process.add_exit_hook(lambda process, reason: monitor.close())
        subscribe()
        subscribe_registry(REGISTRY)
        spawn_link(probing, me())
        return monitor

    def handle_call(self, request: Any, caller: Any) -> Any:
        """Answer a probe, or serve a request in a process of its own."""
        if request == PING:
            return pong()
        self._begun()
        return super().handle_call(request, caller)

    def handle_cast(self, request: Any) -> Any:
        """Another node sees our probe entry."""
        match request:
            case ("seen", int(number), str(node)):
                self._begun().seen(number, node)
                return None
        return super().handle_cast(request)

    def handle_info(self, message: Any) -> None:
        """Note what has happened."""
        monitor = self._begun()
        if type(message) is NodeUp:
            monitor.node_up(message.node)
        elif type(message) is NodeDown:
            monitor.node_down(message.node, message.reason)
        elif type(message) is ViewChanged:
            monitor.view_changed()
        elif message == CHECK:
            from foundation.health_monitor.checking import check

            send_after(self.settings.interval, me(), CHECK)
            spawn(check)
        elif message != BEGIN:
            self._probe_seen(monitor, message)

    def _probe_seen(self, monitor: Monitor, event: Any) -> None:
        from foundation.cluster.registry import Registered, Updated

        if isinstance(event, (Registered, Updated)):
            number, peers = event.value
            if monitor.cluster.node in peers:
                cast((SERVER, event.node), (SEEN, number, monitor.cluster.node))

    @classmethod
    def spec(cls, *args: Any, **options: Any) -> ChildSpec:
        """Return the child specification of the health monitor of a node."""
        return super().spec(*args, **{"name": SERVER, "host": "worker", **options})
