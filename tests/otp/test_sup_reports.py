"""What supervisors tell the log."""

from __future__ import annotations

import pytest

from foundation.errors import CallExit
from foundation.kernel.ops import call, cast, exit, me, send, trap_exit
from foundation.kernel.reports import CrashReport, Notice, SupervisorReport
from foundation.otp import sys
from foundation.otp.dynamic_supervisor import DynamicSupervisor
from foundation.otp.supervisor import Supervisor
from foundation.testing import Simulation
from tests.otp.supkit import (
    TEMPORARY,
    TRANSIENT,
    Failing,
    Probe,
    Stubborn,
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
)


@pytest.fixture
def simulation():
    with Simulation(3) as made:
        yield made


def told(simulation, kind=SupervisorReport):
    """Return the reports of one kind."""
    return [report for report in simulation.reports if isinstance(report, kind)]


def contexts(simulation):
    """Return what supervisors have told: ``(context, child, reason)``."""
    return [(r.context, r.child, r.reason) for r in told(simulation)]


@pytest.mark.parametrize("dynamic", [False, True])
def test_an_unclean_end_is_told_a_clean_one_is_not(simulation, dynamic):
    async def body():
        trap_exit()
        if dynamic:
            sup = await DynamicSupervisor.start_link(name="sup")
            add = DynamicSupervisor.start_child
        else:
            sup = await Supervisor.start_link([], name="sup")
            add = Supervisor.start_child
        for id, reason in [("a", "normal"), ("b", "shutdown"), ("c", "bad")]:
            cast(await add(sup, probe(id, TEMPORARY)), reason)
            await events(2)
        await no_event(sup)
        await Supervisor.stop(sup)

    simulation.run(body)
    (report,) = told(simulation)
    # Of a temporary dynamic child no more is kept than its class.
    child = repr(Probe) if dynamic else "'c'"
    assert (report.context, report.child, report.reason) == ("child_terminated", child, "bad")
    assert (report.supervisor, report.pid.host) == ("sup", "sim/main")


def test_failed_starts_are_told(simulation):
    async def body():
        trap_exit()
        with pytest.raises(Exception):
            await Supervisor.start_link([Failing.spec("no", id="f")])
        todo = await script()
        async with supervisor([actor(todo, "a")]) as sup:
            await call(todo, ("a", ["fail"]))
            await kill(await pid_of(sup, "a"))
            await pids(sup)
            with pytest.raises(Exception):  # answered to the caller, so not told
                await Supervisor.start_child(sup, Failing.spec("no", id="g"))

    simulation.run(body)
    assert contexts(simulation) == [
        ("start_error", "'f'", "no"),
        ("child_terminated", "'a'", "killed"),
        ("start_error", "'a'", "on purpose"),
    ]


def test_reaching_the_limit_is_told(simulation):
    async def body():
        async with supervisor([probe("a")], max_restarts=0) as sup:
            exit(await pid_of(sup, "a"), "kill")
            assert await exit_of(sup) == "shutdown"

    simulation.run(body)
    assert contexts(simulation)[-1] == (
        "shutdown",
        "'Supervisor'",
        "reached_max_restart_intensity",
    )


@pytest.mark.parametrize("dynamic", [False, True])
def test_ends_that_were_not_as_told(simulation, dynamic):
    async def body():
        trap_exit()
        children = [
            Stubborn.spec(me(), "s", id="s", shutdown=0.1),
            probe("b", shutdown="brutal_kill"),
            probe("c", trap=True),
            probe("d", TRANSIENT),
        ]
        if dynamic:
            sup = await DynamicSupervisor.start_link()
            found = {c.id: await DynamicSupervisor.start_child(sup, c) for c in children}
        else:
            sup = await Supervisor.start_link(children)
            found = await pids(sup)
        exit(found["d"], "bad")
        await Supervisor.stop(sup)

    simulation.run(body)
    assert ("shutdown_error", "'s'", "killed") in contexts(simulation)
    assert {child for _, child, _ in contexts(simulation)} <= {"'s'", "'d'"}


def test_stray_messages_are_told(simulation):
    async def body():
        async with supervisor([]) as sup:
            send(sup, "stray info")
            cast(sup, "stray cast")
            with pytest.raises(CallExit):
                await call(sup, "stray call")

    simulation.run(body)
    texts = " ".join(notice.text for notice in told(simulation, Notice))
    for what in ("stray info", "stray cast", "stray call"):
        assert what in texts


def test_a_supervisor_shows_itself_not_its_machinery(simulation):
    async def body():
        async with supervisor([probe("a")], name="shown") as sup:
            status = await sys.get_status(sup)
            assert status["attributes"]["supervisor"] == "Supervisor"
            exit(sup, "crash it")  # its parent does: no crash, an end
            assert await exit_of(sup) == "crash it"

    simulation.run(body)
    (report,) = told(simulation, CrashReport)
    assert report.state.startswith("{'supervisor': 'Supervisor'")


def test_state_of_a_supervisor_can_be_looked_at(run):
    async def body():
        async with supervisor([probe("a")]) as sup:
            state = await sys.get_state(sup)
            assert "children" in state

    run(body)
