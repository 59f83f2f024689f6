"""What a lane sends when, and how its chunks become messages again. Pure.

    offer ─▶ streams ─▶ take ── chunk ──▶ Incoming.take ─▶ whole message
               ▲                                 │
               └────────── credit ◀──────────────┘

A *stream* is what must stay in order: here a topic. Streams with something to send take turns,
chunk by chunk, so that a long message delays only its own topic. A *session* is the life of a
connection: chunks are numbered in it, and when one is missing the session is over.

Invariants:
    B1  The cost of what is under way never exceeds the window by a whole chunk. The receiver
        returns credit for a chunk when it has it, and for the last of a message when the message
        has been delivered: so that bounds what waits there too. What is compressed costs what it
        is before: a chunk is as much work for the receiver, however few bytes it travels as.
    B2  What waits at the sender is never more than the limit, or a single message.
    B3  The messages of a stream arrive in the order in which they were offered, each whole and
        at most once. None that had begun in a session is continued in another.
    B4  Nothing remains of a session that is over.
    B5  No lane stays still because something was lost: credit is a sum, so the next word makes up
        for a lost one, and a sender that hears nothing asks; who misses a chunk then says so.
"""

from __future__ import annotations

import struct
import zlib
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass

from foundation.errors import CodecError

CHUNK = 64 * 1024  # bytes
# Bytes under way, before compression. An ordinary message that shares the wire waits for no more
# than this: 20 ms at 100 Mbit/s; and for no more to be decompressed. Throughput is at most this per
# round trip: 250 MB/s at 1 ms.
WINDOW = 4 * CHUNK
BACKLOG = 64 * 1024 * 1024  # bytes that may wait for one host
OVERHEAD = 64  # what a chunk costs beside its bytes: bounds the number of small ones

_LAST, _DEFLATED = 1, 2
_HEADER = struct.Struct("!QIIBI")  # session, number, transfer, flags, length of the head


