"""SUP-34 to SUP-41: restart intensity, retries, nested supervisors."""

from __future__ import annotations

import asyncio

import pytest

from foundation.errors import AlreadyPresent, ChildRestarting
from foundation.kernel.ops import alive, call, cast, exit, me, receive, send, spawn
from foundation.kernel.values import ExitMsg
from foundation.otp.gen_server import GenServer
from foundation.otp.restart_window import RestartWindow
from foundation.otp.supervision import (
    ChildInfo,
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


async def _down(sup, id):
    return (await pids(sup)).get(id, "gone") is None


async def _forgotten(sup, id):
    return id not in await pids(sup)


async def end(pid, reason):
    """End a probe with *reason*, by itself."""
    cast(pid, reason)


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
