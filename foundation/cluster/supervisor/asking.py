"""Asking the agents for something about a child, and saying what it is doing when they are late."""

from __future__ import annotations

from typing import Any

from foundation.cluster.api import ask_agent, cluster_of
from foundation.cluster.host import ClusterHost
from foundation.cluster.slices import GONE
from foundation.cluster.supervisor.ids import key_of
from foundation.cluster.supervisor.records import table_of
from foundation.kernel.ops import current


async def ask(
    what: str, supervisor: str, id: Any, service: str, *args: Any, timeout: float
) -> Any:
    """As ``ask_agent``, for the function *what*, which is about the child *id*."""
    try:
        return await ask_agent(service, *args, timeout=timeout)
    except TimeoutError:
        raise late(what, supervisor, id, timeout) from None


async def ask_about_all(what: str, service: str, *args: Any, timeout: float) -> Any:
    """As ``ask_agent``, for the function *what*."""
    try:
        return await ask_agent(service, *args, timeout=timeout)
    except TimeoutError:
        raise TimeoutError(f"{what} has had no answer for {timeout} s") from None


def late(what: str, supervisor: str, id: Any, timeout: float) -> TimeoutError:
    """Return what to raise when the function *what* has waited in vain."""
    standing = standing_of(cluster_of(current()), supervisor, id)
    return TimeoutError(f"{what} of child {id!r} of {supervisor!r}: {standing} after {timeout} s")


def standing_of(cluster: ClusterHost, supervisor: str, id: Any) -> str:
    """Say what the nodes have of a child, as this host sees it, and why."""
    table, key = cluster.table(table_of(supervisor)), key_of(id)
    found = []
    for node in sorted(table.nodes()):
        entry = table.get(node, key)
        if entry is not GONE:
            why = f" ({entry.note})" if entry.note else ""
            found.append(f"it is {entry.status} on node {node!r}{why}")
    if found:
        return ", ".join(found)
    needed, names = cluster.config.majority, cluster.view.names
    if needed is not None and len(names) < needed:
        there = ", ".join(names)
        return f"it runs nowhere: {needed} nodes are a majority, and only {there} are there"
    return "it runs nowhere"
