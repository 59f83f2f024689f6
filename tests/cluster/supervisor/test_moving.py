"""Children move with their state: on drain, on an orderly stop, on join; and what may go wrong."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from foundation.cluster.registry import DistributedRegistry
from foundation.cluster.supervisor import (
    DistributedSupervisor,
    drain,
    generation,
    start_child,
    undrain,
    whereis_child,
)
from foundation.otp import GenServer, Supervisor, call, receive, trap_exit
from foundation.testing.cluster_sim import ClusterSimulation
from tests.cluster.supervisor.invariants import check_never_twice, problems, service_of
from tests.cluster.supervisor.supkit import Jobs, Plain, Worker, application, config


class Counter(GenServer):
    """Counts calls; slow to import its state."""

    def init(self) -> None:
        self.n = 0
        self.imported = False

    def handle_call(self, request: Any, caller: Any) -> Any:
        if request == "who":
            return self.imported, generation()
        self.n += 1
        return self.n

    def export_state(self) -> Any:
        return {"n": self.n}

    async def import_state(self, state: Any) -> None:
        await asyncio.sleep(0.05)
        self.n, self.imported = state["n"], True


class BadExport(Worker):
    """Cannot export."""

    def export_state(self) -> Any:
        raise ValueError("no")


class BadImport(Worker):
    """Cannot import, so it begins anew."""

    def import_state(self, state: Any) -> None:
        raise ValueError("no")


class Stubborn(GenServer):
    """Does not end when told to."""

    def init(self) -> None:
        trap_exit()

    def handle_info(self, message: Any) -> None:
        return None

    async def terminate(self, reason: Any) -> None:
        await asyncio.sleep(1000)


@pytest.mark.parametrize("seed", range(6))
def test_no_count_is_lost_while_children_move(seed: int) -> None:
    with ClusterSimulation(seed, nodes=3, workers=2) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        counted = dict.fromkeys(range(12), 0)

        async def start() -> None:
            for number in counted:
                await start_child("jobs", Counter, id=number)

        async def count(number: int) -> None:
            for _ in range(60):
                pid = whereis_child("jobs", number)
                if pid is not None:
                    try:
                        got = await call(pid, "count")
                    except Exception:
                        await asyncio.sleep(0.01)
                        continue
                    counted[number] += 1
                    assert got >= counted[number]
                await asyncio.sleep(0.01)

        cluster.run("a", start)
        bodies = [cluster.spawn("a", count, number) for number in counted]
        cluster.advance(0.1)
        assert cluster.run("a", lambda: drain("b")) == []
        check_never_twice(cluster, "jobs")
        assert not [s for s in jobs.which("a").values() if s.node == "b"]
        cluster.run("c", lambda: undrain("b"))
        cluster.until(lambda: all(body.ended for body in bodies))
        for body in bodies:
            body.result()
        cluster.until(lambda: cluster.agreed() and not problems(cluster, "jobs"), 5)
        for number, expected in counted.items():
            pid = jobs.whereis("a", number)
            assert cluster.run("a", lambda pid=pid: call(pid, "count")) >= expected + 1
        pids = [jobs.whereis("a", number) for number in counted]
        moved = [cluster.run("a", lambda pid=pid: call(pid, "who")) for pid in pids]
        assert any(imported and started > 1 for imported, started in moved)


@pytest.mark.parametrize("seed", range(4))
def test_an_orderly_stop_hands_over_with_state(seed: int) -> None:
    with ClusterSimulation(seed, nodes=3, workers=2) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        jobs.start_many("a", 20)
        for number in range(20):
            cluster.run("a", lambda n=number: call(whereis_child("jobs", ("w", n)), "next"))
        server = cluster.nodes["b"].agent.kernel.names.lookup("jobs")
        states = jobs.which("a")
        here = [id for id, state in states.items() if state.node == "b"]

        parent = cluster.nodes["b"].agent.kernel.procs[server].parent

        async def stop_tree() -> None:
            await Supervisor.stop(parent)

        cluster.run("b", stop_tree)
        cluster.until(lambda: "b" not in jobs.registered(), 1)
        cluster.until(lambda: not problems(cluster, "jobs"), 10)
        cluster.advance(0.1)
        after = jobs.which("a")
        assert here
        for id in here:
            assert after[id].node != "b"
            got = cluster.run("a", lambda pid=after[id].pid: call(pid, "get"))
            assert got == id[1] + 1


def test_the_last_nodes_stop_ends_the_children() -> None:
    with ClusterSimulation(1, nodes=1) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        jobs.start_many("a", 5)
        control = cluster.nodes["a"].agent.kernel
        server = control.names.lookup("jobs")
        parent = control.procs[server].parent

        async def stop_tree() -> None:
            await Supervisor.stop(parent)

        cluster.run("a", stop_tree)
        cluster.until(lambda: control.names.lookup("jobs") is None, 2)
        assert jobs.counts("a") == {"children": 0}


def test_children_survive_the_host_of_the_application() -> None:
    with ClusterSimulation(2, nodes=2, workers=3) as cluster:
        jobs = Jobs(cluster)
        cluster.form()
        for name in "ab":
            cluster.spawn(name, application, {}, host="w3")
        cluster.until(lambda: jobs.registered() == ["a", "b"])
        cluster.until(cluster.agreed)
        jobs.start_many("a", 20)
        before = jobs.which("a")
        cluster.nodes["b"].crash_host("w3")
        cluster.advance(0.5)
        cluster.spawn("b", application, {}, host="w1")
        cluster.advance(8)
        after = jobs.which("a")
        for id, state in before.items():
            if state.pid.host != "b/w3":
                assert after[id] == state
        cluster.nodes["b"].crash_host("w1")  # and when nobody starts it again
        cluster.until(lambda: jobs.registered() == ["a"], 10)
        cluster.until(lambda: not problems(cluster, "jobs"), 10)


async def application_with_names() -> None:
    await Supervisor.start_link(
        [
            DistributedRegistry.spec(name="names", keys="unique"),
            DistributedSupervisor.spec(name="jobs"),
        ]
    )
    await receive()


@pytest.mark.parametrize("seed", range(4))
def test_children_keep_their_names_in_the_distributed_registry(seed: int) -> None:
    with ClusterSimulation(seed, nodes=3, workers=2) as cluster:
        jobs = Jobs(cluster)
        cluster.form()
        for name in "abc":
            cluster.spawn(name, application_with_names)
        cluster.until(lambda: jobs.registered() == ["a", "b", "c"])
        cluster.until(cluster.agreed)

        async def start() -> None:
            for number in range(12):
                name = DistributedRegistry.via("names", number)
                await start_child("jobs", Counter.spec(name=name), id=number)

        async def count() -> list[int]:
            names = [DistributedRegistry.via("names", number) for number in range(12)]
            return [await call(name, "count") for name in names]

        cluster.run("a", start)
        assert cluster.run("b", count) == [1] * 12
        assert cluster.run("a", lambda: drain("b")) == []
        cluster.until(lambda: not problems(cluster, "jobs"), 5)
        cluster.advance(1)
        assert cluster.run("b", count) == [2] * 12
        cluster.crash("c")
        cluster.until(lambda: not problems(cluster, "jobs") and cluster.agreed(), 5)
        cluster.advance(1)
        assert jobs.counts("a") == {"children": 12, "running": 12}
        cluster.run("b", count)


@pytest.mark.parametrize("cls", [BadExport, BadImport, Plain, Stubborn])
def test_a_move_that_goes_wrong_loses_state_only(cls: type) -> None:
    with ClusterSimulation(3, nodes=2, workers=1) as cluster:
        jobs = Jobs(cluster)
        jobs.form()

        async def start() -> None:
            for number in range(6):
                await start_child("jobs", cls.spec(shutdown=1.0), id=number)

        cluster.run("a", start)
        assert cluster.run("a", lambda: drain("b")) == []
        assert {state.node for state in jobs.which("a").values()} == {"a"}
        assert all(state.status == "running" for state in jobs.which("a").values())


def test_drain_says_what_is_left_and_why() -> None:
    configs = {"b": config(labels={"disk": "yes"})}
    with ClusterSimulation(4, nodes=2, configs=configs) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        jobs.start("a", Worker, id="pinned", labels={"disk": "yes"})
        jobs.start("a", Worker.spec(restart="temporary"), id="short", labels={"disk": "yes"})
        left = cluster.run("a", lambda: drain("b", timeout=1.0))
        assert sorted(id for _, id, _ in left) == ["pinned", "short"]
        assert all("disk=yes" in why for _, _, why in left)
        assert jobs.which("a")["pinned"].status == "running"
        with pytest.raises(Exception, match="no node"):
            cluster.run("a", lambda: drain("x"))


def test_moves_are_budgeted() -> None:
    with ClusterSimulation(5, nodes=2, workers=1) as cluster:
        jobs = Jobs(cluster, max_moves=2)
        cluster.start("a")
        jobs.run_application("a")
        cluster.advance(1)

        async def start() -> None:
            for number in range(30):
                await start_child("jobs", Counter, id=number)

        cluster.run("a", start)
        cluster.start("b")
        jobs.run_application("b")
        most = 0
        work = service_of(cluster.nodes["a"]).coordinator("jobs").work
        for _ in range(3000):
            cluster.advance(0.0003)
            most = max(most, len(work.moving))
        cluster.until(lambda: not problems(cluster, "jobs"), 10)
        assert 0 < most <= 2
