"""GS-50 to GS-60: stop and terminate."""

from __future__ import annotations

import asyncio

import pytest

from foundation.otp import (
    BadReturn,
    CallExit,
    CallingSelf,
    CallTimeout,
    Crash,
    Down,
    Exit,
    ExitMsg,
    NoProc,
    NoReply,
    Shutdown,
    Stop,
    alive,
    call,
    cast,
    exit,
    me,
    monitor,
    receive,
    send,
    spawn,
    stop,
    trap_exit,
    whereis,
)
from foundation.testing import eventually
from tests.otp.gskit import Doer, ends, events, nothing, parent_of, raiser


def test_gs_50_terminate_then_reply_then_exit(run):
    async def body():
        trap_exit()
        pid = await Doer.start_link(me())
        assert await call(pid, lambda s, c: Stop("over", reply="bye")) == "bye"
        assert await receive(timeout=0) == ("terminate", "over")
        assert await receive() == ExitMsg(pid, "over")

    run(body)


class BadEnd(Doer):
    def terminate(self, reason):
        super().terminate(reason)
        raise RuntimeError("terminate failed")


class BadAsyncEnd(Doer):
    async def terminate(self, reason):
        super().terminate(reason)
        await asyncio.sleep(0)
        raise RuntimeError("terminate failed")


@pytest.mark.parametrize("server", [BadEnd, BadAsyncEnd])
def test_gs_51_terminate_that_crashes_changes_the_reason_only(run, server):
    async def body():
        trap_exit()
        pid = await server.start_link(me())
        assert await call(pid, lambda s, c: Stop("normal", reply="bye")) == "bye"
        assert await receive() == ("terminate", "normal")
        reason = await ends(pid)
        assert (reason.type, reason.message) == ("RuntimeError", "terminate failed")

    run(body)


ENDS = {
    "stop": (lambda s: Stop("over"), "over"),
    "raise": (lambda s: raiser(ValueError("x")), "ValueError"),
    "exit": (lambda s: raiser(Exit("mine")), "mine"),
    "garbage": (lambda s: 17, BadReturn("17", "handle_{}")),
}


@pytest.mark.parametrize("how", list(ENDS))
@pytest.mark.parametrize("callback", ["cast", "info", "continue", "call"])
def test_gs_52_terminate_runs_once_with_the_reason(run, how, callback):
    act, expected = ENDS[how]
    if type(expected) is BadReturn:
        expected = BadReturn(expected.value, expected.callback.format(callback))
    if callback == "call" and how == "garbage":
        return  # a reply

    async def body():
        trap_exit()
        pid = await Doer.start_link(me())
        if callback == "cast":
            cast(pid, act)
        elif callback == "info":
            send(pid, act)
        elif callback == "continue":
            cast(pid, lambda s: NoReply(continue_=act))
        else:
            with pytest.raises(CallExit):
                await call(pid, lambda s, c: act(s))
        kind, reason = await receive()
        assert kind == "terminate"
        assert getattr(reason, "type", reason) == expected
        assert await ends(pid) == reason
        assert await nothing()

    run(body)


def test_gs_53_exit_normal_is_a_clean_stop(run):
    async def body():
        trap_exit()
        pid = await Doer.start_link(me())
        cast(pid, lambda s: raiser(Exit("normal")))
        assert await receive() == ("terminate", "normal")
        assert await ends(pid) == "normal"

    run(body)
    assert not run.reports


@pytest.mark.parametrize("reason", ["normal", "shutdown", "odd"])
@pytest.mark.parametrize("how", ["signal", "death"])
def test_gs_54_the_parents_exit_ends_a_trapping_server(run, reason, how):
    async def body():
        if how == "signal":
            trap_exit()
            pid = await Doer.start_link(me(), None, True)
            exit(pid, reason)
        else:
            parent = spawn(parent_of, me())
            pid = await receive()
            monitor(pid)
            send(parent, reason)
        assert await receive() == ("terminate", reason)
        assert (await receive()).reason == reason
        assert await nothing()

    run(body)


