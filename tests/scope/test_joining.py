"""Nodes that join, and leave, while a trace of all nodes runs."""

from __future__ import annotations

from typing import Any

import pytest

from foundation import scope
from foundation.cluster import await_cluster
from foundation.kernel.remote import Remote
from foundation.otp import call
from foundation.scope.joining import WAITING, Guests
from foundation.scope.messages import VISITOR
from foundation.testing import ClusterSimulation
from tests.scope.kit import Shop, Stock, kernels, one


async def begin(name: str | None = None, nodes: list[str] | None = None) -> Any:
    return await scope.start_trace(name, nodes=nodes)


async def serve(name: str, cls: Any, *args: Any) -> Any:
    return await cls.start(*args, name=name)


async def ask(server: Any, request: Any) -> Any:
    return await call(server, request)


async def collected(trace: Any) -> Any:
    return await trace.collect(timeout=5.0)


async def stopped(trace: Any) -> None:
    await trace.stop()


@pytest.mark.parametrize("seed", range(4))
def test_a_node_that_joins_takes_part_from_then_on(seed: int) -> None:
    with ClusterSimulation(seed, nodes=4) as cluster:
        for name in "ab":
            cluster.start(name)
        cluster.run("a", await_cluster, 2)
        trace = cluster.run("a", begin)
        cluster.run("b", serve, "shop", Shop, ("stock", "c"))
        for name in "cd":  # at the same time
            cluster.start(name)
        cluster.run("a", await_cluster, 4)
        cluster.advance(3)
        cluster.run("c", serve, "stock", Stock)
        cluster.run("d", serve, "other", Shop, ("stock", "c"))
        cluster.advance(1)  # until all know these names
        cluster.run("a", ask, ("shop", "b"), "apple")
        cluster.run("a", ask, ("other", "d"), "pear")
        cluster.run("d", ask, ("stock", "c"), "direct")
        report = cluster.run("b", collected, trace)
        assert report.complete, report.summary()
        assert sorted(report.nodes) == ["a", "b", "c", "d"]
        for fruit in ("apple", "pear"):
            inner = one(report.events, kind="call", text=f"('take', '{fruit}')")
            assert inner.taken is not None
            first = one(report.events, kind="call", text=f"'{fruit}'")
            assert inner.chain == first.chain  # over who was there and who came
            replies = [e for e in report.events if e.answers == inner.id]
            assert [e.ok for e in replies] == [True]
        assert one(report.events, kind="call", text="'direct'").taken is not None
        assert report.unanswered == ()
        cluster.run("a", stopped, trace)
        cluster.run("d", ask, ("stock", "c"), "too late")
        report = cluster.run("a", collected, trace)
        assert report.complete, report.summary()
        assert "'too late'" not in [e.text for e in report.events]


def test_who_joins_and_cannot_take_part_is_missing() -> None:
    with ClusterSimulation(1, nodes=3) as cluster:
        for name in "ab":
            cluster.start(name)
        cluster.run("a", await_cluster, 2)
        trace = cluster.run("a", begin)
        cluster.start("c")
        other = cluster.run("c", begin, "mine", ["c"])
        cluster.run("a", await_cluster, 3)
        cluster.advance(3)
        report = cluster.run("a", collected, trace)
        assert not report.complete
        assert report.missing == {"c": "it has joined, and the trace 'mine' runs on it"}
        assert "missing: c: it has joined" in report.summary()
        cluster.run("c", stopped, other)
        cluster.run("a", stopped, trace)
        cluster.advance(60)
        assert cluster.run("a", collected, trace).missing == report.missing


def test_who_joined_and_is_gone_is_missing() -> None:
    with ClusterSimulation(2, nodes=3) as cluster:
        for name in "ab":
            cluster.start(name)
        cluster.run("a", await_cluster, 2)
        trace = cluster.run("a", begin)
        cluster.start("c")
        cluster.run("a", await_cluster, 3)
        cluster.advance(3)
        assert cluster.run("a", collected, trace).complete
        cluster.crash("c")
        cluster.advance(10)
        report = cluster.run("a", collected, trace)
        assert sorted(report.missing) == ["c/control", "c/w1"]
        cluster.start("c")  # its next life takes part again
        cluster.run("a", await_cluster, 3)
        cluster.advance(3)
        report = cluster.run("a", collected, trace)
        assert sorted(report.nodes) == ["a", "b", "c"]


def test_a_trace_of_some_nodes_is_of_these() -> None:
    with ClusterSimulation(3, nodes=3) as cluster:
        for name in "ab":
            cluster.start(name)
        cluster.run("a", await_cluster, 2)
        trace = cluster.run("a", begin, None, ["a", "b"])
        cluster.start("c")
        cluster.run("a", await_cluster, 3)
        cluster.advance(3)
        report = cluster.run("a", collected, trace)
        assert report.complete
        assert sorted(report.nodes) == ["a", "b"]


def test_guests_are_invited_one_at_a_time_and_none_is_forgotten() -> None:
    guests = Guests()
    guests.told({"a/w1": 1}, ("a", "b"))  # b came before the server was told of joins
    guests.came("c")
    assert guests.absent == {"b": WAITING, "c": WAITING}
    assert (guests.next(), guests.next()) == ("b", None)
    guests.came("b")  # again, meanwhile
    guests.invited("b", {"b/w1": 1}, "")
    assert guests.absent == {"b": WAITING, "c": WAITING}
    assert guests.next() == "c"
    guests.invited("c", {}, "no answer")
    guests.told({"a/w2": 1}, ("a", "b", "c"))  # who could not is not asked for ever
    assert guests.next() == "b"
    guests.invited("b", {"b/w1": 2}, "")
    assert (guests.next(), guests.absent) == (None, {"c": "no answer"})
    assert guests.joined == {"b/w1": 2}
    assert guests.partners == {"a/w1": 1, "a/w2": 1, "b/w1": 2}


def test_a_supervised_server_goes_on_with_the_work_of_one_that_was_started_before() -> None:
    with ClusterSimulation(4, nodes=2) as cluster:
        cluster.start("a")
        cluster.run("a", await_cluster, 1)
        trace = cluster.run("a", begin)
        cluster.run("a", serve, scope.SERVER, scope.Scope, host="control")  # as a supervisor does
        cluster.advance(2)
        assert cluster.kernel("a").resolve(VISITOR) is None
        cluster.start("b")
        cluster.run("a", await_cluster, 2)
        cluster.advance(3)
        report = cluster.run("b", collected, trace)
        assert (report.complete, sorted(report.nodes)) == (True, ["a", "b"])
        cluster.run("b", stopped, trace)
        cluster.advance(5)
        assert all(type(kernel.remote) is Remote for kernel in kernels(cluster))
