"""What ``foundation tree`` and ``foundation cluster`` print, from a snapshot of a node."""

from __future__ import annotations

from typing import Any

from foundation.runtime.messages import Inspected


def _processes(snapshot: Inspected) -> list[dict[str, Any]]:
    return [
        {**process, "host": address.partition("/")[2]}
        for address, host in sorted(snapshot.hosts.items())
        for process in host["processes"]
    ]


def cluster_of(snapshot: Inspected) -> dict[str, Any] | None:
    """Return what the control host says of its cluster; None when the node is alone."""
    found = [host["cluster"] for host in snapshot.hosts.values() if "cluster" in host]
    return found[0] if found else None


def cluster_lines(cluster: dict[str, Any]) -> list[str]:
    """Return the members of a cluster as a table."""
    agreed = "all agree" if cluster["settled"] else "not all agree yet"
    lines = [
        f"cluster {cluster['cluster']!r} as node {cluster['node']!r} sees it: "
        f"{len(cluster['members'])} members, {agreed}",
        f"{'NODE':<20}{'STATE':<11}{'ADDRESS':<24}{'HOSTS':>6}{'HEARD':>9}  LABELS",
    ]
    for member in cluster["members"]:
        state = "draining" if member["draining"] else member["state"]
        labels = ", ".join(f"{k}={v}" for k, v in member["labels"].items())
        lines.append(
            f"{member['name']:<20.19}{state:<11}{member['address']:<24}{member['hosts']:>6}"
            f"{member['heard_seconds_ago']:>7.1f} s  {labels or '-'}"
        )
    return lines


def tree_json(snapshot: Inspected) -> list[dict[str, Any]]:
    """Return the supervision trees as nested plain data."""
    children, roots = _family(snapshot)

    def nested(process: dict[str, Any]) -> dict[str, Any]:
        found = [nested(child) for child in children.get(process["pid"], ())]
        return {**process, "children": found}

    return [nested(root) for root in roots]


def tree_lines(snapshot: Inspected) -> list[str]:
    """Return the supervision trees as text."""
    lines: list[str] = []

    def draw(process: dict[str, Any], indent: str, branch: str, below: str) -> None:
        name = f" {process['name']!r}" if process["name"] else ""
        count = process["restarts"]
        restarts = f", {count} restart{'s' if count > 1 else ''}" if count else ""
        lines.append(f"{indent}{branch}{process['class']}{name} {_short(process['pid'])}{restarts}")
        found = process["children"]
        for child in found:
            last = child is found[-1]
            draw(child, indent + below, "└─ " if last else "├─ ", "   " if last else "│  ")

    for root in tree_json(snapshot):
        draw(root, "", "", "")
    lines += [f"(host {address} did not answer)" for address in snapshot.missing]
    return lines or ["(nothing is supervised)"]


def _family(
    snapshot: Inspected,
) -> tuple[dict[str, list[dict[str, Any]]], list[dict[str, Any]]]:
    processes = _processes(snapshot)
    known = {process["pid"] for process in processes}
    children: dict[str, list[dict[str, Any]]] = {}
    roots = []
    for process in processes:
        if process["parent"] in known:
            children.setdefault(process["parent"], []).append(process)
        elif process["kind"] == "supervisor":
            roots.append(process)
    return children, roots


def _short(pid: str) -> str:
    return pid.partition("/")[2]
