"""The pure parts, by tables: merge rules, suspicion, awareness, admission, news, rotation, wire."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from random import Random

import pytest

from foundation.cluster.membership.awareness import Awareness
from foundation.cluster.membership.gossip import (
    MOST_BYTES,
    MOST_RECORDS,
    NewsQueue,
    estimated_size,
    transmit_limit,
)
from foundation.cluster.membership.joining import admit, common_version
from foundation.cluster.membership.records import Record, digest, supersedes
from foundation.cluster.membership.rotation import LONGEST_WATCH, Rotation
from foundation.cluster.membership.suspicion import (
    Suspicion,
    suspicion_timeout,
    wanted_confirmations,
)
from foundation.cluster.membership.wire import pack_item, parse, unpack_item
from foundation.kernel.codec import dumps, loads

A = Record("a", 2, 5, "alive", "h:1")


def rec(generation: int = 2, incarnation: int = 5, status: str = "alive", **more: str) -> Record:
    return Record("a", generation, incarnation, status, more.pop("address", "h:1"), **more)


ASCENDING = [
    rec(1, 9, "left"),
    rec(2, 4, "left"),
    rec(2, 5, "alive"),
    rec(2, 5, "suspect"),
    rec(2, 5, "dead", reason="silent"),
    rec(2, 5, "dead", reason="killed"),
    rec(2, 5, "left"),
    rec(2, 6, "alive"),
    rec(2, 6, "alive", address="h:2"),
    rec(3, 0, "alive"),
]


@pytest.mark.parametrize("older", range(len(ASCENDING)))
@pytest.mark.parametrize("newer", range(len(ASCENDING)))
def test_records_of_a_name_are_totally_ordered(older: int, newer: int) -> None:
    assert supersedes(ASCENDING[newer], ASCENDING[older]) == (newer > older)
    assert supersedes(ASCENDING[newer], None)


def test_merging_in_any_order_gives_the_same() -> None:
    for records in permutations(ASCENDING[1:7]):
        held = None
        for record in records:
            held = record if supersedes(record, held) else held
        assert held == ASCENDING[6]


@pytest.mark.parametrize(
    ("confirmations", "wanted", "expected"),
    [(0, 3, 1.4), (1, 3, 1.2), (3, 3, 1.0), (9, 3, 1.0), (0, 0, 1.4), (5, 0, 1.4), (1, 1, 1.0)],
)
def test_suspicion_timeout(confirmations: int, wanted: int, expected: float) -> None:
    assert suspicion_timeout(confirmations, wanted, 1.0, 1.4) == pytest.approx(expected)


@pytest.mark.parametrize(("size", "expected"), [(1, 0), (2, 0), (3, 1), (4, 2), (5, 3), (50, 3)])
def test_wanted_confirmations(size: int, expected: int) -> None:
    assert wanted_confirmations(size) == expected


def test_a_suspicion_counts_each_accuser_once() -> None:
    suspicion = Suspicion(1, 1, started=10.0, wanted=3)
    assert suspicion.confirm("a")
    assert suspicion.deadline(1.0, 1.4) == pytest.approx(11.4)
    assert not suspicion.confirm("a")
    assert not suspicion.confirm("")
    assert suspicion.confirm("b")
    assert suspicion.deadline(1.0, 1.4) == pytest.approx(11.2)
    assert suspicion.confirm("c")
    assert suspicion.confirm("d")
    assert not suspicion.confirm("e")
    assert suspicion.deadline(1.0, 1.4) == pytest.approx(11.0)


def test_awareness_is_bounded_and_recovers() -> None:
    awareness = Awareness(3)
    awareness.probe_failed(nacks=1)
    assert awareness.factor == 1
    for _ in range(5):
        awareness.probe_failed(nacks=0)
    assert awareness.factor == 4
    for _ in range(5):
        awareness.probe_answered()
    assert awareness.factor == 1


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [((1, 1), (1, 1), 1), ((1, 3), (2, 5), 3), ((1, 1), (2, 2), None), ((2, 4), (1, 2), 2)],
)
def test_common_version(
    ours: tuple[int, int], theirs: tuple[int, int], expected: int | None
) -> None:
    assert common_version(ours, theirs) == expected


@pytest.mark.parametrize(
    ("known", "joiner", "theirs", "cluster", "code"),
    [
        (None, A, (1, 1), "c", None),
        (None, A, (1, 1), "other", "cluster"),
        (None, A, (2, 3), "c", "version"),
        (rec(1), A, (1, 1), "c", None),
        (rec(2), A, (1, 1), "c", None),
        (rec(3), A, (1, 1), "c", "stale"),
        (rec(3, status="left"), A, (1, 1), "c", "stale"),
        (rec(1, address="h:2"), A, (1, 1), "c", "name"),
        (rec(1, status="suspect", address="h:2"), A, (1, 1), "c", "name"),
        (rec(1, status="dead", reason="silent", address="h:2"), A, (1, 1), "c", None),
    ],
)
def test_admission(
    known: Record | None, joiner: Record, theirs: tuple[int, int], cluster: str, code: str | None
) -> None:
    refusal = admit("c", (1, 1), known, joiner, theirs, cluster)
    assert (refusal.code if refusal else None) == code
    if code == "stale":
        assert refusal is not None
        assert refusal.generation == 3
    if code == "name":
        assert refusal is not None
        assert "give this node another name, or stop that one" in refusal.text


def test_news_is_sent_a_bounded_number_of_times() -> None:
    queue = NewsQueue()
    queue.add(A)
    sent = 0
    while queue.take(3):
        sent += 1
    assert sent == transmit_limit(3) == 8
    assert len(queue) == 0


def test_the_newest_and_least_sent_news_goes_first_and_messages_are_bounded() -> None:
    queue = NewsQueue()
    for number in range(40):
        queue.add(replace(A, name=f"n{number}"))
    first = queue.take(10)
    assert [item[0] for item in first] == [f"n{39 - i}" for i in range(MOST_RECORDS)]
    assert queue.take(10)[0][0] == "n27"
    queue.add(replace(A, name="newest", meta=b"x" * 1000))
    big = queue.take(10)
    assert big[0][0] == "newest"
    sizes = sum(estimated_size(unpack_item(item)[0]) for item in big)
    assert len(big) > 1
    assert sizes <= MOST_BYTES


def test_one_item_per_name_and_the_accused_first() -> None:
    queue = NewsQueue()
    queue.add(A)
    queue.add(replace(A, incarnation=6))
    suspect = replace(A, name="s", status="suspect")
    queue.add(suspect, "x")
    items = queue.take(5, suspect, "x")
    assert [(item[0], item[2], item[9]) for item in items] == [("s", 5, "x"), ("a", 6, "")]


def test_rotation_takes_each_once_per_round_and_newcomers_in() -> None:
    rotation = Rotation("me", Random(1))
    for number in range(7):
        rotation.add(f"n{number}")
    everybody = [f"n{number}" for number in range(7)]
    for _ in range(7):
        rotation.turn(lambda _: True)  # the first round is in order of arrival, more or less
    for _ in range(5):
        turns = [rotation.turn(lambda _: True) for _ in range(7)]
        assert sorted(str(t) for t in turns) == everybody
    assert rotation.turn(lambda _: False) is None
    rotation.remove("n3")
    assert {rotation.turn(lambda _: True) for _ in range(20)} == {*everybody} - {"n3"}


def test_everybody_is_watched_by_exactly_one_until_there_are_suspects() -> None:
    names = [f"n{number}" for number in range(9)]
    rotations = {name: Rotation(name, Random(1)) for name in names}
    for name, rotation in rotations.items():
        for other in names:
            if other != name:
                rotation.add(other)
    watched = [rotation.watched(lambda _: False) for rotation in rotations.values()]
    assert sorted(name for names_ in watched for name in names_) == names
    rotation = rotations["n0"]
    first = rotation.watched(lambda _: False)[0]
    assert len(rotation.watched(lambda name: name == first)) == 2
    assert len(rotation.watched(lambda _: True)) == LONGEST_WATCH
    assert rotation.near(first)


def test_the_digest_sees_members_only() -> None:
    dead = replace(A, name="d", status="dead", reason="silent")
    assert digest([A, dead]) == digest([A])
    assert digest([A]) == digest([replace(A, status="suspect")])
    assert digest([A]) != digest([replace(A, incarnation=6)])


def test_items_survive_the_wire() -> None:
    record = Record("ä", 1, 2, "dead", "h:1", (("zone", "1"),), True, "killed", b"\0x")
    item = loads(dumps(pack_item(record, "b")), allow_pickle=False)
    assert unpack_item(item) == (record, "b")
    assert unpack_item(list(pack_item(record))) == (record, "")


GOOD = pack_item(A)


@pytest.mark.parametrize(
    "message",
    [
        None,
        (),
        "swim.ping",
        ("swim.ping",),
        ("swim.unknown", 1),
        (["swim.ping"], 1),
        ("swim.ping", 1, "a", 1, "b", 1, [GOOD[:9]]),
        ("swim.ping", -1, "a", 1, "b", 1, ()),
        ("swim.ping", True, "a", 1, "b", 1, ()),
        ("swim.ping", 1.0, "a", 1, "b", 1, ()),
        ("swim.ping", 1, "", 1, "b", 1, ()),
        ("swim.ping", 1, "a", 1 << 70, "b", 1, ()),
        ("swim.news", "a", 1, "news"),
        ("swim.news", "a", 1, [("a", 1, 1, "zombie", "h", (), False, "", b"", "")]),
        ("swim.news", "a", 1, [("a", 1, 1, "alive", "h", (), False, "killed", b"", "")]),
        ("swim.news", "a", 1, [("a", 1, 1, "dead", "h", (), False, "", b"", "")]),
        ("swim.news", "a", 1, [("a", 1, 1, "dead", "h", (), False, [], b"", "")]),
        ("swim.news", "a", 1, [("a", 1, 1, "alive", "h", (("k",),), False, "", b"", "")]),
        ("swim.news", "a", 1, [("a", 1, 1, "alive", "h", (), 1, "", b"", "")]),
        ("swim.news", "a", 1, [("a", 1, 1, "alive", "h", (), False, "", b"x" * 2000, "")]),
        ("swim.sync", "a", 1, (), 1),
    ],
)
def test_malformed_messages_are_seen(message: object) -> None:
    with pytest.raises(ValueError):
        parse(message)
