"""The cluster in the hosts of a real node: agent, wire and discovery in the control host."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from foundation.cluster.discovery import Advertisement, Discovery, Loopback
from foundation.cluster.host import ClusterHost
from foundation.cluster.looking import QUESTION, answer
from foundation.cluster.setup import install_agent, install_host
from foundation.errors import NodeError
from foundation.kernel.reports import Notice
from foundation.runtime.agent_wire import AgentWire
from foundation.runtime.lane_wire import BulkWire

if TYPE_CHECKING:
    from foundation.cluster.config import ClusterConfig
    from foundation.runtime.host import Host

FAREWELL_SECONDS = 0.5  # that a node which leaves waits until the others know what has ended
LIVES_SINCE = 1_577_836_800_000  # milliseconds from 1970 to 2020: the numbers are long enough


class Follower:
    """What the cluster is in a host other than the control host."""

    def __init__(self, cluster: ClusterHost) -> None:
        self.cluster = cluster

    async def leave(self) -> None:
        """Only the agent says goodbye to other nodes."""

    def close(self) -> None:
        """The host ends."""
        self.cluster.close()


class Seat:
    """The agent of a node, with the wire and the discovery that it needs in the real world."""

    def __init__(self, config: ClusterConfig, host: Host) -> None:
        if host.transport is None:
            raise NodeError("a cluster needs our transport; start the node without stock=True")
        self._host = host
        self._wire = AgentWire(host.transport, config.port)
        self.cluster = install_agent(
            host.kernel,
            config,
            host,
            self._wire,
            generation=time.time_ns() // 1_000_000,
            me=host.me,
            open_wire=_wire_of(host),
        )
        self._wire.on_message = self._received
        self._wire.on_lost = self.cluster.lost
        self.cluster.on_unreachable.append(self._wire.drop)
        # Copies: *config* goes to every host that starts later, and what runs cannot travel.
        strategies = copy.deepcopy(config.strategies)
        strategies = (Loopback(),) if strategies is None else strategies
        self._discovery = Discovery(
            strategies,
            Advertisement(config.name, self.cluster.node, self._wire.address),
            self.cluster.candidates,
            rng=self.cluster.rng,
            log=lambda level, text: host.driver.report(Notice(level, text)),
        )
        self.cluster.start()
        self._tasks: set[asyncio.Task[None]] = set()
        self._run(self._discovery.start())

    def _received(self, sender: str, payload: bytes) -> None:
        if payload == QUESTION:
            self._wire.send(sender, answer(self.cluster))
        else:
            self.cluster.receive(sender, payload)

    def _run(self, work: Any) -> None:
        task = self._host.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def leave(self) -> None:
        """The node is being stopped in order; first all others know what has ended here.

        Calls that are under way to what has ended, or moved, are answered meanwhile. Those under
        way to a node that has left fail, and nobody knows whether they were carried out.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await self._all_know()  # then nobody calls what has ended ...
                await self._all_know()  # ... and who had done so has got an answer
        self.cluster.leave()
        self._wire.flush()
        await self._discovery.close()

    async def _all_know(self) -> None:
        known = self._host.loop.create_future()
        agent = self.cluster
        agent.kernel.turn(
            agent.barriers.all, lambda: None if known.done() else known.set_result(None)
        )
        await known

    def close(self) -> None:
        """The host ends."""
        self.cluster.close()
        self._wire.close()


def attach(config: ClusterConfig, host: Host) -> Seat | Follower:
    """Make *host* part of the cluster; see ``ClusterConfig.attach``."""
    if host.config.role == "control":
        return Seat(config, host)
    cluster = install_host(
        host.kernel, config, host, host.config.authority, open_wire=_wire_of(host)
    )
    return Follower(cluster)


def _wire_of(host: Host) -> Callable[[], BulkWire] | None:
    """Return what makes the connections for bulk, where the transport is ours."""
    transport = host.transport
    return None if transport is None else lambda: BulkWire(transport)


def new_life() -> int:
    """Return an incarnation for the first hosts of a node, above those of its earlier lives.

    Pids hold it, and other nodes may remember pids of an earlier life of the same name.
    """
    return time.time_ns() // 1_000_000 - LIVES_SINCE


__all__ = ["Follower", "Seat", "attach", "new_life"]
