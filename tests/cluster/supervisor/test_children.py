"""What children can be, and what becomes of those that cannot."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from foundation.cluster.supervisor import (
    DistributedSupervisor,
    child,
    explain,
    generation,
    start_child,
    terminate_child,
    whereis_child,
    which_children,
)
from foundation.cluster.supervisor.ids import key_of
from foundation.cluster.supervisor.packing import pack_spec
from foundation.errors import AlreadyStarted, InvalidChildSpec, StartError
from foundation.kernel.ops import unlink
from foundation.otp import ChildSpec, GenServer, Ignore, Ignored, Supervisor, call, me
from foundation.testing.cluster_network import Faults
from foundation.testing.cluster_sim import ClusterSimulation
from tests.cluster.supervisor.invariants import check_exactly_once, problems, service_of
from tests.cluster.supervisor.supkit import Jobs, Plain, Worker, config


class Bomb:
    """Cannot be decoded, as a class that is not importable."""

    def __reduce__(self) -> Any:
        return (_explode, ())


def _explode() -> None:
    raise ModuleNotFoundError("No module named 'only_here'")


class Shipped(GenServer):
    """Travels with its code."""

    def handle_call(self, request: Any, caller: Any) -> Any:
        return type(self).__name__


class Ignoring(GenServer):
    def init(self) -> Any:
        return Ignore()


class Unlinked(Worker):
    """Is not linked to who supervises it."""

    def init(self, n: int = 0) -> None:
        super().init(n)
        parent = me_parent()
        unlink(parent)


def me_parent() -> Any:
    from foundation.kernel.ops import current

    return current().parent


class Tree(Supervisor):
    """A supervisor as a distributed child."""

    def init(self) -> Any:
        return [Worker.spec(id="leaf")]


async def start_plain() -> Any:
    return await Plain.start_link(7)


async def start_badly() -> Any:
    return "not a pid"


def formed(seed: int, **options: Any) -> tuple[ClusterSimulation, Jobs]:
    cluster = ClusterSimulation(seed, nodes=3, workers=2, **options)
    jobs = Jobs(cluster)
    jobs.form()
    return cluster, jobs


def test_a_class_that_cannot_be_imported_is_told_and_breaks_nothing() -> None:
    cluster, jobs = formed(1)
    with cluster:
        jobs.start("a", Worker, id="fine")
        with pytest.raises(StartError, match=r"cannot import.*only_here.*ship=True"):
            jobs.start("a", (Worker, Bomb()), id="bomb")
        assert list(jobs.which("b")) == ["fine"]
        check_exactly_once(cluster, "jobs")


def test_a_class_travels_by_value_where_that_is_allowed() -> None:
    cluster, jobs = formed(2)
    with cluster:
        pid = jobs.start("a", Shipped, id="shipped", ship=True)
        assert cluster.run("a", lambda: call(pid, "name")) == "Shipped"
    data = pack_spec(Shipped.spec(), ship=True)
    code = (
        "import sys; from foundation.cluster.supervisor.packing import Unpacker; "
        "spec = Unpacker('a', True).unpack(sys.stdin.buffer.read(), True); "
        "assert spec.start[0]().handle_call(None, None) == 'Shipped'; "
        "assert 'tests' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], input=data, check=True, cwd="/", timeout=60)
    cluster, jobs = formed(2, config=config(accept_code=False))
    with cluster, pytest.raises(StartError, match=r"takes no code.*accept_code=True"):
        jobs.start("a", Shipped, id="shipped", ship=True)


@pytest.mark.parametrize("seed", range(3))
def test_start_functions_supervisors_and_dedicated_hosts(seed: int) -> None:
    cluster, jobs = formed(seed)
    with cluster:
        pid = jobs.start("a", ChildSpec("f", (start_plain, (), {})))
        assert cluster.run("a", lambda: call(pid, "get")) == 7
        with pytest.raises(StartError, match="BadChild"):
            jobs.start("a", ChildSpec("bad", (start_badly, (), {})))
        jobs.start("a", Tree, id="tree")
        pid = jobs.start("a", Worker.spec(isolation="host"), id="dedicated")
        cluster.run("b", lambda: call(pid, "next"))
        for id in ("f", "tree", "dedicated"):
            node = jobs.which("a")[id].node
            cluster.crash(node)
            cluster.until(lambda: not problems_but_dedicated(cluster), 5)
            jobs.restart(node)
            cluster.until(
                lambda: (
                    cluster.agreed()
                    and len(jobs.registered()) == 3
                    and not problems_but_dedicated(cluster)
                ),
                10,
            )
        states = jobs.which("c")
        assert {id: s.status for id, s in states.items()} == dict.fromkeys(states, "running")
        for id in ("f", "tree", "dedicated"):
            cluster.run("a", lambda id=id: terminate_child("jobs", id))
        cluster.until(lambda: jobs.which("c") == {}, 1)  # it was awaited at a
        assert problems(cluster, "jobs") == []


def problems_but_dedicated(cluster: ClusterSimulation) -> list[str]:
    """Start functions know nothing of what their processes are for."""
    return [p for p in problems(cluster, "jobs") if not p.startswith("'f' runs on [],")]


def test_a_child_that_kills_its_hosts_is_quarantined() -> None:
    with ClusterSimulation(10, nodes=2, workers=3) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        jobs.start("a", Worker, id="poison")
        for _ in range(5):
            node, host = jobs.which(other(jobs))["poison"].pid.host.split("/")
            cluster.nodes[node].crash_host(host)
            cluster.advance(0.5)
        state = jobs.which(other(jobs))["poison"]
        assert (state.status, state.reason) == (
            "quarantined",
            "its worker host has died too often",
        )


def other(jobs: Jobs) -> str:
    return "b" if any(s.node == "a" for s in jobs.which("b").values()) else "a"


def test_only_nodes_that_run_the_supervisor_have_children() -> None:
    with ClusterSimulation(11, nodes=3) as cluster:
        jobs = Jobs(cluster)
        cluster.form()
        for name in "ab":
            jobs.run_application(name)
        cluster.until(lambda: jobs.registered() == ["a", "b"] and cluster.agreed())
        jobs.start_many("c", 20)
        assert {state.node for state in jobs.which("c").values()} == {"a", "b"}
        assert cluster.run("c", lambda: whereis_child("jobs", ("w", 1))) is not None
        check_exactly_once(cluster, "jobs")
        cluster.crash("a")
        cluster.until(cluster.agreed)
        assert cluster.run("c", lambda: whereis_child("jobs", ("w", 1))) is None or jobs.which("c")
        cluster.crash("b")
        cluster.until(cluster.agreed)
        with pytest.raises(StartError, match="no node runs"):
            jobs.start("c", Worker)
        jobs.restart("a")  # what was wanted is known to c, and runs again
        cluster.until(lambda: jobs.counts("c") == {"children": 20, "running": 20}, 10)


def test_ignore_is_no_error_and_keeps_nothing() -> None:
    cluster, jobs = formed(3)
    with cluster:
        assert jobs.start("a", Ignoring, id="x") == Ignored()
        assert jobs.which("a") == {}
        check_exactly_once(cluster, "jobs")
    with ClusterSimulation(3, nodes=2) as cluster:
        jobs = Jobs(cluster, children=[Ignoring.spec(id="declared")])
        jobs.form()
        cluster.advance(1)
        assert jobs.which("a")["declared"].status == "ignored"


def test_a_child_that_unlinks_itself_is_still_ended() -> None:
    cluster, jobs = formed(4)
    with cluster:
        pid = jobs.start("a", Unlinked, id="x")
        cluster.run("b", lambda: terminate_child("jobs", "x"))
        with pytest.raises(Exception, match="no such process"):
            cluster.run("a", lambda: call(pid, "get"))


def test_init_that_takes_too_long_fails_the_start() -> None:
    from tests.cluster.supervisor.supkit import Slow

    cluster, jobs = formed(5)
    with cluster:
        before = cluster.now
        with pytest.raises(StartError, match="timeout"):
            jobs.start("a", Slow.spec(timeout=0.5), id="slow")
        assert cluster.now - before < 1
        assert jobs.which("a") == {}
        with pytest.raises(TimeoutError):
            jobs.start("a", Slow, id="slower", timeout=1.0)
        with pytest.raises(AlreadyStarted):  # it is wanted all the same
            jobs.start("a", Slow, id="slower", timeout=20.0)


def test_declared_children() -> None:
    class Declared(DistributedSupervisor):
        children = [
            Worker,
            child(Plain, id="parts", partitions=3),
            child(Worker, id="all", every_node=True, max_restarts=0),
        ]

    spec = Declared.spec(name="jobs")
    assert spec == Declared.spec(name="jobs")
    with pytest.raises(InvalidChildSpec, match="duplicate"):
        DistributedSupervisor.spec(name="jobs", children=[Worker, Worker])
    with pytest.raises(InvalidChildSpec, match="name"):
        DistributedSupervisor.spec(name="")
    with pytest.raises(InvalidChildSpec, match="listing"):
        DistributedSupervisor()
    with ClusterSimulation(6, nodes=3) as cluster:
        jobs = Jobs(cluster, children=Declared.children)
        jobs.form()
        cluster.until(lambda: not problems(cluster, "jobs"), 5)
        assert jobs.counts("a") == {"children": 7, "running": 7}
        cluster.run("a", lambda: terminate_child("jobs", "parts"))
        cluster.crash("b")
        cluster.until(cluster.agreed)
        jobs.restart("b")  # declares them again, but they were terminated
        cluster.until(lambda: len(jobs.registered()) == 3, 5)
        cluster.until(lambda: not problems(cluster, "jobs"), 5)
        assert jobs.counts("b") == {"children": 4, "running": 4}


def test_a_new_release_replaces_the_specs_of_declared_children() -> None:
    with ClusterSimulation(12, nodes=3) as cluster:
        jobs = Jobs(cluster, children=[Worker.spec(1, id="x"), Worker.spec(1, id="same")])
        jobs.form()
        cluster.until(lambda: not problems(cluster, "jobs"), 5)
        assert cluster.run("a", lambda p=jobs.whereis("a", "x"): call(p, "get")) == 1  # noqa: B008
        same = jobs.whereis("a", "same")
        victim = next(n for n in "abc" if n not in (same.host[0], jobs.which("a")["x"].node))
        cluster.crash(victim)
        cluster.until(cluster.agreed)
        jobs.options["children"] = [Worker.spec(2, id="x"), Worker.spec(1, id="same")]
        jobs.restart(victim)
        cluster.until(lambda: len(jobs.registered()) == 3, 5)
        cluster.advance(3)
        check_exactly_once(cluster, "jobs")
        pid = jobs.whereis("a", "x")
        assert cluster.run("a", lambda: call(pid, "get")) == 2
        assert jobs.whereis("a", "same") == same


def test_what_is_needed_for_stopping_in_a_minority() -> None:
    with ClusterSimulation(7, nodes=1) as cluster:
        cluster.form()

        async def body() -> None:
            spec = DistributedSupervisor.spec(name="jobs", on_minority="stop")
            await Supervisor.start_link([spec])

        with pytest.raises(Exception, match="expected_size"):
            cluster.run("a", body)


def test_records_stay_bounded_and_equal_when_messages_are_lost() -> None:
    faults = Faults(loss=0.1, duplicate=0.1, reorder=0.1)
    with ClusterSimulation(8, nodes=3, workers=1, faults=faults) as cluster:
        jobs = Jobs(cluster)
        jobs.form()

        async def churn() -> None:
            for number in range(100):
                await start_child("jobs", Worker, id=number)
                await terminate_child("jobs", number)

        cluster.run("a", churn)
        cluster.advance(10)
        services = [service_of(node).coordinator("jobs") for node in cluster.live()]
        for one in services:
            assert len(one.desired) == 0
            assert one.desired.tombstones() <= 100
            assert not one.observed
            assert not one.work.locals
            assert not one.why
        # An agent that has missed something hears of it when digests are compared.
        lost = services[0].desired
        known = lost.get(key_of(1))
        assert known is not None
        record = replace(known, deleted=False, version=(9999, "a"), token="another")
        lost.merge(key_of(1), record, 0.0)
        cluster.advance(20)
        assert len({one.desired.digest for one in services}) == 1
        assert len(services[2].desired) == 1


def test_a_child_knows_its_generation_and_others_have_none() -> None:
    cluster, jobs = formed(9)
    with cluster:
        assert cluster.run("a", lambda: (generation(), me())[0]) == 0
        jobs.start("a", Worker, id="x")
        for starts in (1, 2, 3):
            state = jobs.which("a")["x"]
            assert state.generation == starts << 20
            inside = cluster.run("a", lambda p=state.pid: call(p, "generation"))
            assert inside == state.generation
            cluster.crash(state.node) if starts == 1 else cluster.nodes[state.node].crash_host(
                state.pid.host.partition("/")[2]
            )
            cluster.until(
                lambda n=starts: any(
                    s.status == "running" and s.generation == (n + 1) << 20
                    for s in _which(cluster)
                ),
                5,
            )  # fmt: skip
        told = cluster.run(cluster.live()[0].name, lambda: explain("jobs", "x"))
        assert f"generation {4 << 20}" in told


@pytest.mark.parametrize("seed", range(5))
def test_a_take_over_is_above_restarts_that_only_the_lost_node_knows_of(seed: int) -> None:
    cluster, jobs = formed(seed, config=config(expected_size=3))
    with cluster:
        cluster.advance(3)
        jobs.start("a", Worker, id="x", on_minority="stop")
        before = jobs.which("a")["x"]
        other = next(n for n in "abc" if n != before.node)
        cluster.isolate([before.node])
        host = before.pid.host.partition("/")[2]
        cluster.kernel(before.node, host).signals.signal(before.pid, before.pid, "kill")
        cluster.advance(0.2)
        alone = jobs.which(before.node)["x"]
        assert alone.generation == before.generation + 1

        def taken_over() -> bool:
            state = jobs.which(other).get("x")
            return state is not None and state.status == "running" and state.node != before.node

        cluster.until(taken_over, 20)
        assert jobs.which(other)["x"].generation > alone.generation


def _which(cluster: ClusterSimulation) -> Any:
    return cluster.run(cluster.live()[0].name, lambda: which_children("jobs"), host="w1")
