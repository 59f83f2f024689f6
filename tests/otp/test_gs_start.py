"""GS-01 to GS-17: start and init."""

from __future__ import annotations

import asyncio

import pytest

from foundation.otp import (
    TIMEOUT,
    AlreadyStarted,
    BadReturn,
    ChildSpec,
    Continue,
    Crash,
    Down,
    Exit,
    ExitMsg,
    Fail,
    GenServer,
    Ignore,
    Ignored,
    InvalidChildSpec,
    Ok,
    Pid,
    StartError,
    Stop,
    call,
    cast,
    exit,
    me,
    process_info,
    receive,
    send,
    spawn,
    spawn_monitor,
    trap_exit,
    whereis,
)
from foundation.testing import eventually
from tests.otp.gskit import Doer, ends, events, nothing, raiser


class Cache(GenServer, restart="transient", shutdown=10.0, id="the cache"):
    pass


class Plain(GenServer):
    pass


class SlowInit(GenServer):
    async def init(self, log, seconds):
        send(log, ("init", me()))
        await asyncio.sleep(seconds)
        send(log, "initialised")

    def handle_call(self, request, caller):
        return request


def test_gs_01_start_link_returns_when_init_has_finished_and_links(run):
    async def body():
        trap_exit()
        pid = await SlowInit.start_link(me(), 0.02)
        assert await events(2) == [("init", pid), "initialised"]
        assert await call(pid, "hello") == "hello"
        exit(pid, "away")
        assert await receive() == ExitMsg(pid, "away")

    run(body)


def test_gs_02_init_runs_in_the_new_process_and_has_its_name(run):
    async def body():
        log = me()
        pid = await Doer.start_link(log, lambda s: s.tell(me(), whereis("worker")), name="worker")
        assert await receive() == (pid, pid)
        assert pid != log

    run(body)


def test_gs_03_timeout_of_init_comes_once_as_a_message(run):
    async def body():
        await Doer.start_link(me(), lambda s: Ok(timeout=0.01))
        assert await receive() == ("info", TIMEOUT)
        assert await nothing(0.05)

    run(body)


def test_gs_04_continue_of_init_runs_before_any_message(run):
    def first(server):
        send(me(), "message")
        return Continue("work")

    async def body():
        await Doer.start_link(me(), first)
        assert await events(2) == [("continue", "work"), ("info", "message")]

    run(body)


def test_gs_05_start_link_does_not_wait_for_continue(run):
    async def slow(server):
        await receive(lambda m: m == "go on")
        server.tell("done")

    async def body():
        pid = await Doer.start_link(me(), lambda s: Continue(slow))
        send(pid, "go on")
        assert await receive() == ("done",)

    run(body)


def test_gs_06_ignore_is_no_error(run):
    async def body():
        assert await Doer.start_link(me(), lambda s: Ignore()) == Ignored()
        assert await Doer.start(me(), lambda s: Ignore()) == Ignored()
        assert await nothing()  # no terminate either
        trap_exit()
        assert await Doer.start_link(me(), lambda s: Ignore()) == Ignored()
        assert (await receive()).reason == "normal"
        assert await nothing()

    run(body)
    assert not run.reports


async def start_linked(log, first):
    try:
        await Doer.start_link(log, first)
    except StartError as error:
        send(log, ("failed", error.reason))


def test_gs_07_stop_of_init_fails_the_start_and_signals_links(run):
    async def body():
        with pytest.raises(StartError) as caught:
            await Doer.start(me(), lambda s: Stop("no"))
        assert caught.value.reason == "no"
        # A caller that does not trap dies with it, unless the reason is normal.
        pid, ref = spawn_monitor(start_linked, me(), lambda s: Stop("no"))
        assert (await receive()) == Down(ref, pid, "no")
        spawn(start_linked, me(), lambda s: Stop("normal"))
        assert await receive() == ("failed", "normal")
        trap_exit()
        with pytest.raises(StartError):
            await Doer.start_link(me(), lambda s: Stop("no"))
        assert (await receive()).reason == "no"
        assert await nothing()  # terminate did not run

    run(body)


def test_gs_08_raising_in_init_fails_the_start(run):
    async def body():
        with pytest.raises(StartError) as caught:
            await Doer.start(me(), lambda s: raiser(ValueError("bad")))
        assert caught.value.reason == Crash("ValueError", "bad", caught.value.reason.traceback_text)
        pid, ref = spawn_monitor(start_linked, me(), lambda s: raiser(ValueError("bad")))
        down = await receive()
        assert (down.ref, down.object, down.reason.message) == (ref, pid, "bad")
        with pytest.raises(StartError) as caught:
            await Doer.start(me(), lambda s: raiser(Exit("mine")))
        assert caught.value.reason == "mine"
        with pytest.raises(StartError, match="SystemExit"):
            await Doer.start(me(), lambda s: raiser(SystemExit()))
        with pytest.raises(StartError, match="argument"):
            await Doer.start(1, 2, 3, 4, 5)
        assert await nothing()

    run(body)
    assert any(getattr(r, "kind", "") == "Doer" for r in run.reports)


