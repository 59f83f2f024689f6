"""What Python adds to OTP: coroutines, asyncio libraries, tasks, odd exceptions."""

from __future__ import annotations

import asyncio
import gc
import math
import time

import pytest

from foundation.otp import (
    AlreadyStarted,
    BlockingCall,
    CallExit,
    CallTimeout,
    ExitMsg,
    Fail,
    GenServer,
    NoReply,
    Ok,
    Result,
    StartError,
    Stop,
    Task,
    alive,
    call,
    cast,
    exit,
    me,
    receive,
    reply,
    send,
    send_after,
    spawn,
    trap_exit,
    whereis,
)
from foundation.otp.describe import text
from foundation.testing import eventually
from tests.otp.gskit import Doer, ends, events, nothing, raiser


class Unfinished(GenServer):
    """Answers what it knows, and hands the rest to the base class."""

    def handle_call(self, request, caller):
        match request:
            case "known":
                return 1
            case _:
                return super().handle_call(request, caller)


def test_gs_python_the_idiom_for_unknown_requests(run):
    async def body():
        trap_exit()
        pid = await Unfinished.start_link()
        assert await call(pid, "known") == 1
        with pytest.raises(CallExit, match="got the call 'unknown'"):
            await call(pid, "unknown")

    run(body)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, StopIteration])
@pytest.mark.parametrize("kind", ["def", "async"])
def test_gs_python_no_exception_kills_the_host(run, error, kind):
    if error is KeyboardInterrupt and run.name == "simulator":
        pytest.skip("there it means that the user wants the simulation to end")

    async def later(server, caller):
        await asyncio.sleep(0)
        raise error

    async def body():
        trap_exit()
        pid = await Doer.start_link(me())
        bystander = await Doer.start_link()
        with pytest.raises(CallExit) as caught:
            await call(pid, later if kind == "async" else lambda s, c: raiser(error()))
        expected = "RuntimeError" if (error, kind) == (StopIteration, "async") else error.__name__
        assert caught.value.reason.type == expected
        assert (await receive())[0] == "terminate"
        assert await ends(pid) == caught.value.reason
        assert await call(bystander, "count") == 1

    run(body)


def test_gs_python_a_generator_is_no_reply(run):
    def forgot(server, caller):
        yield 1

    async def body():
        trap_exit()
        pid = await Doer.start_link()
        with pytest.raises(CallExit, match="generator cannot be sent"):
            await call(pid, forgot)

    run(body)


def test_gs_python_a_plain_callback_may_return_a_coroutine(run):
    async def helper(server):
        await asyncio.sleep(0.001)
        return server.count

    async def body():
        pid = await Doer.start_link()
        assert await call(pid, lambda s, c: helper(s)) == 0

        async def nested(server, caller):
            return helper(server)  # forgot await: awaited for it

        assert await call(pid, nested) == 0

    run(body)


def test_gs_python_a_forgotten_await_of_call_warns(run):
    async def body():
        pid = await Doer.start_link()
        with pytest.warns(RuntimeWarning, match="never awaited"):
            forget(pid)
        assert await call(pid, "count") == 1  # it was not sent

    run(body)


def forget(pid):
    call(pid, "count")
    gc.collect()


def test_gs_python_call_in_a_plain_callback_says_what_to_do(run):
    async def body():
        trap_exit()
        pid = await Doer.start_link()
        with pytest.raises(CallExit, match="async def") as caught:
            await call(pid, lambda s, c: call("somebody", 1))
        assert BlockingCall.__name__ in caught.value.reason.type

    run(body)


def test_gs_python_asyncio_libraries_in_a_callback(run):
    async def work(server, caller):
        async with asyncio.timeout(1):
            await asyncio.sleep(0.001)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.sleep(3600)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.sleep(3600), 0.01)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(asyncio.sleep(0.001, n)) for n in range(3)]
        queue = asyncio.Queue()
        put = asyncio.create_task(queue.put("item"))
        got = await queue.get()
        await put
        in_thread = await asyncio.to_thread(lambda: "thread")
        event = asyncio.Event()
        asyncio.get_running_loop().call_later(0.001, event.set)
        await event.wait()
        return [task.result() for task in tasks], got, in_thread

    async def body():
        pid = await Doer.start_link()
        assert await call(pid, work) == ([0, 1, 2], "item", "thread")

    if run.name == "simulator":
        pytest.skip("threads have no place in virtual time")
    run(body)


