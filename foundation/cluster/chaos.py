"""Cutting a running node off from others, on purpose: a partition without touching the network.

What the node says to the others, and what they say to it, is thrown away; connections stay
open, so both sides find out by silence, as when a cable is cut. For game days, demonstrations,
and tests on machines where nobody may change the network.

    await chaos.cut_off("b", "c")      # this node no longer hears b and c, nor they it
    await chaos.heal()
"""

from __future__ import annotations

from foundation.cluster.agent import Agent
from foundation.cluster.api import ask_agent
from foundation.cluster.host import ClusterHost, Done

SERVICE = "chaos.cut_off"


async def cut_off(*nodes: str) -> None:
    """Let nothing through between this node and *nodes*; replaces an earlier cut.

    It returns when all hosts of this node have cut them off.

    Args:
        nodes: names of other nodes, each an argument of its own; none heals.

    Raises:
        TypeError: one of them is no string.
        CallExit: one of them is this node, or has never been a member.
        NotInProcess, NotInCluster, TimeoutError: as ``ask_agent``.
    """
    for each in nodes:
        if not isinstance(each, str):
            names = each if isinstance(each, (list, tuple)) else ["b", "c"]
            how = ", ".join(f'"{name}"' for name in names)
            raise TypeError(f"cut_off() takes names of nodes: write cut_off({how}), got {each!r}")
    await ask_agent(SERVICE, list(nodes))


async def heal() -> None:
    """Let everything through again.

    Raises:
        NotInProcess, NotInCluster, TimeoutError: as ``ask_agent``.
    """
    await ask_agent(SERVICE, [])


def install_chaos(cluster: ClusterHost) -> None:
    """Have *cluster*'s host take part in cuts of its node."""
    remote = cluster.kernel.remote

    def mute(host: str, nodes: list[str]) -> None:
        remote.foreign.muted = frozenset(nodes)

    remote.handlers["cl_mute"] = mute
    if isinstance(cluster, Agent):
        agent = cluster

        def serve(origin: str, done: Done, nodes: list[str]) -> None:
            records = {node: agent.swim.record(node) for node in nodes}
            unknown = [node for node, record in records.items() if record is None]
            if unknown or agent.node in nodes:
                done(False, f"cannot cut {agent.node} off from {unknown or [agent.node]}")
                return
            agent.wire.mute([record.address for record in records.values() if record])
            mute(agent.node, nodes)
            remote.broadcast(("cl_mute", nodes))
            agent.barriers.own_hosts(lambda: done(True, None))

        agent.serves[SERVICE] = serve
