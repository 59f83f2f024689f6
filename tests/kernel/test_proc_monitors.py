"""PROC 1.4: monitors."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from foundation.errors import Exit
from foundation.kernel import ops
from foundation.kernel.ops import (
    alive,
    call,
    cast,
    demonitor,
    me,
    monitor,
    process_info,
    receive,
    register,
    spawn,
    spawn_link,
    trap_exit,
    whereis,
)
from foundation.kernel.values import Down, ExitMsg
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


async def _quiet():
    """Let everything under way arrive; nothing may be in the mailbox then."""
    await asyncio.sleep(0.05)
    with pytest.raises(TimeoutError):
        await receive(timeout=0)


async def _ended(pid):
    ref = monitor(pid)
    await receive(lambda m: isinstance(m, Down) and m.ref == ref, timeout=5)


@pytest.mark.parametrize("reason", ["normal", "shutdown", ("any", 1)])
def test_proc_30_exactly_one_down(run, reason):
    async def body():
        pid = await Probe.start()
        ref = monitor(pid)
        cast(pid, reason)
        assert await receive(timeout=5) == Down(ref, pid, reason)
        await _quiet()
        assert demonitor(ref, info=True) is False
        assert process_info(me())["monitors"] == []

    run(body)


def test_proc_31_monitoring_a_dead_pid_is_told_at_once(run):
    async def body():
        pid = await Probe.start()
        cast(pid, "bye")
        await _ended(pid)
        ref = monitor(pid)
        assert await receive(timeout=5) == Down(ref, pid, "noproc")
        gone = spawn(lambda: None)
        await eventually(lambda: not alive(gone))
        ref = monitor(gone)
        assert await receive(timeout=5) == Down(ref, gone, "noproc")
        await _quiet()

    run(body)


def test_proc_32_a_monitor_by_name_names_the_name(run):
    async def body():
        pid = await Probe.start(name="named")
        ref = monitor("named")
        cast(pid, "bye")
        assert await receive(timeout=5) == Down(ref, "named", "bye")
        ref = monitor("nobody")
        assert await receive(timeout=5) == Down(ref, "nobody", "noproc")

    run(body)


def test_proc_33_each_monitor_is_told_under_its_own_ref(run):
    async def body():
        pid = await Probe.start()
        refs = [monitor(pid) for _ in range(5)]
        assert len(set(refs)) == 5
        cast(pid, "bye")
        downs = [await receive(timeout=5) for _ in refs]
        assert sorted(down.ref for down in downs) == sorted(refs)
        assert {(down.object, down.reason) for down in downs} == {(pid, "bye")}
        await _quiet()

    run(body)


def test_proc_34_no_down_after_demonitor_with_flush(run):
    async def body():
        pid = await Probe.start()
        ref, witness = monitor(pid), monitor(pid)
        assert demonitor(ref, flush=True) is True
        cast(pid, "bye")
        assert (await receive(timeout=5)).ref == witness
        await _quiet()
        pid = await Probe.start()
        ref = monitor(pid)
        cast(pid, "bye")
        await asyncio.sleep(0.05)  # the Down is queued now
        assert demonitor(ref, flush=True) is True
        await _quiet()
        pid = await Probe.start()
        refs = [monitor(pid) for _ in range(3)]
        cast(pid, "bye")
        await asyncio.sleep(0.05)
        demonitor(refs[1], flush=True)
        assert {(await receive(timeout=5)).ref for _ in range(2)} == {refs[0], refs[2]}
        await _quiet()

    run(body)


def test_proc_34_demonitor_races_with_the_death(run):
    async def body():
        for _ in range(20):
            pid = await Probe.start()
            ref = monitor(pid)
            cast(pid, "bye")
            demonitor(ref, flush=True)
        await _quiet()

    run(body)


def test_proc_35_a_queued_down_stays_without_flush(run):
    async def body():
        pid = await Probe.start()
        ref = monitor(pid)
        cast(pid, "bye")
        await asyncio.sleep(0.05)
        assert demonitor(ref) is True
        assert await receive(timeout=5) == Down(ref, pid, "bye")

    run(body)


def test_proc_36_info_says_whether_the_monitor_was_live(run):
    async def body():
        pid = await Probe.start()
        ref, other = monitor(pid), monitor(pid)
        assert demonitor(ref, flush=True, info=True) is True
        assert demonitor(ref, flush=True, info=True) is False
        cast(pid, "bye")
        await asyncio.sleep(0.05)
        assert demonitor(other, flush=True, info=True) is False
        await _quiet()

    run(body)


def test_proc_37_a_monitor_is_one_way(run):
    async def body():
        one, other = await Probe.start_link(), await Probe.start()
        await call(one, ("monitor", other))
        cast(other, "bye")

        async def told():
            return len(await call(one, "seen")) == 1

        await eventually(told)
        watcher = await Probe.start()
        await call(watcher, ("monitor", one))
        cast(watcher, "bye")
        await _ended(watcher)
        assert len(await call(one, "seen")) == 1  # alive, and told nothing

        async def no_longer_watched():
            info = await call(one, ("process_info", one))
            return info["monitored_by"] == []

        await eventually(no_longer_watched)

    run(body)


@pytest.mark.parametrize("how", ["monitor", "link"])
def test_proc_38_after_a_down_or_exit_the_name_is_free(run, how):
    async def body():
        trap_exit()
        for n in range(20):
            pid = await Probe.start(name="name")
            ref = None
            if how == "monitor":
                ref = monitor(pid)
            else:
                ops.link(pid)
            cast(pid, ("bye", n))
            message = await receive(timeout=5)
            right = Down(ref, pid, ("bye", n)) if ref else ExitMsg(pid, ("bye", n))
            assert message == right
            assert whereis("name") is None
            await register("name")
            ops.unregister("name")

    run(body)


def test_proc_38_the_next_server_of_that_name_starts_at_once(run):
    async def body():
        trap_exit()
        pid = await Probe.start_link(name="name")
        for n in range(20):
            cast(pid, n + 1)
            assert await receive(timeout=5) == ExitMsg(pid, n + 1)
            pid = await Probe.start_link(name="name")
            assert whereis("name") == pid

    run(body)


def test_monitors_of_a_dead_watcher_leave_nothing(run):
    async def body():
        pid = await Probe.start_link()

        async def watcher():
            monitor(pid)

        spawn_link(watcher)

        async def watched():
            return (await call(pid, ("process_info", pid)))["monitored_by"]

        async def unwatched():
            return not await watched()

        await eventually(unwatched)

    run(body)
