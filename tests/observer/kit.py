"""What the tests of the observer share: simulated clusters, made-up looks and pictures."""

from __future__ import annotations

from typing import Any

from foundation.entry import Facades
from foundation.observer import Parts
from foundation.observer.messages import SERVER
from foundation.observer.picture import picture
from foundation.observer.watch import _decoded
from foundation.otp import GenServer
from foundation.runtime.messages import Look
from foundation.testing.cluster_sim import ClusterSimulation


class Idle(GenServer):
    """Does nothing."""

    def handle_call(self, request: Any, caller: Any) -> Any:
        return request


def facades(seed: int = 1, nodes: int = 3, **options: Any) -> ClusterSimulation:
    """Return a cluster whose nodes run the facades; ``form`` starts it."""
    app = [Facades.spec(id="facades", host="control")]
    return ClusterSimulation(seed, nodes=nodes, app=app, **options)


def look(cluster: ClusterSimulation, node: str = "a", **options: Any) -> dict[str, Any]:
    """Look at a simulated cluster as a tool does, through the control host of *node*."""
    servers = {"facades": (SERVER, Parts(options.get("rows", 100)))}
    asked = Look(**{"servers": servers, **options})
    found: list[dict[str, Any]] = []
    host = cluster.nodes[node].hosts["control"]
    host.kernel.turn(host.overlook.gather_whole, asked, found.append)
    cluster.until(lambda: found, 3.0)
    answer = found[0]["answers"].get("facades")
    return _decoded(found[0]) if answer is not None else found[0]


def distributed(cluster: ClusterSimulation) -> list[dict[str, Any]]:
    """Return the lines of what is distributed, but for foundation's own."""
    rows = picture(look(cluster))["distributed"]
    return [row for row in rows if not row["name"].startswith("foundation.")]


def process(pid: str, parent: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a described process."""
    return {
        "pid": pid, "name": None, "kind": "server", "class": "Worker", "state": "idle",
        "mailbox": 0, "links": 1, "monitored_by": 0, "parent": parent, "restarts": 0, **more,
    }  # fmt: skip


def host(address: str, *processes: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a described host."""
    return {
        "host": address, "incarnation": 1, "os_pid": 7, "up_seconds": 61.0,
        "rss_bytes": 3_000_000, "cpu_seconds": 0.5, "slices": 9, "frames_in": 1, "frames_out": 2,
        "process_count": len(processes), "mailboxes": sum(p["mailbox"] for p in processes),
        "matches": None, "states": {"idle": len(processes)}, "classes": {"Worker": 1},
        "children": {}, "processes": list(processes), "parts": {}, **more,
    }  # fmt: skip


def node(name: str, *hosts: dict[str, Any], missing: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a described node."""
    return {
        "node": name, "machine": "m", "python": "3.11.7", "cpus": 2, "load": 0.5,
        "hosts": {each["host"]: each for each in hosts}, "missing": list(missing),
    }  # fmt: skip


def found(*nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return what a control host answers."""
    return {
        "asked": nodes[0]["node"], "nodes": {each["node"]: each for each in nodes},
        "missing": [], "parts": {}, "answers": {}, **more,
    }  # fmt: skip


def members(*names: str, **more: Any) -> dict[str, Any]:
    """Return the part ``cluster``."""
    made = [
        {
            "name": name, "address": f"{name}:1", "generation": 1, "state": "up",
            "draining": False, "labels": {}, "hosts": 1, "heard_seconds_ago": 0.1,
        }
        for name in names
    ]  # fmt: skip
    return {
        "cluster": "shop", "node": names[0], "settled": True, "view": 1, "expected_size": None,
        "members": made, "lost": [], "counters": {}, **more,
    }  # fmt: skip


def answered(**parts: Any) -> dict[str, Any]:
    """Return the answer of the facades."""
    return {"facades": {"ok": True, "value": parts}}