@pytest.mark.parametrize("first", ["parked", "behind"])
def test_gs_54_the_parents_exit_does_not_wait_for_a_parked_callback(run, first):
    async def forever(server):
        server.tell("parked")
        try:
            await asyncio.sleep(3600)
        finally:
            server.tell("cleaned up")

    async def body():
        trap_exit()
        pid = await Doer.start_link(me(), None, True)
        cast(pid, forever)
        if first == "parked":
            assert await receive() == ("parked",)
        exit(pid, "shutdown")  # in "behind": it comes before the callback has parked
        got = await events(3 + (first == "behind"))
        if first == "behind":
            assert got.pop(0) == ("parked",)
        assert got == [("cleaned up",), ("terminate", "shutdown"), ExitMsg(pid, "shutdown")]

    run(body)


def test_gs_55_the_exit_of_another_link_is_a_message(run):
    async def friend():
        raise Exit(await receive())

    async def body():
        other = spawn(friend)
        pid = await Doer.start_link(me(), lambda s: _link(other), True)
        assert await receive() == ("info", "linked")
        send(other, "gone")
        assert await receive() == ("info", ExitMsg(other, "gone"))
        assert await call(pid, "count") == 1

    run(body)


def _link(other):
    from foundation.otp import link, me, send

    link(other)
    send(me(), "linked")


def test_gs_56_a_server_that_does_not_trap_dies_without_terminate(run):
    async def body():
        trap_exit()
        log = me()
        for reason in ("odd", "shutdown", Shutdown(1)):
            pid = await Doer.start_link(log)
            exit(pid, reason)
            assert await ends(pid) == reason
        pid = await Doer.start_link(log)
        exit(pid, "normal")
        assert await call(pid, "count") == 1
        for reason, lives in (("normal", True), ("odd", False)):
            parent = spawn(parent_of, log, False)
            child = await receive()
            ref = monitor(child)
            send(parent, reason)
            if lives:
                assert await nothing()
                exit(child, "kill")
                assert await receive() == Down(ref, child, "killed")
            else:
                assert await receive() == Down(ref, child, "odd")
        assert await nothing()

    run(body)


def test_gs_57_kill_cannot_be_trapped(run):
    async def body():
        trap_exit()
        pid = await Doer.start_link(me(), None, True)
        exit(pid, "kill")
        assert await receive() == ExitMsg(pid, "killed")
        assert await nothing()

    run(body)


def test_gs_58_stop_comes_after_the_messages_before_it(run):
    async def body():
        pid = await Doer.start(me(), name="stopped")
        for number in range(5):
            cast(pid, number)
        await stop("stopped")
        assert not alive(pid) or run.name == "processes"
        await eventually(lambda: whereis("stopped") is None)
        got = await events(6)
        assert got == [*[("cast", n) for n in range(5)], ("terminate", "normal")]
        pid = await Doer.start(me())
        await stop(pid, Shutdown("why"))
        assert await receive() == ("terminate", Shutdown("why"))

    run(body)


def test_gs_59_stop_raises_as_call_does(run):
    async def body():
        with pytest.raises(NoProc):
            await stop("unknown")
        pid = await Doer.start()
        await stop(pid)
        with pytest.raises(NoProc):
            await stop(pid)
        with pytest.raises(CallingSelf):
            await stop(me())
        pid = await BadEnd.start(me())
        with pytest.raises(CallExit) as caught:
            await stop(pid)
        assert type(caught.value.reason) is Crash
        pid = await Doer.start()
        cast(pid, lambda s: Stop("earlier"))
        with pytest.raises(CallExit) as caught:
            await stop(pid)
        assert caught.value.reason in ("earlier", "noproc")

    run(body)


def test_gs_60_stop_that_times_out_still_stops(run):
    async def body():
        pid = await Doer.start(me())
        ref = monitor(pid)
        cast(pid, lambda s: asyncio.sleep(0.05))
        with pytest.raises(CallTimeout):
            await stop(pid, timeout=0.01)
        assert await events(2) == [("terminate", "normal"), Down(ref, pid, "normal")]

    run(body)


def test_gs_stop_a_signal_sent_to_a_running_server_ends_it_without_terminate(run):
    # The server kills its victim, whose link kills the server while it is still on the stack.
    async def friend():
        await receive()

    async def body():
        other = spawn(friend)
        pid = await Doer.start(me(), lambda s: _link(other))
        assert await receive() == ("info", "linked")
        ref = monitor(pid)

        def act(server):
            exit(other, "odd")
            raise ValueError("after the signal")

        if run.name == "processes":
            exit(other, "odd")  # its host is another, so no stack is shared
        else:
            cast(pid, act)
        assert await receive() == Down(ref, pid, "odd")
        assert await nothing()

    run(body)