def test_gs_10_an_unknown_result_of_init_is_a_bad_return(run):
    async def body():
        with pytest.raises(StartError) as caught:
            await Doer.start(me(), lambda s: {"count": 1})
        assert caught.value.reason == BadReturn("{'count': 1}", "init")

    run(body)


def test_gs_11_fail_is_quiet(run):
    async def body():
        trap_exit()
        with pytest.raises(StartError) as caught:
            await Doer.start_link(me(), lambda s: Fail("no license"))
        assert caught.value.reason == "no license"
        assert (await receive()).reason == "normal"

    run(body)
    assert not run.reports


@pytest.mark.parametrize("outcome", ["ignore", "fail", "stop", "raise"])
def test_gs_12_the_name_of_a_failed_start_is_free_at_once(run, outcome):
    firsts = {
        "ignore": lambda s: Ignore(),
        "fail": lambda s: Fail("x"),
        "stop": lambda s: Stop("x"),
        "raise": lambda s: raiser(ValueError()),
    }

    async def body():
        for _ in range(3):
            try:
                assert await Doer.start(me(), firsts[outcome], name="taken") == Ignored()
            except AlreadyStarted:
                raise
            except StartError:
                pass
        assert type(await Doer.start_link(me(), name="taken")) is Pid

    run(body)


def test_gs_13_a_start_that_takes_too_long_is_killed(run):
    async def body():
        trap_exit()
        with pytest.raises(StartError) as caught:
            await SlowInit.start_link(me(), 3600, name="slow", timeout=0.05)
        assert caught.value.reason == "timeout"
        message = await receive()
        assert message[0] == "init"
        assert await nothing()  # no EXIT
        await eventually(lambda: whereis("slow") is None)
        assert type(await Doer.start_link(name="slow")) is Pid

    run(body)


def test_gs_14_a_name_that_is_held_refuses_the_start(run):
    async def body():
        first = await Doer.start(me(), name="unique")
        trap_exit()
        with pytest.raises(AlreadyStarted) as caught:
            await Doer.start_link(me(), lambda s: s.tell("init ran"), name="unique")
        assert caught.value.pid == first
        assert caught.value.reason == ("already_started", first)
        assert await nothing()
        assert first not in process_info(me())["links"]
        exit(first, "kill")
        assert await nothing()

    run(body)


def test_gs_16_start_monitor_has_the_monitor_in_place(run):
    async def body():
        pid, ref = await Doer.start_monitor(me(), lambda s: Continue(lambda s: Stop("at once")))
        reason = "noproc" if run.name == "processes" else "at once"  # gone before it was asked
        assert await events(2) == [("terminate", "at once"), Down(ref, pid, reason)]
        with pytest.raises(StartError):
            await Doer.start_monitor(me(), lambda s: Fail("x"))
        assert (await Doer.start_monitor(me(), lambda s: Ignore()))[0] == Ignored()
        assert await nothing()

    run(body)


def test_gs_17_spec_has_the_options_of_the_class():
    spec = Cache.spec(1, size=2)
    assert spec == ChildSpec(
        "the cache", (Cache, (1,), {"size": 2}), restart="transient", shutdown=10.0
    )
    assert Plain.spec().id is Plain
    assert Plain.spec().restart == "permanent"
    assert Plain.spec().shutdown == 5.0
    assert Plain.spec(name="p").id == "p"
    assert Cache.spec(restart="temporary").restart == "temporary"
    with pytest.raises(InvalidChildSpec, match="restart must be"):

        class Wrong(GenServer, restart="always"):
            pass


def test_gs_start_arguments_are_copied(run):
    async def body():
        given = [1]
        pid = await Doer.start_link(given, lambda s: s.log.append(2))
        assert given == [1]
        assert await call(pid, lambda s, c: s.log) == [1, 2]

    run(body)


def test_gs_start_an_unlinked_starter_is_no_parent(run):
    async def body():
        pid = await Doer.start(me(), None, True)
        exit(pid, "please")
        assert await receive() == ("info", ExitMsg(me(), "please"))
        cast(pid, lambda s: Stop("normal"))
        assert await receive() == ("terminate", "normal")

    run(body)


def test_gs_start_link_survives_the_starter_ending_normal(run):
    async def body():
        log = me()

        async def starter():
            send(log, await Doer.start_link(log))

        spawn(starter)
        pid = await receive()
        assert await call(pid, "count") == 1
        exit(pid, "kill")

    run(body)
    assert ends
