"""Supervision trees of all nodes, as rows with a depth (pure)."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]

CHILDREN = 20  # of one parent that have none of their own; the rest is counted
ROOTS = ("supervisor", "runner")  # kinds of processes that begin a tree when nobody else does


def tree(rows: list[Row], hidden: dict[str, int]) -> list[Row]:
    """Return the trees, parents before their children, in the order of pids.

    Args:
        rows: processes, each with its parent.
        hidden: how many children, by parent, are not among them.

    Where a server in another host has its children in a process that stands for it, as a
    distributed supervisor has on each node, they are shown below the server, and it is not.

    Returns:
        The rows, with ``depth``, ``last`` (whether no sibling follows) and ``hidden`` (how many
        of its children are not among them).
    """
    rows, hidden = _grafted(rows, hidden)
    ordered = sorted(rows, key=lambda row: pid_order(row["pid"]))
    known = {row["pid"] for row in ordered}
    children: dict[str, list[Row]] = {}
    for row in ordered:
        if row["parent"] in known:
            children.setdefault(row["parent"], []).append(row)
    made: list[Row] = []
    waiting = [
        (row, 0, True)
        for row in reversed(ordered)
        if row["parent"] not in known and row["kind"] in ROOTS
    ]
    while waiting:
        row, depth, last = waiting.pop()
        all_below = children.pop(row["pid"], [])  # once: no circle of parents can go on for ever
        below = _shown(all_below, children)
        more = hidden.get(row["pid"], 0) + len(all_below) - len(below)
        made.append({**row, "depth": depth, "last": last, "hidden": more})
        for number, child in enumerate(reversed(below)):
            waiting.append((child, depth + 1, number == 0))
    return made


def _grafted(rows: list[Row], hidden: dict[str, int]) -> tuple[list[Row], dict[str, int]]:
    """Return rows and hidden children with servers in the place of those that stand for them."""
    servers = {(_node(row), row["name"]): row["pid"] for row in rows if row["name"] is not None}
    place = {
        row["pid"]: servers[key]
        for row in rows
        if (key := (_node(row), row.get("stands_for"))) in servers
    }
    if not place:
        return rows, hidden
    grafted = [
        {**row, "parent": place.get(row["parent"], row["parent"])}
        for row in rows
        if row["pid"] not in place
    ]
    counts: dict[str, int] = {}
    for parent, count in hidden.items():
        parent = place.get(parent, parent)
        counts[parent] = counts.get(parent, 0) + count
    return grafted, counts


def _node(row: Row) -> str:
    return str(row["pid"]).partition("/")[0]


def _shown(below: list[Row], children: dict[str, list[Row]]) -> list[Row]:
    """Return the children to show: the first leaves, and all that have children."""
    leaves = [row["pid"] for row in below if row["pid"] not in children]
    if len(leaves) <= CHILDREN:
        return below
    left_out = frozenset(leaves[CHILDREN:])
    return [row for row in below if row["pid"] not in left_out]


def pid_order(pid: str) -> tuple[str, int, int]:
    """Return what orders the texts of pids as the pids are."""
    host, incarnation, serial = pid.rsplit(".", 2)
    return (host, int(incarnation), int(serial))
