"""What an agent says to the others: one channel each, and when it is sent (A1, ``agent.py``)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from foundation.cluster.channel import Channel, Packet
from foundation.cluster.peers import AgentPeer
from foundation.kernel.codec import dumps

if TYPE_CHECKING:
    from foundation.cluster.agent import Agent


class Sessions:
    """The channels of one agent."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._number = 0  # of the latest session with anybody
        self._dirty: dict[str, None] = {}  # members for whom there may be something to send
        self._lazy = False

    def begin(self, peer: AgentPeer, theirs: int = 0) -> None:
        """Begin a session with *peer*; *theirs* is the number of its session, if known."""
        self._number += 1
        peer.restart(Channel(self._number, theirs))

    def say(self, name: str, item: tuple[Any, ...]) -> None:
        """Say *item* to the agent of the member *name*."""
        self.say_bytes(name, dumps(item))

    def say_bytes(self, name: str, item: bytes) -> None:
        """As ``say``, for an item that is encoded already."""
        self._agent.peers[name].channel.send(item)
        self._dirty[name] = None
        self._agent.flush_soon()

    def say_lazily(self, item: tuple[Any, ...], to: Iterable[str] | None = None) -> None:
        """Say *item* to others (None: all), together with what is said next or a little later.

        Each message wakes a process at the other end, which costs more than what it says.
        """
        agent = self._agent
        if agent.peers:
            data = dumps(item)
            for name in agent.peers if to is None else to:
                agent.peers[name].channel.send(data, lazy=True)
            if not self._lazy:
                self._lazy = True
                agent.kernel.driver.call_later(agent.hosts.hold_back, self._late)

    def _late(self) -> None:
        self._lazy = False
        for name, peer in self._agent.peers.items():
            peer.channel.release()
            self._dirty[name] = None
        self._agent.flush_soon()

    def packet(
        self, sender: str, name: str, generation: int, mine: int, *packet: Any
    ) -> None:
        """Take a packet that *name* has sent; it came from the address *sender*."""
        agent = self._agent
        peer = agent.peers.get(name)
        if peer is None or peer.record.generation != generation or mine != agent.swim.generation:
            return  # it will be said again, should it concern this life and that
        now = agent.kernel.driver.now()
        if peer.record.address == sender:  # not through a third agent: a sign of life
            agent.swim.heard(now, name, generation)
        parts = Packet(*packet)
        if peer.channel.begins_anew(parts):
            agent.begin_session(name, peer, 0 if parts.theirs else parts.mine)
        for item in peer.channel.receive(now, parts):
            agent.item(name, peer, item)
        self._dirty[name] = None

    @property
    def next_wake(self) -> float:
        """When ``tick`` has something to do."""
        wakes = [peer.channel.next_wake for peer in self._agent.peers.values()]
        return min([wake for wake in wakes if wake is not None], default=math.inf)

    def tick(self, now: float) -> None:
        """Time has passed: repetitions and acknowledgements may be due."""
        for name, peer in self._agent.peers.items():
            wake = peer.channel.next_wake
            if wake is not None and wake <= now:
                self._dirty[name] = None

    def flush(self) -> None:
        """Send what there is to send."""
        now = self._agent.kernel.driver.now()
        while self._dirty:
            dirty, self._dirty = self._dirty, {}
            for name in dirty:
                peer = self._agent.peers.get(name)
                if peer is not None:
                    for packet in peer.channel.poll(now):
                        self._transmit(now, name, peer, packet)

    def _transmit(self, now: float, name: str, peer: AgentPeer, packet: Packet) -> None:
        agent, record = self._agent, peer.record
        head = ("ch", agent.node, agent.swim.generation, record.generation)
        payload = dumps((*head, *packet))
        address = agent.swim.reach(name, now) or record.address
        if address != record.address:
            payload = dumps(("relay", name, agent.wire.address, payload))
        agent.wire.send(address, payload)
