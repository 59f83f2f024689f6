"""What a trace records, where and for how long, and what is left of it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import pytest

from foundation import scope
from foundation.errors import ScopeError
from foundation.kernel.kernel import Kernel
from foundation.kernel.remote import Remote
from foundation.kernel.signals import Signals
from foundation.kernel.timers import Timers
from foundation.otp import (
    call,
    sys,
)
from foundation.scope.events import Event
from foundation.scope.messages import VISITOR
from foundation.scope.tracer import TABLE
from foundation.testing import ClusterSimulation, Simulation
from tests.scope.kit import Stock, in_cluster, kernels, one, shop_over_three_nodes

SEEDS = range(6)


def test_one_seed_gives_one_trace() -> None:
    async def body() -> Any:
        _, shop = await shop_over_three_nodes()
        trace = await scope.start_trace(sample=0.5)
        for number in range(20):
            await call(shop, number)
        await trace.stop()
        return (await trace.collect()).as_json()

    first = in_cluster(body, seed=7)
    assert first == in_cluster(body, seed=7)
    assert first != in_cluster(body, seed=8)


def test_a_chain_is_recorded_in_all_hosts_or_in_none() -> None:
    async def body() -> Any:
        stock, shop = await shop_over_three_nodes()
        trace = await scope.start_trace(sample=0.3)
        for number in range(200):
            await call(shop, number)
        await call(stock, "sync")
        await trace.stop()
        return await trace.collect()

    report = in_cluster(body)
    orders = [chain for chain in report.chains().values() if chain[0].text != "'sync'"]
    assert 30 <= len(orders) <= 90  # 60 are expected of 200
    for chain in orders:
        kinds = sorted(event.kind for event in chain)
        assert kinds == ["call", "call", "cast", "reply", "reply", "span"]


def test_nothing_is_sampled_at_a_rate_of_0() -> None:
    async def body() -> Any:
        _, shop = await shop_over_three_nodes()
        trace = await scope.start_trace(sample=0.0)
        await call(shop, 1)
        return await trace.collect()

    assert in_cluster(body).events == ()


async def trace_of(of: Any) -> Any:
    stock, shop = await shop_over_three_nodes()
    echo = await Stock.start(host="b/control")
    other = await Stock.start(name="other")
    wanted = stock if of == "pid" else of
    trace = await scope.start_trace(of=wanted)
    await call(shop, "apple")
    await call(other, 1)
    await call(echo, 1)
    await call(stock, "sync")
    await trace.stop()
    return await trace.collect(), stock, shop


@pytest.mark.parametrize("of", ["pid", "stock", ["stock", "nobody"]])
def test_only_messages_of_the_wanted_processes_are_recorded(of: Any) -> None:
    report, stock, _ = in_cluster(trace_of, of)
    assert {e.kind for e in report.events} == {"call", "cast", "reply"}
    assert all(stock in (e.sender, e.receiver) for e in report.events)
    # The sender's host knows no name of another node, and the receiver's completes it all the same.
    assert all(e.taken is not None for e in report.events)
    first = one(report.events, kind="call", text="('take', 'apple')")
    assert first.parent is not None
    assert first.chain != first.id  # it belongs to the order, which was not wanted


def test_a_function_chooses_messages_and_is_not_asked_in_control_hosts() -> None:
    ASKED.clear()
    report, _, _ = in_cluster(trace_of, is_cast)
    assert [e.kind for e in report.events] == ["cast"]
    crossing = [e.kind for e in ASKED if "control" in e.sender.host + e.receiver.host]
    assert crossing == ["call", "reply"]  # by the host of the caller, not again by the other


ASKED: list[Event] = []  # what the function below was asked about, in any host


def is_cast(event: Event) -> bool:
    ASKED.append(event)
    return event.kind == "cast"


def fails(event: Event) -> bool:
    raise RuntimeError("no")


def test_a_function_that_fails_records_nothing_which_the_log_and_the_report_say() -> None:
    with ClusterSimulation(0, nodes=3) as cluster:
        cluster.form()
        report, _, _ = cluster.run("a", trace_of, fails)
        said = [(host, r.text) for host, r in cluster.reports if "failed: Runtime" in str(r)]
    assert report.events == ()
    assert sorted(host for host, _ in said) == ["a/w1", "b/w1", "c/w1"]
    assert not report.complete
    assert sorted(report.missing) == ["a/w1", "b/w1", "c/w1"]
    assert "missing: a/w1: the function of= has failed: RuntimeError('no')" in report.summary()


def test_a_full_buffer_drops_the_oldest_and_says_how_many() -> None:
    async def body() -> Any:
        stock = await Stock.start()
        trace = await scope.start_trace(buffer=10)
        for number in range(50):
            await call(stock, number)
        return await trace.collect()

    with Simulation(1) as simulation:
        report = simulation.run(body)
    assert len(report.events) == 10
    assert report.dropped == {"sim/main": 90}  # 50 calls and 50 replies
    assert not report.complete
    assert report.events[-2].text == "49"
    assert "sim/main: 90 older events were dropped" in report.summary()


def test_a_trace_that_is_over_leaves_the_kernels_as_they_were() -> None:
    async def body() -> Any:
        _, shop = await shop_over_three_nodes()
        trace = await scope.start_trace()
        await call(shop, 1)
        await trace.stop()

    with ClusterSimulation(1, nodes=3) as cluster:
        cluster.form()
        before = [(dict(k.remote.handlers), k._max_hand_overs) for k in kernels(cluster)]
        cluster.run("a", body)
        cluster.advance(5)
        for kernel, (handlers, hand_overs) in zip(kernels(cluster), before, strict=True):
            assert type(kernel) is Kernel
            assert type(kernel.remote) is Remote
            assert type(kernel.signals) is Signals
            assert type(kernel.timers) is Timers
            assert type(kernel.procs) is dict
            assert all(type(process.mailbox) is deque for process in kernel.procs.values())
            assert kernel.remote.handlers == handlers
            assert kernel._max_hand_overs == hand_overs
            assert scope.SERVER not in dict(kernel.names.items())
        cluster.advance(700)
        assert all(TABLE not in kernel.tables for kernel in kernels(cluster))


def test_a_trace_ends_by_itself_when_nobody_stops_it() -> None:
    async def body() -> Any:
        _, shop = await shop_over_three_nodes()
        trace = await scope.start_trace(seconds=5.0)
        await call(shop, 1)
        await asyncio.sleep(6.0)
        await call(shop, "too late")
        first = await trace.collect()
        other = await scope.start_trace("next")
        await other.stop()
        return first, await trace.collect(), other.name

    first, report, name = in_cluster(body)
    assert first.complete
    assert "'too late'" not in [event.text for event in first.events]
    assert name == "next"
    assert not report.complete  # the next one took its place
    assert all("it knows of no such trace" in why for why in report.missing.values())
    assert len(report.missing) == 6


def test_events_can_be_collected_after_the_end_for_ten_minutes() -> None:
    async def body() -> Any:
        _, shop = await shop_over_three_nodes()
        trace = await scope.start_trace()
        await call(shop, 1)
        await trace.stop()
        await asyncio.sleep(500)
        first = await trace.collect()
        await asyncio.sleep(200)
        return first, await trace.collect()

    first, late = in_cluster(body)
    assert first.complete
    assert len(first.events) >= 5
    assert late.events == ()
    assert not late.complete


def test_one_trace_at_a_time_runs_on_a_node() -> None:
    async def body() -> Any:
        first = await scope.start_trace("first", nodes=["b"])
        with pytest.raises(ScopeError, match=r"the trace 'first' runs on node 'b'.*stop it first"):
            await scope.start_trace("second")
        await first.stop()
        second = await scope.start_trace("second")  # and the refused one left nothing behind
        await second.stop()
        return second.hosts

    assert len(in_cluster(body)) == 6


def test_hosts_that_do_not_trace_get_every_message_all_the_same() -> None:
    async def body() -> Any:
        stock, shop = await shop_over_three_nodes()
        trace = await scope.start_trace(nodes=["a", "c"])
        assert await call(shop, "apple") == 9
        await call(stock, "sync")
        await trace.stop()
        return await trace.collect(), await sys.get_state(stock), stock

    report, state, stock = in_cluster(body)
    assert state == {"count": 8, "notes": ["note"]}
    assert sorted(report.nodes) == ["a", "c"]
    asked = one(report.events, kind="call", receiver=stock, text="('take', 'apple')")
    assert asked.taken is None  # nobody there noted it
    assert one(report.events, kind="reply", answers=asked.id).taken is not None


def test_hosts_of_a_version_without_tracing_are_asked_once_and_not_again() -> None:
    async def body() -> Any:
        stock, shop = await shop_over_three_nodes()
        trace = await scope.start_trace(nodes=["a", "c"])
        for number in range(5):
            await call(shop, number)
        await call(stock, "sync")
        await trace.stop()
        return await sys.get_state(stock)

    with ClusterSimulation(4, nodes=3) as cluster:
        cluster.form()
        for host in cluster.nodes["b"].hosts.values():
            for name in ("traced", "tracing"):
                del host.kernel.remote.handlers[name]
        state = cluster.run("a", body)
        said = [(host, report.text) for host, report in cluster.reports]
    assert state == {"count": 4, "notes": ["note"] * 5}
    # One notice per host of b and host that traces; no message was lost or wrapped.
    assert all(text.startswith("unknown operation 'tracing' from ") for _, text in said)
    assert len(said) == len(set(said)) == 8


def test_a_host_that_stops_tracing_still_understands_those_that_go_on() -> None:
    async def body() -> Any:
        _, shop = await shop_over_three_nodes()
        trace = await scope.start_trace()
        await call((VISITOR, "b"), scope.End(trace.spec.id))
        assert await call(shop, "apple") == 9
        await trace.stop()
        return True

    with ClusterSimulation(5, nodes=3) as cluster:
        cluster.form()
        assert cluster.run("a", body)
        assert not [r for _, r in cluster.reports if "operation" in str(r)]


def test_hosts_and_nodes_that_start_later_take_part() -> None:
    async def begin() -> Any:
        return await scope.start_trace()

    async def work(trace: Any) -> Any:
        stock = await Stock.start(host="b/w1")
        assert await call(stock, 1) == 9
        await trace.stop()
        return await trace.collect(), stock

    with ClusterSimulation(2, nodes=2) as cluster:
        cluster.form()
        trace = cluster.run("a", begin)
        cluster.nodes["b"].crash_host("w1")
        cluster.advance(3)
        report, stock = cluster.run("a", work, trace)
    asked = one(report.events, kind="call", receiver=stock)
    assert asked.taken is not None
    assert asked.receiver.incarnation == 1001
    assert report.missing == {"b/w1": "it has ended, and what it had recorded with it"}


def test_a_node_that_is_gone_is_named_in_the_report() -> None:
    async def begin() -> Any:
        _, shop = await shop_over_three_nodes()
        trace = await scope.start_trace()
        await call(shop, 1)
        return trace

    async def end(trace: Any) -> Any:
        return await trace.collect(timeout=5.0)

    with ClusterSimulation(2, nodes=3) as cluster:
        cluster.form()
        trace = cluster.run("a", begin)
        cluster.crash("c")
        report = cluster.run("a", end, trace)
        assert cluster.now < 60
    assert not report.complete
    assert list(report.missing) == ["c"]
    assert sorted(report.nodes) == ["a", "b"]
    assert report.events  # what the others know is there


def test_a_blocked_host_does_not_hold_up_the_others() -> None:
    async def begin() -> Any:
        return await scope.start_trace()

    async def end(trace: Any) -> Any:
        return await trace.collect(timeout=5.0)

    with ClusterSimulation(2, nodes=3) as cluster:
        cluster.form()
        trace = cluster.run("a", begin)
        cluster.pause("b", 60)
        start = cluster.now
        report = cluster.run("a", end, trace)
        assert cluster.now - start < 5.1
    assert list(report.missing) == ["b"]


@pytest.mark.parametrize("seed", SEEDS)
def test_when_start_trace_returns_all_hosts_know_who_traces(seed: int) -> None:
    with ClusterSimulation(seed, nodes=3, workers=2) as cluster:

        async def body() -> Any:
            await scope.start_trace()
            return [dict(kernel.tables[TABLE].partners) for kernel in kernels(cluster)]

        cluster.form()
        known = cluster.run("a", body)
        everybody = {kernel.address: kernel.incarnation for kernel in kernels(cluster)}
    assert len(everybody) == 9
    assert all({**partners, **everybody} == partners for partners in known)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"sample": 1.5}, "sample must be from 0 to 1"),
        ({"sample": True}, "sample must be from 0 to 1"),
        ({"buffer": 0}, "buffer must be an int from 1"),
        ({"text": -1}, "text must be an int from 0"),
        ({"seconds": 0}, "seconds must be above 0"),
        ({"of": []}, "would record nothing"),
        ({"of": 5}, "must be a pid, a name"),
        ({"nodes": ["x"]}, "there is no node 'x'; nodes are a, b, c"),
        ({"nodes": "abc"}, "several names"),
        ({"nodes": []}, "would trace nothing"),
        ({"name": 7}, "name must be a str"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_happens(arguments: Any, text: str) -> None:
    async def body() -> None:
        with pytest.raises(ScopeError, match=text):
            await scope.start_trace(**arguments)

    with ClusterSimulation(0, nodes=3) as cluster:
        cluster.form()
        cluster.run("a", body)
        assert all(TABLE not in kernel.tables for kernel in kernels(cluster))


def test_text_0_keeps_the_types_of_messages_only() -> None:
    async def body() -> Any:
        stock = await Stock.start()
        trace = await scope.start_trace(text=0)
        await call(stock, {"password": "secret"})
        return (await trace.collect()).as_json()

    with Simulation(0) as simulation:
        found = simulation.run(body)
    assert [event["text"] for event in found["events"]] == ["dict", "int"]
    assert "secret" not in str(found)


def test_the_scope_servers_of_specs_stay_and_are_not_traced() -> None:
    async def body() -> Any:
        trace = await scope.start_trace()
        await trace.count()
        await asyncio.sleep(10)
        return await trace.collect()

    with ClusterSimulation(3, nodes=2, app=[*scope.specs()]) as cluster:
        cluster.form()
        report = cluster.run("a", body)
        assert report.events == ()
        for node in "ab":
            names = dict(cluster.kernel(node, "control").names.items())
            assert names[scope.SERVER].host == f"{node}/control"
