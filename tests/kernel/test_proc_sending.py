"""PROC 1.1 and 1.2: pids, sending, order, exit reasons."""

from __future__ import annotations

import asyncio
import inspect
import pickle

import pytest

from foundation.errors import CallExit, Exit, NoProc
from foundation.kernel import ops
from foundation.kernel.ops import (
    alive,
    call,
    cast,
    me,
    monitor,
    receive,
    send,
    spawn,
    spawn_link,
    trap_exit,
    whereis,
)
from foundation.kernel.reports import SupervisorReport
from foundation.kernel.values import Crash, Down, ExitMsg, Pid
from foundation.otp.gen_server import GenServer
from foundation.otp.supervisor import Supervisor
from foundation.testing import Simulation, eventually


class Probe(GenServer):
    """Does what it is told, so that a test decides which process does what."""

    def init(self, argument=None):
        self.argument = argument
        self.seen = []

    async def handle_call(self, request, caller):
        match request:
            case "seen":
                return self.seen
            case "argument":
                return self.argument
            case ("keep", value):
                self.argument = value
                return value
            case "spoil":
                self.argument.append("spoilt")
                return None
            case ("sleep", seconds):
                await asyncio.sleep(seconds)
                return None
            case "crash":
                raise ValueError("boom")
        name, *args = request
        result = getattr(ops, name)(*args)
        return await result if inspect.isawaitable(result) else result

    def handle_cast(self, request):
        match request:
            case ("keep", value):
                self.argument = value
            case ("exit", reason):
                raise Exit(reason)

    def handle_info(self, message):
        self.seen.append(message)


class Echo(GenServer):
    """Sends every message back."""

    def handle_info(self, message):
        sender, value = message
        send(sender, ("echo", value))


class Burst(GenServer):
    """Sends a thousand messages within one handler."""

    def init(self):
        self.echoes = []

    def handle_call(self, request, caller):
        if request == "echoes":
            return self.echoes
        for n in range(1000):
            send(request, (me(), n))
        return None

    def handle_info(self, message):
        self.echoes.append(message[1])


class Forwarder(GenServer):
    def init(self, dest):
        self.dest = dest

    def handle_info(self, message):
        send(self.dest, ("forwarded", message))


async def _dead():
    """Return the pid of a server that has ended."""
    pid, ref = await Probe.start_monitor()
    cast(pid, ("exit", "normal"))
    assert (await receive(timeout=5)).ref == ref
    return pid


async def _gather(count, forever=False):
    return [await receive(timeout=5) for _ in range(count)]


def test_proc_01_a_pid_is_a_value_that_never_denotes_another_process(run):
    async def body():
        pid = await Probe.start_link()
        table = {pid: 1}
        echoed = await call(pid, ("keep", [pid]))
        assert echoed == [pid]
        assert table[echoed[0]] == 1
        assert hash(pickle.loads(pickle.dumps(pid))) == hash(pid)
        assert pickle.loads(pickle.dumps(pid)) == pid
        assert await call(pid, ("me",)) == pid
        dead = await _dead()
        later = {await Probe.start_link() for _ in range(50)}
        assert dead not in later
        assert len(later) == 50
        with pytest.raises(NoProc):
            await call(dead, "seen")

    run(body)


def test_proc_02_send_to_a_busy_process_returns_at_once(run):
    async def body():
        pid = await Probe.start_link()
        busy = asyncio.create_task(call(pid, ("sleep", 0.05)))
        await asyncio.sleep(0.01)
        for n in range(10):
            assert send(pid, n) is None
        assert not busy.done()
        await busy
        assert await call(pid, "seen") == list(range(10))

    run(body)


def test_proc_03_send_to_a_dead_pid_does_nothing(run):
    async def body():
        dead = await _dead()
        send(dead, "hello")
        cast(dead, "hello")
        local = spawn(lambda: None)
        await eventually(lambda: not alive(local))
        send(local, "hello")

    run(body)


def test_proc_04_send_to_an_unknown_name_raises_and_cast_does_not(run):
    async def body():
        with pytest.raises(NoProc):
            send("nobody", "hello")
        cast("nobody", "hello")

    run(body)


def test_proc_05_messages_and_signals_of_one_pair_keep_their_order(run):
    async def body():
        trap_exit()
        pid = await Probe.start_link()
        for n in range(300):
            send(pid, n)
            if n == 100:
                assert await call(pid, "seen") == list(range(101))
        cast(pid, ("exit", "bye"))  # after all that was sent before
        assert await receive(timeout=5) == ExitMsg(pid, "bye")

    run(body)


def test_proc_06_cross_pair_order_is_free_but_both_arrive(run):
    async def body():
        target = await Probe.start_link()
        middle = await Forwarder.start_link(target)
        send(middle, 1)
        send(target, 2)

        async def both():
            return len(await call(target, "seen")) == 2

        await eventually(both)
        seen = await call(target, "seen")
        assert ("forwarded", 1) in seen
        assert 2 in seen

    run(body)


def test_proc_06_both_orders_happen():
    async def body():
        target = await Probe.start(host="w1")
        middle = await Forwarder.start(target, host="w2")
        send(middle, 1)
        send(target, 2)
        await asyncio.sleep(10)
        return tuple(await call(target, "seen"))

    orders = set()
    for seed in range(20):
        with Simulation(seed, hosts=3, delay=(0.0, 1.0)) as sim:
            # The direct way is longer than each leg of the other, but not than both.
            sim.network.link("sim/main", "sim/w1").delay = (0.0, 2.0)
            orders.add(sim.run(body))
    assert orders == {(("forwarded", 1), 2), (2, ("forwarded", 1))}


