"""The policy, case by case."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from foundation.cluster.supervisor.lease import Lease
from foundation.cluster.supervisor.reconcile import Case, decide, fewest
from foundation.cluster.supervisor.records import (
    HOLDING,
    LEAVING,
    MOVING,
    QUARANTINED,
    RUNNING,
    STARTING,
    STOPPING,
    Entry,
    Record,
)

VERSION = (3, "a")
RECORD = Record(VERSION, b"spec", token="t")
GONE = replace(RECORD, version=(4, "a"), deleted=True)
EVERY = replace(RECORD, every_node=True)
TEMPORARY = replace(RECORD, restart="temporary", home="me/1")
OTHERS = replace(TEMPORARY, home="b/1")
STOPS = replace(RECORD, on_minority="stop")


def entry(status: str, generation: int = 1, version: Any = VERSION) -> Entry:
    return Entry(status, generation, None, version)


CASES: list[tuple[str, dict[str, Any], str]] = [
    ("nothing is wanted", {"record": None}, "nothing"),
    ("somebody else's", {"owner": "b"}, "nothing"),
    ("ours, and nobody runs it", {}, "start"),
    ("ours, no agreement", {"settled": False}, "wait"),
    ("ours, runs elsewhere", {"others": {"b": entry(RUNNING)}}, "wait"),
    ("ours, still ends elsewhere", {"others": {"b": entry(STOPPING)}}, "wait"),
    ("ours, on its way here", {"others": {"b": entry(MOVING)}}, "wait"),
    ("ours, in quarantine elsewhere", {"others": {"b": entry(QUARANTINED)}}, "wait"),
    ("ours, no lease", {"record": STOPS, "hindered": "x"}, "wait"),
    ("runs, as it should", {"mine": entry(RUNNING)}, "nothing"),
    ("runs, not wanted", {"mine": entry(RUNNING), "record": GONE}, "stop"),
    ("runs, not wanted, no agreement",
     {"mine": entry(RUNNING), "record": GONE, "settled": False}, "stop"),
    ("ends, not wanted", {"mine": entry(STOPPING), "record": GONE}, "nothing"),
    ("rests, not wanted", {"mine": entry(QUARANTINED), "record": GONE}, "drop"),
    ("runs by an old spec", {"mine": entry(RUNNING, version=(2, "a"))}, "stop"),
    ("runs, belongs elsewhere", {"mine": entry(RUNNING), "owner": "b"}, "move"),
    ("the same, no budget", {"mine": entry(RUNNING), "owner": "b", "moves_left": 0}, "wait"),
    ("the same, no agreement", {"mine": entry(RUNNING), "owner": "b", "settled": False}, "wait"),
    ("runs, nobody may", {"mine": entry(RUNNING), "owner": None}, "nothing"),
    ("is leaving", {"mine": entry(LEAVING), "owner": "b"}, "nothing"),
    ("has ended here to move", {"mine": entry(MOVING), "owner": "b"}, "offer"),
    ("has ended here, and is ours again", {"mine": entry(MOVING)}, "start"),
    ("has ended here, but was passed on",
     {"mine": entry(MOVING), "others": {"b": entry(HOLDING)}}, "offer"),
    ("was moved here", {"mine": entry(HOLDING), "others": {"b": entry(MOVING)}}, "start"),
    ("was moved here, but runs", {"mine": entry(HOLDING), "others": {"b": entry(RUNNING)}}, "drop"),
    ("was moved here, too late", {"mine": entry(HOLDING), "owner": "b"}, "offer"),
    ("runs twice, we are the owner",
     {"mine": entry(RUNNING), "others": {"b": entry(RUNNING, 9)}}, "nothing"),
    ("runs twice, they are the owner",
     {"mine": entry(RUNNING, 9), "others": {"b": entry(STARTING)}, "owner": "b"}, "stop"),
    ("runs twice, ours is younger",
     {"mine": entry(RUNNING, 2), "others": {"b": entry(RUNNING)}, "owner": "c"}, "nothing"),
    ("runs twice, theirs is younger",
     {"mine": entry(RUNNING), "others": {"b": entry(RUNNING, 2)}, "owner": "c"}, "stop"),
    ("of every node, missing", {"record": EVERY, "others": {"b": entry(RUNNING)}}, "start"),
    ("of every node, not ours", {"record": EVERY, "owner": None}, "nothing"),
    ("of every node, not ours any more",
     {"record": EVERY, "owner": None, "mine": entry(RUNNING)}, "stop"),
    ("temporary, has ended", {"record": TEMPORARY}, "forget"),
    ("temporary, its node is gone", {"record": OTHERS, "home_gone": True}, "forget"),
    ("temporary, its node may be cut off", {"record": OTHERS}, "wait"),
    ("temporary, it is not for us to say",
     {"record": OTHERS, "home_gone": True, "owner": "b"}, "nothing"),
    ("temporary, belongs elsewhere",
     {"record": TEMPORARY, "mine": entry(RUNNING), "owner": "b"}, "wait"),
    ("temporary, ended in our life", {"record": TEMPORARY, "owner": "b"}, "forget"),
    ("minority", {"record": STOPS, "mine": entry(RUNNING), "minority": True}, "kill"),
    ("minority, no agreement",
     {"record": STOPS, "mine": entry(RUNNING), "minority": True, "settled": False}, "kill"),
    ("minority, keeps", {"mine": entry(RUNNING), "minority": True}, "nothing"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "parts", "kind"), CASES, ids=[c[0] for c in CASES])
def test_decide(name: str, parts: dict[str, Any], kind: str) -> None:
    base: dict[str, Any] = {"record": RECORD, "mine": None, "others": {}, "owner": "me"}
    action = decide(Case("me", "me/1", **{**base, **parts}))
    assert action.kind == kind
    if kind in ("move", "offer"):
        assert action.to == "b"
    assert kind == "nothing" or action.why


def test_the_host_with_the_fewest_children_gets_the_next() -> None:
    assert fewest(["w1", "w2", "w3"], {"w1": 2, "w2": 1, "w3": 1}) == "w2"
    assert fewest(["w2", "w10"], {}) == "w2"
    assert fewest([], {}) is None


def test_a_lease_and_what_hinders_a_take_over() -> None:
    lease = Lease(2, 1.2, 1.8)
    assert lease.hindered(0.0, [], 1) == "this node is not in a majority"
    lease.granted("b", 10.0, 1)
    assert lease.until(10.1) == pytest.approx(11.2)
    assert "do not agree" in lease.hindered(10.1, ["b"], 1)
    lease.settled(10.1, 2)
    assert "silent" in lease.hindered(10.2, ["b"], 1)
    lease.granted("b", 11.8, 1)
    assert "silent" in lease.hindered(11.85, ["b"], 1)
    assert lease.hindered(11.95, ["b"], 1) == ""
    assert "agrees" in lease.hindered(11.95, ["b"], 2)
    assert "agrees" in lease.hindered(11.95, ["b", "c"], 1)
    lease.lost()
    assert "do not agree" in lease.hindered(11.95, ["b"], 1)
    lease.settled(12.0, 1)
    assert "do not agree" in lease.hindered(12.1, ["b"], 1)
    assert not Lease(None, 1.2, 1.8).holds(0.0)
    alone = Lease(1, 1.2, 1.8)
    alone.settled(0.0, 1)
    assert alone.hindered(2.0, [], 1) == ""
