"""The distributed supervisor on real nodes: operating-system processes and sockets."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.cluster.real.kit import RealCluster, eventually

pytestmark = pytest.mark.real
BODIES = "tests.cluster.supervisor.real_bodies"


@pytest.fixture
def cluster() -> Iterator[RealCluster]:
    made = RealCluster()
    try:
        yield made
    except BaseException:
        made.show()
        raise
    finally:
        complaints = made.close()
    assert not complaints


def run(cluster: RealCluster, node: str, function: str, *args: object) -> object:
    """Run a function of ``real_bodies`` on *node*."""
    return cluster.nodes[node].run(f"{BODIES}:{function}", *args, timeout=60.0)


def test_a_killed_nodes_children_run_again_at_once(cluster: RealCluster) -> None:
    cluster.form("abc", app=f"{BODIES}:application")
    run(cluster, "a", "start_at_once", 500)
    waiting = cluster.nodes["a"].begin(f"{BODIES}:all_run_at", 500, "c", 20.0)
    time.sleep(0.3)
    killed = cluster.nodes["c"].crash()
    assert waiting.result(30) - killed < 3.0  # a busy machine; 0.2 s on an idle one
    cluster.agreed("ab")
    cluster.start("c", app=f"{BODIES}:application")
    cluster.agreed("abc")

    def balanced() -> bool:
        states = run(cluster, "a", "states")
        nodes = [state.node for state in states if state.status == "running"]  # type: ignore[attr-defined]
        return len(nodes) == 500 and nodes.count("c") > 100

    eventually(balanced, what="c has its share")


def test_an_orderly_stop_loses_no_state(cluster: RealCluster) -> None:
    cluster.form("ab", app=f"{BODIES}:application")
    run(cluster, "a", "start_at_once", 60)
    assert run(cluster, "a", "count_up", 60) == [1] * 60
    assert cluster.nodes["b"].stop() == 0
    cluster.agreed("a")
    assert run(cluster, "a", "count_up", 60) == [2] * 60
