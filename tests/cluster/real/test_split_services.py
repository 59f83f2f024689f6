"""Names, topics, presence and distributed children while the network is split."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

import pytest

from foundation.cluster import NodeDown
from tests.cluster.real.jobs import lives, overlaps, tokens_rise
from tests.cluster.real.kit import RealCluster, RealNode, eventually
from tests.cluster.real.netns import Lan, formed_in
from tests.cluster.real.test_services import all_run, answers, balanced

pytestmark = pytest.mark.real
BODIES = "tests.cluster.real.service_bodies"
COUNT = 20
TURNS = int(os.environ.get("REAL_TURNS", "1"))


def parted(a: RealNode, b: RealNode, c: RealNode, nth: int = 1) -> None:
    """Wait until all see that a is on its own."""
    for node, gone in ((b, "a"), (c, "a"), (a, "b"), (a, "c")):
        node.event(NodeDown, gone, nth)


def silent(folder: Path, node: str, since: float) -> bool:
    """Whether no copy on *node* has written anything since then."""
    return not [x for copies in lives(folder, since).values() for x in copies if x.node == node]


@pytest.mark.parametrize("how", ["unplug", pytest.param("split", marks=pytest.mark.soak)])
def test_children_never_run_twice_with_a_majority(lan: Lan, cluster: RealCluster, how: str) -> None:
    a, b, c = formed_in(cluster, lan, f"{BODIES}:strict_services", expected_size=3)
    folder = Path(cluster.folder)
    a.run(f"{BODIES}:start_jobs", "strict", COUNT, str(folder))
    all_run(cluster, "abc", "strict", COUNT)
    balanced(cluster, "abc", "strict")
    for turn in range(1, TURNS + 1):
        cut = lan.unplug("a") if how == "unplug" else lan.split("a", "bc")
        parted(a, b, c, turn)
        all_run(cluster, "bc", "strict", COUNT)
        print(f"cut to all children running in the majority {time.monotonic() - cut:.2f} s")
        assert silent(folder, "a", time.monotonic() - 0.3)
        assert set(answers(cluster, "c", "strict", COUNT)) == {"b", "c"}
        assert answers(cluster, "a", "strict", COUNT) == {None: COUNT}
        healed = lan.plug("a") if how == "unplug" else lan.heal("a", "bc")
        cluster.agreed("abc")
        balanced(cluster, "abc", "strict")
        all_run(cluster, "abc", "strict", COUNT)
        print(f"heal to balanced {time.monotonic() - healed:.2f} s")
    assert overlaps(folder) == []
    assert tokens_rise(folder)


def test_children_of_a_stopped_node_with_a_majority(lan: Lan, cluster: RealCluster) -> None:
    a, b, _ = formed_in(cluster, lan, f"{BODIES}:strict_services", expected_size=3)
    folder = Path(cluster.folder)
    a.run(f"{BODIES}:start_jobs", "strict", COUNT, str(folder))
    all_run(cluster, "abc", "strict", COUNT)
    balanced(cluster, "abc", "strict")
    a.freeze()
    b.event(NodeDown, "a")
    all_run(cluster, "bc", "strict", COUNT)
    thawed = a.thaw()
    cluster.agreed("abc")
    balanced(cluster, "abc", "strict")
    all_run(cluster, "abc", "strict", COUNT)
    assert tokens_rise(folder)
    found = overlaps(folder)
    late = [round(one.last - thawed, 3) for _, one, _ in found]
    print(f"{len(found)} children wrote after they were replaced, at most {max(late, default=0)} s")
    # A process that was stopped cannot know it before it runs again: fencing tokens are for that.
    assert all(at < 0.1 for at in late)
    assert all(one.node == "a" for _, one, _ in found)


def test_both_sides_go_on_until_the_split_heals(lan: Lan, cluster: RealCluster) -> None:
    a, b, c = formed_in(cluster, lan, f"{BODIES}:services")
    folder = Path(cluster.folder)
    a.run(f"{BODIES}:start_jobs", "jobs", COUNT, str(folder))
    all_run(cluster, "abc", count=COUNT)
    balanced(cluster, "abc")
    lan.unplug("a")
    parted(a, b, c)
    all_run(cluster, "bc", count=COUNT)
    all_run(cluster, "a", count=COUNT)
    assert answers(cluster, "a", count=COUNT) == {"a": COUNT}
    assert set(answers(cluster, "b", count=COUNT)) == {"b", "c"}
    healed = lan.plug("a")
    cluster.agreed("abc")
    all_run(cluster, "abc", count=COUNT)
    balanced(cluster, "abc")
    all_run(cluster, "abc", count=COUNT)
    print(f"heal to each child once {time.monotonic() - healed:.2f} s")
    since = time.monotonic()
    eventually(lambda: time.monotonic() > since + 0.5)
    assert overlaps(folder, since) == []
    assert len(lives(folder, since)) == COUNT
    assert sum(answers(cluster, "c", count=COUNT).values()) == COUNT


def test_names_of_both_sides_of_a_split(lan: Lan, cluster: RealCluster) -> None:
    a, b, c = formed_in(cluster, lan, f"{BODIES}:services")
    before = {name: [f"{name}-{n}" for n in range(5)] for name in "ab"}
    for name in "ab":
        cluster.nodes[name].begin(f"{BODIES}:hold", before[name])
    every = [*before["a"], *before["b"]]
    wanted = ["a"] * 5 + ["b"] * 5
    for node in (a, b, c):
        eventually(
            lambda node: node.run(f"{BODIES}:holders", every) == wanted, node, what="holders"
        )
    lan.unplug("a")
    parted(a, b, c)
    assert a.run(f"{BODIES}:holders", every) == ["a"] * 5 + [None] * 5
    assert b.run(f"{BODIES}:holders", every) == [None] * 5 + ["b"] * 5
    both = [("both", number) for number in range(20)]
    for node in (a, b):
        node.begin(f"{BODIES}:hold", both)
    for node in (a, b):
        eventually(
            lambda node: node.do(f"{BODIES}:held")[0][5:] == both, node, what="names of one side"
        )
    healed = lan.plug("a")
    cluster.agreed("abc")

    def equal() -> bool:
        seen = [node.run(f"{BODIES}:holders", [*both, *every]) for node in (a, b, c)]
        return seen[0] == seen[1] == seen[2] and None not in seen[0]

    eventually(equal, what="the same holders everywhere")
    print(f"heal to the same names everywhere {time.monotonic() - healed:.2f} s")
    holders = a.run(f"{BODIES}:holders", both)
    assert c.run(f"{BODIES}:holders", every) == wanted
    for node in (a, b):  # each is told once of each that it has lost
        lost = [key for key, holder in zip(both, holders, strict=True) if holder != node.name]
        eventually(
            lambda node, lost: sorted(node.do(f"{BODIES}:held")[1]) == sorted(lost),
            node,
            lost,
            what="conflicts",
        )
    print("kept", Counter(holders))


def test_topics_and_presence_over_a_split(lan: Lan, cluster: RealCluster) -> None:
    a, b, c = nodes = formed_in(cluster, lan, f"{BODIES}:services")
    users = ["user-a", "user-b", "user-c"]
    for node in nodes:
        node.begin(f"{BODIES}:listen", "room")
    for node in nodes:
        eventually(
            lambda node: node.run(f"{BODIES}:present", "room") == users, node, what="presence"
        )
    lan.unplug("a")
    parted(a, b, c)
    assert a.run(f"{BODIES}:present", "room") == ["user-a"]
    assert b.run(f"{BODIES}:present", "room") == ["user-b", "user-c"]
    a.run(f"{BODIES}:say", "room", ["alone"])
    b.run(f"{BODIES}:say", "room", ["together"])
    eventually(lambda: "together" in c.do(f"{BODIES}:news"))
    lan.plug("a")
    cluster.agreed("abc")
    for node in nodes:
        eventually(
            lambda node: node.run(f"{BODIES}:present", "room") == users, node, what="presence"
        )
    a.run(f"{BODIES}:say", "room", ["a again"])
    c.run(f"{BODIES}:say", "room", ["c again"])
    for node in nodes:
        eventually(lambda node: {"a again", "c again"} <= set(node.do(f"{BODIES}:news")[1:]), node)
    assert "together" not in a.do(f"{BODIES}:news")
    assert "alone" not in c.do(f"{BODIES}:news")
