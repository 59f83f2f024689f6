"""The deterministic simulator."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time

import pytest

from foundation.errors import CallTimeout, NoConnection
from foundation.kernel.ops import (
    call,
    cast,
    link,
    me,
    monitor,
    receive,
    register,
    send,
    send_after,
    spawn,
    spawn_link,
    spawn_monitor,
    trap_exit,
    whereis,
)
from foundation.kernel.values import Down, ExitMsg
from foundation.otp.gen_server import GenServer
from foundation.otp.results import NoReply, Reply
from foundation.testing import Deadlock, Simulation, eventually, simulate
from foundation.testing.network import Network, check_delay


class Session(GenServer):
    """Expires after an hour."""

    def init(self):
        self.state = "fresh"
        return NoReply(timeout=3600.0)

    def handle_info(self, message):
        self.state = "expired"

    def handle_call(self, request, caller):
        match request:
            case "state":
                return Reply(self.state, timeout=3600.0)
            case "hang":
                return NoReply()
            case "pid":
                return me()


class Log(GenServer):
    def init(self):
        self.lines = []

    def handle_cast(self, line):
        self.lines.append(line)

    def handle_call(self, request, caller):
        return self.lines


class Link(GenServer):
    """Links the caller's pid when told to."""

    def handle_cast(self, pid):
        link(pid)


async def ticker(log, name):
    for n in range(5):
        cast(log, (name, n))
        await asyncio.sleep(0)


async def race():
    """Several processes log; the order is up to the scheduler."""
    log = await Log.start_link()
    for name in ("a", "b", "c", "d"):
        spawn_link(ticker, log, name)
    await asyncio.sleep(1)
    return await call(log, "lines")


def _traced(seed, **options):
    with Simulation(seed, **options) as sim:
        return sim.run(race), list(sim.trace)


def test_a_test_of_an_hour_takes_milliseconds():
    async def body():
        session = await Session.start_link()
        assert await call(session, "state") == "fresh"
        await asyncio.sleep(3601)
        return await call(session, "state")

    start = time.monotonic()
    assert simulate(body, seed=1) == "expired"
    assert time.monotonic() - start < 0.5


def test_a_call_timeout_of_an_hour_takes_milliseconds():
    async def body():
        session = await Session.start_link()
        with pytest.raises(CallTimeout):
            await call(session, "hang", timeout=3600.0)

    start = time.monotonic()
    simulate(body)
    assert time.monotonic() - start < 0.5


@pytest.mark.parametrize("seed", range(5))
def test_the_same_seed_gives_the_same_trace(seed):
    options = {"hosts": 3, "delay": (0.0, 0.1), "start_delay": (0.0, 0.01)}
    first, again = _traced(seed, **options), _traced(seed, **options)
    assert first == again


def test_different_seeds_give_different_schedules():
    runs = [_traced(seed) for seed in range(8)]
    assert len({tuple(lines) for lines, _ in runs}) > 3
    assert len({tuple(trace) for _, trace in runs}) == 8
    for lines, _ in runs:  # what one process said stays in order, whatever the schedule
        for name in ("a", "b", "c", "d"):
            assert [n for who, n in lines if who == name] == [0, 1, 2, 3, 4]


def test_in_order_is_one_schedule_for_all_seeds():
    assert _traced(1, in_order=True)[0] == _traced(2, in_order=True)[0]


_TRACE_PROGRAM = """
import asyncio, hashlib
from foundation.kernel.ops import *
from foundation.testing import Simulation
async def child(n):
    for _ in range(n): await asyncio.sleep(0.1)
async def body():
    for n in range(10):
        spawn(child, n); await register(f"n{n}"); unregister(f"n{n}")
    await asyncio.sleep(5)
with Simulation(7, hosts=2, delay=(0, 1), start_delay=(0, 1)) as sim:
    sim.crash_randomly(per_second=2, until=3)
    sim.run(body)
    print(hashlib.sha256(repr(list(sim.trace)).encode()).hexdigest())
"""


