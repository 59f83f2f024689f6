"""Children start, move, restart and end across the nodes of a simulated cluster."""

from __future__ import annotations

from typing import Any

import pytest

from foundation.cluster.supervisor import (
    drain,
    explain,
    plan,
    restart_child,
    start_child,
    terminate_child,
    undrain,
    whereis_child,
)
from foundation.errors import AlreadyStarted, ChildNotFound, InvalidChildSpec, StartError
from foundation.otp import call
from foundation.testing.cluster_sim import ClusterSimulation
from tests.cluster.supervisor.invariants import check_exactly_once, problems
from tests.cluster.supervisor.supkit import (
    Broken,
    Jobs,
    Looping,
    Plain,
    Slow,
    Worker,
    config,
)

SEEDS = range(4)


@pytest.mark.parametrize("seed", SEEDS)
def test_children_are_spread_and_start_once(seed: int) -> None:
    with ClusterSimulation(seed, nodes=3, workers=2) as cluster:
        jobs = Jobs(cluster, children=[Worker.spec(id="declared")])
        jobs.form()
        jobs.start_many("a", 30)
        cluster.advance(0.02)  # what nobody waits for travels a little later
        check_exactly_once(cluster, "jobs")
        assert jobs.counts("b") == {"children": 31, "running": 31}
        assert {state.node for state in jobs.which("c").values()} == {"a", "b", "c"}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_dead_nodes_children_run_again_elsewhere(seed: int) -> None:
    with ClusterSimulation(seed, nodes=3, workers=2) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        jobs.start_many("a", 40)
        cluster.crash("b")
        cluster.until(lambda: not problems(cluster, "jobs") and cluster.agreed(), 1.0, 0.01)
        assert jobs.counts("a") == {"children": 40, "running": 40}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_new_node_gets_its_share_with_state(seed: int) -> None:
    with ClusterSimulation(seed, nodes=3, workers=1) as cluster:
        jobs = Jobs(cluster, max_moves=3)
        jobs.form()
        cluster.crash("c")
        cluster.until(cluster.agreed)
        jobs.start_many("a", 30)

        async def count_up() -> None:
            for number in range(30):
                await call(whereis_child("jobs", ("w", number)), "next")

        cluster.run("a", count_up)
        jobs.restart("c")
        cluster.until(lambda: "c" in jobs.registered() and not problems(cluster, "jobs"), 10)
        cluster.until(lambda: jobs.counts("b") == {"children": 30, "running": 30})
        states = jobs.which("b")
        assert any(state.node == "c" for state in states.values())
        for number in range(30):
            pid = states[("w", number)].pid
            assert cluster.run("b", lambda pid=pid: call(pid, "get")) == number + 1


def test_an_id_is_started_once() -> None:
    with ClusterSimulation(1, nodes=3) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        first = jobs.start("a", Worker, id="one")
        for node in "abc":
            with pytest.raises(AlreadyStarted) as caught:
                jobs.start(node, Worker, id="one")
            assert caught.value.pid == first
        assert jobs.start("a", Worker) != jobs.start("a", Worker)


@pytest.mark.parametrize("seed", SEEDS)
def test_two_starts_of_one_id_at_once_give_one_child(seed: int) -> None:
    with ClusterSimulation(seed, nodes=3) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        bodies = [
            cluster.spawn(node, lambda: start_child("jobs", Worker, id="one")) for node in "abc"
        ]
        cluster.until(lambda: all(body.ended for body in bodies))
        pids = []
        for body in bodies:
            try:
                pids.append(body.result())
            except AlreadyStarted as error:
                pids.append(error.pid)
        assert len(set(pids)) == 1
        check_exactly_once(cluster, "jobs")


def test_terminate_and_start_again() -> None:
    with ClusterSimulation(2, nodes=3) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        for _ in range(3):
            jobs.start("a", Worker, id="one")
            cluster.run("b", lambda: terminate_child("jobs", "one"))
            assert jobs.which("b") == {}
        with pytest.raises(ChildNotFound):
            cluster.run("c", lambda: terminate_child("jobs", "one"))
        check_exactly_once(cluster, "jobs")


