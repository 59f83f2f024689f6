"""``move_child``: to a node of the caller's choice, and what happens to that choice later."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from foundation.cluster.supervisor import (
    move_child,
    plan,
    terminate_child,
    wanted_children,
    whereis_child,
)
from foundation.errors import CannotMove, ChildNotFound, StartError
from foundation.otp import call
from foundation.testing.cluster_sim import ClusterSimulation
from tests.cluster.supervisor.invariants import problems
from tests.cluster.supervisor.supkit import Jobs, Looping, Plain, Worker, config


def where(jobs: Jobs, node: str, id: Any) -> str | None:
    pid = jobs.whereis(node, id)
    return None if pid is None else pid.host.partition("/")[0]


def move(jobs: Jobs, node: str, id: Any, to: str | None) -> Any:
    return jobs.cluster.run(node, lambda: move_child("jobs", id, to))


@pytest.mark.parametrize("to", ["a", "b", "c"])
def test_a_child_goes_to_the_node_with_its_state(to: str) -> None:
    with ClusterSimulation(3, nodes=3) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        jobs.start("a", Worker.spec(40), id="w")
        assert jobs.whereis("b", "w") is not None
        cluster.run("b", lambda: call(whereis_child("jobs", "w"), "count"))
        pid = move(jobs, "b", "w", to)
        assert pid.host.partition("/")[0] == to
        for node in "abc":
            assert jobs.whereis(node, "w") == pid
        assert cluster.run("c", lambda: call(pid, "get")) == 41
        assert problems(cluster, "jobs") == []
        assert cluster.run("a", lambda: plan("jobs")) == []


def test_it_comes_back_with_its_node_and_moves_away_when_asked() -> None:
    with ClusterSimulation(4, nodes=3) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        jobs.start("a", Worker.spec(), id="w")
        home = where(jobs, "a", "w")
        other = next(node for node in "abc" if node != home)
        watcher = next(node for node in "abc" if node not in (home, other))
        move(jobs, watcher, "w", other)
        cluster.crash(other)
        cluster.until(lambda: where(jobs, watcher, "w") == home)
        jobs.restart(other)
        cluster.until(lambda: where(jobs, watcher, "w") == other)
        move(jobs, watcher, "w", None)
        assert where(jobs, watcher, "w") == home
        assert problems(cluster, "jobs") == []


def test_a_declared_child_that_was_moved_stays_when_a_node_declares_it_again() -> None:
    with ClusterSimulation(5, nodes=3) as cluster:
        jobs = Jobs(cluster, children=[Worker.spec(7, id="w")])
        jobs.form()
        cluster.until(lambda: where(jobs, "a", "w") is not None)
        home = where(jobs, "a", "w")
        other = next(node for node in "abc" if node != home)
        third = next(node for node in "abc" if node not in (home, other))
        pid = move(jobs, other, "w", other)
        cluster.crash(third)
        cluster.until(lambda: len(cluster.live()[0].agent.view) == 2)
        jobs.restart(third)
        cluster.until(lambda: jobs.registered() == ["a", "b", "c"] and cluster.agreed())
        cluster.advance(5)
        assert jobs.whereis(other, "w") == pid


def test_one_part_of_a_partitioned_child_moves_alone() -> None:
    with ClusterSimulation(6, nodes=2) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        jobs.start("a", Plain, id="p", partitions=4)
        before = {n: where(jobs, "a", ("p", n)) for n in range(4)}
        to = "b" if before[2] == "a" else "a"
        move(jobs, "a", ("p", 2), to)
        assert {n: where(jobs, "a", ("p", n)) for n in range(4)} == {**before, 2: to}


@pytest.mark.parametrize(
    ("options", "spec", "to", "why"),
    [
        ({"every_node": True}, Worker.spec(), "b", "it runs on every node"),
        ({}, Worker.spec(restart="temporary"), "b", "temporary children do not move"),
        ({}, Worker.spec(), "z", "node 'z' does not run the distributed supervisor 'jobs'"),
    ],
)
def test_what_cannot_move_says_why(options: Any, spec: Any, to: str, why: str) -> None:
    with ClusterSimulation(7, nodes=2) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        jobs.start("a", spec, id="w", **options)
        with pytest.raises(CannotMove, match=why):
            move(jobs, "a", "w", to)


def test_a_node_without_the_labels_is_refused() -> None:
    configs = {name: config(labels={"zone": name}) for name in "ab"}
    with ClusterSimulation(8, nodes=2, configs=configs) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        jobs.start("a", Worker.spec(), id="w", labels={"zone": "a"})
        with pytest.raises(CannotMove, match="'b' does not have the labels zone=a"):
            move(jobs, "a", "w", "b")


def test_an_unknown_child_is_an_error_and_so_is_one_that_is_terminated_meanwhile() -> None:
    with ClusterSimulation(9, nodes=2) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        with pytest.raises(ChildNotFound):
            move(jobs, "a", "w", "b")
        jobs.start("a", Worker.spec(), id="w")
        to = "b" if where(jobs, "a", "w") == "a" else "a"
        moving = cluster.spawn("a", lambda: move_child("jobs", "w", to))
        cluster.run("b", lambda: terminate_child("jobs", "w"))
        cluster.until(lambda: moving.ended)
        assert where(jobs, "a", "w") is None


def test_a_child_that_fails_at_its_new_node_is_reported() -> None:
    with ClusterSimulation(10, nodes=2) as cluster:
        jobs = Jobs(cluster, max_restarts=0)
        jobs.form()
        with contextlib.suppress(StartError):
            jobs.start("a", Looping, id="w")
        cluster.until(lambda: jobs.counts("a").get("quarantined") == 1)
        to = "b" if jobs.which("a")["w"].node == "a" else "a"
        with pytest.raises(CannotMove, match="was not moved to"):
            move(jobs, "a", "w", to)


@pytest.mark.parametrize("size", [None, 3])
@pytest.mark.parametrize("seed", range(3))
def test_a_child_follows_one_move_after_the_other_asked_on_any_node(seed: int, size: Any) -> None:
    with ClusterSimulation(seed, nodes=3, config=config(expected_size=size)) as cluster:
        jobs = Jobs(cluster, on_minority="keep" if size is None else "stop")
        jobs.form()
        jobs.start("a", Worker.spec(5), id="w")
        for number in range(40):
            to = "abc"[number % 3]
            pid = move(jobs, "abc"[(number * 7) % 3], "w", to)
            assert pid.host.partition("/")[0] == to
        assert cluster.run("a", lambda: call(pid, "get")) == 5
        assert problems(cluster, "jobs") == []


@pytest.mark.parametrize("gap", [0.001, 0.003, 0.005])
@pytest.mark.parametrize("seed", range(4))
def test_moves_that_overlap_never_make_two_of_it_and_leave_one(seed: int, gap: float) -> None:
    with ClusterSimulation(seed, nodes=3) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        jobs.start("a", Worker.spec(), id="w")

        def running() -> int:
            return sum(
                isinstance(getattr(process, "server", None), Worker)
                for node in "abc"
                for process in cluster.processes(node)
            )

        for number in range(6):
            to = "abc"[(number * 2 + seed) % 3]
            cluster.spawn("abc"[number % 3], lambda to=to: move_child("jobs", "w", to))
            until = cluster.now + gap
            while cluster.now < until:
                cluster.advance(0.0002)
                assert running() <= 1
        for _ in range(1000):
            cluster.advance(0.0002)
            assert running() <= 1
        cluster.until(lambda: running() == 1)


def test_a_declared_child_that_was_moved_takes_a_new_specification() -> None:
    with ClusterSimulation(11, nodes=2) as cluster:
        jobs = Jobs(cluster, children=[Worker.spec(7, id="w")])
        jobs.form()
        cluster.until(lambda: where(jobs, "a", "w") is not None)
        move(jobs, "a", "w", "b")
        jobs.options = {"children": [Worker.spec(8, id="w")]}
        for node in ("a", "b"):
            cluster.crash(node)
            cluster.until(lambda: len(cluster.live()[0].agent.view) == 1)
            jobs.restart(node)
            cluster.until(lambda: jobs.registered() == ["a", "b"] and cluster.agreed())
        cluster.until(lambda: where(jobs, "a", "w") is not None)
        assert jobs.whereis("a", "w") is not None
        assert cluster.run("a", lambda: call(whereis_child("jobs", "w"), "get")) == 8


def test_who_waits_for_a_move_to_a_node_that_dies_is_told_soon() -> None:
    with ClusterSimulation(12, nodes=3) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        jobs.start("a", Worker.spec(), id="w")
        home = where(jobs, "a", "w")
        target, caller = (node for node in "abc" if node != home)
        moving = cluster.spawn(caller, lambda: move_child("jobs", "w", target, timeout=60))
        cluster.advance(0.001)
        cluster.crash(target)
        cluster.until(lambda: moving.ended, 10)
        with pytest.raises(CannotMove, match="has left"):
            moving.result()
        cluster.until(lambda: where(jobs, caller, "w") is not None)


def test_of_parts_that_cannot_all_start_none_is_kept() -> None:
    with ClusterSimulation(13, nodes=2) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        with pytest.raises(StartError, match="the third"):
            jobs.start("a", OneFails, id="p", partitions=4)
        cluster.advance(0.1)
        assert jobs.which("a") == {}
        assert cluster.run("b", lambda: wanted_children("jobs")) == []


class OneFails(Plain):
    """Does not start as part 2."""

    def init(self, partition: int | None = None) -> None:
        if partition == 2:
            raise RuntimeError("the third")
        super().init(partition)
