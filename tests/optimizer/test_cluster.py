"""The optimizer of simulated clusters: one of it, what it changes, and what becomes of that."""

from __future__ import annotations

import asyncio
import random
import sys
from typing import Any

import pytest

from foundation import channels, optimizer, process_manager, scope
from foundation.channels.state import COMPRESS_ABOVE
from foundation.cluster import ClusterConfig
from foundation.cluster.live_settings import HOLD_BACK
from foundation.facade import Failed
from foundation.optimizer import (
    SERVER,
    SINGLETON,
    GetOptions,
    Options,
    Recommendations,
    RunOnce,
    SetOptions,
    Tune,
    configure,
    history,
    live_settings,
    options,
    recommendations,
    run_once,
)
from foundation.otp import call, exit
from foundation.testing.cluster_sim import ClusterSimulation
from tests.optimizer.kit import (
    SHORT,
    USUAL,
    churn,
    hold_backs,
    node_of,
    optimized,
    outcomes,
    started,
)


@pytest.mark.parametrize("seed", range(3))
def test_there_is_one_in_the_cluster(seed: int) -> None:
    with optimized(seed) as cluster:
        pid = started(cluster)
        cluster.advance(5.0)
        running = [
            process.pid
            for node in "abc"
            for process in cluster.processes(node)
            if type(getattr(process, "server", None)) is optimizer.Optimizer
        ]
        assert running == [pid]


def test_the_first_look_is_a_minute_after_its_start() -> None:
    with optimized(2) as cluster:
        started(cluster)
        cluster.advance(59.0)
        assert cluster.run("a", recommendations) == []
        cluster.advance(2.0)
        for node in "abc":
            found = cluster.run(node, recommendations)
            assert [(one.rule, one.proposed) for one in found] == [("set_expected_size", 3)]
        texts = [getattr(report, "text", "") for _, report in cluster.reports]
        assert len([text for text in texts if "optimizer recommends" in text]) == 1


def test_it_only_recommends_unless_it_is_told_to_tune() -> None:
    with optimized(3) as cluster:
        started(cluster)
        for node in "abc":
            cluster.spawn(node, churn)
        cluster.run("b", lambda: configure(interval=120.0))
        cluster.advance(400.0)
        found = {one.rule: one for one in cluster.run("a", recommendations)}
        one = found["registry_hold_back"]
        assert (one.current, one.proposed, one.safe, one.applied) == (USUAL, SHORT, True, False)
        assert hold_backs(cluster) == dict.fromkeys("abc", USUAL)


def test_in_auto_mode_what_two_looks_agree_on_is_applied_everywhere_and_kept() -> None:
    with optimized(4) as cluster:
        started(cluster)
        for node in "abc":
            cluster.spawn(node, churn)
        cluster.run("c", lambda: configure(mode="auto", interval=300.0))
        cluster.advance(200.0)
        assert hold_backs(cluster) == dict.fromkeys("abc", USUAL)
        cluster.advance(170.0)  # the second look is at 360
        assert hold_backs(cluster) == dict.fromkeys("abc", SHORT)
        assert outcomes(cluster) == ["recommended", "on trial"]
        cluster.advance(130.0)
        assert outcomes(cluster)[-1].startswith("kept: registry_propagation_p50_us was ")
        cluster.advance(700.0)
        assert hold_backs(cluster) == dict.fromkeys("abc", SHORT)
        settings = cluster.run("a", live_settings)
        assert {node: found[HOLD_BACK].value for node, found in settings.items()} == dict.fromkeys(
            "abc", SHORT
        )


def test_what_did_not_help_is_reverted_everywhere() -> None:
    with optimized(5) as cluster:
        started(cluster)
        for node in "abc":
            cluster.spawn(node, churn)
        cluster.run("a", lambda: configure(mode="auto", interval=300.0))
        cluster.until(lambda: hold_backs(cluster) == dict.fromkeys("abc", SHORT), 600.0, step=1.0)
        cluster.network.faults = type(cluster.network.faults)(delay=(0.2, 0.3))  # not its fault
        cluster.advance(140.0)
        assert hold_backs(cluster) == dict.fromkeys("abc", USUAL)
        found = [one for one in cluster.run("a", history) if one.reverted]
        assert [(one.applied, one.reverted) for one in found] == [(True, True)]
        assert found[0].outcome.startswith("reverted: it did not help: registry_propagation_p50_us")


