"""GS-19 to GS-36: call, reply, timeouts."""

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
    NoConnection,
    NoProc,
    NoReply,
    Pid,
    Reply,
    Stop,
    call,
    cast,
    exit,
    me,
    monitor,
    receive,
    reply,
    send,
    spawn,
    trap_exit,
    via,
)
from foundation.otp import Registry as LocalRegistry
from foundation.testing import eventually
from tests.otp.gskit import Doer, caller_of, ends, events, nothing, raiser


def test_gs_19_the_return_value_is_the_reply(run):
    async def body():
        pid = await Doer.start_link()
        assert await call(pid, "count") == 1
        assert await call(pid, "count") == 2
        assert await call(pid, lambda s, c: Reply("value")) == "value"
        for odd in (None, False, 0, (), ("a", 1), {"x": [1]}):
            assert await call(pid, lambda s, c, odd=odd: odd) == odd

    run(body)


def test_gs_21_reply_before_the_handler_returns(run):
    def handler(server, caller):
        reply(caller, "early")

        async def rest():
            await receive(lambda m: m == "go on")
            server.tell("rest done")
            return NoReply()

        return rest()

    async def body():
        pid = await Doer.start_link(me())
        assert await call(pid, handler) == "early"
        assert await nothing()
        send(pid, "go on")
        assert await receive() == ("rest done",)

    run(body)


def test_gs_21_reply_later_by_noreply(run):
    async def body():
        pid = await Doer.start_link(me())

        def keep(server, caller):
            server.waiting = caller
            return NoReply()

        spawn(caller_of, me(), pid, keep)
        await eventually(lambda: _has(pid, "waiting"))
        cast(pid, lambda s: reply(s.waiting, "late"))
        assert await receive() == ("reply", "late")

    async def _has(pid, name):
        return await call(pid, lambda s, c: hasattr(s, name))

    run(body)


def test_gs_22_continue_runs_after_the_reply_and_before_the_next_message(run):
    def handler(server, caller):
        send(me(), "next")

        async def work(server):
            server.tell("continue begins")
            await receive(lambda m: m == "go on")
            server.tell("continue ends")

        return Reply("value", continue_=work)

    async def body():
        pid = await Doer.start_link(me())
        assert await call(pid, handler) == "value"
        assert await receive() == ("continue begins",)
        send(pid, "go on")
        assert await events(2) == [("continue ends",), ("info", "next")]

    run(body)


@pytest.mark.foundation_drivers("simulator")
def test_gs_23_five_seconds_is_the_default_and_none_is_for_ever(run):
    async def body():
        loop = asyncio.get_running_loop()
        pid = await Doer.start_link()
        before = loop.time()
        with pytest.raises(CallTimeout):
            await call(pid, lambda s, c: asyncio.sleep(6))
        assert 5.0 <= loop.time() - before < 5.5
        assert await call(pid, lambda s, c: asyncio.sleep(3600, "slept"), timeout=None) == "slept"

    run(body)


def test_gs_24_a_late_answer_is_dropped(run):
    async def body():
        pid = await Doer.start_link()
        with pytest.raises(CallTimeout) as caught:
            await call(pid, lambda s, c: asyncio.sleep(0.05, "late"), timeout=0.01)
        assert isinstance(caught.value, TimeoutError)
        assert caught.value.timeout == 0.01
        assert await call(pid, lambda s, c: "second") == "second"
        assert await nothing(0.05)

    run(body)


def test_gs_25_a_request_whose_caller_gave_up_is_carried_out(run):
    async def body():
        pid = await Doer.start_link()
        with pytest.raises(CallTimeout):
            await call(pid, _count_slowly, timeout=0.01)
        assert await call(pid, "count") == 2
        caller = spawn(caller_of, me(), pid, _count_slowly, None)
        await asyncio.sleep(0.01)
        exit(caller, "kill")
        assert await call(pid, "count") == 4
        assert await nothing()

    run(body)


async def _count_slowly(server, caller):
    await asyncio.sleep(0.03)
    server.count += 1


@pytest.mark.parametrize("how", ["kill", "stop", "raise", "exit"])
def test_gs_26_callers_fail_at_once_when_the_server_dies(run, how):
    reasons = {"kill": "killed", "stop": "over", "raise": "ValueError", "exit": "gone"}
    ways = {
        "stop": lambda s, c: Stop("over"),
        "raise": lambda s, c: raiser(ValueError("x")),
    }

    async def body():
        pid = await Doer.start(me() if how == "stop" else None)
        seen = monitor(pid)
        spawn(caller_of, me(), pid, lambda s, c: NoReply(), None)  # will be owed a reply
        assert await call(pid, "count") == 1
        await asyncio.sleep(0.02)
        spawn(caller_of, me(), pid, ways.get(how, lambda s, c: asyncio.sleep(3600)), None)
        await asyncio.sleep(0.02)
        spawn(caller_of, me(), pid, "count", None)  # still in the mailbox
        await asyncio.sleep(0.02)
        if how in ("kill", "exit"):
            exit(pid, "kill" if how == "kill" else "gone")
        found = [m for m in await events(4 + (how == "stop")) if m != ("terminate", "over")]
        failed = [m[1] for m in found if type(m) is tuple and m[0] == "failed"]
        down = next(m for m in found if type(m) is Down)
        assert down.ref == seen
        # The third may have come too late to be in the mailbox.
        assert len(failed) == 3
        for reason in (*[r for r in failed if r != "noproc"], down.reason):
            assert getattr(reason, "type", reason) == reasons[how]
        assert failed.count("noproc") <= (how in ("stop", "raise"))

    run(body)


