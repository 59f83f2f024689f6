"""DS-01 to DS-11: children of dynamic supervisors."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from foundation.errors import (
    AlreadyStarted,
    ChildNotFound,
    InvalidChildSpec,
    MaxChildren,
    NoProc,
    StartError,
)
from foundation.kernel.ops import call, cast, exit, me, send, spawn, trap_exit
from foundation.otp.dynamic_supervisor import DynamicSupervisor
from foundation.otp.results import Ignored
from foundation.otp.supervision import ChildCounts, ChildInfo, DynamicFlags
from foundation.otp.supervisor import Supervisor
from tests.ids import plain
from tests.otp.supkit import (
    TEMPORARY,
    TRANSIENT,
    Failing,
    Ignoring,
    Probe,
    Raising,
    Slow,
    Stubborn,
    actor,
    by,
    events,
    exit_of,
    gone,
    kill,
    no_event,
    now,
    probe,
    script,
    start_exiting,
    start_failing,
    start_odd,
    start_probe,
    start_raising,
    start_with_info,
    until,
)

start_child = DynamicSupervisor.start_child
terminate_child = DynamicSupervisor.terminate_child
which_children = DynamicSupervisor.which_children
count_children = DynamicSupervisor.count_children


class Pool(DynamicSupervisor):
    """Flags as class attributes."""

    max_children = 2
    max_restarts = 9

    def init(self) -> None:  # type: ignore[override]
        return None


async def dynamic(**flags: Any) -> Any:
    """Start a dynamic supervisor, linked to the body, which traps exits."""
    trap_exit()
    return await DynamicSupervisor.start_link(**flags)


async def _start(sup: Any, spec: Any) -> None:
    await start_child(sup, spec)


async def running(sup: Any) -> list[Any]:
    """Return the pids of the children, in start order."""
    return [child.pid for child in reversed(await which_children(sup))]


def test_ds_01_ids_do_not_matter(run):
    async def body():
        sup = await dynamic()
        spec = probe("same")
        found = [await start_child(sup, spec) for _ in range(3)]
        assert len(set(found)) == 3
        children = await which_children(sup)
        assert children == [
            ChildInfo(None, pid, "worker", (Probe.__module__,)) for pid in reversed(found)
        ]
        assert await count_children(sup) == ChildCounts(3, 3, 0, 3)
        await start_child(sup, Supervisor.spec([]))
        assert await count_children(sup) == ChildCounts(4, 4, 1, 3)

    run(body)


def test_ds_02_max_children(run):
    async def body():
        sup = await Pool.start_link()
        first = await start_child(sup, probe("a", TEMPORARY))
        await start_child(sup, probe("b"))
        with pytest.raises(MaxChildren):
            await start_child(sup, probe("c"))
        await kill(first)
        await until(lambda: _count(sup, 1))
        third = await start_child(sup, probe("c"))
        with pytest.raises(MaxChildren):
            await start_child(sup, probe("d"))
        await terminate_child(sup, third)
        await start_child(sup, probe("d"))
        none = await DynamicSupervisor.start_link(max_children=0)
        with pytest.raises(MaxChildren):
            await start_child(none, probe("e"))

    run(body)


async def _count(sup, count):
    return (await count_children(sup)).specs == count


def test_ds_02_children_that_are_starting_count(run):
    async def body():
        sup = await dynamic(max_children=2)
        for label in "ab":
            spawn(_start, sup, Slow.spec(me(), label, start=0.3))
        await events(2)
        with pytest.raises(MaxChildren):
            await start_child(sup, probe("c"))
        assert await which_children(sup) == []
        assert sorted(await events(2)) == [("init", "a"), ("init", "b")]
        await until(lambda: _count(sup, 2))

    run(body)


def test_ds_03_a_child_that_waits_for_a_retry_counts(run):
    async def body():
        sup = await dynamic(max_children=1, max_restarts=100_000)
        todo = await script()
        pid = await start_child(sup, actor(todo, "a"))
        await call(todo, ("a", ["slow_fail!"]))
        await kill(pid)
        await events(2)
        assert await running(sup) == ["restarting"]
        assert await count_children(sup) == ChildCounts(1, 0, 0, 1)
        with pytest.raises(MaxChildren):
            await start_child(sup, probe("b"))
        await call(todo, ("a", ["ok!"]))
        await until(lambda: _runs(sup))

    run(body)


async def _runs(sup):
    return any(pid != "restarting" for pid in await running(sup))


def test_ds_04_extra_arguments(run):
    async def body():
        sup = await dynamic(extra_arguments=[me()])
        pid = await start_child(sup, Probe.spec("own"))
        assert await call(pid, "label") == "own"
        await kill(pid)
        assert await events(2) == [("init", "own")] * 2
        await start_child(sup, by(start_probe, "function"))
        assert await events(1) == [("init", "function")]

    run(body)


@pytest.mark.parametrize(
    ("child", "reason"),
    [
        (Failing.spec("no"), "no"),
        (Raising.spec(), "ValueError"),
        (by(start_raising), "ValueError"),
        (by(start_exiting), "not today"),
        (by(start_failing), "on purpose"),
        (by(start_odd, "odd"), "odd"),
        (by(start_odd, None), "None"),
    ],
    ids=plain,
)
def test_ds_05_a_start_that_fails(run, child, reason):
    async def body():
        sup = await dynamic()
        with pytest.raises(StartError) as caught:
            await start_child(sup, child)
        assert reason in repr(caught.value.reason)
        assert await which_children(sup) == []
        assert await call(await start_child(sup, probe("a")), "label") == "a"

    run(body)


def test_ds_05_ignore_info_and_names(run):
    async def body():
        sup = await dynamic()
        assert await start_child(sup, Ignoring) == Ignored()
        assert await which_children(sup) == []
        pid, info = await start_child(sup, by(start_with_info, me(), "i"))
        assert info == {"label": "i"}
        assert await running(sup) == [pid]
        named = await start_child(sup, probe("n", name="ds-child"))
        assert await call("ds-child", "label") == "n"
        with pytest.raises(AlreadyStarted) as caught:
            await start_child(sup, probe("m", name="ds-child"))
        assert caught.value.pid == named
        assert await running(sup) == [pid, named]

    run(body)


def test_ds_05_a_start_that_takes_too_long(run):
    async def body():
        sup = await dynamic()
        with pytest.raises(StartError) as caught:
            await start_child(sup, Slow.spec(me(), "s", start=60, timeout=0.05))
        assert caught.value.reason == "timeout"
        assert await which_children(sup) == []
        await start_child(sup, Slow.spec(me(), "t", start=0.01, timeout=5))
        assert await events(3) == [("starting", "s"), ("starting", "t"), ("init", "t")]

    run(body)


def test_ds_06_a_wrong_spec_never_reaches_the_supervisor(run):
    async def body():
        with pytest.raises(InvalidChildSpec, match="no child"):
            start_child("nobody", "no child")
        with pytest.raises(InvalidChildSpec, match="significant"):
            start_child("nobody", probe("a", TRANSIENT, significant=True))
        with pytest.raises(NoProc):
            await start_child("nobody", probe("a"))

    run(body)


def test_ds_07_terminate_child(run):
    async def body():
        sup = await dynamic()
        for restart in ("permanent", TRANSIENT, TEMPORARY):
            pid = await start_child(sup, probe("a", restart, trap=True))
            assert await terminate_child(sup, pid) is None
            assert await events(2) == [("init", "a"), ("terminate", "a", "shutdown")]
            assert await which_children(sup) == []
            with pytest.raises(ChildNotFound):
                await terminate_child(sup, pid)
        pid = await start_child(sup, probe("b"))
        assert await terminate_child(sup, pid) is None
        for stranger in (me(), "b", None, ["b"]):
            with pytest.raises(ChildNotFound):
                await terminate_child(sup, stranger)
        await events(1)
        await no_event(sup)

    run(body)


def test_ds_07_a_child_that_takes_too_long_is_killed(run):
    async def body():
        sup = await dynamic()
        stubborn = await start_child(sup, Stubborn.spec(me(), "s", shutdown=0.05))
        unlinked = await start_child(sup, probe("u", trap=True, unlinked=True))
        begun = now()
        await terminate_child(sup, stubborn)
        assert now() - begun >= 0.05
        assert await gone(stubborn) in ("noproc", "killed")
        await terminate_child(sup, unlinked)
        assert await gone(unlinked) in ("noproc", "shutdown")
        assert await which_children(sup) == []

    run(body)


def test_ds_07_ending_one_does_not_hold_up_the_others(run):
    async def body():
        sup = await dynamic()
        slow = await start_child(sup, Slow.spec(me(), "s", end=0.05))
        spawn(_ask, terminate_child, me(), "terminated", sup, slow)
        assert (await events(3))[-1] == ("ending", "s", "shutdown")
        await start_child(sup, probe("a"))
        assert await events(3) == [("init", "a"), ("ended", "s"), ("terminated", None)]

    run(body)


async def _ask(operation, log, label, *args):
    send(log, (label, await operation(*args)))


def test_ds_08_a_restarted_child_has_a_new_pid(run):
    async def body():
        sup = await dynamic()
        old = await start_child(sup, probe("a"))
        await kill(old)
        await events(2)
        (new,) = await running(sup)
        with pytest.raises(ChildNotFound):
            await terminate_child(sup, old)
        await terminate_child(sup, new)
        assert await which_children(sup) == []

    run(body)


@pytest.mark.parametrize(
    ("restart", "reason", "again"),
    [
        ("permanent", "normal", True),
        ("permanent", "bad", True),
        (TRANSIENT, "normal", False),
        (TRANSIENT, "shutdown", False),
        (TRANSIENT, "bad", True),
        (TEMPORARY, "normal", False),
        (TEMPORARY, "bad", False),
    ],
)
def test_ds_09_restart_types(run, restart, reason, again):
    async def body():
        sup = await dynamic()
        pid = await start_child(sup, probe("a", restart))
        cast(pid, reason)
        assert (await events(2))[1] == ("terminate", "a", reason)
        if again:
            assert await events(1) == [("init", "a")]
            (new,) = await running(sup)
            assert new != pid
        else:
            await until(lambda: _count(sup, 0))
        await no_event(sup)

    run(body)


def test_ds_10_too_many_restarts(run):
    async def body():
        sup = await dynamic(max_restarts=2, max_seconds=60)
        await start_child(sup, probe("b", trap=True))
        pid = await start_child(sup, probe("a"))
        await events(2)
        for _ in range(2):
            await kill(pid)
            assert await events(1) == [("init", "a")]
            (pid,) = [p for p in await running(sup) if await call(p, "label") == "a"]
        exit(pid, "kill")
        assert await exit_of(sup) == "shutdown"
        assert await events(1) == [("terminate", "b", "shutdown")]
        assert DynamicSupervisor.flags() == DynamicFlags(None, (), 3, 5.0, "one_for_one")

    run(body)


def test_ds_10_each_failed_attempt_counts(run):
    async def body():
        sup = await dynamic()
        todo = await script()
        pid = await start_child(sup, actor(todo, "a"))
        await call(todo, ("a", ["fail!"]))
        exit(pid, "kill")
        assert await exit_of(sup) == "shutdown"
        assert await events(4) == [("ok", "a"), *[("fail", "a")] * 3]
        await no_event()

    run(body)


def test_ds_11_terminating_a_child_that_is_being_restarted(run):
    async def body():
        sup = await dynamic(max_restarts=100_000)
        todo = await script()
        pid = await start_child(sup, actor(todo, "a"))
        await call(todo, ("a", ["slow_fail!"]))
        await kill(pid)
        await events(2)
        other = await start_child(sup, probe("b"))
        assert await running(sup) == [other, "restarting"]
        await terminate_child(sup, pid)
        assert await running(sup) == [other]
        await asyncio.sleep(0.05)
        while ("init", "b") not in await events(1):
            pass
        await no_event(sup)

    run(body)


def test_ds_11_ignoring_on_a_restart(run):
    async def body():
        sup = await dynamic()
        todo = await script()
        pid = await start_child(sup, actor(todo, "a"))
        await call(todo, ("a", ["ignore!"]))
        await kill(pid)
        assert await events(2) == [("ok", "a"), ("ignore", "a")]
        await until(lambda: _count(sup, 0))

    run(body)
