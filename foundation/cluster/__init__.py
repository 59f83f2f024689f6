"""Nodes that find each other, agree on who is there, and share names, work and messages.

    with foundation.start(App, name="a", cluster=ClusterConfig(port=7000)) as node:
        node.run(await_cluster, 3)

The functions work inside processes (callbacks of servers, functions run by ``spawn``, ``Task``
or ``node.run``).
"""

from __future__ import annotations

from foundation.cluster.api import (
    await_cluster,
    node,
    nodes,
    subscribe,
    unsubscribe,
    view,
)
from foundation.cluster.config import ClusterConfig
from foundation.cluster.timing import LAN, Timing
from foundation.cluster.values import Member, NodeDown, NodeUp, View, ViewChanged

__all__ = [
    "LAN",
    "ClusterConfig",
    "Member",
    "NodeDown",
    "NodeUp",
    "Timing",
    "View",
    "ViewChanged",
    "await_cluster",
    "node",
    "nodes",
    "subscribe",
    "unsubscribe",
    "view",
]