def test_a_failing_start_keeps_nothing() -> None:
    with ClusterSimulation(3, nodes=3) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        with pytest.raises(StartError, match="cannot start"):
            jobs.start("a", Broken, id="broken")
        cluster.advance(2)
        assert jobs.which("a") == {}
        check_exactly_once(cluster, "jobs")


def test_slow_and_crash_looping_children_disturb_nobody() -> None:
    with ClusterSimulation(4, nodes=3, workers=1) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        slow = [
            cluster.spawn("a", lambda n=n: start_child("jobs", Slow, id=("s", n), timeout=30))
            for n in range(6)
        ]
        for number in range(3):
            jobs.start("b", Looping, id=("loop", number))
        before = cluster.now
        jobs.start_many("a", 50)
        assert cluster.now - before < 1.0
        cluster.advance(3)
        states = jobs.which("a")
        assert all(states[("w", n)].generation == 1 << 20 for n in range(50))
        assert all(states[("loop", n)].status == "quarantined" for n in range(3))
        assert "as always" in states[("loop", 0)].reason
        cluster.until(lambda: all(body.ended for body in slow), 20)
        for body in slow:
            body.result()


def test_a_crash_restarts_in_place_and_a_quarantined_one_is_retried() -> None:
    with ClusterSimulation(5, nodes=3, workers=2) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        jobs.start("a", Worker, id="one")
        events: list[Any] = []

        async def watch() -> None:
            from foundation.cluster.api import subscribe
            from foundation.otp import receive

            subscribe()
            while True:
                events.append(await receive())

        for node in "abc":
            cluster.spawn(node, watch)

        def crash() -> None:
            pid = jobs.whereis("a", "one")
            with pytest.raises(Exception, match="told to"):
                cluster.run("a", lambda: call(pid, "crash"))
            cluster.advance(0.1)

        node = jobs.which("a")["one"].node
        first = jobs.which("a")["one"].generation
        for number in (first + 1, first + 2, first + 3):
            crash()
            state = jobs.which("a")["one"]
            assert (state.node, state.generation, state.status) == (node, number, "running")
            assert cluster.run("b", lambda pid=state.pid: call(pid, "generation")) == number
        crash()
        assert jobs.which("a")["one"].status == "quarantined"
        told = [e for e in events if type(e).__name__ == "ChildQuarantined"]
        assert len(told) == 3
        assert (told[0].id, told[0].node, told[0].retry_in) == ("one", node, 30.0)
        cluster.advance(31)
        assert jobs.which("a")["one"].status == "running"
        for _ in range(4):
            crash()
        assert jobs.which("a")["one"].status == "quarantined"
        cluster.run("b", lambda: restart_child("jobs", "one"))
        cluster.advance(0.2)
        assert jobs.which("a")["one"].status == "running"


def test_labels_every_node_and_partitions() -> None:
    configs = {"c": config(labels={"gpu": "yes"})}
    with ClusterSimulation(6, nodes=3, configs=configs) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        for number in range(5):
            pid = jobs.start("a", Worker, id=number, labels={"gpu": "yes"})
            assert pid.host.startswith("c/")
        pid = jobs.start("b", Worker, id="all", every_node=True)
        assert pid.host.startswith("b/")
        pids = jobs.start("a", Plain, id="parts", partitions=4)
        assert len(pids) == 4
        assert [cluster.run("a", lambda p=p: call(p, "which")) for p in pids] == [0, 1, 2, 3]
        cluster.advance(0.5)
        check_exactly_once(cluster, "jobs")
        with pytest.raises(StartError, match="labels gpu=no"):
            jobs.start("a", Worker, id="x", labels={"gpu": "no"})
        cluster.crash("c")
        cluster.advance(3)
        check_exactly_once(cluster, "jobs")
        text = cluster.run("a", lambda: explain("jobs", 1))
        assert "runs nowhere" in text
        assert "labels gpu=yes" in text
        cluster.run("a", lambda: terminate_child("jobs", "parts"))
        jobs.restart("c")
        cluster.until(lambda: "c" in jobs.registered() and not problems(cluster, "jobs"), 10)
        assert sum(state.node == "c" for state in jobs.which("a").values()) == 6


