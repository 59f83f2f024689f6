"""GS-38 to GS-49: cast, info, several servers, timeouts, continue."""

from __future__ import annotations

import asyncio

import pytest

from foundation.otp import (
    TIMEOUT,
    CallExit,
    Continue,
    NoReply,
    Ok,
    Reply,
    abcast,
    call,
    cast,
    exit,
    me,
    multi_call,
    receive,
    send,
    sys,
    trap_exit,
    via,
    whereis,
)
from foundation.otp import Registry as LocalRegistry
from tests.otp.gskit import Bare, Doer, ends, events, nothing


def test_gs_38_cast_never_fails(run):
    async def body():
        await LocalRegistry.start_link(name="registry", keys="unique")
        pid = await Doer.start()
        exit(pid, "kill")
        for target in (pid, "unknown", via("registry", "unknown")):
            assert cast(target, "x") is None
        alive = await Doer.start_link(me())
        assert cast(alive, ["list"]) is None
        assert await receive() == ("cast", ["list"])

    run(body)


@pytest.mark.parametrize("how", ["call", "cast", "continue"])
def test_gs_41_a_missing_callback_crashes_the_server(run, how):
    async def body():
        trap_exit()
        pid = await (Bare if how != "continue" else OnlyInit).start_link()
        if how == "call":
            with pytest.raises(CallExit, match="has no handle_call") as caught:
                await call(pid, "anything")
            assert caught.value.reason.type == "NotImplementedError"
        elif how == "cast":
            cast(pid, "anything")
        reason = await ends(pid)
        assert reason.type == "NotImplementedError"
        assert f"handle_{how}" in reason.message

    run(body)


class OnlyInit(Bare):
    def init(self):
        return Continue("work")


def test_gs_41_an_unknown_message_is_logged_only(run):
    async def body():
        pid = await Bare.start_link()
        send(pid, "what is this")
        with pytest.raises(CallExit):
            await call(pid, "x")

    run_catching(run, body)
    if run.name != "processes":
        assert any("what is this" in getattr(r, "text", "") for r in run.reports)


def run_catching(run, body):
    async def trapping():
        trap_exit()
        await body()

    run(trapping)


def test_gs_42_abcast_skips_the_missing(run):
    async def body():
        one = await Doer.start_link(me(), name="one")
        two = await Doer.start_link(me())
        abcast(["one", "nobody", two], "hello")
        assert await events(2) == [("cast", "hello")] * 2
        assert one != two

    run(body)


def test_gs_43_multi_call_asks_all_at_once(run):
    async def body():
        log = me()
        one = await Doer.start_link(log, name="one")
        late = await Doer.start_link(log)
        two = await Doer.start_link(log)
        dead = await Doer.start()
        exit(dead, "kill")

        async def answer(server, caller):
            if me() == late:
                await asyncio.sleep(0.1)
            return me()

        replies, bad = await multi_call(
            ["one", "nobody", late, dead, two], answer, timeout=0.04
        )
        assert replies == [("one", one), (two, two)]
        assert bad == ["nobody", late, dead]
        assert await nothing(0.1)  # the late answer is dropped

    run(body)


def test_gs_44_whereis(run):
    async def body():
        await LocalRegistry.start_link(name="registry", keys="unique")
        pid = await Doer.start_link(name="named")
        other = await Doer.start_link(name=via("registry", 7))
        assert whereis("named") == pid
        assert whereis(via("registry", 7)) == other
        assert whereis(pid) == pid
        assert whereis("unknown") is None
        assert whereis(via("registry", 8)) is None

    run(body)


def test_gs_46_timeout_zero_lets_a_queued_message_go_first(run):
    async def body():
        def first(server):
            send(me(), "queued")
            return NoReply(timeout=0)

        pid = await Doer.start_link(me())
        cast(pid, first)
        assert await receive() == ("info", "queued")
        assert await nothing()
        cast(pid, lambda s: NoReply(timeout=0))
        assert await receive() == ("info", TIMEOUT)

    run(body)


def test_gs_47_a_timeout_fires_once(run):
    async def body():
        pid = await Doer.start_link(me())
        assert await call(pid, lambda s, c: Reply(1, timeout=0.01)) == 1
        assert await receive() == ("info", TIMEOUT)
        assert await nothing(0.05)

    run(body)


def test_gs_47_a_message_ends_the_countdown(run):
    async def body():
        pid = await Doer.start_link(me())
        await call(pid, lambda s, c: Reply(1, timeout=0.03))
        await call(pid, "count")
        assert await nothing(0.1)

    run(body)


def test_gs_48_a_system_request_starts_the_countdown_anew(run):
    async def body():
        loop = asyncio.get_running_loop()
        pid = await Doer.start_link(me(), lambda s: Ok(timeout=0.15))
        for _ in range(2):
            await asyncio.sleep(0.1)
            await sys.get_state(pid)
        before = loop.time()
        assert await receive() == ("info", TIMEOUT)
        assert loop.time() - before > 0.12
        assert await nothing(0.2)

    run(body)


def test_gs_48_no_timeout_while_suspended(run):
    async def body():
        pid = await Doer.start_link(me(), lambda s: Ok(timeout=0.02))
        await sys.suspend(pid)
        assert await nothing(0.06)
        await sys.resume(pid)
        assert await receive() == ("info", TIMEOUT)

    run(body)


def test_gs_49_a_chain_of_continues_runs_before_the_next_message(run):
    def count_down(n):
        def step(server):
            server.tell(n)
            return Continue(count_down(n - 1)) if n else None

        return step

    async def body():
        def first(server):
            send(me(), "message")
            return Continue(count_down(3))

        await Doer.start_link(me(), first)
        assert await events(5) == [(3,), (2,), (1,), (0,), ("info", "message")]

    run(body)


class Long(Doer):
    def handle_continue(self, n):
        return Continue(n - 1) if n else None


class LongAsync(Doer):
    async def handle_continue(self, n):
        return Continue(n - 1) if n else None


@pytest.mark.parametrize("server", [Long, LongAsync])
def test_gs_49_a_long_chain_needs_no_stack(run, server):
    async def body():
        pid = await server.start_link(None, lambda s: Continue(20_000))
        assert await call(pid, "count") == 1

    run(body)
