"""The network between the hosts of a simulation: frames in order, with delays and faults.

What a kernel may rely on is kept: per link frames arrive in the order sent, at most once, as
over a connection. A fault therefore breaks the connection: what is under way is lost, and both
kernels are told, each after the time it takes to notice.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable

Delay = float | tuple[float, float]
"""Seconds; or a range of which each delay is drawn evenly."""

Fault = Callable[[bytes], bool]
"""Is asked for each frame when it is sent; True breaks the link there."""


def check_delay(delay: Delay, what: str) -> Delay:
    """Return *delay*.

    Raises:
        ValueError: it is no delay.
    """
    low, high = delay if isinstance(delay, tuple) else (delay, delay)
    if not 0 <= low <= high:
        raise ValueError(
            f"{what} must be seconds of 0 or more, or a range (low, high), got {delay!r}"
        )
    return delay


def draw(rng: random.Random, delay: Delay) -> float:
    """Return one delay."""
    return rng.uniform(*delay) if isinstance(delay, tuple) else delay


class Link:
    """One direction between two hosts."""

    __slots__ = ("delay", "fault", "last", "queue", "up")

    def __init__(self, delay: Delay) -> None:
        self.delay = delay
        self.fault: Fault | None = None
        self.up = True
        self.last = 0.0  # when the latest frame arrives: the next one arrives no earlier
        self.queue: deque[bytes | None] = deque()  # None: was lost under way


class Network:
    """All links of a simulation.

    Args:
        loop: the virtual loop.
        rng: draws the delays.
        delay: of links that have none of their own.
        arrive: called with (source, destination, frame).
        lost: called with (host, peer) when *host* notices that its link with *peer* broke.
        restored: called with the two hosts when they can talk again.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        rng: random.Random,
        delay: Delay,
        arrive: Callable[[str, str, bytes], None],
        lost: Callable[[str, str], None],
        restored: Callable[[str, str], None],
    ) -> None:
        self._loop = loop
        self._rng = rng
        self._delay = delay
        self._arrive = arrive
        self._lost = lost
        self._restored = restored
        self._links: dict[tuple[str, str], Link] = {}

    def link(self, source: str, destination: str) -> Link:
        """Return the link from *source* to *destination*; set ``delay`` or ``fault`` there."""
        key = (source, destination)
        found = self._links.get(key)
        if found is None:
            found = self._links[key] = Link(self._delay)
        return found

    def send(self, source: str, destination: str, frame: bytes) -> None:
        """Carry *frame*."""
        link = self.link(source, destination)
        if not link.up:
            return
        if link.fault is not None and link.fault(frame):
            self.partition(source, destination)
            return
        arrival = max(link.last, self._loop.time() + draw(self._rng, link.delay))
        link.last = arrival
        link.queue.append(frame)
        # Timers of one time come in any order, so each delivers the head of the queue.
        self._loop.call_at(arrival, self._deliver, source, destination, link)

    def _deliver(self, source: str, destination: str, link: Link) -> None:
        frame = link.queue.popleft()
        if frame is not None:
            self._arrive(source, destination, frame)

    def reachable(self, one: str, other: str) -> bool:
        """Whether the two hosts can talk."""
        return self.link(one, other).up

    def partition(self, one: str, other: str, *, notice: Delay = 0.0) -> None:
        """Cut the connection of two hosts.

        Args:
            one: address of a host.
            other: address of another.
            notice: seconds until each of them notices.
        """
        for source, destination in ((one, other), (other, one)):
            link = self.link(source, destination)
            if not link.up:
                continue
            link.up = False
            self.drop(source, destination)
            delay = draw(self._rng, notice)
            self._loop.call_later(delay, self._notice, source, destination)

    def _notice(self, host: str, peer: str) -> None:
        if not self.link(host, peer).up:
            self._lost(host, peer)

    def heal(self, one: str, other: str) -> None:
        """Let two hosts talk again; to them it is a new connection."""
        links = (self.link(one, other), self.link(other, one))
        if any(link.up for link in links):
            return
        for link in links:
            link.up = True
        # Who has not noticed the break yet must: the links across it are not what they were.
        self._lost(one, other)
        self._lost(other, one)
        self._restored(one, other)

    def drop(self, source: str, destination: str) -> None:
        """Lose what is under way on one link."""
        queue = self.link(source, destination).queue
        for index in range(len(queue)):
            queue[index] = None
