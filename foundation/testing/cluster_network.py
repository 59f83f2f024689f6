"""The network between the nodes of a simulated cluster: streams and messages, with faults.

*Messages* (what agents say to each other) may be lost, doubled and reordered. *Frames* (what
hosts say to each other) travel as over TCP: in order, repeated when lost, so that loss shows as
delay; but a connection may break, and a link that is cut long enough loses what was under way.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

RETRANSMISSION = 0.2  # seconds that a lost segment costs a stream


@dataclass
class Faults:
    """How bad the network is.

    Attributes:
        delay: seconds, a range of which each message's delay is drawn.
        loss: probability that a message is lost, and that a frame is late.
        duplicate: probability that a message arrives twice.
        reorder: probability that a message takes ten times as long.
        gap: probability that a frame is lost for good.
    """

    delay: tuple[float, float] = (0.0002, 0.002)
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    gap: float = 0.0


class ClusterNetwork:
    """All links of a simulated cluster.

    Args:
        loop: the virtual loop.
        rng: draws everything.
        frame: called with (source host, destination host, frame).
        message: called with (source node, destination node, payload).
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        rng: random.Random,
        frame: Callable[[str, str, bytes], None],
        message: Callable[[str, str, bytes], None],
    ) -> None:
        self.faults = Faults()
        self._loop = loop
        self._rng = rng
        self._frame = frame
        self._message = message
        self._cut: dict[tuple[str, str], None] = {}  # (source node, destination node)
        self._last: dict[tuple[str, str], float] = {}  # streams: when the latest frame arrives
        self._streams: dict[tuple[str, str], deque[bytes]] = {}
        self.bytes: dict[str, int] = {}  # by source node: what agents said

    def cut(self, one: str, other: str, *, one_way: bool = False) -> None:
        """Let nothing through from node *one* to *other*, nor back unless *one_way*."""
        self._cut[(one, other)] = None
        if not one_way:
            self._cut[(other, one)] = None

    def heal(self, one: str | None = None, other: str | None = None) -> None:
        """Let everything through again: between two nodes, or everywhere."""
        if one is None or other is None:
            self._cut.clear()
        else:
            self._cut.pop((one, other), None)
            self._cut.pop((other, one), None)

    def is_cut(self, source: str, destination: str) -> bool:
        """Whether nothing gets from one node to the other."""
        return (source, destination) in self._cut

    def send_message(self, source: str, destination: str, payload: bytes) -> None:
        """Carry what the agent of *source* says."""
        self.bytes[source] = self.bytes.get(source, 0) + len(payload)
        rng, faults = self._rng, self.faults
        if self.is_cut(source, destination) or rng.random() < faults.loss:
            return
        for _ in range(1 + (rng.random() < faults.duplicate)):
            delay = rng.uniform(*faults.delay) * (10 if rng.random() < faults.reorder else 1)
            self._loop.call_later(delay, self._deliver, source, destination, payload)

    def _deliver(self, source: str, destination: str, payload: bytes) -> None:
        if not self.is_cut(source, destination):
            self._message(source, destination, payload)

    def send_frame(self, source: str, destination: str, frame: bytes) -> None:
        """Carry a frame between two hosts."""
        nodes = (source.partition("/")[0], destination.partition("/")[0])
        delay = 0.0
        if nodes[0] != nodes[1]:
            rng, faults = self._rng, self.faults
            if nodes in self._cut or rng.random() < faults.gap:
                return
            delay = rng.uniform(*faults.delay)
            if rng.random() < faults.loss:
                delay += RETRANSMISSION
        key = (source, destination)
        arrival = max(self._last.get(key, 0.0), self._loop.time() + delay)
        self._last[key] = arrival
        # Timers of one time come in any order, so each delivers the head of the queue.
        queue = self._streams.setdefault(key, deque())
        queue.append(frame)
        self._loop.call_at(arrival, self._arrive, source, destination, queue, nodes)

    def _arrive(
        self, source: str, destination: str, queue: deque[bytes], nodes: tuple[str, str]
    ) -> None:
        frame = queue.popleft()
        if nodes not in self._cut:
            self._frame(source, destination, frame)
