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
LEARNT_SECONDS = 2.0  # a starter knows the name that it gave before the agents have passed it on


def install_names(cluster: ClusterHost) -> None:
    """Have *cluster*'s host resolve names of other nodes, and its agent publish those of ours."""
    table = cluster.tables[NAMES]
    kernel = cluster.kernel
    learnt: dict[tuple[Any, Any], Pid] = {}

    def elsewhere(name: Any, node: Any) -> Pid | None:
        pid = table.get(node, name)
        return learnt.get((name, node)) if pid is GONE else pid

    def learn(name: Any, pid: Pid) -> None:
        key = name, pid.host.partition("/")[0]
        learnt[key] = pid
        kernel.driver.call_later(LEARNT_SECONDS, lambda: forget(key, pid))

    def forget(key: tuple[Any, Any], pid: Pid) -> None:
        if learnt.get(key) == pid:
            del learnt[key]

    def gone(pid: Pid) -> None:
        node = pid.host.partition("/")[0]
        if node == cluster.node:
            return  # its name goes when the authority says so
        for name in [name for name, holder in table.of(node).items() if holder == pid]:
            table.unset(node, name)
        for key in [key for key, holder in learnt.items() if holder == pid]:
            del learnt[key]

    kernel.names.elsewhere, kernel.names.learn = elsewhere, learn
    if isinstance(cluster, Agent):
        _publish(cluster)
    else:
        kernel.remote.on_gone.append(gone)


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