@pytest.mark.parametrize("helps", [True, False])
def test_compression_is_kept_only_where_there_is_something_to_compress(helps: bool) -> None:
    async def flood(node: str) -> None:
        await channels.use(channels.Compression(4096), name="small")
        await channels.subscribe("events")
        rng = random.Random(node)
        while True:
            for _ in range(30):
                channels.broadcast("events", b"x" * 3000 if helps else rng.randbytes(3000))
            await asyncio.sleep(0.05)

    with optimized(20, nodes=2) as cluster:
        started(cluster)
        for node in "ab":
            cluster.spawn(node, flood, node)
        quick = {"agree": 1, "gap": 1.0, "trial": 20.0}
        cluster.run("a", lambda: configure(mode="auto", **quick))
        cluster.advance(60.0)
        cluster.run("a", run_once)
        cluster.advance(25.0)
        found = [one for one in cluster.run("a", history) if one.rule == "compress_broadcasts"]
        settings = cluster.run("a", live_settings)
        values = [states[COMPRESS_ABOVE].value for states in settings.values()]
    (last,) = [one for one in found if one.outcome.startswith(("kept", "reverted"))]
    assert last.reverted is not helps, last.outcome
    assert values == ([1024, 1024] if helps else [4096, 4096])
    word = "kept: bytes_per_broadcast" if helps else "reverted: it did not help: bytes_per_"
    assert last.outcome.startswith(word)


def test_a_change_that_one_node_does_not_take_is_made_on_none() -> None:
    with optimized(6) as cluster:
        started(cluster)
        for node in "abc":
            cluster.spawn(node, churn)
        cluster.run("a", lambda: configure(mode="auto", interval=300.0))
        cluster.advance(200.0)
        agent = cluster.nodes["b"].agent

        class Stubborn(type(agent.hosts)):  # type: ignore[misc]
            hold_back = property(lambda self: USUAL, lambda self, value: None)

        agent.hosts.__class__ = Stubborn
        cluster.advance(200.0)
        assert hold_backs(cluster) == dict.fromkeys("abc", USUAL)
        last = [one for one in cluster.run("a", history) if one.rule == "registry_hold_back"][-1]
        assert not last.applied
        assert last.outcome.startswith("not applied: node b: ")
        assert f"has {USUAL} after {SHORT} was set" in last.outcome


def test_a_node_that_joins_later_gets_what_was_kept() -> None:
    with optimized(7, nodes=4) as cluster:
        for name in "abc":
            cluster.start(name)
        cluster.until(cluster.formed)
        cluster.run("a", lambda: process_manager.wait_for(SINGLETON))
        for node in "abc":
            cluster.spawn(node, churn)
        cluster.run("a", lambda: configure(mode="auto", interval=300.0))
        cluster.advance(520.0)
        assert outcomes(cluster)[-1].startswith("kept")
        cluster.start("d")
        cluster.until(cluster.formed)
        assert hold_backs(cluster)["d"] == USUAL
        cluster.advance(310.0)
        assert hold_backs(cluster) == dict.fromkeys("abcd", SHORT)


def running(cluster: ClusterSimulation) -> list[str]:
    """Return the nodes that run an optimizer."""
    return [
        node.name
        for node in cluster.live()
        for process in cluster.processes(node.name)
        if type(getattr(process, "server", None)) is optimizer.Optimizer
    ]


@pytest.mark.parametrize("size", [None, 3])
def test_of_two_that_a_split_made_one_stays_and_all_nodes_get_what_it_keeps(
    size: int | None,
) -> None:
    config = ClusterConfig(strategies=(), expected_size=size)
    with optimized(13, nodes=3, config=config) as cluster:
        home = node_of(started(cluster))
        for node in "abc":
            cluster.spawn(node, churn)
        cluster.run("a", lambda: configure(mode="auto", interval=100.0))
        cluster.isolate([home])
        cluster.advance(20.0)
        assert running(cluster).count(home) == (size is None)
        assert len(running(cluster)) == (2 if size is None else 1)
        cluster.network.heal()
        cluster.until(cluster.formed, 60.0)
        cluster.advance(20.0)
        assert len(running(cluster)) == 1
        cluster.advance(500.0)
        assert outcomes(cluster)[-1].startswith("kept")
        assert hold_backs(cluster) == dict.fromkeys("abc", SHORT)


