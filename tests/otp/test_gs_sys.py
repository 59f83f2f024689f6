"""GS-62 to GS-69: logging, ``sys``."""

from __future__ import annotations

import asyncio
import threading

import pytest

from foundation.errors import SysError
from foundation.kernel.ops import current
from foundation.kernel.reports import CrashReport
from foundation.otp import (
    CallExit,
    CallTimeout,
    Exit,
    ExitMsg,
    NoProc,
    Reply,
    Shutdown,
    Stop,
    Task,
    call,
    cast,
    exit,
    me,
    monitor,
    process_info,
    receive,
    send,
    stop,
    sys,
    trap_exit,
)
from foundation.testing import eventually
from tests.otp.gskit import Doer, ends, events, nothing


class Secret(Doer):
    def format_status(self, status):
        return {**status, "password": "***"}


def crashes(run):
    return [report for report in run.reports if type(report) is CrashReport]


@pytest.mark.parametrize("reason", ["normal", "shutdown", Shutdown("x")])
def test_gs_62_clean_ends_are_silent(run, reason):
    async def body():
        pid = await Doer.start(None)
        ref = monitor(pid)
        cast(pid, lambda s: Stop(reason))
        assert (await receive()).reason == reason
        assert ref

    run(body)
    assert not run.reports


def test_gs_62_a_crash_is_one_report_that_says_all(run):
    async def body():
        trap_exit()
        pid = await Secret.start_link(None, lambda s: setattr(s, "password", "hunter2"), name="s")

        def crash(server, caller):
            raise ValueError("boom")

        with pytest.raises(CallExit):
            await call(pid, crash)
        await ends(pid)
        return pid, me()

    pid, client = run(body)
    (report,) = crashes(run)
    assert (report.pid, report.name, report.kind) == (pid, "s", "Secret")
    assert (report.reason.type, report.reason.message) == ("ValueError", "boom")
    assert "crash" in report.last_message
    assert report.client == client
    assert report.ancestors == (client,)
    assert "'password': '***'" in report.state
    assert "hunter2" not in report.state


def test_gs_62_stop_with_an_odd_reason_is_reported_once(run):
    async def body():
        pid = await Doer.start(None)
        cast(pid, lambda s: Stop("odd"))
        await eventually(lambda: _gone(pid))

    run(body)
    assert [report.reason for report in crashes(run)] == ["odd"]


async def _gone(pid):
    try:
        await call(pid, "count")
    except CallExit:
        return True
    return False


def test_gs_63_a_server_killed_by_a_signal_logs_nothing(run):
    async def body():
        trap_exit()
        pid = await Doer.start_link(None)
        exit(pid, "odd")
        await ends(pid)

    run(body)
    assert not run.reports


class Slotted(Doer):
    __slots__ = ("extra",)


def test_gs_65_get_state_is_a_copy_of_the_attributes(run):
    async def body():
        pid = await Doer.start_link(None, lambda s: setattr(s, "things", [1]))
        state = await sys.get_state(pid)
        assert state == {"log": None, "count": 0, "things": [1]}
        state["things"].append(2)
        assert (await sys.get_state(pid))["things"] == [1]
        pid = await Slotted.start_link(None, lambda s: setattr(s, "extra", 5))
        assert (await sys.get_state(pid))["extra"] == 5

    run(body)


def test_gs_65_what_cannot_be_copied_is_shown_as_text(run):
    async def body():
        pid = await Doer.start_link(None, lambda s: setattr(s, "lock", threading.Lock()))
        state = await sys.get_state(pid)
        assert "lock" in state["lock"]
        assert state["count"] == 0

    run(body)


def test_gs_65_a_state_that_cannot_travel_is_an_error_only(run):
    async def body():
        pid = await Doer.start_link()

        def close_over(server, caller):
            made = threading.Lock()
            server.function = lambda: made

        await call(pid, close_over)
        if run.name == "processes":
            with pytest.raises(SysError, match="cannot be sent"):
                await sys.get_state(pid)
        else:
            assert callable((await sys.get_state(pid))["function"])
        assert await call(pid, "count") == 1

    run(body)