def test_gs_27_a_clean_stop_without_reply_fails_the_caller(run):
    async def body():
        pid = await Doer.start_link()
        with pytest.raises(CallExit) as caught:
            await call(pid, lambda s, c: Stop("normal"))
        assert caught.value.reason == "normal"
        assert caught.value.server == pid

    run(body)
    assert not run.reports


def test_gs_28_nobody_there(run):
    async def body():
        await LocalRegistry.start_link(name="registry", keys="unique")
        pid = await Doer.start()
        exit(pid, "kill")
        await eventually(lambda: _dead(pid))
        for server in (pid, "unknown", via("registry", "unknown")):
            with pytest.raises(NoProc) as caught:
                await call(server, "count", timeout=None)
            assert caught.value.reason == "noproc"
            assert caught.value.server == server
            assert caught.value.definite

    async def _dead(pid):
        try:
            await call(pid, "count")
        except CallExit:
            return True

    run(body)


def test_gs_29_calling_oneself(run):
    async def body():
        await LocalRegistry.start_link(name="registry", keys="unique")
        for name in (None, "self", via("registry", "self")):
            pid = await Doer.start_link(name=name)
            target = pid if name is None else name

            async def handler(server, caller, target=target):
                try:
                    await call(target, "count", timeout=None)
                except CallingSelf as error:
                    return error.reason

            assert await call(pid, handler) == "calling_self"

    run(body)


def test_gs_30_a_host_that_cannot_be_reached(run):
    async def body():
        for server in (Pid("nowhere/host", 1, 7), Pid(me().host, me().incarnation + 1, 7)):
            with pytest.raises((NoConnection, NoProc)) as caught:
                await call(server, "count", timeout=None)
            assert caught.value.server == server
        assert type(caught.value) is NoProc
        cast(Pid("nowhere/host", 1, 7), "lost")

    run(body)


def test_gs_32_two_servers_calling_each_other_do_not_hang(run):
    async def body():
        trap_exit()
        a = await Doer.start_link()
        b = await Doer.start_link()

        async def inner(server, caller):
            return await call(a, "count", timeout=0.05)

        async def outer(server, caller):
            return await call(b, inner, timeout=None)

        with pytest.raises(CallExit) as caught:
            await call(a, outer, timeout=None)
        # b's call timed out and crashed it; a's call failed by that and crashed it too.
        assert "CallExit" in caught.value.reason.type
        assert "CallTimeout" in (await ends(b)).type
        await ends(a)

    run(body)


def test_gs_33_a_crash_fails_the_caller_and_no_message_follows(run):
    async def body():
        log = me()
        pid = await Doer.start(log)
        ref = monitor(pid)

        def crash(server, caller):
            server.count = 1_000_000
            send(me(), lambda s: s.tell("handled by a damaged server"))
            raise ValueError("boom")

        with pytest.raises(CallExit) as caught:
            await call(pid, crash)
        reason = caught.value.reason
        assert type(reason) is Crash
        assert (reason.type, reason.message) == ("ValueError", "boom")
        assert "in crash" in reason.traceback_text  # not the line: a pickled function has none
        assert await receive() == ("terminate", reason)
        assert await receive() == Down(ref, pid, reason)
        assert await nothing()

    run(body)


def test_gs_34_a_linked_trapping_caller_gets_both(run):
    async def body():
        trap_exit()
        pid = await Doer.start_link()
        with pytest.raises(CallExit) as caught:
            await call(pid, lambda s, c: raiser(ValueError("boom")))
        assert await ends(pid) == caught.value.reason

    run(body)


def test_gs_35_the_second_answer_is_dropped(run):
    def twice(server, caller):
        reply(caller, 1)
        reply(caller, 2)
        return 3

    async def body():
        pid = await Doer.start_link()
        assert await call(pid, twice) == 1
        assert await nothing()
        assert await call(pid, "count") == 1

    run(body)


def test_gs_36_a_reply_to_a_dead_caller_is_harmless(run):
    async def body():
        pid = await Doer.start_link(me())

        def keep(server, caller):
            server.waiting = caller
            server.tell("asked")
            return NoReply()

        caller = spawn(caller_of, me(), pid, keep)
        assert await receive() == ("asked",)
        exit(caller, "kill")
        await asyncio.sleep(0.01)
        cast(pid, lambda s: reply(s.waiting, "anybody?"))
        assert await call(pid, "count") == 1
        assert await nothing()

    run(body)


def test_gs_call_a_reply_that_cannot_be_copied_crashes_the_server(run):
    async def body():
        trap_exit()
        pid = await Doer.start_link()
        with pytest.raises(CallExit) as caught:
            await call(pid, lambda s, c: (x for x in [1]))
        assert caught.value.reason.type.endswith("Unsendable")
        assert await ends(pid) == caught.value.reason

    run(body)


def test_gs_call_a_reply_is_a_copy(run):
    async def body():
        pid = await Doer.start_link(None, lambda s: setattr(s, "things", [1]))
        things = await call(pid, lambda s, c: s.things)
        things.append(2)
        assert await call(pid, lambda s, c: s.things) == [1]
        request = [1]
        await call(pid, lambda s, c, r=request: None)
        assert request == [1]

    run(body)


def test_gs_call_options_do_not_belong_into_casts(run):
    async def body():
        trap_exit()
        pid = await Doer.start_link()
        cast(pid, lambda s: Reply(1))
        reason = await ends(pid)
        assert reason == BadReturn(repr(Reply(1)), "handle_cast")

    run(body)