def test_gs_python_anyio_in_a_callback(run):
    anyio = pytest.importorskip("anyio")

    async def work(server, caller):
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 0.001)
        with anyio.move_on_after(0.01) as scope:
            await anyio.sleep(3600)
        return scope.cancelled_caught

    async def body():
        pid = await Doer.start_link()
        assert await call(pid, work) is True

    run(body)


def test_gs_python_calls_in_gather_and_create_task(run):
    async def body():
        one, two = await Doer.start_link(), await Doer.start_link()

        async def work(server, caller):
            first = await asyncio.gather(call(one, "count"), call(two, "count"))
            task = asyncio.create_task(_count_twice(one))
            with pytest.raises(CallTimeout):
                await asyncio.gather(call(two, lambda s, c: NoReply(), timeout=0.01))
            return first, await task

        pid = await Doer.start_link()
        assert await call(pid, work) == ([1, 1], 3)

    async def _count_twice(server):
        await call(server, "count")
        return await call(server, "count")

    run(body)


def test_gs_python_receive_in_an_asyncio_task_is_refused(run):
    async def body():
        with pytest.raises(BlockingCall, match="asyncio task"):
            await asyncio.gather(receive())

    run(body)


def test_gs_python_a_server_may_receive_and_await_tasks(run):
    async def work(server, caller):
        task = Task.run(_double, 4)
        send(me(), "kept for handle_info")
        return await task, await Task.run(_double, 5).yield_()

    async def body():
        pid = await Doer.start_link(me())
        assert await call(pid, work) == (8, Result(10))
        assert await receive() == ("info", "kept for handle_info")
        assert await nothing()

    run(body)


async def _double(n):
    await asyncio.sleep(0.001)
    return n * 2


def test_gs_python_a_killed_server_closes_what_it_awaits(run):
    async def work(server, log):
        try:
            send(log, "begun")
            await asyncio.sleep(3600)
        finally:
            send(log, "finally")

    async def body():
        trap_exit()
        log = me()
        for reason in ("kill", "odd"):
            pid = await Doer.start_link(log)
            cast(pid, lambda s: work(s, log))
            assert await receive() == "begun"
            exit(pid, reason)
            got = await events(2)
            assert "finally" in got

    run(body)


def test_gs_python_a_match_that_raises_crashes_the_server_not_the_sender(run):
    async def work(server):
        await receive(lambda message: message["key"])

    async def body():
        trap_exit()
        pid = await Doer.start_link(me())
        cast(pid, work)
        await asyncio.sleep(0.005)
        send(pid, 5)
        (terminated,) = await events(1)
        assert terminated[0] == "terminate"
        assert (await ends(pid)).type == "TypeError"

    run(body)


def test_gs_python_a_callback_that_is_cancelled_crashes_the_server(run):
    async def work(server, caller):
        asyncio.current_task().cancel()
        await asyncio.sleep(3600)

    async def body():
        trap_exit()
        pid = await Doer.start_link()
        with pytest.raises(CallExit) as caught:
            await call(pid, work)
        assert "CancelledError" in caught.value.reason.type
        await ends(pid)

    run(body)


def test_gs_python_a_busy_server_keeps_its_messages_in_order(run):
    async def slow(server):
        await asyncio.sleep(0.01)
        server.tell("slow")

    async def body():
        pid = await Doer.start_link(me())
        cast(pid, slow)
        cast(pid, 1)
        send(pid, 2)
        cast(pid, slow)
        assert await call(pid, "count") == 1
        assert await events(4) == [("slow",), ("cast", 1), ("info", 2), ("slow",)]

    run(body)


def test_gs_python_reply_from_another_process(run):
    def hand_over(server, caller):
        spawn(reply, caller, "from elsewhere")
        return NoReply()

    async def body():
        pid = await Doer.start_link()
        assert await call(pid, hand_over) == "from elsewhere"

    run(body)


