"""The fixture ``run``: results, errors, leaks."""

from __future__ import annotations

import asyncio

import pytest

from foundation.errors import Exit
from foundation.kernel.ops import call, me, register, send_after, spawn, spawn_link, trap_exit
from foundation.kernel.values import Pid
from foundation.otp.gen_server import GenServer
from foundation.testing import BodyExited, eventually
from foundation.testing.drivers import Leak


class Counter(GenServer):
    def init(self, start=0):
        self.count = start

    def handle_call(self, request, caller):
        if request == "crash":
            raise ValueError("boom")
        self.count += 1
        return self.count


async def forever():
    await asyncio.sleep(3600)


def test_the_result_of_the_body_is_returned(run):
    async def body(a, b):
        pid = await Counter.start_link(a)
        return me(), await call(pid, "next") + b

    pid, value = run(body, 1, 10)
    assert isinstance(pid, Pid)
    assert value == 12


def test_a_plain_def_body_is_fine(run):
    assert run(lambda: 5) == 5


def test_what_the_body_raises_is_raised(run):
    async def body():
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        run(body)


def test_exit_of_the_body_is_raised(run):
    async def body():
        raise Exit("away")

    with pytest.raises(Exit) as caught:
        run(body)
    assert caught.value.reason == "away"


def test_a_crash_of_a_linked_server_is_told(run):
    async def body():
        pid = await Counter.start_link()
        with pytest.raises(Exception, match="boom"):
            await call(pid, "crash")
        await asyncio.sleep(1)

    with pytest.raises(BodyExited, match="boom"):
        run(body)
    assert [report.reason.type for report in run.reports] == ["ValueError"]


def test_linked_processes_end_with_the_body(run):
    async def body():
        spawn_link(forever)
        await Counter.start_link(name="c")

    run(body)
    run(body)


@pytest.mark.foundation_drivers("simulator", "interpreter")
def test_left_processes_names_and_timers_are_listed(run, monkeypatch):
    monkeypatch.setattr("foundation.testing.drivers.GRACE_SECONDS", 0.05)

    async def body():
        await Counter.start(name="left")
        send_after(1000.0, "left", "tick")
        spawn(forever)

    with pytest.raises(Leak) as caught:
        run(body)
    text = str(caught.value)
    assert "'left' (Counter): idle" in text
    assert "name 'left'" in text
    assert "timer for 'left'" in text
    assert "forever" in text


def test_leftovers_can_be_allowed(run):
    async def body():
        await Counter.start(name="left")

    run.allow_leftovers = True
    run(body)
    run(body)


def test_a_timer_for_the_body_is_no_leak(run):
    async def body():
        send_after(1000.0, me(), "tick")

    run(body)


def test_eventually_waits_for_a_def_and_an_async_def(run):
    async def body():
        seen = []
        spawn_link(lambda: seen.append(1))
        await eventually(lambda: seen)

        async def named():
            return await call("late", "next") == 2

        async def late():
            await asyncio.sleep(0.02)
            await Counter.start_link(name="late")
            await forever()

        def there():
            from foundation.kernel.ops import whereis

            assert whereis("late") is not None
            return True

        spawn_link(late)
        await eventually(there)
        await call("late", "next")
        return await eventually(named)

    assert run(body) is True


def test_eventually_tells_what_did_not_become_true(run):
    async def body():
        await eventually(lambda: 0, timeout=0.05)

    with pytest.raises(AssertionError, match="did not become true within"):
        run(body)


def test_trap_exit_in_the_body(run):
    from foundation.kernel.ops import receive

    async def body():
        trap_exit()
        pid = await Counter.start_link()
        with pytest.raises(Exception, match="boom"):
            await call(pid, "crash")
        return (await receive(timeout=5)).pid == pid

    assert run(body)


def test_a_registered_body_frees_its_name(run):
    async def body():
        await register("body")

    run(body)
    run(body)
