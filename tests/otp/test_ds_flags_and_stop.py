"""DS-13 to DS-18: stopping, flags, many children."""

from __future__ import annotations

from typing import Any

import pytest

from foundation.errors import (
    InvalidChildSpec,
    MaxChildren,
    StartError,
)
from foundation.kernel.ops import alive, exit, me, send, spawn, trap_exit
from foundation.kernel.values import BadReturn, Crash
from foundation.otp.dynamic_engine import DynamicEngine
from foundation.otp.dynamic_supervisor import DynamicSupervisor
from foundation.otp.registry import Registry, via
from foundation.otp.results import Ignore, Ignored
from foundation.otp.supervision import BadSpec, DynamicFlags
from foundation.otp.supervisor import Supervisor
from tests.ids import plain
from tests.otp.supkit import (
    TEMPORARY,
    Actor,
    Nosy,
    Probe,
    Slow,
    Stubborn,
    events,
    exit_of,
    gone,
    no_event,
    now,
    pids,
    probe,
    stop,
    until,
)

start_child = DynamicSupervisor.start_child
terminate_child = DynamicSupervisor.terminate_child
which_children = DynamicSupervisor.which_children
count_children = DynamicSupervisor.count_children


class Planned(DynamicSupervisor):
    """Returns what it is told to."""

    def init(self, plan: Any) -> Any:  # type: ignore[override]
        if plan == "raise":
            raise ValueError("no plan")
        return plan


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


async def _count(sup, count):
    return (await count_children(sup)).specs == count


def test_ds_13_stopping_ends_all_at_once(run):
    async def body():
        sup = await dynamic()
        await start_child(sup, probe("brutal", trap=True, shutdown="brutal_kill"))
        await start_child(sup, Stubborn.spec(me(), "timed", shutdown=0.05))
        for label in ("x", "y"):
            await start_child(sup, Slow.spec(me(), label, end=0.1, shutdown=float("inf")))
        found = await running(sup)
        await events(6)
        begun = now()
        await DynamicSupervisor.stop(sup)
        assert await exit_of(sup) == "normal"
        assert 0.1 <= now() - begun < 1
        told = await events(5)
        assert set(told) == {
            ("terminate", "timed", "shutdown"),
            ("ending", "x", "shutdown"),
            ("ending", "y", "shutdown"),
            ("ended", "x"),
            ("ended", "y"),
        }
        for pid in found:
            await gone(pid)
        await no_event()

    run(body)


def test_ds_13_stopping_ends_children_that_are_starting_or_ending(run):
    async def body():
        sup = await dynamic()
        spawn(_fails, sup, Slow.spec(me(), "starting", start=60), me())
        slow = await start_child(sup, Slow.spec(me(), "slow", end=0.03))
        assert len(await events(3)) == 3
        spawn(_fails_to_terminate, sup, slow, me())
        assert await events(1) == [("ending", "slow", "shutdown")]
        await DynamicSupervisor.stop(sup)
        assert set(await events(3)) == {
            ("ended", "slow"),
            ("start failed", "StartError"),
            ("terminated", True),
        }
        await no_event()

    run(body)


async def _fails(sup, spec, log):
    try:
        await start_child(sup, spec)
    except Exception as error:
        send(log, ("start failed", type(error).__name__))


async def _fails_to_terminate(sup, pid, log):
    try:
        await terminate_child(sup, pid)
    finally:
        send(log, ("terminated", True))


@pytest.mark.parametrize(
    "flags",
    [
        {"strategy": "one_for_all"},
        {"max_restarts": -1},
        {"max_seconds": 0},
        {"max_children": -1},
        {"max_children": 1.5},
        {"extra_arguments": "text"},
        {"auto_shutdown": "any_significant"},
        {"colour": "red"},
    ],
    ids=plain,
)
def test_ds_16_bad_flags(run, flags):
    (flag,) = flags

    async def body():
        trap_exit()
        with pytest.raises(StartError) as caught:
            await DynamicSupervisor.start_link(**flags)
        assert isinstance(caught.value.reason, BadSpec)
        assert flag in caught.value.reason.cause

    run(body)


