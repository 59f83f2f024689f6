"""The two sides of a lane, and a connection between them that may be lost at any moment."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import pytest

from foundation.cluster.lanes.machine import (
    CHUNK,
    OVERHEAD,
    WINDOW,
    Chunk,
    Credit,
    Incoming,
    Outgoing,
    Payload,
    Probe,
    Refusal,
    Whole,
    Word,
    inflate,
)
from foundation.errors import CodecError

LIMIT = 10 * 1024 * 1024


class Pair:
    """A sender, a receiver, and a connection that carries in order until it breaks."""

    def __init__(self, **options: Any) -> None:
        self.outgoing = Outgoing(1, **options)
        self.incoming = Incoming(LIMIT)
        self.there: deque[bytes] = deque()
        self.back: deque[Word] = deque()
        self.complete: deque[Whole] = deque()
        self.got: list[tuple[bytes, bytes]] = []
        self.session = 1
        self.most = 0

    def send(self) -> None:
        while (chunk := self.outgoing.take()) is not None:
            self.there.append(chunk.encode())
            self.most = max(self.most, self.outgoing.under_way)

    def arrive(self) -> None:
        outcome = self.incoming.take(Chunk.decode(self.there.popleft()))
        if isinstance(outcome, Whole):
            self.complete.append(outcome)
        elif outcome is not None:
            self.back.append(outcome)

    def deliver(self) -> None:
        whole = self.complete.popleft()
        self.got.append((whole.head, b"".join(whole.parts)))
        word = self.incoming.delivered(whole)
        if word is not None:
            self.back.append(word)

    def hear(self) -> None:
        word = self.back.popleft()
        if isinstance(word, Credit):
            self.outgoing.credited(word.session, word.total)
        elif word.session == self.outgoing.session:
            self.restart()

    def restart(self) -> None:
        self.session += 1
        self.outgoing.restart(self.session)

    def cut(self) -> None:
        """The connection breaks, and the sender is told."""
        self.there.clear()
        self.back.clear()
        self.restart()

    def probe(self) -> None:
        probe = self.outgoing.probe()
        if probe is not None:
            word = self.incoming.probed(probe)
            if word is not None:
                self.back.append(word)

    def settle(self) -> None:
        """Let everything happen that can."""
        for _ in range(100_000):
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
                return
        raise AssertionError("it never settles")


def offer(pair: Pair, stream: str, number: int, size: int, deflate: bool = False) -> bool:
    data = number.to_bytes(4, "big") * (size // 4) + b"x" * (size % 4)
    return pair.outgoing.offer(stream, f"{stream} {number}".encode(), Payload(data, deflate))


@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK + 7])
def test_a_message_arrives_whole(size: int, deflate: bool) -> None:
    data = random.Random(size).randbytes(size // 2) + bytes(size - size // 2)
    pair = Pair()
    pair.outgoing.offer("s", b"head", Payload(data, deflate))
    pair.settle()
    assert pair.got == [(b"head", data)]
    assert (pair.outgoing.sent, pair.outgoing.backlog, pair.outgoing.under_way) == (1, 0, 0)
    assert pair.incoming.held == 0


def test_no_more_is_under_way_than_the_window_and_a_chunk() -> None:
    pair = Pair()
    for number in range(20):
        offer(pair, "s", number, 3 * CHUNK)
    pair.send()
    assert WINDOW <= pair.outgoing.under_way <= WINDOW + CHUNK + OVERHEAD + 10
    sent = len(pair.there)
    pair.send()
    assert len(pair.there) == sent
    pair.settle()
    assert len(pair.got) == 20
    assert pair.most <= WINDOW + CHUNK + OVERHEAD + 10


def test_what_is_compressed_takes_as_much_of_the_window_as_what_is_not() -> None:
    under_way = []
    for deflate in (False, True):
        pair = Pair()
        data = bytes(100 * CHUNK)  # a hundred chunks of some 80 bytes each, when compressed
        pair.outgoing.offer("s", b"head", Payload(data, deflate))
        pair.send()
        under_way.append(len(pair.there))  # each is a chunk's work for the receiver, at once
        travelled = sum(map(len, pair.there))
        pair.settle()
        assert pair.got == [(b"head", data)]
        assert pair.most <= WINDOW + CHUNK + OVERHEAD + 4
        assert pair.outgoing.under_way == 0
    assert under_way[0] == under_way[1] <= WINDOW // CHUNK + 1
    assert travelled < CHUNK


def test_the_last_chunk_is_credited_when_the_message_is_delivered() -> None:
    pair = Pair(window=1)
    offer(pair, "s", 1, 10)
    offer(pair, "s", 2, 10)
    pair.send()
    pair.arrive()
    assert not pair.back
    pair.send()
    assert not pair.there  # who does not deliver is sent nothing
    pair.deliver()
    pair.hear()
    pair.send()
    assert len(pair.there) == 1


def test_streams_take_turns_and_each_stays_in_order() -> None:
    pair = Pair()
    offer(pair, "long", 1, 50 * CHUNK)
    for number in range(3):
        offer(pair, "short", number, 10)
    pair.settle()
    assert [head for head, _ in pair.got] == [b"short 0", b"short 1", b"short 2", b"long 1"]


def test_what_finds_the_backlog_full_is_dropped_and_counted() -> None:
    pair = Pair(limit=3 * CHUNK)
    assert [offer(pair, "s", n, 2 * CHUNK) for n in range(3)] == [True, False, False]
    assert (pair.outgoing.dropped, pair.outgoing.backlog) == (2, 2 * CHUNK)
    pair.settle()
    assert offer(pair, "s", 9, 100 * CHUNK)  # alone, a message may be longer
    pair.settle()
    assert [head for head, _ in pair.got] == [b"s 0", b"s 9"]


def test_when_the_connection_breaks_what_had_begun_is_lost_and_the_rest_follows() -> None:
    pair = Pair()
    for number in range(3):
        offer(pair, "s", number, 10 * CHUNK)
    pair.send()
    pair.arrive()
    assert pair.incoming.held == CHUNK
    pair.cut()
    assert pair.outgoing.lost == 1
    pair.send()
    pair.arrive()
    assert pair.incoming.held == CHUNK  # of the second: nothing is left of the first
    pair.settle()
    assert [head for head, _ in pair.got] == [b"s 1", b"s 2"]


def test_late_chunks_and_words_of_a_session_that_is_over_change_nothing() -> None:
    pair = Pair()
    offer(pair, "s", 1, 2 * CHUNK)
    offer(pair, "s", 2, 2 * CHUNK)
    pair.send()
    late = list(pair.there)
    pair.cut()
    offer(pair, "s", 3, 10)
    pair.send()
    pair.arrive()
    for data in late:
        assert pair.incoming.take(Chunk.decode(data)) is None
    under_way = pair.outgoing.under_way
    pair.outgoing.credited(1, 5)
    assert pair.outgoing.under_way == under_way
    pair.settle()
    assert [head for head, _ in pair.got] == [b"s 3"]  # both others had left before the cut


def test_a_missing_chunk_is_refused_and_the_sender_begins_anew() -> None:
    pair = Pair()
    offer(pair, "s", 1, 10 * CHUNK)
    offer(pair, "s", 2, 10)
    pair.send()
    del pair.there[1]
    pair.arrive()
    pair.arrive()
    assert pair.back[-1] == Refusal(1)
    assert pair.incoming.held == 0
    pair.settle()
    assert [head for head, _ in pair.got] == [b"s 2"]


def test_lost_credit_is_made_up_for() -> None:
    pair = Pair(window=1)
    offer(pair, "s", 1, 10)
    offer(pair, "s", 2, 10)
    pair.send()
    pair.arrive()
    pair.deliver()
    pair.back.clear()
    assert pair.outgoing.probe() is None  # the first time: something may be on its way
    pair.probe()
    assert isinstance(pair.back[0], Credit)
    pair.settle()
    assert len(pair.got) == 2


def test_a_lost_chunk_is_noticed_although_nothing_follows_it() -> None:
    pair = Pair()
    offer(pair, "s", 1, 10)
    pair.send()
    pair.there.clear()
    pair.probe()
    pair.probe()
    assert list(pair.back) == [Refusal(1)]
    pair.settle()
    assert pair.outgoing.under_way == 0


def test_a_probe_of_a_session_that_the_receiver_never_heard_of_is_refused() -> None:
    assert Incoming(LIMIT).probed(Probe(7, 3)) == Refusal(7)


def test_more_than_may_be_incomplete_is_refused() -> None:
    incoming = Incoming(CHUNK)
    first = Chunk(1, 0, 1, b"h", bytes(CHUNK), last=False)
    assert isinstance(incoming.take(first), Credit)
    second = Chunk(1, 1, 1, b"", b"x", last=False)
    assert incoming.take(second) == Refusal(1)
    assert incoming.held == 0


@pytest.mark.parametrize("data", [b"", b"short", bytes(17) + b"\xff\xff\xff\xff"])
def test_what_is_no_chunk_is_an_error(data: bytes) -> None:
    with pytest.raises(CodecError):
        Chunk.decode(data)


def test_inflating_is_bounded() -> None:
    import zlib

    assert inflate(zlib.compress(bytes(100)), 100) == bytes(100)
    with pytest.raises(CodecError):
        inflate(zlib.compress(bytes(101)), 100)
    with pytest.raises(CodecError):
        inflate(zlib.compress(bytes(100))[:-3], 100)
    with pytest.raises(CodecError):
        inflate(b"nothing", 100)


@pytest.mark.parametrize("seed", range(60))
def test_whatever_happens_streams_stay_in_order_and_nothing_remains(seed: int) -> None:
    rng = random.Random(seed)
    pair = Pair(window=rng.choice((1, CHUNK, WINDOW)), limit=rng.choice((CHUNK, 20 * CHUNK)))
    offered: dict[str, list[int]] = {"a": [], "b": [], "c": []}
    for number in range(200):
        stream = rng.choice("abc")
        size = rng.choice((0, 10, 1000, CHUNK, 3 * CHUNK + 5))
        if offer(pair, stream, number, size, rng.random() < 0.3):
            offered[stream].append(number)
        for _ in range(rng.randrange(6)):
            step = rng.choice(("send", "arrive", "deliver", "hear", "cut", "lose", "probe"))
            if step == "cut" and rng.random() < 0.2:
                pair.cut()
            elif step == "lose" and rng.random() < 0.2:
                (pair.there if rng.random() < 0.5 else pair.back).clear()
            elif step == "send":
                pair.send()
            elif step == "arrive" and pair.there:
                pair.arrive()
            elif step == "deliver" and pair.complete:
                pair.deliver()
            elif step == "hear" and pair.back:
                pair.hear()
            elif step == "probe" and not pair.there:  # it stays behind what was sent before it
                pair.probe()
    pair.settle()
    for stream, numbers in offered.items():
        got = [int(h.split()[1]) for h, _ in pair.got if h.startswith(stream.encode())]
        assert got == sorted(got)
        assert len(got) == len(set(got))
        assert not set(got) - set(numbers)
    assert all(int.from_bytes(d[:4], "big") == int(h.split()[1]) for h, d in pair.got if d)
    assert pair.got
    assert (pair.incoming.held, pair.outgoing.backlog, pair.outgoing.waiting) == (0, 0, 0)
    assert pair.outgoing.under_way == 0
