"""Configuration on real nodes: a majority decides while nodes are killed and frozen."""

from __future__ import annotations

import pytest

from foundation.config import ConfigVersion
from tests.cluster.real.kit import RealCluster, RealNode, eventually

pytestmark = pytest.mark.real
BODIES = "tests.cluster.real.config_bodies"


def _ready(cluster: RealCluster, names: str) -> None:
    for name in names:
        node = cluster.nodes[name]
        eventually(lambda node: _members(node) >= set(names), node, what=f"servers at {name}")
        node.run(f"{BODIES}:declare")


def _members(node: RealNode) -> set[str]:
    status = node.run(f"{BODIES}:status")
    return set(status.members) if status.available else set()


def test_a_majority_goes_on_and_the_rest_takes_over_what_it_missed(cluster: RealCluster) -> None:
    a, b, c = cluster.form("abc", expected_size=3)
    _ready(cluster, "abc")
    assert a.run(f"{BODIES}:share", 1) == ConfigVersion(1, "a")
    for node in (a, b, c):
        eventually(lambda node: node.run(f"{BODIES}:value") == 1, node, what=f"1 at {node}")

    c.freeze()
    assert b.run(f"{BODIES}:share", 2, timeout=30.0) == ConfigVersion(2, "b")
    c.thaw()
    eventually(lambda: c.run(f"{BODIES}:value") == 2, what="2 at c")
    cluster.agreed("abc")

    b.crash()
    b.wait_gone()
    cluster.agreed("ac")
    assert c.run(f"{BODIES}:agreed") == 2
    assert c.run(f"{BODIES}:share", 3) == ConfigVersion(3, "c")
    cluster.start("b", expected_size=3)
    cluster.agreed("abc")
    _ready(cluster, "abc")
    assert cluster.nodes["b"].run(f"{BODIES}:value") == 3
    assert cluster.nodes["b"].run(f"{BODIES}:share", 4) == ConfigVersion(4, "b")


def test_a_minority_refuses(cluster: RealCluster) -> None:
    a, b = cluster.form("ab", expected_size=3)
    _ready(cluster, "ab")
    assert a.run(f"{BODIES}:share", 1) == ConfigVersion(1, "a")
    b.crash()
    b.wait_gone()
    cluster.agreed("a")
    assert a.run(f"{BODIES}:share", 2, 1.0) == "QuorumNotReached"
    assert a.run(f"{BODIES}:value") == 1
