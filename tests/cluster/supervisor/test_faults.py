"""The invariants under faults, for many seeds. ``SEEDS`` more of them: see ``make soak``."""

from __future__ import annotations

import os

import pytest

from foundation.cluster.supervisor import start_child
from foundation.cluster.timing import LAN, Timing
from foundation.testing.cluster_network import Faults
from foundation.testing.cluster_sim import ClusterSimulation
from tests.cluster.supervisor.chaos import Chaos
from tests.cluster.supervisor.invariants import (
    check_exactly_once,
    check_never_twice,
    copies,
    problems,
    service_of,
)
from tests.cluster.supervisor.supkit import Jobs, Worker, config

FIRST = int(os.environ.get("FIRST_SEED", "0"))
SEEDS = range(FIRST, FIRST + int(os.environ.get("SEEDS", "12")))


# Nodes are declared dead long before their leases end, often wrongly.
HASTY = Timing(suspicion_min=0.1, suspicion_max=0.2, probe_interval=0.2, probe_timeout=0.1)


def run_chaos(seed: int, policy: str, steps: int, split: bool = True) -> None:
    faults = Faults(loss=0.05, duplicate=0.05, reorder=0.05) if split else Faults()
    nodes = 3 + seed % 3
    timing = HASTY if seed % 2 and split else LAN
    settings = config(expected_size=nodes, timing=timing)
    with ClusterSimulation(seed, nodes=nodes, workers=2, config=settings, faults=faults) as cluster:
        jobs = Jobs(cluster, on_minority=policy)
        jobs.form()
        jobs.start_many("a", 12)
        jobs.start("b", Worker, id="all", every_node=True)
        look = (
            (lambda: check_never_twice(cluster, "jobs")) if policy == "stop" or not split else None
        )
        chaos = Chaos(jobs, look, split)
        for _ in range(steps):
            chaos.step()
        chaos.calm()
        calm = cluster.now
        while cluster.now - calm < 90:
            chaos.pass_time(0.5)
            whole = cluster.agreed() and jobs.registered() == sorted(cluster.nodes)
            if whole and not problems(cluster, "jobs"):
                break
        check_exactly_once(cluster, "jobs")
        chaos.pass_time(5)
        check_exactly_once(cluster, "jobs")
        for node in cluster.live():
            coordinator = service_of(node).coordinator("jobs")
            coordinator.desired.check()
            assert not coordinator.waiters.pending()


@pytest.mark.parametrize("seed", SEEDS)
def test_after_any_faults_each_child_runs_exactly_once(seed: int) -> None:
    run_chaos(seed, "keep", 25)


@pytest.mark.parametrize("seed", SEEDS)
def test_children_that_stop_in_a_minority_never_run_twice(seed: int) -> None:
    run_chaos(seed, "stop", 25)


@pytest.mark.parametrize("seed", SEEDS)
def test_without_a_split_nothing_ever_runs_twice(seed: int) -> None:
    run_chaos(seed, "keep", 40, split=False)


@pytest.mark.parametrize("seed", range(4))
def test_a_split_keeps_or_stops(seed: int) -> None:
    with ClusterSimulation(seed, nodes=3, config=config(expected_size=3)) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        jobs.start_many("a", 10)
        for number in range(10):
            jobs.start("a", Worker, id=("s", number), on_minority="stop")
        cluster.isolate(["a"])
        cluster.advance(8)
        by_id = {key: [node for node, _ in found] for key, found in copies(cluster, "jobs").items()}
        counts = [len(nodes) for nodes in by_id.values()]
        assert len(counts) == 20
        assert sorted(set(counts)) == [1, 2]
        assert sum(count == 2 for count in counts) == 10
        cluster.network.heal()
        cluster.until(lambda: cluster.agreed() and not problems(cluster, "jobs"), 30)


@pytest.mark.parametrize("seed", range(6))
def test_nothing_that_was_answered_is_lost_by_one_death(seed: int) -> None:
    with ClusterSimulation(seed, nodes=3, workers=1) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        answered: list[int] = []

        async def start() -> None:
            for number in range(1000):
                await start_child("jobs", Worker, id=number)
                answered.append(number)

        cluster.spawn("a", start)
        cluster.advance(cluster.random.uniform(0.01, 0.4))
        cluster.crash(cluster.random.choice("bc"))
        cluster.advance(3)
        assert len(answered) > 5
        cluster.crash("a")
        cluster.until(cluster.agreed)
        cluster.advance(1)
        left = next(node.name for node in cluster.live())
        running = jobs.which(left)
        assert not [n for n in answered if n not in running]


def test_a_short_split_does_not_end_temporary_children() -> None:
    with ClusterSimulation(3, nodes=3) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        for number in range(9):
            jobs.start("a", Worker.spec(restart="temporary"), id=number)
        before = jobs.which("a")
        assert {state.node for state in before.values()} == {"a", "b", "c"}
        cluster.isolate(["b"])
        cluster.advance(20)
        cluster.network.heal()
        cluster.until(cluster.agreed, 30)
        cluster.advance(2)
        assert jobs.which("a") == before
        cluster.crash("b", refused=False)
        cluster.advance(100)
        assert sorted(jobs.which("a")) == sorted(i for i, s in before.items() if s.node != "b")
        assert len(service_of(cluster.nodes["a"]).coordinator("jobs").desired) == len(
            jobs.which("a")
        )