def test_the_same_seed_gives_the_same_trace_in_another_interpreter():
    seen = set()
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", _TRACE_PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        seen.add(done.stdout)
    assert len(seen) == 1


def test_a_failure_names_the_seed():
    async def body():
        await asyncio.sleep(2)
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom") as caught:
        simulate(body, seed=42)
    assert "seed=42 after 2.0" in caught.value.__notes__[0]
    assert "--foundation-seed=42" in caught.value.__notes__[0]


def test_a_deadlock_is_found_at_once_and_names_who_waits():
    async def waiter(pid):
        await receive(lambda message: message == "never")

    async def body():
        session = await Session.start_link()
        spawn(waiter, me())
        await asyncio.sleep(7200)
        await call(session, "hang", timeout=None)

    with pytest.raises(Deadlock) as caught:
        simulate(body)
    text = str(caught.value)
    assert "waits for the reply of <Pid sim/main.1.2> to 'hang'" in text
    assert "waits in receive()" in text


def test_time_advances_between_bodies():
    with Simulation() as sim:

        async def start():
            await Session.start(name="s")

        async def ask():
            return await call("s", "state")

        sim.run(start)
        sim.advance(3599)
        assert sim.run(ask) == "fresh"
        assert sim.now == pytest.approx(3599)
        sim.advance(3601)
        assert sim.run(ask) == "expired"


def test_a_process_is_killed_at_a_given_time():
    with Simulation() as sim:

        async def body():
            pid = await Session.start()
            ref = monitor(pid)
            sim.at(10.0, sim.kill, pid)
            down = await receive()
            return down == Down(ref, pid, "killed"), sim.now

        right, when = sim.run(body)
        assert right
        assert when == pytest.approx(10.0)


@pytest.mark.parametrize("how", [{"per_slice": 0.2}, {"per_second": 5.0}])
def test_processes_are_killed_at_random(how):
    async def body():
        async def worker():
            while True:
                await asyncio.sleep(0.1)

        refs = [monitor(spawn(worker)) for _ in range(10)]
        downs = [await receive() for _ in refs]
        assert sorted(down.ref for down in downs) == refs
        return [down.ref.number for down in downs]

    orders = set()
    for seed in range(3):
        with Simulation(seed) as sim:
            sim.crash_randomly(**how)
            orders.add(tuple(sim.run(body)))
    assert len(orders) > 1


def test_victims_are_chosen():
    async def body():
        session = await Session.start(name="safe")
        spawn(asyncio.sleep, 100)
        await asyncio.sleep(50)
        return await call(session, "state")

    with Simulation(1) as sim:
        sim.crash_randomly(per_second=10, victims=lambda process: process.kind == "function")
        assert sim.run(body) == "fresh"
        assert any(what == "kill" for _, _, what, _ in sim.trace)


def test_starts_are_delayed():
    async def body():
        start = asyncio.get_running_loop().time()
        await Session.start_link()
        return asyncio.get_running_loop().time() - start

    assert simulate(body) == 0
    assert simulate(body, start_delay=2.0) == pytest.approx(2.0)
    assert 1 <= simulate(body, start_delay=(1.0, 3.0)) <= 3


def test_frames_between_hosts_are_delayed_each_link_by_its_own():
    with Simulation(hosts=3, delay=1.0) as sim:
        sim.network.link("sim/main", "sim/w2").delay = 5.0

        async def body():
            loop = asyncio.get_running_loop()
            near = await Session.start(host="w1")
            far = await Session.start(host="w2")
            times = []
            for pid in (near, far):
                before = loop.time()
                assert (await call(pid, "pid", timeout=20)) == pid
                times.append(loop.time() - before)
            return times

        assert sim.run(body) == [pytest.approx(2.0), pytest.approx(6.0)]


def test_names_are_seen_on_every_host():
    with Simulation(hosts=3, delay=(0.0, 0.5)) as sim:

        async def body():
            pid = await Session.start(host="w1", name="s")
            await asyncio.sleep(2)
            assert whereis("s") == pid

        sim.run(body)

        async def elsewhere():
            return await call("s", "state", timeout=10)

        assert sim.run(elsewhere, host="w2") == "fresh"