def test_what_nobody_confirms_the_nodes_change_back_by_themselves() -> None:
    with optimized(8, nodes=2) as cluster:
        started(cluster)

        async def tune() -> Any:
            return await call((SERVER, "b"), Tune(HOLD_BACK, 0.01, 50.0))

        assert cluster.run("a", tune) == 0.01
        assert hold_backs(cluster)["b"] == 0.01
        cluster.advance(49.0)
        assert hold_backs(cluster)["b"] == 0.01
        cluster.advance(2.0)
        assert hold_backs(cluster)["b"] == USUAL
        assert any("nobody confirmed" in getattr(r, "text", "") for _, r in cluster.reports)


def test_a_second_try_goes_back_to_the_value_before_the_first() -> None:
    with optimized(9, nodes=1) as cluster:
        started(cluster)

        async def tune() -> None:
            await call(SERVER, Tune(HOLD_BACK, 0.01, 50.0))
            await asyncio.sleep(10.0)
            await call(SERVER, Tune(HOLD_BACK, 0.02, 50.0))

        cluster.run("a", tune)
        cluster.advance(45.0)
        assert hold_backs(cluster)["a"] == 0.02
        cluster.advance(6.0)
        assert hold_backs(cluster)["a"] == USUAL


@pytest.mark.parametrize(
    ("request_", "words"),
    [(Tune("no.such", 1.0), "no live setting"), (Tune(HOLD_BACK, 9.0), "must be from")],
)
def test_a_setting_that_cannot_be_made_so_is_refused(request_: Tune, words: str) -> None:
    with optimized(10, nodes=1) as cluster:
        started(cluster)
        answer = cluster.run("a", lambda: call(SERVER, request_))
        assert isinstance(answer, Failed)
        assert words in str(answer.error)
        assert hold_backs(cluster) == {"a": USUAL}


def test_a_move_takes_along_all_that_it_knows() -> None:
    with optimized(11) as cluster:
        pid = started(cluster)
        cluster.run("a", lambda: configure(mode="auto", interval=500.0))
        cluster.advance(70.0)
        before = cluster.run("a", history)
        assert before
        home = pid.host.partition("/")[0]
        to = next(node for node in "abc" if node != home)
        cluster.run("a", lambda: process_manager.migrate(SINGLETON, to))
        assert cluster.run("a", history) == before
        assert cluster.run("a", options) == Options(mode="auto", interval=500.0)


def test_a_crash_loses_neither_the_history_nor_the_options_nor_what_was_kept() -> None:
    with optimized(12) as cluster:
        pid = started(cluster)
        for node in "abc":
            cluster.spawn(node, churn)
        cluster.run("a", lambda: configure(mode="auto", interval=300.0))
        cluster.advance(520.0)
        before = cluster.run("a", history)
        assert [one.outcome for one in before][-1].startswith("kept")
        home = pid.host.partition("/")[0]
        cluster.crash(home)
        cluster.until(cluster.agreed)
        other = next(node for node in "abc" if node != home)

        def back() -> bool:
            found = cluster.run(other, lambda: process_manager.lookup(SINGLETON))
            return found is not None and found != pid

        cluster.until(back)
        cluster.advance(1.0)
        assert cluster.run(other, options) == Options(mode="auto", interval=300.0)
        assert cluster.run(other, history) == before
        cluster.start(home)
        cluster.until(cluster.formed)
        cluster.advance(70.0)
        assert hold_backs(cluster) == dict.fromkeys("abc", SHORT)  # home, too, which began anew


def test_what_it_recommends_and_how_the_cluster_does_stands_in_the_traces_of_that_time() -> None:
    with optimized(12, nodes=2) as cluster:
        started(cluster)
        trace = cluster.run("b", lambda: scope.start_trace(of="nobody"))
        cluster.run("b", run_once)
        cluster.nodes["b"].clock = 90.0
        cluster.run("a", run_once)
        report = cluster.run("a", trace.collect)
    notes = [event.text for event in report.events if event.kind == "note"]
    assert len(notes) == len(report.events) == 2
    assert notes[0].startswith("optimizer recommends set_expected_size: None -> 2, because 2 nodes")
    assert notes[1].startswith("optimizer recommends align_clocks: 'a +0.0 s, b +90.0 s'")


