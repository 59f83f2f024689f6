"""Round trips that a node's health monitor makes itself: how long messages and names take.

*Probe latency* is the time of a real ``call`` to a server in another host: to a ``Probe`` in
each worker host and the control host of this node, and to the health monitors of some other
nodes, in turn. It includes what a user's call does: both run queues, both event loops, the
encoding, the wire.

*Registry propagation* is the time from the writing of an entry on this node until readers on
another node see it. This node updates its entry of the registry ``"foundation.health"``; the
nodes that the entry names tell it as soon as their hosts see it. Half the latest round trip to
that node is taken off for the way back, so no clocks are compared.
"""

from __future__ import annotations

import asyncio
from statistics import median
from typing import Any

from foundation.cluster.registry import register, update_value
from foundation.errors import AlreadyRegistered, CallExit, NotRegistered, RegistryError, StartError
from foundation.health_monitor.monitor import Monitor, monitor_of
from foundation.health_monitor.server import PING, pong
from foundation.health_monitor.settings import REGISTRY, SERVER
from foundation.kernel.counts import SPACING
from foundation.kernel.ops import call, current, monitor
from foundation.kernel.values import Down, Pid
from foundation.otp import GenServer, Stop
from foundation.runtime.placement import is_worker

TIMEOUT = 1.0  # seconds for one round trip
START_SECONDS = 5.0


class Probe(GenServer):
    """Answers calls, for as long as the health monitor *owner* lives."""

    def init(self, owner: Pid) -> None:
        """Begin."""
        monitor(owner)

    def handle_call(self, request: Any, caller: Any) -> float:
        """Answer."""
        return pong()

    def handle_info(self, message: Any) -> Any:
        """End with the health monitor."""
        return Stop("normal") if type(message) is Down else None


async def probing(owner: Pid) -> None:
    """Send probes at each interval; the body of a process beside the server *owner*."""
    found = monitor_of(current().kernel)
    rounds = Rounds(found, owner)
    await rounds.start()
    await asyncio.sleep(found.settings.first / 2)
    while True:
        await rounds.run()
        await asyncio.sleep(found.settings.interval)


class Rounds:
    """The probes of one node.

    Args:
        found: what takes the results.
        owner: the server.
    """

    def __init__(self, found: Monitor, owner: Pid) -> None:
        self._monitor = found
        self._cluster = found.cluster
        self._owner = owner
        self._probes: dict[str, Pid] = {}
        self._number = 0

    async def start(self) -> None:
        """Start the probes of this node's hosts; what fails is tried again in each round."""
        for host in self._hosts():
            await self._ready(host)

    async def run(self) -> None:
        """Make one round."""
        for host in self._hosts():
            await self._probe_host(host)
        peers = self._peers()
        for node in peers:
            times = await self._trips((SERVER, node))
            if times:
                self._monitor.pings[node] = median(times)
        await self._write([node for node in peers if node in self._monitor.pings])

    def _hosts(self) -> list[str]:
        node = self._cluster.node
        neighbours = self._cluster.kernel.remote.neighbours
        found = [h for h in neighbours if is_worker(h) or h == f"{node}/control"]
        self._probes = {host: pid for host, pid in self._probes.items() if host in found}
        return found

    async def _ready(self, host: str) -> bool:
        """Have a probe in *host*; whether there is one."""
        if host not in self._probes:
            try:
                found = await Probe.start(self._owner, host=host, timeout=START_SECONDS)
            except (StartError, CallExit, TimeoutError):
                return False  # it is ending, or busy
            self._probes[host] = found
        return True

    async def _probe_host(self, host: str) -> None:
        if await self._ready(host) and not await self._trips(self._probes[host]):
            del self._probes[host]

    async def _trips(self, server: Any) -> list[float]:
        """Return how long calls to *server* took; nothing when it does not answer."""
        now, counts = self._cluster.kernel.driver.now, self._cluster.kernel.counts
        times: list[float] = []
        for _ in range(self._monitor.settings.probes):
            start = now()
            counts.time_from = max(counts.time_from, start + SPACING)  # this is no user's call
            try:
                await call(server, PING, timeout=TIMEOUT)
            except CallExit:
                return []
            counts.requests -= 1
            times.append(now() - start)
        for seconds in times:
            self._monitor.latency(seconds)
        return times

    def _peers(self) -> list[str]:
        """Return the nodes whose turn it is."""
        others = [name for name in self._cluster.view.names if name != self._cluster.node]
        count = min(self._monitor.settings.probe_peers, len(others))
        first = self._number * count % len(others) if others else 0
        return (others[first:] + others[:first])[:count]

    async def _write(self, peers: list[str]) -> None:
        self._number += 1
        number, node = self._number, self._cluster.node
        value = (number, tuple(peers))
        self._monitor.sent = (number, self._cluster.kernel.driver.now())
        try:
            await update_value(REGISTRY, node, value)
        except NotRegistered:
            await self._register(node, value)
        except RegistryError:
            return  # the registry is being started anew

    async def _register(self, node: str, value: Any) -> None:
        try:
            await register(REGISTRY, node, value, timeout=START_SECONDS)
        except (AlreadyRegistered, RegistryError):
            return  # a former self is not gone yet, or the members do not agree: next time
