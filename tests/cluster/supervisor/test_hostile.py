"""What must not hurt: wrong arguments, strange messages, large data, lost state."""

from __future__ import annotations

import asyncio
import math
import re
from typing import Any

import pytest

from foundation.cluster.api import ask_agent
from foundation.cluster.supervisor import (
    DistributedSupervisor,
    UnknownSupervisor,
    count_children,
    drain,
    explain,
    packing,
    plan,
    replication,
    restart_child,
    runner,
    start_child,
    terminate_child,
    undrain,
    whereis_child,
    which_children,
)
from foundation.cluster.supervisor.ids import id_of, key_of, shown
from foundation.cluster.supervisor.lease import Lease
from foundation.cluster.supervisor.records import Record
from foundation.errors import CallExit, InvalidChildSpec, StartError, Unsendable
from foundation.kernel.codec import dumps
from foundation.kernel.reports import Notice
from foundation.otp import GenServer, call
from foundation.testing.cluster_sim import ClusterSimulation
from tests.cluster.supervisor.invariants import check_exactly_once, service_of
from tests.cluster.supervisor.supkit import Jobs, Worker, config
from tests.cluster.supervisor.test_children import formed

CALLS: dict[str, Any] = {
    "start_child": lambda name: start_child(name, Worker),
    "terminate_child": lambda name: terminate_child(name, "x"),
    "restart_child": lambda name: restart_child(name, "x"),
    "plan": lambda name: plan(name),
    "explain": lambda name: explain(name, "x"),
    "whereis_child": lambda name: whereis_child(name, "x"),
    "which_children": which_children,
    "count_children": count_children,
}


class Slowly(GenServer):
    """Takes four seconds to start."""

    async def init(self) -> None:
        await asyncio.sleep(4)


class NoImport(Worker):
    def import_state(self, state: Any) -> None:
        raise RuntimeError("cannot take it")


class NoExport(Worker):
    def export_state(self) -> Any:
        return (number for number in range(3))


class Large(Worker):
    def export_state(self) -> Any:
        return bytes(2000)


def refused(cluster: ClusterSimulation, body: Any) -> BaseException:
    """Return the error of *body*, which must come at once."""

    async def tried() -> BaseException:
        try:
            found = body()
            if asyncio.iscoroutine(found):
                await found
        except Exception as error:
            return error
        raise AssertionError("it was not refused")

    before = cluster.now
    error: BaseException = cluster.run("a", tried)
    assert cluster.now - before < 0.1
    return error


def notices(cluster: ClusterSimulation) -> list[str]:
    """Return the texts of all notices at level error."""
    told = [report for _, report in cluster.reports if isinstance(report, Notice)]
    return [report.text for report in told if report.level == "error"]


def test_names_that_are_none_and_supervisors_that_are_not_there() -> None:
    cluster, _ = formed(40)
    with cluster:
        for what, function in CALLS.items():
            for name, kind in (
                (5, TypeError), (None, TypeError), (["jobs"], TypeError), ("", ValueError),
                ("\ud800", ValueError), ("jbos", UnknownSupervisor),
            ):  # fmt: skip
                error = refused(cluster, lambda f=function, n=name: f(n))
                assert type(error) is kind, (what, name, error)
        assert "no node runs the distributed supervisor 'jbos'" in str(error)
        assert isinstance(error, StartError)
        assert isinstance(error, LookupError)
        for node in cluster.live():
            assert service_of(node).names() == ["jobs"]