def test_the_mode_can_be_off() -> None:
    with optimized(13, nodes=2) as cluster:
        started(cluster)
        cluster.run("a", lambda: configure(mode="off", interval=100.0))
        cluster.advance(400.0)
        assert cluster.run("a", recommendations) == []
        found = cluster.run("a", run_once)  # asked, it looks all the same
        assert [one.rule for one in found] == ["set_expected_size"]


def test_rules_of_ones_own_are_asked_where_the_optimizer_runs() -> None:
    name = "tests.optimizer.own_rules"
    try:
        with optimized(14, nodes=2) as cluster:
            started(cluster)
            cluster.run("a", lambda: configure(modules=(name, "no.such.module")))
            found = cluster.run("b", run_once)
            assert ("own_rule_of_a_user", "2 nodes") in [(one.rule, one.reason) for one in found]
            told = " ".join(getattr(report, "text", "") for _, report in cluster.reports)
            assert "rule 'own_rule_that_fails' failed: ValueError: told to" in told
            assert "no.such.module" in told
            failed = {
                one.rule: one.outcome
                for one in cluster.run("b", history)
                if one.outcome.startswith("failed")
            }
            assert failed["own_rule_that_fails"] == "failed: ValueError: told to"
            assert "cannot be imported" in failed["no.such.module"]
    finally:
        if name in sys.modules:
            sys.modules[name].forget()
            del sys.modules[name]


def test_each_function_is_a_message_to_the_server_of_any_node() -> None:
    with optimized(15, nodes=2) as cluster:
        started(cluster)

        async def body() -> None:
            there = (SERVER, "b")
            found = await call(there, RunOnce(), timeout=30)
            assert [one.rule for one in found] == ["set_expected_size"]
            assert await call(there, Recommendations(), timeout=30) == found
            assert await call(there, GetOptions(), timeout=30) == Options()
            wanted = Options(mode="auto")
            assert await call(there, SetOptions(wanted), timeout=30) == wanted
            history = await call(there, optimizer.History(), timeout=30)
            assert [one.outcome for one in history] == ["recommended"]

        cluster.run("a", body)


@pytest.mark.parametrize(
    ("changes", "error"), [({"mode": "on"}, ValueError), ({"speed": 1}, TypeError)]
)
def test_what_cannot_be_configured_is_refused_and_nothing_changes(
    changes: dict[str, Any], error: Any
) -> None:
    with optimized(16, nodes=1) as cluster:
        started(cluster)
        with pytest.raises(error):
            cluster.run("a", lambda: configure(**changes))
        assert cluster.run("a", options) == Options()


def test_it_is_restarted_when_it_ends_and_without_it_the_error_says_so() -> None:
    with optimized(17, nodes=1) as cluster:
        pid = started(cluster)

        async def kill() -> Any:
            exit(pid, "kill")
            await asyncio.sleep(0.5)
            return await process_manager.wait_for(SINGLETON)

        assert cluster.run("a", kill) != pid
        cluster.run("a", lambda: process_manager.stop(SINGLETON))
        with pytest.raises(TimeoutError, match=SINGLETON):
            cluster.run("a", recommendations)


def test_the_threshold_of_compression_is_a_live_setting_of_what_is_installed_now() -> None:
    async def install(threshold: int) -> None:
        await channels.use(channels.Compression(threshold), name="small")
        channels.broadcast("events", "x")  # this host has a copy now

    async def other() -> None:
        await channels.use(_nothing)
        channels.broadcast("events", "x")

    async def threshold() -> Any:
        found = (await live_settings())["a"].get(COMPRESS_ABOVE)
        return None if found is None else found.value

    with optimized(18, nodes=1) as cluster:
        started(cluster)
        assert cluster.run("a", threshold) is None
        cluster.run("a", install, 10_000)
        assert cluster.run("a", threshold) == 10_000
        assert cluster.run("a", lambda: call(SERVER, Tune(COMPRESS_ABOVE, 1024))) == 1024
        cluster.run("a", other)  # what is installed beside it does not undo that
        assert cluster.run("a", threshold) == 1024
        cluster.run("a", install, 5_000)  # what is installed anew in its place does
        assert cluster.run("a", threshold) == 5_000


def _nothing(envelope: Any, next: Any) -> Any:
    return next(envelope)
