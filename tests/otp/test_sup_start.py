"""SUP-01 to SUP-20: specs, flags, start and shutdown order."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from foundation.errors import InvalidChildSpec, StartError
from foundation.kernel.ops import exit, me, monitor, receive, spawn, trap_exit
from foundation.kernel.values import BadReturn, Crash, Shutdown
from foundation.otp.child_spec import ChildSpec, child_spec
from foundation.otp.results import Ignore, Ignored
from foundation.otp.supervision import BadSpec, ChildInfo, FailedToStartChild, SupFlags
from foundation.otp.supervisor import Supervisor
from tests.ids import plain
from tests.otp.supkit import (
    TEMPORARY,
    Failing,
    Ignoring,
    Probe,
    Raising,
    Slow,
    Stubborn,
    by,
    events,
    exit_of,
    gone,
    no_event,
    now,
    pid_of,
    pids,
    probe,
    reason_of,
    start_exiting,
    start_failing,
    start_generator_exit,
    start_odd,
    start_probe,
    start_raising,
    supervisor,
)


class Planned(Supervisor):
    """Returns what it is told to."""

    def init(self, plan: Any) -> Any:
        if plan == "raise":
            raise ValueError("no plan")
        return plan


class Slowly(Supervisor):
    """Its ``init`` waits."""

    async def init(self, children: Any) -> Any:  # type: ignore[override]
        await asyncio.sleep(0.01)
        return children


class Strict(Supervisor):
    """Flags as class attributes."""

    strategy = "one_for_all"
    max_restarts = 7
    max_seconds = 2.5


def test_sup_01_defaults_of_a_spec(run):
    async def body():
        spec = ChildSpec("p", (Probe, (me(), "p"), {}))
        async with supervisor([spec]) as sup:
            back = await Supervisor.get_childspec(sup, "p")
            assert (back.restart, back.type, back.shutdown) == ("permanent", "worker", 5.0)
            assert back.significant is False
            info = await Supervisor.which_child(sup, "p")
            assert info == ChildInfo("p", info.pid, "worker", (Probe.__module__,))
        assert ChildSpec("s", (Planned, (), {}), type="supervisor").shutdown == math.inf
        assert Planned.spec([]).type == "supervisor"
        assert Planned.spec([]).shutdown == math.inf

    run(body)


WRONG = [
    {"restart": "always"},
    {"shutdown": -1},
    {"shutdown": "soon"},
    {"type": "boss"},
    {"significant": "yes"},
    {"start": Probe},
    {"start": (Probe, ())},
    {"start": ("Probe", (), {})},
]


@pytest.mark.parametrize("fields", WRONG, ids=plain)
def test_sup_02_a_wrong_spec_is_refused_with_the_cause(fields):
    with pytest.raises(InvalidChildSpec) as caught:
        ChildSpec(**{"id": "x", "start": (Probe, (), {}), **fields})
    (field,) = fields
    assert field in str(caught.value)
    assert "got" in str(caught.value)


def test_sup_02_missing_fields():
    with pytest.raises(TypeError, match="id"):
        ChildSpec(start=(Probe, (), {}))  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="start"):
        ChildSpec("x")  # type: ignore[call-arg]


def test_sup_02_no_child_at_all(run):
    async def body():
        trap_exit()
        with pytest.raises(StartError) as caught:
            await Supervisor.start_link(["no child"])
        assert isinstance(caught.value.reason, BadSpec)
        assert "no child" in caught.value.reason.cause
        async with supervisor([probe("a")]) as sup:
            with pytest.raises(InvalidChildSpec):
                await Supervisor.start_child(sup, "no child")
            with pytest.raises(InvalidChildSpec, match="hashable"):
                await Supervisor.start_child(sup, probe("b", id=["list"]))
            with pytest.raises(InvalidChildSpec, match="bad_combination"):
                await Supervisor.start_child(
                    sup, probe("b", restart="transient", significant=True)
                )
            assert list(await pids(sup)) == ["a"]

    run(body)


def test_sup_03_two_children_with_one_id(run):
    async def body():
        trap_exit()
        with pytest.raises(StartError) as caught:
            await Supervisor.start_link([probe("a"), probe("b", id="a")])
        assert "duplicate" in caught.value.reason.cause
        assert "'a'" in caught.value.reason.cause
        await no_event()

    run(body)


def test_sup_05_overrides(run):
    async def body():
        spec = probe("a")
        changed = child_spec(spec, restart="transient", shutdown="brutal_kill", id="b")
        assert (changed.id, changed.restart, changed.shutdown) == (
            "b",
            "transient",
            "brutal_kill",
        )
        assert changed.start == spec.start
        with pytest.raises(InvalidChildSpec, match="colour"):
            child_spec(spec, colour="red")
        with pytest.raises(InvalidChildSpec, match="restart"):
            child_spec(spec, restart="never")

    run(body)


def test_sup_07_default_limits():
    flags = SupFlags()
    assert (flags.max_restarts, flags.max_seconds) == (3, 5.0)
    assert Supervisor.flags() == flags
    assert Strict.flags() == SupFlags("one_for_all", 7, 2.5)


@pytest.mark.parametrize(
    "flags",
    [
        {"strategy": "one_for_two"},
        {"max_restarts": -1},
        {"max_restarts": 1.5},
        {"max_seconds": 0},
        {"max_seconds": "5"},
        {"auto_shutdown": "always"},
    ],
    ids=plain,
)
def test_sup_07_wrong_flags(run, flags):
    (flag,) = flags

    async def body():
        trap_exit()
        with pytest.raises(StartError) as caught:
            await Supervisor.start_link([], **flags)
        assert flag in caught.value.reason.cause

    run(body)
    with pytest.raises(InvalidChildSpec, match=flag):
        type("Wrong", (Supervisor,), dict(flags))


def test_sup_07_a_supervisor_has_no_handlers():
    with pytest.raises(TypeError, match="handle_call"):
        type("Wrong", (Supervisor,), {"handle_call": lambda self, request, caller: None})


def test_sup_08_init_ignores_raises_or_returns_garbage(run):
    async def body():
        trap_exit()
        assert await Planned.start_link(Ignore()) == Ignored()
        for garbage in ("garbage", None, (1, 2), ([], SupFlags())):
            with pytest.raises(StartError) as caught:
                await Planned.start_link(garbage)
            assert isinstance(caught.value.reason, BadReturn)
            assert caught.value.reason.callback == "Planned.init"
            assert repr(garbage) == caught.value.reason.value
        with pytest.raises(StartError) as caught:
            await Planned.start_link("raise")
        assert isinstance(caught.value.reason, Crash)
        assert caught.value.reason.message == "no plan"

    run(body)


def test_sup_08_init_returns_flags_and_may_wait(run):
    async def body():
        trap_exit()
        first = await Planned.start_link((SupFlags("one_for_all"), [probe("a"), probe("b")]))
        second = await Slowly.start_link([(Probe, me(), "c")])
        assert await events(3) == [("init", "a"), ("init", "b"), ("init", "c")]
        assert list(await pids(first)) == ["a", "b"]
        assert list(await pids(second)) == [Probe]

    run(body)


def test_sup_09_children_start_in_order(run):
    async def body():
        children = [
            Slow.spec(me(), label, start=wait, id=label)
            for label, wait in (("a", 0.03), ("b", 0.01), ("c", 0.0))
        ]
        async with supervisor(children) as sup:
            told = await events(6)
            assert told == [(what, x) for x in "abc" for what in ("starting", "init")]
            await no_event(sup)

    run(body)


@pytest.mark.parametrize(
    ("child", "reason"),
    [
        (Failing.spec("no"), "no"),
        (Raising.spec(), "ValueError"),
        (by(start_raising), "ValueError"),
        (by(start_generator_exit), "GeneratorExit"),
        (by(start_exiting), "not today"),
        (by(start_failing), "on purpose"),
        (by(start_odd, "odd"), "odd"),
        (by(start_odd, None), "None"),
    ],
    ids=plain,
)
def test_sup_11_a_start_that_fails_is_an_error_not_a_crash(run, child, reason):
    async def body():
        trap_exit()
        with pytest.raises(StartError) as caught:
            await Supervisor.start_link([probe("a", trap=True), child, probe("c")])
        failed = caught.value.reason
        assert isinstance(failed, Shutdown)
        assert isinstance(failed.detail, FailedToStartChild)
        assert failed.detail.id == child.id
        assert reason in repr(failed.detail.reason)
        # What was started has been stopped, and the rest was not started.
        assert await events(2) == [("init", "a"), ("terminate", "a", "shutdown")]
        await no_event()
        async with supervisor([probe("a")]) as sup:
            with pytest.raises(StartError) as caught:
                await Supervisor.start_child(sup, child)
            assert reason in repr(caught.value.reason)
            assert list(await pids(sup)) == ["a"]

    run(body)


def test_sup_11_start_functions(run):
    async def body():
        async with supervisor([by(start_probe, me(), "f", id="f")]) as sup:
            assert await events(1) == [("init", "f")]
            pid = await pid_of(sup, "f")
            exit(pid, "kill")
            assert await events(1) == [("init", "f")]
            assert await pid_of(sup, "f") != pid

    run(body)


def test_sup_12_a_child_that_ignores(run):
    async def body():
        children = [
            Ignoring.spec(id="kept"),
            Ignoring.spec(id="forgotten", restart=TEMPORARY),
            probe("c"),
        ]
        async with supervisor(children) as sup:
            assert await pids(sup) == {"kept": None, "c": await pid_of(sup, "c")}
            assert await Supervisor.start_child(sup, Ignoring.spec(id="late")) == Ignored()
            temporary = Ignoring.spec(id="gone", restart=TEMPORARY)
            assert await Supervisor.start_child(sup, temporary) == Ignored()
            assert list(await pids(sup)) == ["kept", "c", "late"]
            counts = await Supervisor.count_children(sup)
            assert (counts.specs, counts.active, counts.workers) == (3, 1, 3)

    run(body)


def test_sup_13_children_stop_one_after_another_the_last_first(run):
    async def body():
        children = [Slow.spec(me(), x, end=0.03, id=x) for x in "ab"]
        async with supervisor(children) as sup:
            await events(4)
            begun = now()
            await Supervisor.stop(sup)
            assert now() - begun >= 0.06
            told = await events(4)
            assert told == [
                ("ending", "b", "shutdown"),
                ("ended", "b"),
                ("ending", "a", "shutdown"),
                ("ended", "a"),
            ]

    run(body)


def test_sup_14_a_child_that_takes_too_long_is_killed(run):
    async def body():
        children = [
            probe("a", trap=True),
            Stubborn.spec(me(), "b", id="b", shutdown=0.05),
            probe("c", trap=True),
        ]
        async with supervisor(children) as sup:
            await events(3)
            pid = await pid_of(sup, "b")
            ref = monitor(pid)
            begun = now()
            await Supervisor.stop(sup)
            assert now() - begun >= 0.05
            assert await events(3) == [("terminate", x, "shutdown") for x in "cba"]
            assert await reason_of(ref) == "killed"

    run(body)


def test_sup_14_in_time_terminate_runs(run):
    async def body():
        async with supervisor([probe("a", trap=True)]) as sup:
            await Supervisor.terminate_child(sup, "a")
            assert await events(2) == [("init", "a"), ("terminate", "a", "shutdown")]

    run(body)


def test_sup_15_brutal_kill(run):
    async def body():
        children = [probe("a", trap=True, shutdown="brutal_kill")]
        async with supervisor(children) as sup:
            pid = await pid_of(sup, "a")
            ref = monitor(pid)
            await Supervisor.terminate_child(sup, "a")
            assert await reason_of(ref) == "killed"
            assert await events(1) == [("init", "a")]
            await no_event()

    run(body)


def test_sup_17_a_child_that_does_not_trap_is_not_asked(run):
    async def body():
        async with supervisor([probe("a")]) as sup:
            pid = await pid_of(sup, "a")
            ref = monitor(pid)
            await Supervisor.stop(sup)
            assert await reason_of(ref) == "shutdown"
            assert await events(1) == [("init", "a")]
            await no_event()

    run(body)


def test_sup_18_a_child_that_unlinked_itself(run):
    async def body():
        children = [probe("a", trap=True, unlinked=True), probe("b", unlinked=True)]
        async with supervisor(children) as sup:
            found = await pids(sup)
            refs = {id: monitor(pid) for id, pid in found.items()}
            await events(2)
            await Supervisor.terminate_child(sup, "b")
            assert await reason_of(refs["b"]) == "shutdown"
            await Supervisor.terminate_child(sup, "a")
            assert await events(1) == [("terminate", "a", "shutdown")]
            assert await reason_of(refs["a"]) == "shutdown"

    run(body)


def test_sup_19_children_that_end_by_themselves_meanwhile(run):
    async def body():
        children = [
            probe("a"),
            probe("b"),
            Slow.spec(me(), "c", end=0.05, id="c"),
        ]
        async with supervisor(children) as sup:
            found = await pids(sup)
            await events(4)
            spawn(Supervisor.stop, sup, "shutdown")
            assert await events(1) == [("ending", "c", "shutdown")]
            exit(found["a"], "bad luck")
            exit(found["b"], "worse luck")
            assert await exit_of(sup) == "shutdown"
            await no_event_but(("ended", "c"))

    run(body)


async def no_event_but(event):
    assert await events(1) == [event]
    await no_event()


def test_sup_20_stop_returns_when_all_are_gone(run):
    async def body():
        trap_exit()
        sup = await Supervisor.start_link([probe("a", trap=True), probe("b")])
        found = await pids(sup)
        await Supervisor.stop(sup, "enough")
        assert await exit_of(sup) == "enough"
        assert await events(3) == [("init", "a"), ("init", "b"), ("terminate", "a", "shutdown")]
        for pid in found.values():
            assert await gone(pid) in ("noproc", "shutdown")

    run(body)


def test_sup_20_a_parent_that_ends_while_children_start(run):
    """The interruption finds the child that is just starting, and ends all in order."""

    async def body():
        trap_exit()
        children = [probe("a", trap=True), Slow.spec(me(), "b", start=30, id="b"), probe("c")]
        starter = spawn(_start_and_wait, children)
        assert await events(2) == [("init", "a"), ("starting", "b")]
        exit(starter, "parent gone")
        assert await events(1) == [("terminate", "a", "shutdown")]
        await no_event()

    run(body)


async def _start_and_wait(children):
    await Supervisor.start_link(children)
    await receive()