def test_agents_make_nothing_of_names_that_nobody_has() -> None:
    cluster, jobs = formed(41)
    with cluster:
        jobs.start("a", Worker, id="x")
        key = key_of("x")
        for name in (5, None, "", "typo"):
            for service, args in (
                ("sup_plan", ([], [])),
                ("sup_explain", (key,)),
                ("sup_terminate", (key, 1.0)),
                ("sup_restart", (key,)),
                ("sup_restart_at", ([key],)),
                ("sup_why", (key,)),
            ):
                ask: Any = lambda s=service, n=name, a=args: ask_agent(s, n, *a)  # noqa: E731
                with pytest.raises(CallExit, match="unknown supervisor"):
                    cluster.run("b", ask)
            start: Any = lambda n=name: ask_agent("sup_start", n, key, b"", (), False, 1.0)  # noqa: E731
            assert cluster.run("b", start)[0] == "refused"
        agent = cluster.nodes["a"].agent
        record = Record((9, "a"), b"")
        for name in (5, None, "", b"x"):
            agent.tell("b", "sup_put", name, key, dumps(record), 0)
            agent.tell("b", "sup_versions", name, [])
            agent.tell("b", "sup_records", name, [(key, record, 0)])
            agent.tell("b", "sup_digests", {name: 7}, True)
        cluster.advance(5)
        for node in cluster.live():
            assert service_of(node).names() == ["jobs"]
        cluster.crash(jobs.which("a")["x"].node)
        cluster.until(lambda: len(cluster.live()) == 2 and cluster.agreed())
        cluster.advance(1)
        check_exactly_once(cluster, "jobs")


def test_a_failing_supervisor_does_not_stop_the_clock() -> None:
    cluster, _ = formed(42)
    with cluster:
        service = service_of(cluster.nodes["a"])
        ticks: list[float] = []

        def tick(now: float) -> None:
            ticks.append(now)
            raise RuntimeError("as a test")

        service.coordinators["jobs"].tick = tick  # type: ignore[method-assign]
        cluster.advance(5)
        assert len(ticks) >= 4
        assert any("'jobs' failed" in text for text in notices(cluster))


@pytest.mark.parametrize("by", ["a", "b", "c"])
def test_a_start_that_is_terminated_meanwhile_fails(by: str) -> None:
    cluster, jobs = formed(43)
    with cluster:

        async def start() -> Any:
            try:
                return await start_child("jobs", Slowly, id="slow", timeout=30)
            except StartError as error:
                return error

        body = cluster.spawn("a", start)
        cluster.advance(1)
        cluster.run(by, lambda: terminate_child("jobs", "slow"))
        cluster.until(lambda: body.ended, 5)
        error = body.result()
        assert isinstance(error, StartError), error
        assert error.reason == "terminated"
        cluster.advance(10)
        assert jobs.which("b") == {}
        check_exactly_once(cluster, "jobs")
        assert jobs.start("a", Worker, id="slow") is not None  # another start is another matter


def test_a_repeat_of_a_terminated_start_is_refused() -> None:
    cluster, jobs = formed(44)
    with cluster:
        jobs.start("a", Worker, id="x")
        service = service_of(cluster.nodes["a"])
        key = key_of("x")
        record = service.coordinator("jobs").desired.wanted(key)
        assert record is not None
        cluster.run("b", lambda: terminate_child("jobs", "x"))
        cluster.advance(1)
        request = dumps(record)
        again: Any = lambda: ask_agent("sup_start", "jobs", key, request, (), False, 5.0)  # noqa: E731
        assert cluster.run("c", again)[0] == "failed"
        cluster.advance(1)
        assert jobs.which("b") == {}


@pytest.mark.parametrize("late", [True, False])
def test_a_start_that_is_carried_out_late_stays_terminated(late: bool) -> None:
    cluster, jobs = formed(51)
    with cluster:
        key = key_of("x")
        live = Record((50, "c"), b"spec", token="request")
        tombstone = Record((40, "b"), b"", token="request", deleted=True)
        for record in (tombstone, live) if late else (live, tombstone):
            service_of(cluster.nodes["a"]).replication._take("jobs", key, record, 0)
        cluster.advance(5)
        for node in cluster.live():
            found = service_of(node).desired("jobs").get(key)
            assert found is not None
            assert (found.deleted, found.token, found.version[0]) == (True, "request", 51)
        assert jobs.which("a") == {}


