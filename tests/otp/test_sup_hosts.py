"""Supervision across hosts: placement, lost hosts, interrupted starts."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from foundation.errors import ChildNotFound, MaxChildren, StartError
from foundation.kernel.ops import alive, call, exit, me, spawn, trap_exit
from foundation.kernel.reports import SupervisorReport
from foundation.otp.dynamic_supervisor import DynamicSupervisor
from foundation.otp.supervision import ChildCounts
from foundation.otp.supervisor import Supervisor
from foundation.testing import Simulation
from tests.otp.supkit import (
    TEMPORARY,
    Failing,
    Nosy,
    Probe,
    Slow,
    Stubborn,
    events,
    exit_of,
    kill,
    no_event,
    pid_of,
    pids,
    probe,
    stop,
    supervisor,
    until,
)

SEEDS = range(5)


@pytest.fixture(params=SEEDS)
def simulation(request):
    """Three hosts: main, w1, w2."""
    with Simulation(request.param, hosts=3, delay=(0.0005, 0.005)) as made:
        yield made


def hosts_of(found):
    """Count the pids in each host."""
    return Counter(pid.host for pid in found)


async def all_answer(sup, count):
    """Wait until *count* children run and answer."""

    async def ready():
        found = list((await pids(sup)).values())
        return len(found) == count and all(isinstance(pid, tuple) for pid in found)

    await until(ready)
    for pid in (await pids(sup)).values():
        assert await call(pid, "label") is not None


def test_children_are_spread(simulation):
    async def body():
        children = [probe(n, host="spread") for n in range(6)]
        async with supervisor(children) as sup:
            found = await pids(sup)
            assert hosts_of(found.values()) == {"sim/w1": 3, "sim/w2": 3}
            assert len(await events(6)) == 6
            await kill(found[3])
            await all_answer(sup, 6)
            await Supervisor.terminate_child(sup, 1)
            await Supervisor.restart_child(sup, 1)

    simulation.run(body)
    assert simulation.settle() == []


def test_a_lost_host_is_one_restart(simulation):
    async def body():
        children = [probe(n, host="spread") for n in range(40)]
        async with supervisor(children, max_restarts=1, max_seconds=3600) as sup:
            simulation.crash_host("w1", notice=0.2)
            await asyncio.sleep(0.5)
            await all_answer(sup, 40)
            assert hosts_of((await pids(sup)).values()) == {"sim/w2": 40}
            told = [r for r in simulation.reports if isinstance(r, SupervisorReport)]
            assert [(r.context, r.child) for r in told] == [("host_lost", "'sim/w1'")]
            simulation.restart_host("w1")
            exit(await pid_of(sup, 5), "kill")  # the second restart
            assert await exit_of(sup) == "shutdown"

    simulation.run(body)


def test_one_for_all_and_a_lost_host(simulation):
    async def body():
        children = [probe(n, host="spread") for n in range(10)]
        flags = {"strategy": "one_for_all", "max_restarts": 1, "max_seconds": 3600}
        async with supervisor(children, **flags) as sup:
            simulation.crash_host("w2")
            await asyncio.sleep(0.5)
            await all_answer(sup, 10)

    simulation.run(body)


def test_a_lost_host_under_a_dynamic_supervisor(simulation):
    async def body():
        trap_exit()
        sup = await DynamicSupervisor.start_link(max_restarts=1, max_seconds=3600)
        spec = Probe.spec(me(), "p", host="spread")
        for _ in range(100):
            await DynamicSupervisor.start_child(sup, spec)
        before = [child.pid for child in await DynamicSupervisor.which_children(sup)]
        assert hosts_of(before) == {"sim/w1": 50, "sim/w2": 50}
        begun = simulation.now
        simulation.crash_host("w1", notice=(0.0, 0.01))
        await asyncio.sleep(0.02)

        async def whole():
            return await DynamicSupervisor.count_children(sup) == ChildCounts(100, 100, 0, 100)

        await until(whole)
        assert simulation.now - begun < 0.1  # the restarts overlap
        after = [child.pid for child in await DynamicSupervisor.which_children(sup)]
        assert hosts_of(after) == {"sim/w2": 100}
        for pid in after:
            assert await call(pid, "label") == "p"

    simulation.run(body)


def test_a_host_that_is_lost_while_it_is_restarting_children(simulation):
    """Both hosts go, one after the other; starts in flight fail with the second."""

    async def body():
        trap_exit()
        sup = await DynamicSupervisor.start_link(max_restarts=2, max_seconds=3600)
        spec = Probe.spec(me(), "p", host="spread")
        for _ in range(50):
            await DynamicSupervisor.start_child(sup, spec)
        simulation.crash_host("w1")
        await asyncio.sleep(simulation.random.uniform(0, 0.01))
        simulation.crash_host("w2")

        async def whole():
            found = await DynamicSupervisor.which_children(sup)
            return {getattr(child.pid, "host", None) for child in found} == {"sim/main"}

        await until(whole)
        assert (await DynamicSupervisor.count_children(sup)).active == 50

    simulation.run(body)


def test_a_supervisor_in_another_host(simulation):
    async def body():
        trap_exit()
        sup = await DynamicSupervisor.start_link(name="far", host="w1", max_children=3)
        assert sup.host == "sim/w1"
        spec = Probe.spec(me(), "p")
        pid = await DynamicSupervisor.start_child("far", spec)
        assert pid.host == "sim/w1"
        home = await DynamicSupervisor.start_child("far", Probe.spec(me(), "h", host="main"))
        assert home.host == "sim/main"
        with pytest.raises(StartError) as caught:
            await DynamicSupervisor.start_child("far", Failing.spec("no"))
        assert caught.value.reason == "no"
        await DynamicSupervisor.terminate_child("far", pid)
        with pytest.raises(ChildNotFound):
            await DynamicSupervisor.terminate_child("far", pid)
        await DynamicSupervisor.start_child("far", spec)
        await DynamicSupervisor.start_child("far", spec)
        with pytest.raises(MaxChildren):
            await DynamicSupervisor.start_child("far", spec)
        await kill(home)
        await until(lambda: _active("far", 3))
        await DynamicSupervisor.stop("far")
        assert await exit_of(sup) == "normal"

    simulation.run(body)
    assert simulation.settle() == []


async def _active(sup, count):
    return (await DynamicSupervisor.count_children(sup)).active == count


def test_a_far_supervisor_that_is_interrupted_while_it_starts_a_far_child(simulation):
    async def body():
        trap_exit()
        children = [
            probe("a", host="w2", trap=True),
            Slow.spec(me(), "b", start=3600, id="b", host="w2"),
        ]
        starter = spawn(_start_far, children)
        assert set(await events(2)) == {("init", "a"), ("starting", "b")}
        exit(starter, "kill")
        # The child that was being started ends by its link, when the supervisor has ended.
        assert await events(1) == [("terminate", "a", "shutdown")]
        await no_event()

    simulation.run(body)
    assert simulation.settle() == []


async def _start_far(children):
    await Supervisor.start_link(children, host="w1")


def test_a_dynamic_supervisor_that_stops_while_far_children_start(simulation):
    async def body():
        trap_exit()
        sup = await DynamicSupervisor.start_link()
        for label in "abc":
            spawn(_start_in, sup, Slow.spec(me(), label, start=3600, host="spread"))
        await events(3)
        late = Slow.spec(me(), "late", start=3600, host="w1", timeout=0.05)
        with pytest.raises(StartError) as caught:
            await DynamicSupervisor.start_child(sup, late)
        assert caught.value.reason == "timeout"
        await DynamicSupervisor.stop(sup)
        assert await events(1) == [("starting", "late")]

    simulation.run(body)
    assert simulation.settle() == []


async def _start_in(sup, spec):
    try:
        await DynamicSupervisor.start_child(sup, spec)
    except StartError:
        return


def test_far_children_are_stopped_by_their_rules(simulation):
    async def body():
        children = [
            probe("a", host="w1", trap=True),
            Stubborn.spec(me(), "b", id="b", host="w2", shutdown=0.1),
            probe("c", host="w1", trap=True, shutdown="brutal_kill"),
            probe("d", TEMPORARY, host="w2"),
        ]
        async with supervisor(children) as sup:
            await events(4)
            await stop(sup)
            assert await events(2) == [
                ("terminate", "b", "shutdown"),
                ("terminate", "a", "shutdown"),
            ]
            await no_event()

    simulation.run(body)
    assert simulation.settle() == []


def test_a_far_child_that_calls_its_supervisor_too_early_or_too_late(simulation):
    async def body():
        for when in ("init", "terminate"):
            async with supervisor([Nosy.spec(me(), when, id="n", host="w1")]) as sup:
                await Supervisor.terminate_child(sup, "n")
                assert await events(1) == [("asked", "WouldDeadlock")]

    simulation.run(body)


def test_isolated_children_get_hosts_of_their_own(simulation):
    async def body():
        trap_exit()
        sup = await Supervisor.start_link([probe("a", isolation="host")])
        dynamic = await DynamicSupervisor.start_link()
        first = await pid_of(sup, "a")
        spec = Probe.spec(me(), "d", isolation="host")
        second = await DynamicSupervisor.start_child(dynamic, spec)
        third = await DynamicSupervisor.start_child(dynamic, spec)
        assert len({pid.host for pid in (me(), first, second, third)}) == 4
        simulation.crash_host(second.host)

        async def back():
            found = await DynamicSupervisor.which_children(dynamic)
            new = [c.pid for c in found if c.pid not in (second, third, "restarting")]
            return new and new[0]

        again = await until(back)
        assert again.host not in (first.host, second.host, third.host)
        assert await call(again, "label") == "d"
        assert alive(third)

    simulation.run(body)


def test_children_of_a_certain_host_wait_for_it(simulation):
    """The host is down for longer than immediate attempts would last; waiting is no restart."""

    async def body():
        trap_exit()
        sup = await Supervisor.start_link([probe("a", host="w1")], max_restarts=1)
        dynamic = await DynamicSupervisor.start_link(max_restarts=1)
        await DynamicSupervisor.start_child(dynamic, probe("d", host="w1"))
        simulation.crash_host("w1")
        await asyncio.sleep(2)
        assert await pids(sup) == {"a": "restarting"}
        assert await DynamicSupervisor.count_children(dynamic) == ChildCounts(1, 0, 0, 1)
        simulation.restart_host("w1")
        await all_answer(sup, 1)
        await until(lambda: _active(dynamic, 1))
        errors = [r for r in simulation.reports if getattr(r, "context", "") == "start_error"]
        assert len(errors) == 2

    simulation.run(body)
