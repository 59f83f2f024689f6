"""One on each node, and so many with a way to each key."""

from __future__ import annotations

from typing import Any

import pytest

from foundation.cluster.config import ClusterConfig
from foundation.errors import ChildNotFound, InvalidChildSpec
from foundation.otp import call
from foundation.process_manager import (
    PartitionSet,
    ReplicaSet,
    lookup,
    start_partitioned,
    start_replicated,
    start_singleton,
)
from tests.process_manager.pmkit import Broken, Part, Worker, facades, listed, node_of


def pids(cluster: Any, node: str, found: Any) -> dict[Any, Any]:
    cluster.advance(0.01)
    return cluster.run(node, found.pids)  # type: ignore[no-any-return]


def test_each_node_has_a_replica_also_one_that_joins_and_none_moves_elsewhere() -> None:
    with facades(1) as cluster:
        for name in "ab":
            cluster.start(name)
        cluster.until(lambda: len(cluster.live()) == 2 and cluster.agreed())
        cluster.until(lambda: all(cluster.started(name) for name in "ab"))
        found: ReplicaSet = cluster.run("a", lambda: start_replicated(Worker, 4, name="r"))
        assert sorted(pids(cluster, "a", found)) == ["a", "b"]
        cluster.start("c")
        cluster.until(lambda: sorted(pids(cluster, "a", found)) == ["a", "b", "c"])
        for node, pid in pids(cluster, "b", found).items():
            assert node_of(pid) == node
        assert cluster.run("c", lambda: (found.local, found.nearest)) == 2 * (
            pids(cluster, "c", found)["c"],
        )
        assert cluster.run("c", lambda: dict(found)) == pids(cluster, "c", found)
        assert cluster.run("c", lambda: (sorted(found), "d" in found)) == (["a", "b", "c"], False)
        assert cluster.run("c", lambda: lookup("r")) == pids(cluster, "c", found)["c"]
        cluster.crash("b")
        cluster.until(lambda: sorted(pids(cluster, "a", found)) == ["a", "c"])
        cluster.advance(10)
        assert sorted(pids(cluster, "c", found)) == ["a", "c"]
        cluster.run("a", found.stop)
        assert pids(cluster, "a", found) == {}
        with pytest.raises(ChildNotFound):
            cluster.run("a", found.stop)


def test_one_may_wait_for_nodes_that_have_yet_to_come() -> None:
    with facades(4) as cluster:
        cluster.start("a")
        cluster.until(lambda: cluster.started("a"))
        found = cluster.run("a", lambda: start_replicated(Worker, name="r"))
        with pytest.raises(TimeoutError, match=r"^1 replicas of 'r' run, 2 are to after 1.0 s"):
            cluster.run("a", lambda: found.complete(1.0, at_least=2))
        cluster.start("b")
        cluster.run("a", lambda: found.complete(at_least=2))
        assert sorted(pids(cluster, "a", found)) == ["a", "b"]


def test_who_starts_replicas_that_run_gets_them() -> None:
    with facades(2, nodes=2) as cluster:
        cluster.form()
        first = cluster.run("a", lambda: start_replicated(Worker, name="r"))
        second = cluster.run("b", lambda: start_replicated(Worker, name="r"))
        assert first == second
        assert pids(cluster, "a", first) == pids(cluster, "b", second)


def test_labels_choose_the_nodes_of_replicas() -> None:
    configs = {
        name: ClusterConfig(strategies=(), labels={"disk": "ssd" if name != "b" else "hdd"})
        for name in "abc"
    }
    with facades(3, configs=configs) as cluster:
        cluster.form()
        found = cluster.run(
            "b", lambda: start_replicated(Worker, name="r", labels={"disk": "ssd"})
        )
        assert sorted(pids(cluster, "b", found)) == ["a", "c"]
        assert cluster.run("b", found.missing) == []


def test_replicas_that_fail_are_named_with_the_reason() -> None:
    with facades(4, nodes=2) as cluster:
        cluster.form()
        with pytest.raises(Exception, match="cannot start"):
            cluster.run("a", lambda: start_replicated(Broken, name="r", timeout=5))


