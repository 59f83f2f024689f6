"""Registered names of other nodes: ``call(("counter", "b"), ...)``.

Each node's plain names are a table that all hosts have a copy of, so a pair ``(name, node)`` is
resolved without a message.
"""

from __future__ import annotations

from typing import Any

from foundation.cluster.agent import Agent
from foundation.cluster.host import ClusterHost
from foundation.cluster.slices import GONE
from foundation.kernel.values import Pid

NAMES = "names"  # name -> pid


def install_names(cluster: ClusterHost) -> None:
    """Have *cluster*'s host resolve names of other nodes, and its agent publish those of ours."""
    table = cluster.tables[NAMES]

    def elsewhere(name: Any, node: Any) -> Pid | None:
        pid = table.get(node, name)
        return None if pid is GONE else pid

    cluster.kernel.names.elsewhere = elsewhere
    if isinstance(cluster, Agent):
        _publish(cluster)


def _publish(agent: Agent) -> None:
    names = agent.kernel.names

    def changed(name: Any, pid: Pid | None) -> None:
        if type(name) is not str:
            return  # a name of another type may be of a class that others cannot import
        if pid is None:
            agent.delete(NAMES, name)
        else:
            agent.put(NAMES, name, pid)

    names.on_change.append(changed)
    for name, pid in names.items():
        changed(name, pid)
