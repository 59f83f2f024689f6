"""SUP-21 to SUP-41: restart types, strategies, intensity."""

from __future__ import annotations

import asyncio

import pytest

from foundation.errors import AlreadyPresent, ChildRestarting
from foundation.kernel.ops import alive, call, cast, exit, me, receive, send, send_after, spawn
from foundation.kernel.values import Crash, ExitMsg, Shutdown
from foundation.otp.gen_server import GenServer
from foundation.otp.restart_window import RestartWindow
from foundation.otp.supervision import (
    FORGET,
    KEEP,
    RESTART,
    ChildInfo,
    after_exit,
    restart_group,
)
from foundation.otp.supervisor import Supervisor
from tests.otp.supkit import (
    TEMPORARY,
    TRANSIENT,
    actor,
    events,
    exit_of,
    kill,
    no_event,
    pid_of,
    pids,
    probe,
    script,
    supervisor,
    until,
)

CLEAN = ["normal", "shutdown", Shutdown("done")]
UNCLEAN = ["boom", "killed", Crash("ValueError", "boom"), "noproc"]


@pytest.mark.parametrize(
    ("restart", "clean", "unclean"),
    [
        ("permanent", RESTART, RESTART),
        ("transient", KEEP, RESTART),
        ("temporary", FORGET, FORGET),
    ],
)
def test_what_to_do_with_a_child_that_ended(restart, clean, unclean):
    assert {after_exit(restart, reason) for reason in CLEAN} == {clean}
    assert {after_exit(restart, reason) for reason in UNCLEAN} == {unclean}


@pytest.mark.parametrize(
    ("strategy", "group"),
    [("one_for_one", "b"), ("one_for_all", "abc"), ("rest_for_one", "bc")],
)
def test_what_restarts_together(strategy, group):
    assert restart_group(strategy, list("abc"), "b") == list(group)


async def end(pid, reason):
    """End a probe with *reason*, by itself."""
    cast(pid, "boom" if reason == "boom" else reason)


@pytest.mark.parametrize("reason", ["normal", "shutdown", Shutdown(1), "bad", "boom"], ids=repr)
def test_sup_21_permanent_is_always_restarted(run, reason):
    async def body():
        async with supervisor([probe("a")]) as sup:
            pid = await pid_of(sup, "a")
            await end(pid, reason)
            assert await events(3) == [
                ("init", "a"),
                ("terminate", "a", pytest_any),
                ("init", "a"),
            ]
            again = await pid_of(sup, "a")
            assert again != pid
            assert await call(again, "label") == "a"

    run(body)


class _Any:
    def __eq__(self, other):
        return True

    __hash__ = None


pytest_any = _Any()


@pytest.mark.parametrize("reason", ["normal", "shutdown", Shutdown(1)], ids=repr)
def test_sup_22_transient_that_ends_cleanly_stays_down(run, reason):
    async def body():
        async with supervisor([probe("a", TRANSIENT), probe("b")]) as sup:
            await end(await pid_of(sup, "a"), reason)
            await events(3)
            await until(lambda: _down(sup, "a"))
            await no_event(sup)
            assert list(await pids(sup)) == ["a", "b"]

    run(body)


async def _down(sup, id):
    return (await pids(sup)).get(id, "gone") is None


async def _forgotten(sup, id):
    return id not in await pids(sup)


@pytest.mark.parametrize("reason", ["bad", "boom", "kill"])
def test_sup_22_transient_that_crashes_is_restarted(run, reason):
    async def body():
        async with supervisor([probe("a", TRANSIENT)]) as sup:
            pid = await pid_of(sup, "a")
            exit(pid, reason)
            assert await events(2) == [("init", "a"), ("init", "a")]
            assert await pid_of(sup, "a") != pid

    run(body)


@pytest.mark.parametrize("reason", ["normal", "shutdown", "bad", "boom"])
def test_sup_23_temporary_is_forgotten(run, reason):
    async def body():
        async with supervisor([probe("a", TEMPORARY), probe("b")]) as sup:
            await end(await pid_of(sup, "a"), reason)
            await events(3)
            await until(lambda: _forgotten(sup, "a"))
            await no_event(sup)

    run(body)