def test_a_key_leads_to_the_same_part_on_every_node_also_after_a_node_died() -> None:
    with facades(5) as cluster:
        cluster.form()
        found: PartitionSet = cluster.run(
            "a", lambda: start_partitioned(Part, partitions=8, name="shards")
        )
        keys = ["ann", "bob", 7, ("user", 3), b"raw"]

        async def answers() -> list[int]:
            return [await call(found.route(key), "who") for key in keys]

        expected = [cluster.run("a", lambda: [found.number(key) for key in keys])] * 3
        assert [cluster.run(node, answers) for node in "abc"] == expected
        assert sorted(pids(cluster, "a", found)) == list(range(8))
        assert len({node_of(pid): None for pid in pids(cluster, "a", found).values()}) > 1
        cluster.crash("c")
        cluster.until(
            lambda: (
                sorted(pids(cluster, "a", found)) == list(range(8))
                and "c" not in [node_of(p) for p in pids(cluster, "a", found).values()]
            )
        )
        assert cluster.run("b", answers) == expected[0]
        (info,) = cluster.run("b", listed)
        assert (info.name, info.pattern, len(info.instances)) == ("shards", "partitioned", 8)
        cluster.run("b", found.stop)
        assert cluster.run("b", listed) == []


def test_parts_under_a_name_that_is_taken_by_something_else_are_refused() -> None:
    with facades(6, nodes=1) as cluster:
        cluster.form()
        cluster.run("a", lambda: start_partitioned(Part, partitions=2, name="p"))
        again = cluster.run("a", lambda: start_partitioned(Part, partitions=2, name="p"))
        assert again == PartitionSet("p", 2)
        with pytest.raises(InvalidChildSpec, match=r"partitioned process \(2\) already.*\(3\)"):
            cluster.run("a", lambda: start_partitioned(Part, partitions=3, name="p"))
        cluster.run("a", lambda: start_singleton(Worker, name="s"))
        with pytest.raises(InvalidChildSpec, match="a singleton process"):
            cluster.run("a", lambda: start_partitioned(Part, partitions=3, name="s"))
        with pytest.raises(InvalidChildSpec, match="a singleton process"):
            cluster.run("a", lambda: start_replicated(Worker, name="s"))
        with pytest.raises(InvalidChildSpec, match="a partitioned process"):
            cluster.run("a", lambda: start_singleton(Worker, name="p"))
        names = [info.name for info in cluster.run("a", listed)]
        assert names == ["p", "s"]


@pytest.mark.parametrize("partitions", [0, -1, 1.5, "two"])
def test_a_wrong_number_of_parts_is_refused_at_once(partitions: Any) -> None:
    with facades(7, nodes=1) as cluster:
        cluster.form()
        with pytest.raises(InvalidChildSpec, match="partitions must be 1 or more"):
            cluster.run("a", lambda: start_partitioned(Part, partitions=partitions))
        assert cluster.run("a", listed) == []


def test_one_name_started_in_three_patterns_at_once_is_an_error_for_someone() -> None:
    for seed in range(4):
        with facades(seed) as cluster:
            cluster.form()
            bodies = [
                cluster.spawn("a", lambda: start_singleton(Worker, name="x")),
                cluster.spawn("b", lambda: start_partitioned(Part, partitions=3, name="x")),
                cluster.spawn("c", lambda: start_replicated(Worker, name="x")),
            ]
            cluster.advance(5)
            failed = 0
            for body in bodies:
                try:
                    body.result()
                except InvalidChildSpec:
                    failed += 1
            assert failed >= 1


def test_replicas_of_a_singleton_s_name_and_the_other_way_round_are_refused() -> None:
    with facades(9, nodes=2) as cluster:
        cluster.form()
        cluster.run("a", lambda: start_replicated(Worker, name="x"))
        with pytest.raises(InvalidChildSpec, match="a replicated process"):
            cluster.run("b", lambda: start_singleton(Worker, name="x"))


def test_who_starts_labelled_replicas_again_without_the_labels_gets_them() -> None:
    configs = {name: ClusterConfig(strategies=(), labels={"zone": name}) for name in "ab"}
    with facades(10, configs=configs, nodes=2) as cluster:
        cluster.form()
        cluster.run("a", lambda: start_replicated(Worker, name="r", labels={"zone": "a"}))
        again = cluster.run("b", lambda: start_replicated(Worker, name="r"))
        assert sorted(pids(cluster, "b", again)) == ["a"]
        assert hash(again) is not None