def test_ids_that_cannot_travel() -> None:
    deep: Any = "x"
    for _ in range(9):
        deep = (deep,)
    for id in ("\ud800", ("a", "\udfff"), deep):
        with pytest.raises(ValueError, match=r"surrogate|nested"):
            key_of(id)
    for id in (float("nan"), 1.5, [1], {"a": 1}):
        with pytest.raises(TypeError, match="must be text"):
            key_of(id)
    for _ in range(5000):
        deep = (deep,)
    with pytest.raises(ValueError, match="nested"):
        key_of(deep)
    assert id_of(key_of(("ä", 1, None, b"x", True))) == ("ä", 1, None, b"x", True)
    assert shown(key_of(("a", 1))) == "('a', 1)"
    assert "key" in shown(b"\xc1junk")
    with pytest.raises(ValueError, match="surrogate"):
        DistributedSupervisor.spec(name="s", children=[Worker.spec(id="\ud800")])


def test_arguments_are_refused_at_the_call() -> None:
    cluster, _ = formed(45)
    with cluster:
        timed: list[Any] = [
            lambda t: start_child("jobs", Worker, timeout=t),
            lambda t: terminate_child("jobs", "x", timeout=t),
            lambda t: restart_child("jobs", "x", timeout=t),
            lambda t: plan("jobs", timeout=t),
            lambda t: explain("jobs", "x", timeout=t),
            lambda t: drain("a", t),
            lambda t: undrain("a", t),
        ]
        wrong: list[tuple[Any, type]] = [
            (0, ValueError), (-1.0, ValueError), (math.inf, ValueError), (math.nan, ValueError),
            (True, TypeError), (None, TypeError), ("5", TypeError),
        ]  # fmt: skip
        for function in timed:
            for timeout, kind in wrong:
                error = refused(cluster, lambda f=function, t=timeout: f(t))
                assert type(error) is kind, (timeout, error)
        bodies: list[tuple[Any, type]] = [
            (lambda: start_child("jobs", Worker, labels={"a": 1}), InvalidChildSpec),  # type: ignore[dict-item]
            (lambda: start_child("jobs", Worker, labels=[]), InvalidChildSpec),  # type: ignore[arg-type]
            (lambda: start_child("jobs", Worker, labels={"a": "\ud800"}), InvalidChildSpec),
            (lambda: start_child("jobs", Worker, id="\ud800"), ValueError),
            (lambda: terminate_child("jobs", 1.5), TypeError),
            (lambda: whereis_child("jobs", "\ud800"), ValueError),
            (lambda: plan("jobs", without="abc"), TypeError),
            (lambda: plan("jobs", draining=[1]), TypeError),  # type: ignore[list-item]
            (lambda: drain(5), TypeError),  # type: ignore[arg-type]
            (lambda: drain(""), ValueError),
        ]
        for body, kind in bodies:
            assert type(refused(cluster, body)) is kind