def test_gs_65_replace_state(run):
    async def body():
        pid = await Doer.start_link()
        assert (await sys.replace_state(pid, lambda s: {**s, "count": 10}))["count"] == 10
        assert await call(pid, "count") == 11
        await sys.suspend(pid)
        await sys.replace_state(pid, lambda s: {"log": None, "count": 20, "new": [1]})
        assert await sys.get_state(pid) == {"log": None, "count": 20, "new": [1]}
        await sys.resume(pid)
        assert await call(pid, "count") == 21

    run(body)


@pytest.mark.parametrize("wrong", ["raise", "exit", "list", "keys"])
def test_gs_65_a_failing_function_changes_nothing(run, wrong):
    def change(state):
        state["things"].append(2)
        state["count"] = 5
        if wrong == "raise":
            raise ValueError("no")
        if wrong == "exit":
            raise Exit("no")
        return [1] if wrong == "list" else {1: 2}

    async def body():
        pid = await Doer.start_link(None, lambda s: setattr(s, "things", [1]))
        before = await sys.get_state(pid)
        with pytest.raises(SysError) as caught:
            await sys.replace_state(pid, change)
        assert caught.value.server == pid
        assert await sys.get_state(pid) == before
        assert await call(pid, "count") == 1

    run(body)


def test_gs_65_a_server_that_has_not_started_gives_timeout(run):
    async def body():
        task = Task.run(Doer.start_link, None, lambda s: asyncio.sleep(0.2), name="busy")
        await eventually(lambda: _timed_out())
        await task
        assert (await sys.get_state("busy"))["count"] == 0
        exit((await sys.get_status("busy"))["pid"], "kill")

    async def _timed_out():
        try:
            await sys.get_state("busy", timeout=0.02)
        except NoProc:
            return False
        except CallTimeout:
            return True

    run(body)


def test_gs_65_a_parked_server_answers(run):
    async def body():
        pid = await Doer.start_link(me())
        cast(pid, _wait_for_go)
        assert (await sys.get_state(pid))["count"] == 0
        send(pid, "unrelated")
        send(pid, "go")
        assert await events(2) == [("went",), ("info", "unrelated")]

    run(body)


async def _wait_for_go(server):
    await receive(lambda m: m == "go")
    server.tell("went")


def test_gs_65_requests_to_a_server_killed_while_parked_fail_at_once(run):
    async def body():
        trap_exit()
        pid = await Doer.start_link(me(), None, True)
        cast(pid, _wait_for_go)
        await sys.get_state(pid)

        async def ask():
            try:
                await sys.get_state(pid, timeout=None)
            except CallExit as error:
                return error.reason
            return "answered"

        task = Task.run(ask)
        exit(pid, "shutdown")
        assert await task in ("shutdown", "noproc", "answered")

    run(body)


def test_gs_65_suspend_holds_messages_back_in_order(run):
    async def body():
        pid = await Doer.start_link(me())
        await sys.suspend(pid)
        await sys.suspend(pid)
        for number in range(3):
            cast(pid, number)
        send(pid, "info")
        with pytest.raises(CallTimeout):
            await call(pid, "count", timeout=0.02)
        assert await nothing()
        assert (await sys.get_status(pid))["suspended"]
        cast(pid, 3)
        assert (await sys.get_state(pid))["count"] == 0
        await sys.resume(pid)
        assert await events(5) == [
            ("cast", 0),
            ("cast", 1),
            ("cast", 2),
            ("info", "info"),
            ("cast", 3),
        ]
        assert await call(pid, "count") == 2  # the call that timed out was carried out

    run(body)


def test_gs_65_a_suspended_server_can_be_stopped(run):
    async def body():
        pid = await Doer.start(me())
        await sys.suspend(pid)
        cast(pid, "never handled")
        await stop(pid)
        assert await receive() == ("terminate", "normal")
        trap_exit()
        pid = await Doer.start_link(me(), None, True)
        await sys.suspend(pid)
        cast(pid, "never handled")
        exit(pid, "shutdown")
        assert await events(2) == [("terminate", "shutdown"), ExitMsg(pid, "shutdown")]

    run(body)


