"""Which nodes were lost lately."""

from __future__ import annotations

from foundation.cluster.describe import describe
from foundation.cluster.lost import MOST, SECONDS, Lost
from foundation.testing.cluster_sim import ClusterSimulation


def test_the_latest_come_first_and_one_that_is_back_is_not_among_them() -> None:
    lost = Lost()
    lost.told(1.0, "a", False, "killed")
    lost.told(2.0, "b", False, "silent")
    lost.told(3.0, "c", False, "silent")
    lost.told(3.5, "d", False, "left")
    lost.told(4.0, "b", True, "up")
    assert lost.rows(13.0) == [
        {"name": "c", "reason": "silent", "seconds_ago": 10.0},
        {"name": "a", "reason": "killed", "seconds_ago": 12.0},
    ]


def test_they_are_few_and_are_forgotten() -> None:
    lost = Lost()
    for number in range(MOST + 3):
        lost.told(float(number), f"n{number}", False, "killed")
    names = [row["name"] for row in lost.rows(float(MOST + 3))]
    assert names == [f"n{n}" for n in reversed(range(3, MOST + 3))]
    assert [row["name"] for row in lost.rows(4.0 + SECONDS)] == names[:-1]
    assert lost.rows(1e6) == []


def test_a_node_of_a_cluster_tells_tools_whom_it_has_lost() -> None:
    with ClusterSimulation(1, nodes=3) as cluster:
        cluster.form()
        agent = cluster.nodes["a"].agent
        assert describe(agent)["lost"] == []
        cluster.crash("b")
        cluster.until(lambda: len(agent.view) == 2)
        cluster.advance(5.0)
        (row,) = describe(agent)["lost"]
        assert (row["name"], row["reason"]) == ("b", "killed")
        assert 5.0 <= row["seconds_ago"] < 10.0
        cluster.start("b")
        cluster.until(lambda: describe(agent)["lost"] == [])