def test_proc_08_a_message_is_a_copy(run):
    async def body():
        pid = await Probe.start_link()
        for say in (
            lambda value: cast(pid, ("keep", value)),
            lambda value: send(pid, value),
        ):
            value = ["as sent"]
            say(value)
            value.append("later")
            await call(pid, "seen")
        assert await call(pid, "seen") == [["as sent"]]
        assert await call(pid, "argument") == ["as sent"]

    run(body)


def test_proc_08_the_receiver_cannot_change_what_the_sender_has(run):
    async def body():
        value = ["mine"]
        pid = await Probe.start_link(value)
        await call(pid, "spoil")
        assert value == ["mine"]
        reply = await call(pid, ("keep", value))
        await call(pid, "spoil")
        assert value == ["mine"]
        assert reply == ["mine"]
        reply.append("changed by the caller")
        assert await call(pid, "argument") == ["mine", "spoilt"]

        async def child(given, sink):
            given.append("spoilt")
            send(sink, "done")

        spawn_link(child, value, me())
        assert await receive(timeout=5) == "done"
        assert value == ["mine"]

    run(body)


def test_proc_09_a_thousand_messages_within_one_handler(run):
    async def body():
        echo = await Echo.start_link()
        burst = await Burst.start_link()
        await call(burst, echo)

        async def complete():
            return len(await call(burst, "echoes")) == 1000

        await eventually(complete)
        assert await call(burst, "echoes") == list(range(1000))

    run(body)


def test_proc_10_selective_receive_leaves_the_rest_in_order(run):
    async def body():
        for message in (1, "x", 2, 3):
            send(me(), message)
        assert await receive(lambda message: message == "x") == "x"
        assert await _gather(3) == [1, 2, 3]
        with pytest.raises(TimeoutError):
            await receive(timeout=0.01)

        async def later(dest):
            for message in (1, 2, "x", 3):
                send(dest, message)
                await asyncio.sleep(0.001)

        spawn_link(later, me())
        assert await receive(lambda message: message == "x", timeout=5) == "x"
        assert await _gather(3) == [1, 2, 3]

    run(body)


def test_proc_10_an_awaited_reply_leaves_the_mailbox_alone(run):
    async def body():
        pid = await Probe.start_link()
        send(me(), 1)
        assert await call(pid, ("keep", 5)) == 5
        send(me(), 2)
        assert await _gather(2) == [1, 2]

    run(body)


def test_proc_10_a_match_that_raises_fails_who_receives(run):
    async def taker(dest):
        try:
            await receive(lambda message: message["key"])
        except TypeError:
            send(dest, ("failed", await receive()))

    async def body():
        pid = spawn_link(taker, me())
        await asyncio.sleep(0.005)
        send(pid, 5)  # neither the sender nor the host is harmed, and the message stays
        assert await receive(timeout=5) == ("failed", 5)

    run(body)


@pytest.mark.parametrize("how", ["crash", "exit"])
def test_proc_13_everyone_sees_the_same_reason(run, how):
    async def body():
        trap_exit()
        pid = await Probe.start_link()
        ref = monitor(pid)
        deferred = asyncio.create_task(call(pid, ("sleep", 0.02)))
        await asyncio.sleep(0.005)
        request = "crash" if how == "crash" else ("sleep", 5)
        caller = asyncio.create_task(call(pid, request))
        if how == "exit":
            await deferred
            ops.exit(pid, ("any", "value"))
        with pytest.raises(CallExit) as caught:
            await caller
        if how == "crash":
            await deferred
        messages = await _gather(2)
        reason = caught.value.reason
        assert ExitMsg(pid, reason) in messages
        assert Down(ref, pid, reason) in messages
        if how == "crash":
            assert type(reason) is Crash
            assert (reason.type, reason.message) == ("ValueError", "boom")
        else:
            assert reason == ("any", "value")
        return reason

    reason = run(body)
    crashes = [report.reason for report in run.reports if hasattr(report, "last_message")]
    assert crashes == ([reason] if how == "crash" else [])


def test_proc_13_the_supervisor_sees_the_same_reason_too(run):
    async def body():
        await Supervisor.start_link([Probe.spec(name="child")])
        pid = whereis("child")
        ref = monitor(pid)
        with pytest.raises(CallExit) as caught:
            await call(pid, "crash")
        assert await receive(timeout=5) == Down(ref, pid, caught.value.reason)
        await eventually(lambda: whereis("child") not in (None, pid))
        return pid, caught.value.reason

    pid, reason = run(body)
    told = [r for r in run.reports if isinstance(r, SupervisorReport)]
    assert [(r.pid, r.reason) for r in told] == [(pid, reason)]
    # The text of the traceback is no part of equality; it is the same all the same.
    assert told[0].reason.traceback_text == reason.traceback_text


def test_pids_are_ordered_as_started(run):
    async def body():
        pids = [spawn(lambda: None) for _ in range(5)]
        assert sorted(pids) == pids
        assert all(type(pid) is Pid for pid in pids)

    run(body)