def test_gs_67_statistics(run):
    async def body():
        pid = await Doer.start_link(me())
        assert await sys.statistics(pid, "get") is None
        await sys.statistics(pid, "on")
        await call(pid, "count")
        cast(pid, "x")
        send(pid, "y")
        await events(2)

        async def slow(server, caller):
            await asyncio.sleep(0.01)

        await call(pid, slow)
        numbers = await sys.statistics(pid, "get")
        assert (numbers["messages_in"], numbers["replies"]) == (4, 2)
        assert numbers["seconds"] >= 0
        await sys.statistics(pid, "off")
        assert await sys.statistics(pid, "get") is None
        assert (await sys.get_status(pid))["debug"] == []
        with pytest.raises(ValueError, match="flag must be"):
            await sys.statistics(pid, "maybe")

    run(body)


def test_gs_67_log_keeps_the_last_events(run):
    async def body():
        pid = await Doer.start_link(me())
        assert await sys.log(pid, "get") == []
        await sys.log(pid, 3)
        cast(pid, "forgotten")
        cast(pid, "kept")
        await events(2)
        await call(pid, "count")
        found = await sys.log(pid, "get")
        assert [event.what for event in found] == ["cast", "call", "reply"]
        assert found[0].text == "'kept'"
        await sys.log(pid, "off")
        assert await sys.log(pid, "get") == []
        with pytest.raises(ValueError, match="number above 0"):
            await sys.log(pid, 0)

    run(body)


def test_gs_67_trace_writes_events_to_the_log(run):
    async def body():
        pid = await Doer.start_link(me(), name="traced")
        await sys.trace(pid, True)
        cast(pid, "visible")
        await receive()
        await sys.trace(pid, False)
        cast(pid, "invisible")
        await receive()
        assert (await sys.get_status(pid))["debug"] == []

    run(body)
    if run.name != "processes":  # there the log is in the host of the server
        texts = [report.text for report in run.reports]
        assert texts == ["trace 'traced': cast 'visible'"]


@pytest.mark.foundation_drivers("interpreter")
def test_gs_67_switched_off_costs_nothing(run):
    async def body():
        pid = await Doer.start_link(me())
        process = current().kernel.procs[pid]
        await sys.suspend(pid)
        await sys.statistics(pid, "on")
        assert process.debug is not None
        await sys.resume(pid)
        await sys.statistics(pid, "off")
        assert process.debug is None

    run(body)


def test_gs_68_ancestors_and_callers(run):
    async def body():
        inner = []

        async def start_inner(server, caller):
            inner.append(await Doer.start_link())
            return inner[0], process_info(me())["ancestors"]

        outer = await Doer.start_link(name="outer")
        child, ancestors = await call(outer, start_inner)
        assert ancestors == [me()]
        assert await call(child, lambda s, c: process_info(me())["ancestors"]) == ["outer", me()]

    run(body)


class Version2(Doer):
    def migrate(self, old_version, extra):
        self.count += extra
        if old_version == "broken":
            raise ValueError("cannot migrate")


def test_gs_69_migrate_while_suspended(run):
    async def body():
        pid = await Version2.start_link()
        with pytest.raises(SysError, match="suspend"):
            await sys.migrate(pid, 1, 10)
        await sys.suspend(pid)
        await sys.migrate(pid, 1, 10)
        with pytest.raises(SysError, match="cannot migrate"):
            await sys.migrate(pid, "broken", 100)
        await sys.resume(pid)
        assert await call(pid, "count") == 11
        plain = await Doer.start_link()
        await sys.suspend(plain)
        with pytest.raises(SysError, match="no method migrate"):
            await sys.migrate(plain, 1)

    run(body)


def test_gs_70_hibernate_is_accepted(run):
    async def body():
        pid = await Doer.start_link()
        assert await call(pid, lambda s, c: Reply(1, hibernate=True)) == 1

    run(body)


def test_sys_requests_fail_as_calls_do(run):
    async def body():
        with pytest.raises(NoProc):
            await sys.get_state("unknown")
        status = await sys.get_status(await Secret.start_link(name="s"))
        assert (status["class"], status["name"]) == ("Secret", "s")
        assert status["attributes"]["password"] == "***"

    run(body)
