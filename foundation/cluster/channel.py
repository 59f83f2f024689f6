"""A reliable, ordered conversation of two agents, over messages that may be lost or doubled.

Each side numbers its *sessions* with one peer, upwards; a session is one unbroken stream of
items in each direction. Who forgets a peer and meets it again begins a new session; the other
side notices by the higher number and begins anew, too. So both agree on what was lost: all of
the old session, or nothing.

    packet = (mine, theirs, first, ack, items)
        mine    the sender's session        first  number of the first item
        theirs  the receiver's session, as  ack    so many items have arrived in order
                far as the sender knows,
                else 0

The algorithm is go-back-N with cumulative acknowledgements; sessions are those of the initial
sequence numbers of TCP (RFC 9293), without the three-way handshake: the numbers never repeat.

Invariants:
    C1  Items of one session are handed over in the order sent, each once.
    C2  No item of a session is handed over after one of a later session.
    C3  An item that was sent is handed over, or the session ends.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

MAX_ITEMS = 500  # in a packet
MAX_BYTES = 256 * 1024  # of items in a packet
WINDOW = 8 * 1024 * 1024  # bytes sent and not acknowledged
RESEND = 0.2  # seconds until the first repetition; doubles
RESEND_MAX = 0.5  # not more: who does not answer for seconds is no member any more
ACK_DELAY = 0.02  # seconds an acknowledgement waits for an item to travel with
ACK_EVERY = 200  # items that are acknowledged at once


class Packet(NamedTuple):
    """What travels; see the module docstring."""

    mine: int
    theirs: int
    first: int
    ack: int
    items: list[bytes]


class Channel:
    """One side of the conversation with one peer.

    Args:
        mine: number of this session; above all earlier ones with this peer.
        theirs: the peer's session, if it is known already.
    """

    __slots__ = (
        "_ack_at", "_acked", "_arrived", "_backoff", "_due", "_early", "_in_flight", "_out",
        "_resend_at", "_sent", "_unacknowledged", "mine", "theirs",
    )  # fmt: skip

    def __init__(self, mine: int, theirs: int = 0) -> None:
        self.mine = mine
        self.theirs = theirs
        self._out: deque[bytes] = deque()  # items after number ``_acked``
        self._acked = 0  # so many of ours have arrived
        self._sent = 0  # so many have been sent
        self._due = 0  # so many are to be sent
        self._in_flight = 0  # bytes of those between
        self._arrived = 0  # so many of theirs have arrived, in order
        self._early: dict[int, bytes] = {}  # and these after a gap
        self._unacknowledged = 0
        self._ack_at: float | None = None
        self._resend_at: float | None = None
        self._backoff = RESEND

    @property
    def unacked(self) -> int:
        """Items that the peer has not acknowledged."""
        return len(self._out)

    @property
    def next_wake(self) -> float | None:
        """When ``poll`` has something to do, if nothing else happens."""
        times = [t for t in (self._ack_at, self._resend_at) if t is not None]
        return min(times) if times else None

    def send(self, item: bytes, lazy: bool = False) -> None:
        """Queue *item*; ``poll`` sends it, a *lazy* one with the next that is not."""
        self._out.append(item)
        if not lazy:
            self.release()

    def release(self) -> None:
        """Lazy items may be sent."""
        self._due = self._acked + len(self._out)

    def begins_anew(self, packet: Packet) -> bool:
        """Whether *packet* is of a later session of the peer: this channel is over.

        The next one may know of the peer's session (``packet.mine``) only if the peer knew none
        of ours; else both would begin anew at the sight of each other, for ever.
        """
        return self.theirs != 0 and packet.mine > self.theirs

    def receive(self, now: float, packet: Packet) -> list[bytes]:
        """Take *packet*; return the items that are next in order."""
        if packet.mine < self.theirs:
            return []  # C2
        if packet.theirs not in (0, self.mine):
            self._ack_at = now  # they do not know this session yet
            return []
        self.theirs = packet.mine
        if packet.theirs:
            self._acknowledged(now, packet.ack)
        return self._take(now, packet)

    def _acknowledged(self, now: float, ack: int) -> None:
        news = ack - self._acked
        if news <= 0 or ack > self._sent:
            return
        for _ in range(news):
            self._in_flight -= len(self._out.popleft())
        self._acked = ack
        self._backoff = RESEND
        self._resend_at = now + RESEND if self._acked < self._sent else None

    def _take(self, now: float, packet: Packet) -> list[bytes]:
        items: list[bytes] = []
        for number, item in enumerate(packet.items, packet.first):
            if number == self._arrived + 1:
                self._arrived = number
                items.append(item)
                while self._early and (early := self._early.pop(self._arrived + 1, None)):
                    self._arrived += 1
                    items.append(early)
            elif number > self._arrived:
                self._early[number] = item
        if packet.items:
            self._unacknowledged += len(packet.items)
            late = self._unacknowledged >= ACK_EVERY or not items
            at = now if late else now + ACK_DELAY
            self._ack_at = at if self._ack_at is None else min(at, self._ack_at)
        return items

    def poll(self, now: float) -> list[Packet]:
        """Return what is to be sent now: new items, repetitions, acknowledgements."""
        packets = []
        if self._resend_at is not None and now >= self._resend_at:
            self._backoff = min(RESEND_MAX, 2 * self._backoff)
            self._resend_at = now + self._backoff
            packets.append(self._packet(0, self._sent - self._acked))
        while self._sent < self._due and self._in_flight < WINDOW:
            packet = self._packet(self._sent - self._acked, self._due - self._acked)
            self._sent += len(packet.items)
            self._in_flight += sum(map(len, packet.items))
            packets.append(packet)
            if self._resend_at is None:
                self._resend_at = now + self._backoff
        if not packets and self._ack_at is not None and now >= self._ack_at:
            packets.append(Packet(self.mine, self.theirs, self._acked + 1, self._arrived, []))
        if packets:
            self._unacknowledged = 0
            self._ack_at = None
        return packets

    def _packet(self, start: int, end: int) -> Packet:
        items: list[bytes] = []
        size = 0
        if start == 0 and end > MAX_ITEMS:
            end = MAX_ITEMS
        for index in range(start, min(end, start + MAX_ITEMS)):
            item = self._out[index]
            size += len(item)
            if items and size > MAX_BYTES:
                break
            items.append(item)
        first = self._acked + start + 1
        return Packet(self.mine, self.theirs, first, self._arrived, items)

    def check(self) -> None:
        """Check what must always hold."""
        assert self._acked <= self._sent <= self._due <= self._acked + len(self._out)
        flight = [self._out[i] for i in range(self._sent - self._acked)]
        assert self._in_flight == sum(map(len, flight))
        assert (self._resend_at is not None) == (self._sent > self._acked)
        assert all(number > self._arrived + 1 for number in self._early)