@pytest.mark.parametrize("seed", SEEDS)
def test_plan_says_what_then_happens(seed: int) -> None:
    with ClusterSimulation(seed, nodes=4, workers=1) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        jobs.start_many("a", 40)
        before = {id: state.node for id, state in jobs.which("a").items()}
        moves = cluster.run("a", lambda: plan("jobs", without=["d"]))
        assert moves
        cluster.crash("d")
        cluster.until(lambda: not problems(cluster, "jobs"), 5)
        after = {id: state.node for id, state in jobs.which("a").items()}
        assert {m.id: (m.from_, m.to) for m in moves} == {
            id: (before[id], after[id]) for id in before if before[id] != after[id]
        }
        moves = cluster.run("b", lambda: plan("jobs", draining=["c"]))
        assert cluster.run("a", lambda: drain("c")) == []
        final = {id: state.node for id, state in jobs.which("a").items()}
        assert {m.id: (m.from_, m.to) for m in moves} == {
            id: (after[id], final[id]) for id in after if after[id] != final[id]
        }
        assert "c" not in final.values()
        cluster.run("a", lambda: undrain("c"))
        cluster.until(lambda: cluster.agreed() and not problems(cluster, "jobs"), 5)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_dead_worker_hosts_children_start_in_another(seed: int) -> None:
    with ClusterSimulation(seed, nodes=2, workers=3) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        jobs.start_many("a", 20)
        before = jobs.which("a")
        cluster.nodes["b"].crash_host("w2")
        cluster.until(lambda: not problems(cluster, "jobs"), 1, 0.01)
        after = jobs.which("a")
        assert {id: s.node for id, s in before.items()} == {id: s.node for id, s in after.items()}
        lost = [id for id, s in before.items() if s.pid.host == "b/w2"]
        assert lost
        assert all(after[id].generation >> 20 == 1 + (id in lost) for id in after)


def test_the_restart_type_is_kept_across_nodes() -> None:
    with ClusterSimulation(8, nodes=3, workers=2) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        for number in range(12):
            jobs.start("a", Worker.spec(restart="temporary"), id=("t", number))
            jobs.start("a", Worker.spec(restart="transient"), id=("r", number))
        states = jobs.which("a")
        gone = next(id for id, s in states.items() if id[0] == "r" and s.node == "a")
        with pytest.raises(Exception, match="shutdown"):
            cluster.run("b", lambda: call(states[gone].pid, ("end", "shutdown")))
        cluster.advance(0.2)
        assert gone not in jobs.which("c")
        lost = [id for id, s in states.items() if s.node == "b" and id[0] == "t"]
        assert lost
        cluster.crash("b")
        cluster.advance(2)
        left = jobs.which("a")
        assert sorted(left) == sorted(id for id in states if id != gone and id not in lost)
        check_exactly_once_but_temporary(cluster, left)


def check_exactly_once_but_temporary(cluster: ClusterSimulation, left: Any) -> None:
    assert all(state.status == "running" for state in left.values())
    assert not [p for p in problems(cluster, "jobs") if "('r'" in p]


def test_wrong_arguments_are_refused_at_the_call() -> None:
    with ClusterSimulation(9, nodes=1) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        for options, error in [
            ({"id": 1.5}, TypeError),
            ({"id": ["a"]}, TypeError),
            ({"labels": "x"}, InvalidChildSpec),
            ({"partitions": 0}, InvalidChildSpec),
            ({"on_minority": "maybe"}, InvalidChildSpec),
            ({"on_minority": "stop"}, InvalidChildSpec),
            ({"max_restarts": -1}, InvalidChildSpec),
        ]:
            with pytest.raises(error):
                jobs.start("a", Worker, **options)
        with pytest.raises(StartError, match="no node runs"):
            cluster.run("a", lambda: start_child("nobody", Worker))
