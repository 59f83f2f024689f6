"""Reports and metrics made by hand, for tests of what is computed from them."""

from __future__ import annotations

from typing import Any

from foundation.health_monitor import (
    Asked,
    ClusterMetrics,
    Connectivity,
    HostMetrics,
    NodeReport,
    Settings,
    combine,
)

NODES = ("a", "b", "c")


def host(address: str, **changes: Any) -> HostMetrics:
    """Return the metrics of a quiet host."""
    values: dict[str, Any] = {
        "host": address,
        "os_pid": 1,
        "memory_bytes": 1000,
        "cpu_percent": 1.0,
        "processes": 5,
        "messages_waiting": 0,
        "messages_taken": 10,
        "growth": 0.0,
        "hogs": 0,
        "frames_in": 0,
        "frames_out": 0,
        "operations_in": 0,
        "operations_out": 0,
    }
    return HostMetrics(**{**values, **changes})


def report(node: str, view: tuple[str, ...] = NODES, **changes: Any) -> NodeReport:
    """Return the report of a node where nothing happens."""
    values: dict[str, Any] = {
        "node": node,
        "running": 100.0,
        "duration_ms": 1.0,
        "hosts": (host(f"{node}/w1"),),
        "silent_hosts": (),
        "load_average": 0.5,
        "cores": 2,
        "cpu_percent": 10.0,
        "memory_percent": 20.0,
        "high_water": len(view),
        "expected_size": None,
        "view": view,
        "suspects": (),
        "settled": True,
        "last_change": 50.0,
        "fell_silent": (),
        "rates": {},
        "totals": {},
        "broadcasts": {},
        "latencies": (),
        "calls": (),
        "propagation": (),
        "mailboxes": (),
        "orphans": (),
        "stale_names": (),
        "registry_entries": {},
        "topics": 0,
        "subscriptions": 0,
        "children": {},
        "settings": Settings(),
    }
    return NodeReport(**{**values, **changes})


def asked(view: tuple[str, ...] = NODES, expected: int | None = None, **changes: Any) -> Asked:
    """Return what the node ``view[0]`` knows when all answer."""
    pings = dict.fromkeys(view, 100.0)
    reached = Connectivity(view[0], view, (), pings, dict.fromkeys(view, 0.0))
    return Asked(view, True, expected, reached, **changes)


def metrics(
    *reports: NodeReport, view: tuple[str, ...] | None = None, expected: int | None = None,
    **changes: Any,
) -> ClusterMetrics:  # fmt: skip
    """Return what the nodes of *reports* make together."""
    names = tuple(r.node for r in reports) if view is None else view
    return combine(asked(names, expected, **changes), {r.node: r for r in reports})