def test_large_specs_and_many_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unsendable, match=r"takes 8,\d+,\d+ bytes.*path or a key"):
        packing.pack_spec(Worker.spec(bytes(8 * 1024 * 1024)))
    cluster, jobs = formed(46)
    with cluster:
        error = refused(cluster, lambda: start_child("jobs", (Worker, bytes(9 << 20))))
        assert isinstance(error, Unsendable)
        for number in range(6):
            jobs.start("a", (Worker, bytes(100_000)), id=number)
        agent, sent = cluster.nodes["a"].agent, []
        monkeypatch.setattr(agent, "tell", lambda *args: sent.append(args))
        desired = service_of(cluster.nodes["a"]).desired("jobs")
        service_of(cluster.nodes["a"]).replication._tell_records("b", "jobs", desired.live())
        assert [len(args[3]) for args in sent] == [2, 2, 2]
        monkeypatch.setattr(replication, "CHUNK_BYTES", 10)  # one that is larger goes alone
        sent.clear()
        service_of(cluster.nodes["a"]).replication._tell_records("b", "jobs", desired.live())
        assert [len(args[3]) for args in sent] == [1] * 6


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (NoImport, "RuntimeError.*cannot take it"),
        (NoExport, "cannot be sent"),
        (Large, "may have 1,000"),
    ],
)
def test_state_that_is_lost_is_told(kind: type, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "MAX_STATE", 1000)
    cluster, jobs = formed(47)
    with cluster:
        jobs.start("a", (kind, 5), id="moving")
        node = jobs.which("a")["moving"].node
        assert cluster.run("a", lambda: drain(node)) == []
        cluster.until(lambda: jobs.which("a")["moving"].status == "running", 10)
        pid = jobs.whereis("a", "moving")
        assert cluster.run("a", lambda: call(pid, "get")) == 5
        found = [text for text in notices(cluster) if "without its state" in text]
        assert len(found) == 1
        assert re.search(rf"child 'moving' of 'jobs' .* on node '[abc]': .*{why}", found[0]), found


def test_what_a_minority_writes_is_bounded() -> None:
    with ClusterSimulation(48, nodes=3, config=config(expected_size=3)) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        for node in "bc":
            cluster.crash(node)
        cluster.until(cluster.agreed)
        service = service_of(cluster.nodes["a"])
        told: list[int] = []
        key = key_of("x")
        desired = service.desired("jobs")
        for number in range(500):
            record = Record(desired.next_version("a"), b"spec", deleted=number % 2 == 0)
            service.replication.write("jobs", key, record, lambda n=number: told.append(n))  # type: ignore[misc]
        assert service.replication.waiting() == 1
        tombstone = Record(desired.next_version("a"), b"", deleted=True)
        service.replication.write("jobs", key, tombstone, lambda: told.append(500))
        assert told == []
        jobs.restart("b")
        cluster.until(lambda: 500 in told, 20)
        assert told == list(range(401, 501))
        assert service.replication.waiting() == 0


def test_a_write_that_another_supersedes_is_answered_with_that_one() -> None:
    with ClusterSimulation(49, nodes=3, config=config(expected_size=3)) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        for node in "bc":
            cluster.crash(node)
        cluster.until(cluster.agreed)
        service = service_of(cluster.nodes["a"])
        told: list[str] = []
        desired = service.desired("jobs")
        for id in "xy":
            record = Record(desired.next_version("a"), b"", deleted=True)
            service.replication.write("jobs", key_of(id), record, lambda i=id: told.append(i))  # type: ignore[misc]
        newer = Record((99, "b"), b"", deleted=True)
        service.replication._take("jobs", key_of("x"), newer, 0)
        assert service.replication.waiting() == 2
        desired._buried[key_of("y")] = -1e9  # long ago
        desired._buried = dict(sorted(desired._buried.items(), key=lambda item: item[1]))
        cluster.advance(2)
        assert (told, service.replication.waiting()) == ([], 1)
        jobs.restart("b")
        cluster.until(lambda: told == ["x"], 20)
        found = service_of(cluster.nodes["b"]).desired("jobs").get(key_of("x"))
        assert found is not None
        assert found.version == (99, "b")


def test_names_of_nodes_that_are_gone_are_forgotten() -> None:
    lease = Lease(2, 1.2, 1.8)
    for number in range(1000):
        lease.granted(f"n{number}", number * 1.0, 1)
    assert len(lease._granted) == 2
    with ClusterSimulation(50, nodes=2) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        service = service_of(cluster.nodes["a"])
        cluster.crash("b")
        cluster.until(cluster.agreed)
        service._down |= {f"n{number}": service.now() for number in range(100)}
        before = [service.home_gone(f"n{n}/1") for n in range(100)]
        assert not any(before)
        cluster.advance(70)
        assert service._down == {}
        assert service.home_gone("n1/1")
        assert service.home_gone("b/1")