def test_gs_python_two_servers_share_nothing_but_their_class(run):
    async def body():
        one, two = await Doer.start_link(), await Doer.start_link()
        await call(one, "count")
        assert await call(two, "count") == 1
        exit(one, "normal")
        await eventually(lambda: alive(one) and alive(two))

    run(body)


@pytest.mark.foundation_drivers("simulator")
def test_gs_python_an_hour_takes_no_time(run):
    async def body():
        pid = await Doer.start_link(me())
        cast(pid, lambda s: NoReply(timeout=3600))
        await receive()

    run(body)


def test_gs_python_servers_can_be_started_side_by_side(run):
    async def body():
        trap_exit()
        pids = await asyncio.gather(*(Doer.start_link(name=f"n{n}") for n in range(3)))
        assert [whereis(f"n{n}") for n in range(3)] == pids
        with pytest.raises(AlreadyStarted):
            await asyncio.wait_for(Doer.start_link(name="n0"), 5)
        with pytest.raises(StartError, match="no"):
            await asyncio.wait_for(Doer.start_link(None, lambda s: Fail("no")), 5)
        assert (await receive(timeout=5)).reason == "normal"  # of the link
        with pytest.raises(StartError, match="timeout"):
            await asyncio.wait_for(Doer.start_link(None, sleepy, timeout=0.01), 5)
        assert await nothing()

    run(body)


async def sleepy(server):
    await asyncio.sleep(3600)


def test_gs_python_a_start_that_is_given_up_leaves_no_server(run):
    async def body():
        trap_exit()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await Doer.start_link(None, sleepy, name="given up")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(Doer.start_link(None, sleepy, name="this too"), 0.01)
        await eventually(lambda: whereis("given up") is None and whereis("this too") is None)
        assert await nothing()

    run(body)


@pytest.mark.parametrize("timeout", ["5", -1, float("nan")], ids=repr)
def test_gs_python_a_wrong_timeout_is_an_error_where_it_is_written(run, timeout):
    async def body():
        trap_exit()
        pid = await Doer.start_link()
        with pytest.raises(CallExit, match="timeout must be"):
            await call(pid, lambda server, caller: NoReply(timeout=timeout))
        with pytest.raises(StartError, match="timeout must be"):
            await Doer.start_link(None, lambda server: Ok(timeout=timeout))

    run(body)


def test_gs_python_nan_is_no_time(run):
    async def body():
        with pytest.raises(ValueError, match="nan"):
            await receive(timeout=math.nan)
        with pytest.raises(ValueError, match="nan"):
            send_after(math.nan, me(), "never")
        send_after(0.001, me(), "soon")
        assert await receive(timeout=5) == "soon"

    run(body)


def test_gs_python_a_huge_state_is_described_by_its_beginning():
    state = {"list": list(range(2_000_000)), "dict": dict.fromkeys(range(1_000_000)), "b": 1}
    begun = time.perf_counter()
    shown = text(state)
    assert time.perf_counter() - begun < 0.2
    assert shown.startswith("{'list': [0, 1, 2")
    ring = []
    ring.extend([ring] * 100)
    assert text(ring).startswith("[[[")
    small = {"b": [1, (2,), {3}], "a": {"x": None}, "t": "x" * 400, "n": 10**300}
    assert text(small, 1000) == repr(small)


def test_gs_55_who_started_without_a_link_is_no_parent(run):
    async def body():
        pid = await Doer.start(me(), None, True)
        exit(pid, "shutdown")
        assert await events(1) == [("info", ExitMsg(me(), "shutdown"))]
        exit(pid, "kill")

    run(body)


def test_gs_51_a_stop_reply_that_cannot_be_sent_is_the_reason(run):
    async def body():
        trap_exit()
        pid = await Doer.start_link(me())
        with pytest.raises(CallExit, match="cannot be sent"):
            await call(pid, lambda server, caller: Stop("normal", reply=(n for n in ())))
        assert await events(1) == [("terminate", "normal")]
        assert (await ends(pid)).type.endswith("Unsendable")

    run(body)
