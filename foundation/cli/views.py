"""What ``foundation top`` and ``foundation tree`` print, from a snapshot of a node."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from foundation.runtime.messages import Inspected

ROWS = 40  # processes in `top`, the fullest mailboxes first


def _processes(snapshot: Inspected) -> list[dict[str, Any]]:
    return [
        {**process, "host": address.partition("/")[2]}
        for address, host in sorted(snapshot.hosts.items())
        for process in host["processes"]
    ]


def top_json(snapshot: Inspected) -> dict[str, Any]:
    """Return everything of the snapshot as plain data."""
    return {"hosts": snapshot.hosts, "missing": list(snapshot.missing)}


def top_lines(snapshot: Inspected) -> list[str]:
    """Return hosts and processes as tables."""
    lines = [
        f"{'HOST':<12}{'PID':>8}{'RSS MB':>9}{'CPU s':>8}{'PROCESSES':>11}{'MAIL':>7}{'SLICES':>10}"
    ]
    for address, host in sorted(snapshot.hosts.items()):
        lines.append(
            f"{address.partition('/')[2]:<12}{host['os_pid']:>8}"
            f"{host['rss_bytes'] / 1e6:>9.1f}{host['cpu_seconds']:>8.1f}"
            f"{host['process_count']:>11}{host['mailboxes']:>7}{host['slices']:>10}"
        )
    lines += [f"{_short(address):<12}did not answer" for address in snapshot.missing]
    lines.append("")
    lines.append(
        f"{'PROCESS':<24}{'NAME':<20}{'CLASS':<26}{'STATE':<9}{'MAIL':>6}{'RESTARTS':>10}"
    )
    processes = sorted(_processes(snapshot), key=lambda p: -p["mailbox"])
    for process in processes[:ROWS]:
        lines.append(
            f"{_short(process['pid']):<24}{process['name'] or '-':<20.19}{process['class']:<26.25}"
            f"{process['state']:<9}{process['mailbox']:>6}{process['restarts'] or '-':>10}"
        )
    if len(processes) > ROWS:
        lines.append(f"... and {len(processes) - ROWS} more (--json shows all)")
    return lines


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


def live(look: Callable[[], Inspected], interval: float) -> None:
    """Show ``top`` until Ctrl-C, by rich where it is installed."""
    try:
        from rich.live import Live
        from rich.text import Text
    except ImportError:
        print("\n".join(top_lines(look())))
        return
    with Live(screen=True, auto_refresh=False) as screen:
        while True:
            text = Text("\n".join(top_lines(look())), no_wrap=True, overflow="crop")
            screen.update(text, refresh=True)
            time.sleep(interval)


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