def test_a_crashed_host_takes_its_processes_with_it_and_can_come_back():
    with Simulation(hosts=2, delay=0.01) as sim:

        async def body():
            trap_exit()
            old = await Session.start_link(host="w1", name="s")
            ref = monitor(old)
            sim.at(5.0, lambda: sim.crash_host("w1", notice=0.5))
            messages = [await receive(), await receive()]
            assert ExitMsg(old, "killed") in messages
            assert Down(ref, old, "killed") in messages
            assert sim.now == pytest.approx(5.5)
            assert whereis("s") is None
            with pytest.raises(NoConnection):
                await call(old, "state")
            sim.restart_host("w1")
            new = await Session.start(host="w1")
            assert (new.host, new.incarnation) == ("sim/w1", 2)
            assert await call(new, "state") == "fresh"

        sim.run(body)


def test_a_partition_is_noticed_and_heals():
    with Simulation(hosts=2, delay=0.1) as sim:

        async def body():
            pid = await Session.start(host="w1")
            ref = monitor(pid)
            sim.network.partition("sim/main", "sim/w1", notice=2.0)
            before = sim.now
            assert await receive() == Down(ref, pid, "noconnection")
            assert sim.now - before == pytest.approx(2.0)
            sim.network.heal("sim/main", "sim/w1")
            assert await call(pid, "state") == "fresh"  # it has lived on

        sim.run(body)


def test_a_fault_on_a_link_breaks_it_for_both():
    with Simulation(hosts=2) as sim:

        async def body():
            pid = await Session.start(host="w1")
            sim.network.link("sim/main", "sim/w1").fault = lambda frame: True
            with pytest.raises(NoConnection):
                await call(pid, "state")

        sim.run(body)
        assert not sim.host("w1").kernel.remote.peers


def test_leftovers_are_described():
    with Simulation() as sim:

        async def body():
            await Session.start(name="s")
            send("s", "x")

        sim.run(body)
        assert len(sim.settle(5)) == 2
        assert sim.now == pytest.approx(5, abs=0.1)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="hosts must be 1 or more"):
        Simulation(hosts=0)
    with pytest.raises(ValueError, match="delay must be"):
        Simulation(delay=(2, 1))
    with pytest.raises(ValueError, match="x must be"):
        check_delay(-1, "x")
    with Simulation() as sim:
        with pytest.raises(KeyError, match="no host 'w9'"):
            sim.host("w9")
        with pytest.raises(ValueError, match="only other hosts can crash"):
            sim.crash_host("main")


def test_the_simulation_fixture_has_the_seed_of_the_session(simulation, foundation_seed):
    assert simulation.seed == foundation_seed
    assert isinstance(simulation.network, Network)
    simulation.run(lambda: None)


def test_an_error_in_a_callback_fails_the_run():
    async def body():
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await eventually(lambda: False, timeout=1)

    with pytest.raises(ZeroDivisionError):
        simulate(body)


async def _registered():
    await register("x")


def test_registering_works_in_the_first_host():
    simulate(_registered)


def test_ctrl_c_ends_the_test_and_is_no_crash_of_a_server():
    def server():
        signal.raise_signal(signal.SIGINT)

    async def body():
        spawn(server)
        await asyncio.sleep(10)

    with pytest.raises(KeyboardInterrupt):
        simulate(body)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_ends_a_simulation_that_advances_too():
    async def body():
        send_after(1.0, spawn(_interrupted_when_told), "now")

    with Simulation(0) as simulation:
        simulation.run(body)
        with pytest.raises(KeyboardInterrupt):
            simulation.advance(5.0)


async def _interrupted_when_told():
    await receive()
    signal.raise_signal(signal.SIGINT)


def test_a_keyboard_interrupt_that_a_server_raises_is_its_crash():
    def server():
        raise KeyboardInterrupt

    async def body():
        _, ref = spawn_monitor(server)
        down = await receive()
        assert (down.ref, down.reason.type) == (ref, "KeyboardInterrupt")

    simulate(body)
