"""A lane, against what was offered: in order, whole, at most once, bounded, and never stuck."""

from __future__ import annotations

from collections import deque

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from foundation.cluster.lanes.machine import (
    CHUNK,
    OVERHEAD,
    Chunk,
    Credit,
    Incoming,
    Outgoing,
    Payload,
    Refusal,
    Whole,
    Word,
)

WINDOW = 2 * CHUNK
LIMIT = 12 * CHUNK
HEAD = 8


class LaneModel(RuleBasedStateMachine):
    """Two sides and a connection that may break at any moment."""

    def __init__(self) -> None:
        super().__init__()
        self.outgoing = Outgoing(1, WINDOW, LIMIT)
        self.incoming = Incoming(LIMIT + CHUNK)
        self.session = 1
        self.there: deque[bytes] = deque()
        self.back: deque[Word] = deque()
        self.complete: deque[Whole] = deque()
        self.offered: dict[bytes, list[int]] = {b"a": [], b"b": []}
        self.got: dict[bytes, list[int]] = {b"a": [], b"b": []}
        self.number = 0

    @rule(
        stream=st.sampled_from([b"a", b"b"]),
        size=st.integers(0, 3 * CHUNK),
        deflate=st.booleans(),
    )
    def offer(self, stream: bytes, size: int, deflate: bool) -> None:
        """Something is to be sent."""
        self.number += 1
        data = self.number.to_bytes(4, "big") + bytes(size)
        room = not self.outgoing.backlog or self.outgoing.backlog + len(data) <= LIMIT
        head = stream + self.number.to_bytes(HEAD - 1, "big")
        assert self.outgoing.offer(stream, head, Payload(data, deflate)) == room
        if room:
            self.offered[stream].append(self.number)

    @rule()
    def send(self) -> None:
        """All that may leave leaves."""
        while (chunk := self.outgoing.take()) is not None:
            self.there.append(chunk.encode())

    @precondition(lambda self: self.there)
    @rule()
    def arrive(self) -> None:
        """A chunk arrives."""
        outcome = self.incoming.take(Chunk.decode(self.there.popleft()))
        if isinstance(outcome, Whole):
            self.complete.append(outcome)
        elif outcome is not None:
            self.back.append(outcome)

    @precondition(lambda self: self.complete)
    @rule()
    def deliver(self) -> None:
        """A message is delivered."""
        whole = self.complete.popleft()
        number = int.from_bytes(whole.head[1:], "big")
        data = b"".join(whole.parts)
        assert int.from_bytes(data[:4], "big") == number
        assert not any(data[4:])
        self.got[whole.head[:1]].append(number)
        word = self.incoming.delivered(whole)
        if word is not None:
            self.back.append(word)

    @precondition(lambda self: self.back)
    @rule()
    def hear(self) -> None:
        """A word of the receiver arrives."""
        word = self.back.popleft()
        if isinstance(word, Credit):
            self.outgoing.credited(word.session, word.total)
        elif isinstance(word, Refusal) and word.session == self.outgoing.session:
            self.restart()

    def restart(self) -> None:
        """The sender begins a new session."""
        self.session += 1
        self.outgoing.restart(self.session)

    @rule(told=st.booleans())
    def lose(self, told: bool) -> None:
        """All that is under way is lost; the sender may, or may not, be told."""
        self.there.clear()
        self.back.clear()
        if told:
            self.restart()

    @precondition(lambda self: not self.there)
    @rule()
    def probe(self) -> None:
        """The sender asks, if it has heard nothing for a while."""
        probe = self.outgoing.probe()
        word = None if probe is None else self.incoming.probed(probe)
        if word is not None:
            self.back.append(word)

    @invariant()
    def in_order_and_at_most_once(self) -> None:
        """What arrived of a stream is a subsequence of what was offered (B3)."""
        for stream, got in self.got.items():
            offered = iter(self.offered[stream])
            assert all(number in offered for number in got)

    @invariant()
    def bounded(self) -> None:
        """B1 and B2."""
        assert self.outgoing.under_way < WINDOW + CHUNK + HEAD + OVERHEAD
        assert self.outgoing.backlog <= LIMIT
        waiting = sum(whole.size for whole in self.complete)
        assert self.incoming.held <= LIMIT + CHUNK
        assert waiting <= LIMIT + WINDOW + CHUNK

    def teardown(self) -> None:
        """When nothing is lost any more, everything that waits arrives, and nothing remains."""
        for _ in range(5_000):
            self.send()
            if self.there:
                self.arrive()
            elif self.complete:
                self.deliver()
            elif self.back:
                self.hear()
            elif self.outgoing.under_way:
                self.probe()
            else:
                break
        assert (self.outgoing.under_way, self.outgoing.backlog, self.outgoing.waiting) == (0, 0, 0)
        assert self.incoming.held == 0
        self.in_order_and_at_most_once()


TestLane = LaneModel.TestCase