def test_sup_24_one_for_one_leaves_siblings_alone(run):
    async def body():
        async with supervisor([probe("a"), probe("b"), probe("c")]) as sup:
            before = await pids(sup)
            await kill(before["b"])
            await events(4)
            after = await pids(sup)
            assert list(after) == ["a", "b", "c"]
            assert (after["a"], after["c"]) == (before["a"], before["c"])
            assert after["b"] != before["b"]

    run(body)


def test_sup_25_one_for_all(run):
    async def body():
        children = [probe(x, trap=True) for x in "abc"]
        async with supervisor(children, strategy="one_for_all") as sup:
            before = await pids(sup)
            await events(3)
            await kill(before["b"])
            assert await events(5) == [
                ("terminate", "c", "shutdown"),
                ("terminate", "a", "shutdown"),
                ("init", "a"),
                ("init", "b"),
                ("init", "c"),
            ]
            after = await pids(sup)
            assert list(after) == ["a", "b", "c"]
            assert not set(after.values()) & set(before.values())

    run(body)


def test_sup_26_rest_for_one(run):
    async def body():
        children = [probe(x, trap=True) for x in "abcd"]
        async with supervisor(children, strategy="rest_for_one") as sup:
            before = await pids(sup)
            await events(4)
            await kill(before["b"])
            assert await events(5) == [
                ("terminate", "d", "shutdown"),
                ("terminate", "c", "shutdown"),
                ("init", "b"),
                ("init", "c"),
                ("init", "d"),
            ]
            after = await pids(sup)
            assert after["a"] == before["a"]
            assert list(after) == list("abcd")

    run(body)


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_sup_28_a_temporary_sibling_is_forgotten(run, strategy):
    async def body():
        children = [probe("a"), probe("b", TEMPORARY, trap=True), probe("c")]
        async with supervisor(children, strategy=strategy) as sup:
            await events(3)
            await kill(await pid_of(sup, "a"))
            assert await events(3) == [
                ("terminate", "b", "shutdown"),
                ("init", "a"),
                ("init", "c"),
            ]
            assert list(await pids(sup)) == ["a", "c"]

    run(body)


def test_sup_29_a_sibling_that_is_down_is_started_again(run):
    async def body():
        children = [probe("a"), probe("b", TRANSIENT), probe("c")]
        async with supervisor(children, strategy="one_for_all") as sup:
            await end(await pid_of(sup, "b"), "normal")
            await events(4)
            await until(lambda: _down(sup, "b"))
            await Supervisor.terminate_child(sup, "c")
            assert (await pids(sup))["c"] is None
            await kill(await pid_of(sup, "a"))
            assert await events(3) == [("init", "a"), ("init", "b"), ("init", "c")]
            assert None not in (await pids(sup)).values()

    run(body)


def test_sup_30_two_that_die_together_are_one_restart(run):
    async def body():
        children = [probe(x) for x in "abc"]
        flags = {"strategy": "one_for_all", "max_restarts": 1, "max_seconds": 60}
        async with supervisor(children, **flags) as sup:
            found = await pids(sup)
            await events(3)
            exit(found["a"], "kill")
            exit(found["b"], "kill")
            assert await events(3) == [("init", "a"), ("init", "b"), ("init", "c")]
            await no_event(sup)
            assert alive(sup)

    run(body)


def test_sup_31_one_for_all_stops_again_what_it_had_restarted(run):
    async def body():
        todo = await script()
        children = [
            actor(todo, "a"),
            actor(todo, "b"),
            probe("x", trap=True),
            actor(todo, "c"),
        ]
        async with supervisor(children, strategy="one_for_all", max_restarts=5) as sup:
            await events(4)
            await call(todo, ("c", ["fail"]))
            await kill(await pid_of(sup, "a"))
            assert await events(10) == [
                ("terminate", "x", "shutdown"),
                ("ok", "a"),
                ("ok", "b"),
                ("init", "x"),
                ("fail", "c"),
                ("terminate", "x", "shutdown"),
                ("ok", "a"),
                ("ok", "b"),
                ("init", "x"),
                ("ok", "c"),
            ]
            await no_event(sup)

    run(body)


def test_sup_31_rest_for_one_goes_on_from_the_failed_child(run):
    async def body():
        todo = await script()
        children = [actor(todo, x) for x in "abcd"]
        async with supervisor(children, strategy="rest_for_one", max_restarts=5) as sup:
            await events(4)
            await call(todo, ("c", ["fail", "raise"]))
            before = await pids(sup)
            await kill(before["b"])
            assert await events(5) == [
                ("ok", "b"),
                ("fail", "c"),
                ("raise", "c"),
                ("ok", "c"),
                ("ok", "d"),
            ]
            await no_event(sup)
            assert (await pids(sup))["a"] == before["a"]

    run(body)