def test_ds_16_what_init_may_return(run):
    async def body():
        trap_exit()
        assert await Planned.start_link(Ignore()) == Ignored()
        with pytest.raises(StartError) as caught:
            await Planned.start_link("rubbish")
        assert caught.value.reason == BadReturn("'rubbish'", "Planned.init")
        with pytest.raises(StartError) as caught:
            await Planned.start_link("raise")
        assert isinstance(caught.value.reason, Crash)
        one = await Planned.start_link(DynamicFlags(max_children=0))
        with pytest.raises(MaxChildren):
            await start_child(one, probe("a"))
        with pytest.raises(InvalidChildSpec, match="max_children"):
            type("Wrong", (DynamicSupervisor,), {"max_children": -1})

    run(body)


def test_ds_18_several_side_by_side(run):
    async def body():
        trap_exit()
        await Registry.start_link(name="ds-registry", keys="unique")
        children = [
            DynamicSupervisor.spec(),
            DynamicSupervisor.spec(name="ds-one"),
            DynamicSupervisor.spec(name=("ds", 2)),
            DynamicSupervisor.spec(name=via("ds-registry", 3)),
            Pool.spec(),
        ]
        assert [spec.id for spec in children] == [
            DynamicSupervisor,
            "ds-one",
            ("ds", 2),
            via("ds-registry", 3),
            Pool,
        ]
        sup = await Supervisor.start_link(children)
        assert list(await pids(sup)) == [spec.id for spec in children]
        for child in await Supervisor.which_children(sup):
            assert child.type == "supervisor"
        pid = await start_child("ds-one", probe("a"))
        await start_child(("ds", 2), probe("b"))
        await start_child(via("ds-registry", 3), probe("c"))
        assert await running("ds-one") == [pid]
        await stop(sup)

    run(body)


def test_a_child_that_calls_its_dynamic_supervisor(run):
    """From ``terminate`` it is served, as nobody is waited for; from ``init`` as SUP-47."""

    async def body():
        sup = await dynamic()
        await start_child(sup, Nosy.spec(me(), "terminate"))
        (pid,) = await running(sup)
        await terminate_child(sup, pid)
        assert await events(1) == [("asked", [])]
        await start_child(sup, Nosy.spec(me(), "init"))
        assert await events(1) == [("asked", "WouldDeadlock")]

    run(body)


def test_starts_overlap(run):
    async def body():
        sup = await dynamic()
        begun = now()
        for label in range(20):
            spawn(_start, sup, Slow.spec(me(), label, start=0.05))
        await events(40)
        assert now() - begun < 0.5
        await until(lambda: _count(sup, 20))

    run(body)


def test_a_thousand_children(run):
    async def body():
        sup = await dynamic(max_restarts=2000)
        found = [await start_child(sup, Probe.spec(me(), 0)) for _ in range(1000)]
        await events(1000)
        for pid in found[::2]:
            exit(pid, "kill")
        await events(500)
        await until(lambda: _count(sup, 1000))
        assert (await count_children(sup)).active == 1000
        assert len(set(await running(sup)) & set(found)) == 500
        await DynamicSupervisor.stop(sup)
        if sup.host == me().host:
            assert not any(alive(pid) for pid in found)

    run(body)


def test_ds_09_arguments_of_temporary_children_are_not_kept():
    engine = object.__new__(DynamicEngine)
    engine.kept = {}
    one = Actor.spec(1)
    assert engine._keep(one) is one
    temporary = [engine._keep(Actor.spec(n, restart=TEMPORARY)) for n in range(3)]
    assert temporary[0] is temporary[1] is temporary[2]
    assert temporary[0].start == (Actor, (), {})
