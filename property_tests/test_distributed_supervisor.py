"""Laws of what the distributed supervisor decides by: records, leases, the policy, placement."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from foundation.cluster.supervisor import desired as desired_module
from foundation.cluster.supervisor import reconcile
from foundation.cluster.supervisor.desired import Desired
from foundation.cluster.supervisor.ids import id_of, key_of
from foundation.cluster.supervisor.lease import Lease
from foundation.cluster.supervisor.placement import Candidates
from foundation.cluster.supervisor.reconcile import Case, decide, survivor
from foundation.cluster.supervisor.records import (
    ALIVE,
    HOLDING,
    IGNORED,
    MOVING,
    QUARANTINED,
    SETTLED,
    STARTING,
    TOKENS,
    Entry,
    Record,
)
from foundation.cluster.values import Member

KEYS = st.sampled_from([b"a", b"b", b"c"])
VERSIONS = st.tuples(st.integers(1, 6), st.sampled_from("xyz"))
RECORDS = st.builds(
    Record,
    version=VERSIONS,
    spec=st.just(b""),
    every_node=st.just(False),
    deleted=st.booleans(),
).map(lambda r: replace(r, spec=b"" if r.deleted else repr(r.version).encode()))
WRITES = st.lists(st.tuples(KEYS, RECORDS), max_size=20)
STATUSES = (*ALIVE, *TOKENS, QUARANTINED, IGNORED)
ENTRIES = st.builds(
    Entry,
    status=st.sampled_from(STATUSES),
    generation=st.integers(1, 4),
    pid=st.none(),
    version=st.sampled_from([(1, "x"), (2, "y")]),
)
NODES = ("a", "b", "c")


def one_of_each(writes: list[tuple[bytes, Record]]) -> list[tuple[bytes, Record]]:
    """One writer never writes two records of one version."""
    found: dict[tuple[bytes, object], tuple[bytes, Record]] = {}
    for key, record in writes:
        found.setdefault((key, record.version), (key, record))
    return list(found.values())


@given(WRITES, st.randoms(use_true_random=False))
def test_records_merge_to_the_highest_version_in_any_order(
    writes: list[tuple[bytes, Record]], rng: random.Random
) -> None:
    writes = one_of_each(writes)
    oracle: dict[bytes, Record] = {}
    for key, record in writes:
        if key not in oracle or record.version > oracle[key].version:
            oracle[key] = record
    digests = []
    for _ in range(3):
        shuffled = writes + writes[:3]
        rng.shuffle(shuffled)
        merged = Desired()
        for key, record in shuffled:
            merged.merge(key, record, 0.0)
        merged.check()
        for key, record in oracle.items():
            assert merged.get(key) == record
        assert sorted(merged.live()) == sorted(k for k, r in oracle.items() if not r.deleted)
        digests.append(merged.digest)
    assert len(set(digests)) == 1


@given(WRITES, WRITES)
def test_exchanging_what_is_newer_makes_two_alike(
    ours: list[tuple[bytes, Record]], theirs: list[tuple[bytes, Record]]
) -> None:
    both = one_of_each(ours + theirs)
    one, other = Desired(), Desired()
    for index, (key, record) in enumerate(both):
        (one if index % 2 else other).merge(key, record, 0.0)
    before = one.versions(), other.versions()
    for key in one.newer_than(before[1]):
        other.merge(key, one.get(key) or Record((0, ""), b""), 0.0)
    for key in other.newer_than(before[0]):
        one.merge(key, other.get(key) or Record((0, ""), b""), 0.0)
    assert one.digest == other.digest
    assert sorted(one.live()) == sorted(other.live())


@given(st.lists(st.tuples(st.integers(0, 400), st.booleans()), max_size=300))
def test_tombstones_are_bounded(steps: list[tuple[int, bool]]) -> None:
    most, desired_module.MOST_TOMBSTONES = desired_module.MOST_TOMBSTONES, 20
    try:
        wanted = Desired()
        for now, (number, delete) in enumerate(steps):
            key = key_of(number % 50)
            if delete:
                tombstone = wanted.tombstone(key, "a")
                if tombstone is not None:
                    wanted.merge(key, tombstone, float(now))
            else:
                wanted.merge(key, Record(wanted.next_version("a"), b"spec"), float(now))
            wanted.check()
            assert wanted.tombstones() <= 20
        wanted.expire(1e9)
        assert wanted.tombstones() == 0
    finally:
        desired_module.MOST_TOMBSTONES = most


@given(
    record=st.none() | st.builds(
        Record,
        version=st.sampled_from([(1, "x"), (2, "y")]),
        spec=st.just(b"s"),
        restart=st.sampled_from(["permanent", "temporary"]),
        every_node=st.booleans(),
        on_minority=st.sampled_from(["stop", "keep"]),
        token=st.just("t"),
        home=st.sampled_from(["", "a/1", "b/1"]),
        deleted=st.booleans(),
    ),
    mine=st.none() | ENTRIES,
    others=st.dictionaries(st.sampled_from(["b", "c"]), ENTRIES),
    owner=st.none() | st.sampled_from(NODES),
    settled=st.booleans(),
    hindered=st.sampled_from(["", "no majority"]),
    minority=st.booleans(),
    moves_left=st.integers(0, 1),
    home_gone=st.booleans(),
)  # fmt: skip
def test_the_policy_is_safe(**parts: object) -> None:
    case = Case(me="a", life="a/1", **parts)  # type: ignore[arg-type]
    action = decide(case)
    record, mine = case.record, case.mine
    wanted = record is not None and not record.deleted
    if action.kind == reconcile.START:
        assert wanted
        assert record is not None
        assert case.owner == "a"
        assert not case.hindered
        assert mine is None or mine.status in TOKENS
        if not record.every_node:
            assert case.settled
            assert not any(e.status in ALIVE for e in case.others.values())
            assert mine is not None or not case.others
    if action.kind in (reconcile.STOP, reconcile.KILL, reconcile.MOVE):
        assert mine is not None
        assert mine.status in ALIVE
    if action.kind == reconcile.DROP:
        assert mine is not None
        assert mine.status not in ALIVE
    if action.kind in (reconcile.MOVE, reconcile.OFFER):
        assert action.to not in ("", "a")
        assert case.settled
    if not wanted:
        assert action.kind != reconcile.START
    if wanted and record is not None and not record.every_node and not case.settled:
        assert action.kind not in (reconcile.MOVE, reconcile.OFFER, reconcile.FORGET)


@given(st.dictionaries(st.sampled_from(NODES), ENTRIES, min_size=1), st.sampled_from(NODES))
def test_all_nodes_choose_the_same_survivor(copies: dict[str, Entry], owner: str) -> None:
    """And exactly one of the copies thinks that it stays."""
    copies = {n: e._replace(status=STARTING, version=(1, "x")) for n, e in copies.items()}
    record = Record((1, "x"), b"s", token="t")
    stay = []
    for node, entry in copies.items():
        others = {n: e for n, e in copies.items() if n != node}
        action = decide(Case(node, f"{node}/1", record, entry, others, owner))
        if action.kind != reconcile.STOP:
            stay.append(node)
    assert stay == [survivor(copies, owner)]


@given(
    st.lists(st.sampled_from([HOLDING, MOVING]), min_size=1, max_size=3),
    st.sampled_from(NODES),
)
def test_what_is_on_its_way_arrives(statuses: list[str], owner: str) -> None:
    """However many nodes hold a token of a child, the owner starts it, and it is one."""
    record = Record((1, "x"), b"s", token="t")
    entries = {n: Entry(s, 1, None, (1, "x")) for n, s in zip(NODES, statuses, strict=False)}
    for _ in range(12):
        for node in NODES:
            others = {n: e for n, e in entries.items() if n != node}
            action = decide(Case(node, f"{node}/1", record, entries.get(node), others, owner))
            if action.kind == reconcile.START:
                entries[node] = Entry(STARTING, 2, None, (1, "x"))
            elif action.kind == reconcile.OFFER:
                entries.setdefault(action.to, Entry(HOLDING, 1, None, (1, "x")))
                del entries[node]
            elif action.kind == reconcile.DROP:
                del entries[node]
    assert {n: e.status for n, e in entries.items()} == {owner: STARTING}
    assert entries[owner].status in SETTLED


@given(
    st.integers(2, 6),
    st.lists(st.tuples(st.floats(0, 10), st.integers(0, 5), st.floats(0, 1)), max_size=40),
)
def test_a_lease_needs_a_majority(size: int, answers: list[tuple[float, int, float]]) -> None:
    majority = size // 2 + 1
    lease = Lease(majority, 1.2, 1.8)
    latest: dict[str, float] = {}
    now = 0.0
    for sent, node, _ in sorted(answers):
        now = sent
        lease.granted(f"n{node}", sent, 7)
        latest[f"n{node}"] = sent
        fresh = sum(now - then < 1.2 for then in latest.values())
        assert lease.holds(now) == (fresh + 1 >= majority)
    assert not lease.holds(now + 1.3)
    assert lease.hindered(now, ["n1"], 7) != ""  # never settled


@given(st.sets(st.text("abcdef", min_size=1, max_size=3), min_size=2), st.integers())
def test_placement_moves_only_what_must(names: set[str], number: int) -> None:
    members = tuple(Member(name, 1, "") for name in sorted(names))
    found, key = Candidates(members), key_of(number)
    owner = found.owner(key, ())
    gone = members[number % len(members)].name
    after = found.without([gone]).owner(key, ())
    assert (after == owner) == (owner != gone)


IDS = st.recursive(
    st.text() | st.integers(-(2**70), 2**70) | st.binary() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=8,
)


@given(IDS)
def test_ids_travel(id: object) -> None:
    assert id_of(key_of(id)) == id
    assert key_of(id_of(key_of(id))) == key_of(id)
