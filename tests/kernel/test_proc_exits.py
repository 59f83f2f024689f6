"""PROC 1.3: links and exit signals."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from foundation.errors import CallExit, Exit, NoConnection, NoProc
from foundation.kernel import ops
from foundation.kernel.ops import (
    alive,
    call,
    cast,
    link,
    me,
    monitor,
    receive,
    send,
    spawn,
    spawn_link,
    spawn_monitor,
    trap_exit,
    unlink,
)
from foundation.kernel.values import Crash, Down, ExitMsg, Shutdown
from foundation.otp.gen_server import GenServer
from foundation.testing import BodyExited, Simulation, eventually


class Probe(GenServer):
    """Does what it is told, so that a test decides which process does what."""

    def init(self, watcher=None, trap=False):
        self.watcher = watcher
        self.seen = []
        if trap:
            trap_exit()

    async def handle_call(self, request, caller):
        if request == "seen":
            return self.seen
        if request[0] == "link_and_wait":
            link(request[1])
            await receive()
        name, *args = request
        result = getattr(ops, name)(*args)
        return await result if inspect.isawaitable(result) else result

    def handle_cast(self, request):
        raise Exit(request)

    def handle_info(self, message):
        self.seen.append(message)

    def terminate(self, reason):
        if self.watcher is not None:
            send(self.watcher, ("terminate", reason))


class DiesAtOnce(GenServer):
    """Ends right after init."""

    def init(self, reason):
        cast(me(), reason)

    def handle_cast(self, reason):
        raise Exit(reason)


class Fails(GenServer):
    def init(self):
        raise ValueError("boom")


async def _linked_pair():
    """Return two servers that are linked with each other, not with this process."""
    one, other = await Probe.start(), await Probe.start()
    await call(one, ("link", other))
    return one, other


async def _down(pid):
    ref = monitor(pid)
    return (await receive(lambda m: isinstance(m, Down) and m.ref == ref, timeout=5)).reason


async def _quiet():
    """Let everything under way arrive; nothing may be in the mailbox then."""
    await asyncio.sleep(0.05)
    with pytest.raises(TimeoutError):
        await receive(timeout=0)


def test_proc_15_a_normal_end_does_not_touch_links(run):
    async def body():
        one, other = await _linked_pair()
        cast(other, "normal")
        assert await _down(other) in ("normal", "noproc")
        assert await call(one, "seen") == []
        cast(one, "normal")
        mine = await Probe.start_link()
        cast(mine, "normal")
        await _down(mine)
        await _quiet()

    run(body)


@pytest.mark.parametrize("reason", ["shutdown", Shutdown("why"), "any", ("any", 1)])
def test_proc_16_any_other_reason_ends_links(run, reason):
    async def body():
        one, other = await _linked_pair()
        ref = monitor(one)
        cast(other, reason)
        assert await receive(timeout=5) == Down(ref, one, reason)

    run(body)


def test_proc_17_a_trapping_process_gets_a_message(run):
    async def body():
        trap_exit()
        for reason in ("normal", "shutdown", "any"):
            pid = await Probe.start_link()
            cast(pid, reason)
            assert await receive(timeout=5) == ExitMsg(pid, reason)
        pid = spawn_link(lambda: 1 / 0)
        message = await receive(timeout=5)
        assert message.pid == pid
        assert type(message.reason) is Crash
        assert message.reason.type == "ZeroDivisionError"

    run(body)


def test_proc_18_links_are_idempotent(run):
    async def body():
        trap_exit()
        pid = await Probe.start_link()
        link(pid)
        link(pid)
        await call(pid, ("link", me()))
        cast(pid, "bye")
        assert await receive(timeout=5) == ExitMsg(pid, "bye")
        await _quiet()
        pid = await Probe.start_link()
        link(pid)
        unlink(pid)
        cast(pid, "bye")
        assert await _down(pid) in ("bye", "noproc")
        await _quiet()

    run(body)


def test_proc_19_after_unlink_no_exit_arrives(run):
    async def body():
        trap_exit()
        pid = await Probe.start_link()
        unlink(pid)
        ops.exit(pid, "bye")
        assert await _down(pid) in ("bye", "noproc")
        await _quiet()

    run(body)


def test_proc_19_an_exit_already_queued_stays(run):
    async def body():
        trap_exit()
        pid = await Probe.start_link()
        ref = monitor(pid)
        cast(pid, "bye")
        await receive(lambda m: isinstance(m, Down) and m.ref == ref, timeout=5)
        await asyncio.sleep(0.05)  # the EXIT is here too
        unlink(pid)
        assert await receive(timeout=5) == ExitMsg(pid, "bye")

    run(body)


def test_proc_20_spawn_and_link_are_one_step(run):
    async def body():
        trap_exit()
        for n in range(50):
            pid = await DiesAtOnce.start_link(("bye", n))
            assert await receive(timeout=5) == ExitMsg(pid, ("bye", n))

        def dies(n):
            raise Exit(n)

        pids = [spawn_link(dies, n) for n in range(50)]
        got = [await receive(timeout=5) for _ in pids]
        assert sorted(got, key=lambda m: m.pid) == [ExitMsg(p, n) for n, p in enumerate(pids)]
        pid, ref = spawn_monitor(dies, "x")
        assert await receive(timeout=5) == Down(ref, pid, "x")

    run(body)


def test_proc_20_a_failing_init_is_told_too(run):
    async def body():
        trap_exit()
        with pytest.raises(Exception, match="boom"):
            await Fails.start_link()
        message = await receive(timeout=5)
        assert type(message) is ExitMsg
        assert message.reason.message == "boom"

    run(body)


def test_proc_21_linking_a_dead_pid(run):
    async def body():
        dead = await Probe.start()
        cast(dead, "normal")
        assert await _down(dead) in ("normal", "noproc")
        probe = await Probe.start()
        ref = monitor(probe)
        with pytest.raises(CallExit) as caught:
            await call(probe, ("link_and_wait", dead))
        assert caught.value.reason == "noproc"
        assert await receive(timeout=5) == Down(ref, probe, "noproc")
        trap_exit()
        link(dead)
        assert await receive(timeout=5) == ExitMsg(dead, "noproc")
        gone = spawn(lambda: None)
        await eventually(lambda: not alive(gone))
        link(gone)
        assert await receive(timeout=5) == ExitMsg(gone, "noproc")

    run(body)


def test_proc_21_a_body_that_links_a_dead_pid_fails_with_noproc(run):
    async def body():
        gone = spawn(lambda: None)
        await eventually(lambda: not alive(gone))
        link(gone)
        await asyncio.sleep(1)

    with pytest.raises(BodyExited) as caught:
        run(body)
    assert caught.value.reason == "noproc"


def test_proc_21_it_fails_with_noproc_even_when_it_never_waits_again(run):
    async def child(gone):
        link(gone)

    async def body():
        gone = spawn(lambda: None)
        await eventually(lambda: not alive(gone))
        pid, ref = spawn_monitor(child, gone)
        assert await receive(timeout=5) == Down(ref, pid, "noproc")

    run(body)


def test_proc_22_exit_normal_from_another_is_harmless_or_a_message(run):
    async def body():
        plain = await Probe.start_link()
        ops.exit(plain, "normal")
        assert await call(plain, "seen") == []
        trapping = await Probe.start_link(trap=True)
        # Not from its parent, which a server obeys.
        await call(plain, ("exit", trapping, "normal"))

        async def told():
            return await call(trapping, "seen") == [ExitMsg(plain, "normal")]

        await eventually(told)

    run(body)


def test_proc_23_exit_to_oneself_with_normal_ends(run):
    async def child():
        ops.exit(me(), "normal")
        raise AssertionError("not reached")

    async def body():
        pid, ref = spawn_monitor(child)
        assert await receive(timeout=5) == Down(ref, pid, "normal")
        server, ref = await Probe.start_monitor()
        with pytest.raises(CallExit):
            await call(server, ("exit", server, "normal"))
        assert await receive(timeout=5) == Down(ref, server, "normal")

    run(body)


def test_proc_24_kill_cannot_be_trapped(run):
    async def body():
        pid, ref = await Probe.start_monitor(trap=True)
        ops.exit(pid, "kill")
        assert await receive(timeout=5) == Down(ref, pid, "killed")

    run(body)


def test_proc_25_killed_is_an_ordinary_reason_for_links(run):
    async def body():
        one = await Probe.start(trap=True)
        other = await Probe.start()
        third = await Probe.start()
        await call(one, ("link", other))
        await call(third, ("link", other))
        ref = monitor(third)
        ops.exit(other, "kill")
        assert await receive(timeout=5) == Down(ref, third, "killed")

        async def told():
            return await call(one, "seen") == [ExitMsg(other, "killed")]

        await eventually(told)
        ref = monitor(one)
        ops.exit(one, "kill")
        assert await receive(timeout=5) == Down(ref, one, "killed")

    run(body)


def test_proc_26_an_own_end_with_kill_is_told_unconverted(run):
    async def body():
        one = await Probe.start(trap=True)
        plain = await Probe.start()
        dying = await Probe.start()
        await call(one, ("link", dying))
        await call(plain, ("link", dying))
        ref, plain_ref = monitor(dying), monitor(plain)
        cast(dying, "kill")
        downs = [await receive(timeout=5) for _ in range(2)]
        assert Down(ref, dying, "kill") in downs
        assert Down(plain_ref, plain, "kill") in downs

        async def told():
            return await call(one, "seen") == [ExitMsg(dying, "kill")]

        await eventually(told)
        ops.exit(one, "kill")
        assert await _down(one) in ("killed", "noproc")

    run(body)


@pytest.mark.parametrize("reason", ["shutdown", "any", "kill"])
def test_proc_27_an_exit_signal_ends_without_more_user_code(run, reason):
    async def body():
        pid = await Probe.start(me())
        ref = monitor(pid)
        ops.exit(pid, reason)
        wanted = "killed" if reason == "kill" else reason
        assert await receive(timeout=5) == Down(ref, pid, wanted)
        await _quiet()  # terminate has told nothing

    run(body)


def test_proc_27_a_signal_reaches_a_parked_handler(run):
    async def body():
        pid = await Probe.start(me())
        waiting = asyncio.create_task(call(pid, ("receive",), timeout=None))
        await asyncio.sleep(0.02)
        ops.exit(pid, "any")
        with pytest.raises(CallExit) as caught:
            await waiting
        assert caught.value.reason == "any"
        await _quiet()

    run(body)


def test_proc_29_the_trap_flag_is_read_on_arrival(run):
    async def body():
        trap_exit()
        pid = await Probe.start_link()
        cast(pid, "bye")
        assert await _down(pid) in ("bye", "noproc")
        await asyncio.sleep(0.05)
        assert trap_exit(False) is True
        assert await receive(timeout=5) == ExitMsg(pid, "bye")

    run(body)


def test_proc_39_a_lost_connection_is_told_with_noconnection():
    async def body(sim):
        trap_exit()
        pid = await Probe.start_link(host="w1")
        ref = monitor(pid)
        caller = asyncio.create_task(call(pid, ("receive",), timeout=None))
        await asyncio.sleep(1)
        sim.network.partition("sim/main", "sim/w1", notice=(0.0, 1.0))
        got = [await receive(timeout=5) for _ in range(2)]
        assert ExitMsg(pid, "noconnection") in got
        assert Down(ref, pid, "noconnection") in got
        with pytest.raises(NoConnection):
            await caller
        link(pid)
        assert await receive(timeout=5) == ExitMsg(pid, "noconnection")
        ref = monitor(pid)
        assert await receive(timeout=5) == Down(ref, pid, "noconnection")
        send(pid, "lost")
        with pytest.raises(NoConnection):
            await call(pid, "seen")

    for seed in range(5):
        with Simulation(seed, hosts=2, delay=(0.0, 0.1)) as sim:
            sim.run(body, sim)
            sim.advance(5)  # the other side has noticed too, and its process is not trapping
            assert not sim.host("w1").kernel.procs


def test_a_long_chain_of_links_dies_without_recursion(run):
    async def body():
        async def member(before):
            if before is not None:
                link(before)
            await receive()

        first = last = spawn(member, None)
        for _ in range(3000):
            last = spawn(member, last)
        ref = monitor(last)
        await asyncio.sleep(0.05)
        ops.exit(first, "domino")
        assert await receive(timeout=10) == Down(ref, last, "domino")

    run(body)


def test_a_call_to_a_dead_pid_is_noproc(run):
    async def body():
        pid = await Probe.start()
        cast(pid, "normal")
        await _down(pid)
        with pytest.raises(NoProc):
            await call(pid, "seen")

    run(body)
