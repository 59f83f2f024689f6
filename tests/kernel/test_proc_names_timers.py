"""PROC 1.5: names, aliases, timers, process information."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from foundation.errors import AlreadyStarted, Exit, NameTaken, NotInProcess
from foundation.kernel import ops
from foundation.kernel.ops import (
    alias,
    alive,
    call,
    cancel_timer,
    cast,
    link,
    me,
    monitor,
    process_info,
    receive,
    register,
    send,
    send_after,
    spawn,
    spawn_link,
    trap_exit,
    unalias,
    unregister,
    whereis,
)
from foundation.kernel.values import Down
from foundation.otp.gen_server import GenServer
from foundation.testing import eventually


class Probe(GenServer):
    """Does what it is told, so that a test decides which process does what."""

    def init(self):
        self.seen = []

    async def handle_call(self, request, caller):
        if request == "seen":
            return self.seen
        name, *args = request
        result = getattr(ops, name)(*args)
        return await result if inspect.isawaitable(result) else result

    def handle_cast(self, request):
        raise Exit(request)

    def handle_info(self, message):
        self.seen.append(message)


async def _ended(pid):
    ref = monitor(pid)
    await receive(lambda m: isinstance(m, Down) and m.ref == ref, timeout=5)


async def _quiet():
    await asyncio.sleep(0.05)
    with pytest.raises(TimeoutError):
        await receive(timeout=0)


def _now():
    return asyncio.get_running_loop().time()


def test_proc_40_a_name_denotes_one_process_and_ends_with_it(run):
    async def body():
        assert whereis("one") is None
        pid = await Probe.start_link(name="one")
        assert whereis("one") == pid
        with pytest.raises(NameTaken):
            await register("one")
        with pytest.raises(AlreadyStarted) as caught:
            await Probe.start_link(name="one")
        assert caught.value.pid == pid
        assert whereis("one") == pid
        await register("mine")
        assert whereis("mine") == me()
        with pytest.raises(NameTaken):
            await register("second name")
        assert whereis("second name") is None
        unregister("mine")
        assert whereis("mine") is None
        with pytest.raises(NameTaken):
            unregister("mine")
        await register("again")
        ops.unlink(pid)
        cast(pid, "bye")
        await _ended(pid)
        assert whereis("one") is None

    run(body)


def test_proc_40_a_dead_pid_cannot_be_registered(run):
    async def body():
        gone = spawn(lambda: None)
        await eventually(lambda: not alive(gone))
        with pytest.raises(NameTaken):
            await register("late", gone)
        assert whereis("late") is None

    run(body)


def test_proc_40_another_process_can_be_registered(run):
    async def body():
        pid = spawn_link(asyncio.sleep, 60)
        await register("other", pid)
        assert whereis("other") == pid
        await register("mine")

    run(body)


def test_proc_41_a_one_shot_alias_takes_one_message(run):
    async def body():
        once = alias(once=True)
        pid = await Probe.start_link()
        await call(pid, ("send", once, 1))
        await call(pid, ("send", once, 2))
        assert await receive(timeout=5) == 1
        await _quiet()
        assert unalias(once) is False

    run(body)


def test_proc_41_a_withdrawn_alias_takes_none(run):
    async def body():
        address = alias()
        send(address, 1)
        send(address, 2)
        assert [await receive(timeout=5) for _ in range(2)] == [1, 2]
        assert unalias(address) is True
        assert unalias(address) is False
        send(address, 3)
        pid = await Probe.start_link()
        await call(pid, ("send", address, 4))
        await _quiet()

    run(body)


def test_proc_42_timers_fire_once_in_order_and_never_early(run):
    async def body():
        start = _now()
        for delay in (0.06, 0.02, 0.04):
            send_after(delay, me(), delay)
        for delay in (0.02, 0.04, 0.06):
            assert await receive(timeout=5) == delay
            assert _now() - start >= delay
        await _quiet()

    run(body)


def test_proc_42_a_timer_may_aim_at_another_process(run):
    async def body():
        pid = await Probe.start_link()
        send_after(0.01, pid, ["tick"])

        async def told():
            return await call(pid, "seen") == [["tick"]]

        await eventually(told)
        with pytest.raises(ValueError, match="0 or more"):
            send_after(-1, pid, "x")

    run(body)


def test_proc_42_the_message_is_a_copy_of_then(run):
    async def body():
        message = ["then"]
        send_after(0.01, me(), message)
        message.append("later")
        assert await receive(timeout=5) == ["then"]

    run(body)


def test_proc_43_cancel_says_how_much_was_left_or_that_it_was_late(run):
    async def body():
        timer = send_after(60.0, me(), "never")
        left = cancel_timer(timer)
        assert 59 < left <= 60
        assert cancel_timer(timer) is False
        fired = send_after(0.0, me(), "fired")
        assert await receive(timeout=5) == "fired"
        assert fired.cancel() is False
        await _quiet()

    run(body)


def test_proc_45_a_name_is_looked_up_when_the_timer_fires(run):
    async def body():
        trap_exit()
        first = await Probe.start_link(name="named")
        send_after(0.05, "named", "tick")
        cast(first, "bye")
        await _ended(first)
        second = await Probe.start_link(name="named")

        async def told():
            return await call(second, "seen") == ["tick"]

        await eventually(told)
        send_after(0.01, "nobody", "lost")
        await asyncio.sleep(0.03)

    run(body)


def test_proc_46_zero_delay_is_still_later(run):
    async def body():
        send_after(0.0, me(), "m1")
        send(me(), "m2")
        assert [await receive(timeout=5) for _ in range(2)] == ["m2", "m1"]

    run(body)


def test_proc_47_process_info(run):
    async def body():
        trap_exit()
        await register("body")
        pid = spawn(asyncio.sleep, 60)
        link(pid)
        ref = monitor(pid)
        send(me(), 1)
        send(me(), 2)
        mine, its = process_info(me()), process_info(pid)
        assert mine["name"] == "body"
        assert (mine["links"], mine["monitors"]) == ([pid], [ref])
        assert (mine["mailbox"], mine["trap_exit"]) == (2, True)
        assert (its["links"], its["monitored_by"]) == ([me()], [me()])
        assert (its["name"], its["trap_exit"]) == (None, False)
        assert its["parent"] == me()
        ops.exit(pid, "bye")
        await receive(lambda m: isinstance(m, Down), timeout=5)
        assert process_info(pid) is None
        assert alive(pid) is False
        assert alive(me()) is True

    run(body)


def test_proc_47_a_server_tells_about_itself(run):
    async def body():
        pid = await Probe.start_link(name="p")
        assert alive(pid)
        info = await call(pid, ("process_info", pid))
        assert (info["pid"], info["name"], info["kind"]) == (pid, "p", "server")
        assert info["links"] == [me()]

    run(body)


def test_proc_47_alive_is_false_once_a_down_was_seen(run):
    # Of a process in another host, alive() tells only whether that host is there.
    async def body():
        pid = spawn(receive)
        assert alive(pid) is True
        ref = monitor(pid)
        send(pid, "end")
        assert await receive(timeout=5) == Down(ref, pid, "normal")
        assert alive(pid) is False

    run(body)


def test_functions_of_processes_say_so_outside():
    with pytest.raises(NotInProcess, match="node"):
        me()