def test_sup_32_a_restart_is_a_fresh_start(run):
    async def body():
        async with supervisor([probe("a")]) as sup:
            pid = await pid_of(sup, "a")
            before = await call(pid, "vars")
            await call(pid, ("colour", "red"))
            await call(pid, ("label", "changed"))
            send_after(0.03, pid, "timer of the old one")
            await kill(pid)
            again = await pid_of(sup, "a")
            assert await call(again, "vars") == before
            send(pid, "for the old one")
            await asyncio.sleep(0.05)
            assert await events(2) == [("init", "a"), ("init", "a")]
            await no_event(sup)

    run(body)


def test_sup_33_ignoring_on_a_restart(run):
    async def body():
        todo = await script()
        async with supervisor([actor(todo, "a")]) as sup:
            await events(1)
            await call(todo, ("a", ["ignore!"]))
            await kill(await pid_of(sup, "a"))
            assert await events(1) == [("ignore", "a")]
            assert await pids(sup) == {"a": None}
            await no_event(sup)

    run(body)


def test_sup_34_one_more_than_max_restarts_ends_the_supervisor(run):
    async def body():
        children = [probe("a", trap=True), probe("b"), probe("c", trap=True)]
        async with supervisor(children, max_restarts=2, max_seconds=60) as sup:
            await events(3)
            for _ in range(2):
                await kill(await pid_of(sup, "b"))
                assert await events(1) == [("init", "b")]
            exit(await pid_of(sup, "b"), "kill")
            assert await exit_of(sup) == "shutdown"
            assert await events(2) == [
                ("terminate", "c", "shutdown"),
                ("terminate", "a", "shutdown"),
            ]
            await no_event()

    run(body)


def test_sup_35_max_restarts_0(run):
    async def body():
        async with supervisor([probe("a"), probe("b")], max_restarts=0) as sup:
            exit(await pid_of(sup, "a"), "kill")
            assert await exit_of(sup) == "shutdown"
            assert await events(2) == [("init", "a"), ("init", "b")]
            await no_event()

    run(body)


def test_sup_36_the_window_slides(run):
    async def body():
        async with supervisor([probe("a")], max_restarts=1, max_seconds=0.02) as sup:
            for _ in range(6):
                await kill(await pid_of(sup, "a"))
                await asyncio.sleep(0.03)
            assert alive(sup)
            assert await events(7) == [("init", "a")] * 7

    run(body)


def test_sup_36_the_boundary_counts():
    window = RestartWindow(1, 5.0).record(10.0)
    assert not window.exceeded
    assert window.record(15.0).exceeded
    assert not window.record(15.000001).exceeded


def test_sup_36_one_event_counts_once():
    window = RestartWindow(1, 5.0)
    for _ in range(100):
        window = window.record(1.0, ("host", 7))
    assert not window.exceeded
    assert window.record(1.0, ("host", 8)).exceeded


def test_sup_37_a_group_restart_counts_once(run):
    async def body():
        children = [probe(x) for x in "abcdef"]
        flags = {"strategy": "one_for_all", "max_restarts": 2, "max_seconds": 60}
        async with supervisor(children, **flags) as sup:
            for id in "af":
                await kill(await pid_of(sup, id))
            await events(18)
            assert alive(sup)
            exit(await pid_of(sup, "c"), "kill")
            assert await exit_of(sup) == "shutdown"

    run(body)


def test_sup_38_each_attempt_counts(run):
    async def body():
        todo = await script()
        async with supervisor([actor(todo, "a")]) as sup:
            await events(1)
            await call(todo, ("a", ["fail!"]))
            exit(await pid_of(sup, "a"), "kill")
            assert await exit_of(sup) == "shutdown"
            assert await events(3) == [("fail", "a")] * 3
            await no_event()

    run(body)