class Payload:
    """An encoded message, shared by the lanes on which it travels.

    Args:
        data: the message.
        deflate: compress it, chunk by chunk, when it leaves; each chunk once for all lanes.
    """

    __slots__ = ("_chunks", "_data", "_deflate", "count", "size")

    def __init__(self, data: bytes, deflate: bool = False) -> None:
        self._data = memoryview(data)
        self._deflate = deflate
        self.size = len(data)
        self.count = max(1, -(-len(data) // CHUNK))
        self._chunks: list[tuple[bool, bytes] | None] | None = (
            [None] * self.count if deflate else None
        )

    def chunk(self, index: int) -> tuple[bool, bytes]:
        """Return a chunk, and whether it is deflated."""
        if self._chunks is None:
            return False, self._cut(index)
        made = self._chunks[index]
        if made is None:
            raw = self._cut(index)
            small = zlib.compress(raw, 1)
            made = self._chunks[index] = (True, small) if len(small) < len(raw) else (False, raw)
        return made

    def length(self, index: int) -> int:
        """Return how many bytes a chunk is before it is compressed."""
        return min(CHUNK, self.size - index * CHUNK)

    def _cut(self, index: int) -> bytes:
        return bytes(self._data[index * CHUNK : (index + 1) * CHUNK])

    @property
    def takes_time(self) -> bool:
        """Whether to make a chunk takes about a millisecond."""
        return self._deflate


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a message, with its place; *head*, in the first one, says what it is."""

    session: int
    number: int
    transfer: int
    head: bytes
    data: bytes
    last: bool
    deflated: bool = False

    def encode(self) -> bytes:
        """Return it as bytes."""
        flags = _LAST * self.last | _DEFLATED * self.deflated
        head = _HEADER.pack(self.session, self.number, self.transfer, flags, len(self.head))
        return b"".join((head, self.head, self.data))

    @classmethod
    def decode(cls, data: bytes) -> Chunk:
        """Return the chunk that *data* is.

        Raises:
            CodecError: it is none.
        """
        if len(data) < _HEADER.size:
            raise CodecError(f"{len(data)} bytes are no chunk of a lane")
        session, number, transfer, flags, length = _HEADER.unpack_from(data)
        end = _HEADER.size + length
        if end > len(data):
            raise CodecError(f"a chunk of {len(data)} bytes announces a head of {length}")
        return cls(
            *(session, number, transfer, data[_HEADER.size : end], data[end:]),
            last=bool(flags & _LAST),
            deflated=bool(flags & _DEFLATED),
        )


def _cost(size: int, head: bytes) -> int:
    """Return what a chunk of *size* bytes, not compressed, takes from the window."""
    return size + len(head) + OVERHEAD


class _Transfer:
    """A message that waits, or is being sent."""

    __slots__ = ("head", "next", "number", "payload")

    def __init__(self, head: bytes, payload: Payload) -> None:
        self.head = head
        self.payload = payload
        self.next = 0  # chunk
        self.number = 0


class Outgoing:
    """The sender's side of a lane.

    Args:
        session: number of its first session; above those of its host's earlier lanes.
        window: cost of the chunks that may be under way.
        limit: bytes that may wait.

    Attributes:
        backlog: bytes of messages that have not left completely.
        sent, dropped, lost: messages, see ``LaneState``.
    """

    def __init__(self, session: int, window: int = WINDOW, limit: int = BACKLOG) -> None:
        self.session = session
        self.backlog = 0
        self.sent = self.dropped = self.lost = 0
        self._window = window
        self._limit = limit
        self._said = self._taken = 0  # cost of the chunks of this session, and that credited
        self._quiet = False
        self._number = 0  # of the next chunk in this session
        self._transfer = 0
        self._streams: dict[Hashable, deque[_Transfer]] = {}  # in the order of their turns

    @property
    def waiting(self) -> int:
        """How many messages have not left completely."""
        return sum(map(len, self._streams.values()))

    @property
    def ready(self) -> bool:
        """Whether ``take`` would return a chunk."""
        return self.under_way < self._window and bool(self._streams)

    @property
    def under_way(self) -> int:
        """Cost of what was taken from here and is not credited."""
        return self._said - self._taken

    def offer(self, stream: Hashable, head: bytes, payload: Payload) -> bool:
        """Have a message sent; False when the backlog is full and it was dropped."""
        if self.backlog and self.backlog + payload.size > self._limit:
            self.dropped += 1
            return False
        self.backlog += payload.size
        self._streams.setdefault(stream, deque()).append(_Transfer(head, payload))
        return True

    def take(self) -> Chunk | None:
        """Return the next chunk to send; None while there is none, or no credit for it."""
        if not self.ready:
            return None
        stream, queue = next(iter(self._streams.items()))
        transfer = queue[0]
        if transfer.next == 0:
            self._transfer += 1
            transfer.number = self._transfer
        index, payload = transfer.next, transfer.payload
        deflated, data = payload.chunk(index)
        head = b"" if index else transfer.head
        transfer.next += 1
        last = transfer.next == payload.count
        chunk = Chunk(self.session, self._number, transfer.number, head, data, last, deflated)
        self._number += 1
        self._said += _cost(payload.length(index), head)
        del self._streams[stream]
        if last:
            queue.popleft()
            self.backlog -= payload.size
            self.sent += 1
        if queue:
            self._streams[stream] = queue  # at the end: the other streams come first
        return chunk

    def credited(self, session: int, total: int) -> None:
        """The receiver has taken *total* of *session*."""
        if session == self.session and self._taken < total <= self._said:
            self._taken = total
            self._quiet = False

    def probe(self) -> Probe | None:
        """Ask what has become of what is under way, if nothing was heard since the last time.

        To be called now and then.
        """
        if not self.under_way:
            return None
        quiet, self._quiet = self._quiet, True
        return Probe(self.session, self._number) if quiet else None

    def restart(self, session: int) -> None:
        """What was under way is lost; go on in a new *session* with what had not begun (B3)."""
        self.session = session
        self._said = self._taken = self._number = 0
        self._quiet = False
        for stream, queue in list(self._streams.items()):
            if queue[0].next:
                self.backlog -= queue.popleft().payload.size
                self.lost += 1
            if not queue:
                del self._streams[stream]


@dataclass(frozen=True, slots=True)
class Credit:
    """To the sender: so much of that session was taken, in all."""

    session: int
    total: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """To the sender: a chunk of that session is missing here; begin another."""

    session: int


@dataclass(frozen=True, slots=True)
class Probe:
    """To the receiver: so many chunks were sent in that session."""

    session: int
    number: int


Word = Credit | Refusal | Probe


@dataclass(frozen=True, slots=True)
class Whole:
    """A message is complete. When it has been delivered, ``Incoming.delivered`` is due."""

    head: bytes
    parts: list[bytes]
    session: int
    cost: int

    @property
    def size(self) -> int:
        """Bytes of the message."""
        return sum(map(len, self.parts))


class _Partial:
    __slots__ = ("head", "parts")

    def __init__(self, head: bytes) -> None:
        self.head = head
        self.parts: list[bytes] = []


class Incoming:
    """The receiver's side of a lane.

    Args:
        limit: bytes of incomplete messages; more is against the protocol.

    Attributes:
        held: bytes of incomplete messages.
    """

    def __init__(self, limit: int) -> None:
        self.held = 0
        self._limit = limit
        self._session = -1
        self._next = 0
        self._total = 0  # cost of what is credited
        self._partial: dict[int, _Partial] = {}

    def take(self, chunk: Chunk) -> Credit | Refusal | Whole | None:
        """Take a chunk; return what follows from it."""
        if chunk.session < self._session:
            return None
        if chunk.session > self._session:
            self._begin(chunk.session, 0)
        if self._next < 0:
            return None  # of a session that was refused already
        whole = self._add(chunk) if chunk.number == self._next else None
        if whole is None or self.held > self._limit:
            self._begin(chunk.session, -1)
            return Refusal(chunk.session)
        self._next += 1
        cost = _cost(len(whole.parts[-1]), chunk.head)
        if chunk.last:
            return Whole(whole.head, whole.parts, chunk.session, cost)
        return self._credit(cost)

    def delivered(self, whole: Whole) -> Credit | None:
        """A message is where it belongs; return what to say."""
        return self._credit(whole.cost) if whole.session == self._session else None

    def _credit(self, cost: int) -> Credit:
        self._total += cost
        return Credit(self._session, self._total)

    def probed(self, probe: Probe) -> Credit | Refusal | None:
        """Answer a sender that has heard nothing for a while."""
        if probe.session < self._session:
            return None
        if probe.session > self._session or self._next != probe.number:
            self._begin(probe.session, -1)
            return Refusal(probe.session)
        return Credit(self._session, self._total)

    def _begin(self, session: int, number: int) -> None:
        self._session, self._next = session, number
        self._total = 0
        self._partial.clear()
        self.held = 0

    def _add(self, chunk: Chunk) -> _Partial | None:
        """Add *chunk* to its message; None when that is not known, or cannot be read."""
        partial = self._partial.get(chunk.transfer)
        if partial is None:
            if not chunk.head:
                return None
            partial = self._partial[chunk.transfer] = _Partial(chunk.head)
        try:
            data = inflate(chunk.data, CHUNK) if chunk.deflated else chunk.data
        except CodecError:
            return None
        partial.parts.append(data)
        self.held += len(data)
        if chunk.last:
            del self._partial[chunk.transfer]
            self.held -= sum(map(len, partial.parts))
        return partial


def inflate(data: bytes, limit: int) -> bytes:
    """Return what *data* is compressed from.

    Raises:
        CodecError: it is no such thing, or is longer than *limit* bytes.
    """
    machine = zlib.decompressobj()
    try:
        found = machine.decompress(data, limit + 1)
    except zlib.error as error:
        raise CodecError(f"compressed bytes cannot be read: {error}") from None
    if not machine.eof or len(found) > limit:
        raise CodecError(f"compressed bytes are cut off, or longer than {limit} bytes")
    return found
