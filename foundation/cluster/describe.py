"""What tools are shown of the cluster: plain data, as this node sees it."""

from __future__ import annotations

from typing import Any

from foundation.cluster.agent import Agent
from foundation.cluster.host import HOSTS, ClusterHost
from foundation.cluster.lost import Lost
from foundation.runtime.inspect import PARTS

LOST = "cluster.lost"  # where the kernel of a control host remembers nodes that it has lost


def install_describe(cluster: ClusterHost) -> None:
    """Have snapshots of the control host contain the cluster."""
    if isinstance(cluster, Agent) and not cluster.config.alone:
        kernel, lost = cluster.kernel, Lost()
        kernel.tables[LOST] = lost
        cluster.on_node.append(lambda *told: lost.told(kernel.driver.now(), *told))
        parts = kernel.tables.setdefault(PARTS, {})
        parts["cluster"] = lambda: describe(cluster)


def describe(agent: Agent) -> dict[str, Any]:
    """Return who is in the cluster of *agent*'s node, who was lost, and how well they agree."""
    now = agent.kernel.driver.now()
    records = {record.name: record for record in agent.swim.members()}
    return {
        "cluster": agent.config.name,
        "node": agent.node,
        "settled": agent.settled,
        "view": agent.view.version,
        "expected_size": agent.config.expected_size,
        "members": [
            {
                "name": member.name,
                "address": member.address,
                "generation": member.generation,
                "state": _state(agent, member.name, records),
                "draining": member.draining,
                "labels": dict(member.labels),
                "hosts": len(agent.tables[HOSTS].of(member.name)),
                "heard_seconds_ago": 0.0
                if member.name == agent.node
                else round(now - agent.swim.last_heard(member.name), 3),
            }
            for member in agent.view.members
        ],
        "lost": agent.kernel.tables[LOST].rows(now),
        "counters": dict(agent.swim.counters),
    }


def _state(agent: Agent, name: str, records: dict[str, Any]) -> str:
    if name == agent.node:
        return "this node"
    if name in records and records[name].status == "suspect":
        return "suspect"
    return "up" if name in agent.ready else "joining"