def test_sup_39_ends_without_restart_do_not_count(run):
    async def body():
        async with supervisor([probe("keep")], max_restarts=0) as sup:
            await events(1)
            for _ in range(5):
                await end(await Supervisor.start_child(sup, probe("t", TEMPORARY)), "bad")
                await events(2)
                await until(lambda: _forgotten(sup, "t"))
                await end(await Supervisor.start_child(sup, probe("u", TRANSIENT)), "normal")
                await events(2)
                await until(lambda: _down(sup, "u"))
                await Supervisor.delete_child(sup, "u")
                await Supervisor.start_child(sup, probe("v"))
                await events(1)
                await Supervisor.terminate_child(sup, "v")
                await Supervisor.delete_child(sup, "v")
            assert list(await pids(sup)) == ["keep"]

    run(body)


def test_sup_40_requests_are_served_between_attempts(run):
    async def body():
        todo = await script()
        children = [actor(todo, "a", TRANSIENT), probe("b")]
        async with supervisor(children, max_restarts=100_000) as sup:
            await events(2)
            await call(todo, ("a", ["slow_fail!"]))
            pid = await pid_of(sup, "a")
            await kill(pid)
            assert (await pids(sup))["a"] == "restarting"
            info = await Supervisor.which_child(sup, "a")
            assert (info.pid, type(info)) == ("restarting", ChildInfo)
            assert (await Supervisor.count_children(sup)).active == 1
            with pytest.raises(ChildRestarting):
                await Supervisor.restart_child(sup, "a")
            with pytest.raises(ChildRestarting):
                await Supervisor.delete_child(sup, "a")
            with pytest.raises(AlreadyPresent):
                await Supervisor.start_child(sup, probe("a"))
            await Supervisor.terminate_child(sup, "a")
            assert (await pids(sup))["a"] is None
            await _drain("slow_fail")
            await no_event(sup)
            await Supervisor.delete_child(sup, "a")

    run(body)


async def _drain(what):
    try:
        while True:
            event = await receive(lambda m: isinstance(m, tuple), timeout=0.05)
            assert event[0] == what
    except TimeoutError:
        pass


def test_sup_40_stopping_ends_the_attempts(run):
    async def body():
        todo = await script()
        async with supervisor([actor(todo, "a")], max_restarts=100_000) as sup:
            await events(1)
            await call(todo, ("a", ["slow_fail!"]))
            await kill(await pid_of(sup, "a"))
            await events(1)
            await Supervisor.stop(sup)
            assert await exit_of(sup) == "normal"

    run(body)


class Branch(Supervisor):
    """Gives up at the first failure."""

    max_restarts = 0

    def init(self, log):
        return [Leaf.spec(log, id="leaf")]


class Leaf(GenServer):
    def init(self, log):
        send(log, ("leaf", "up"))


@pytest.mark.parametrize("restart", ["permanent", "transient"])
def test_sup_41_a_supervisor_that_gave_up(run, restart):
    async def body():
        async with supervisor([Branch.spec(me(), id="branch", restart=restart)]) as sup:
            assert await events(1) == [("leaf", "up")]
            branch = await pid_of(sup, "branch")
            await Supervisor.start_child(branch, probe("late"))
            assert await events(1) == [("init", "late")]
            exit(await pid_of(branch, "late"), "kill")
            if restart == "permanent":
                assert await events(1) == [("leaf", "up")]
                again = await pid_of(sup, "branch")
                assert again != branch
                assert list(await pids(again)) == ["leaf"]
            else:
                await until(lambda: _down(sup, "branch"))
                await no_event(sup)

    run(body)


def test_sup_41_nested_supervisors_count_for_themselves(run):
    async def body():
        tree = Supervisor.spec([probe("a")], id="inner", max_restarts=10)
        async with supervisor([tree], max_restarts=0) as sup:
            inner = await pid_of(sup, "inner")
            for _ in range(5):
                await kill(await pid_of(inner, "a"))
            await events(6)
            assert await pid_of(sup, "inner") == inner

    run(body)


def test_restart_with_a_name(run):
    """The name of the old instance is free again before the new one claims it."""

    async def body():
        async with supervisor([probe("a", name="a-name")]) as sup:
            for _ in range(3):
                await kill(await pid_of(sup, "a"))
                await pid_of(sup, "a")
                assert await call("a-name", "label") == "a"
            assert await events(4) == [("init", "a")] * 4

    run(body)


def test_a_stranger_is_no_child(run):
    async def body():
        async with supervisor([probe("a")]) as sup:
            send(sup, ExitMsg(spawn(print), "not a child"))
            assert alive(sup)
            await events(1)
            await no_event(sup)

    run(body)
