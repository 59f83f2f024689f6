"""TASK-01 to TASK-13, TASK-25 to TASK-28: single tasks."""

from __future__ import annotations

import asyncio

import pytest

from foundation.kernel.ops import current
from foundation.kernel.reports import CrashReport
from foundation.otp import (
    CallExit,
    CallTimeout,
    Down,
    Exit,
    Exited,
    ExitMsg,
    GenServer,
    NoReply,
    Result,
    Supervisor,
    Task,
    Unsendable,
    alive,
    call,
    exit,
    me,
    process_info,
    receive,
    send,
    spawn,
    spawn_monitor,
    trap_exit,
)
from foundation.testing import eventually
from tests.otp.gskit import Doer, events, nothing, raiser

PLACES = [None, "spread"]


async def double(n, seconds=0.0):
    await asyncio.sleep(seconds)
    return n * 2


async def fail(error, seconds=0.0):
    await asyncio.sleep(seconds)
    raise error


async def sleeper(log=None):
    if log is not None:
        send(log, me())
    await asyncio.sleep(3600)


def nothing_left(pid=None):
    """Whether this process has no message, link, monitor or alias (of the task *pid*)."""
    process = current()
    return (
        not process.mailbox
        and not process.monitors
        and pid not in (process.links or ())
        and not process.get_extra("aliases")
    )


@pytest.mark.parametrize("host", PLACES)
def test_task_01_the_owner_gets_the_result_and_a_down(run, host):
    async def body():
        task = Task.run(double, 4, host=host)
        assert await events(2) == [(task.ref, 8), Down(task.ref, task.pid, "normal")]
        task = Task.run(lambda: (me(), process_info(me())["links"]), host=host)
        pid, links = await task
        assert pid == task.pid != me()
        assert links == [me()]

    run(body)


@pytest.mark.parametrize("host", PLACES)
@pytest.mark.parametrize("trap", [False, True])
def test_task_02_await_leaves_nothing(run, trap, host):
    async def body():
        trap_exit(trap)
        tasks = [Task.run(double, n, host=host) for n in range(4)]
        assert await tasks[0] == 0
        assert await tasks[1].result() == 2
        assert await tasks[3].result(timeout=None) == 6
        assert await tasks[2].result(timeout=1.0) == 4
        assert all(nothing_left(task.pid) for task in tasks)
        assert await nothing()

    run(body)


async def awaiting(log, error, trap, host):
    trap_exit(trap)
    try:
        await Task.run(fail, error, host=host)
    except CallExit as caught:
        send(log, caught.reason)


@pytest.mark.parametrize("host", PLACES)
def test_task_03_a_failing_task(run, host):
    async def body():
        pid, ref = spawn_monitor(awaiting, me(), ValueError("boom"), False, host)
        down = await receive()
        assert (down.object, down.ref, down.reason.message) == (pid, ref, "boom")
        spawn(awaiting, me(), ValueError("boom"), True, host)
        reason = await receive()
        assert (reason.type, reason.message) == ("ValueError", "boom")

    run(body)


@pytest.mark.parametrize("host", PLACES)
def test_task_04_a_task_that_exits_normal_without_result(run, host):
    async def body():
        with pytest.raises(CallExit) as caught:
            await Task.run(fail, Exit("normal"), host=host)
        assert caught.value.reason == "normal"
        assert nothing_left()

    run(body)
    assert not run.reports


@pytest.mark.parametrize("host", PLACES)
def test_task_05_await_that_times_out_drops_the_result_and_the_task_goes_on(run, host):
    async def body():
        log = me()

        async def work():
            await asyncio.sleep(0.05)
            send(log, "done")
            return 1

        task = Task.run(work, host=host)
        with pytest.raises(CallTimeout) as caught:
            await task.result(timeout=0.01)
        assert caught.value.server is task
        assert await receive() == "done"
        assert await nothing()
        assert nothing_left()

    run(body)


@pytest.mark.foundation_drivers("simulator")
def test_task_05_five_seconds_is_the_default(run):
    async def body():
        task = Task.run(double, 1, 4.9)
        assert await task == 2
        task = Task.run(double, 1, 5.1)
        with pytest.raises(CallTimeout):
            await task

    run(body)


def test_task_06_a_result_comes_once(run):
    async def body():
        task = Task.run(double, 4)
        assert await task == 8
        with pytest.raises(CallTimeout):
            await task.result(timeout=0.01)

    run(body)


def test_task_06_only_the_owner_can_await(run):
    async def body():
        task = Task.run(double, 4)
        log = me()

        async def other():
            with pytest.raises(RuntimeError, match="only that process"):
                await task
            send(log, "refused")

        spawn(other)
        assert await receive(lambda m: m == "refused")
        assert await task == 8
        with pytest.raises(TypeError, match="runs a function"):
            Task.run("not a function")

    run(body)


@pytest.mark.parametrize("host", PLACES)
def test_task_09_yield(run, host):
    async def body():
        trap_exit()
        task = Task.run(double, 4, 0.03, host=host)
        assert await task.yield_(0) is None
        assert await task.yield_() == Result(8)
        assert nothing_left(task.pid)
        task = Task.run(fail, Exit("odd"), host=host)
        assert await task.yield_() == Exited("odd")
        assert await receive() == ExitMsg(task.pid, "odd")
        tasks = [Task.run(double, n, seconds, host=host) for n, seconds in ((1, 0), (2, 3600))]
        assert await Task.yield_many(tasks, 0.1) == [Result(2), None]
        assert await tasks[1].shutdown() is None

    run(body)


async def stubborn(log):
    trap_exit()
    send(log, "ready")
    await asyncio.sleep(3600)


async def polite(log, reason):
    trap_exit()
    send(log, "ready")
    await receive()
    raise Exit(reason)


@pytest.mark.parametrize("host", PLACES)
@pytest.mark.parametrize("trap", [False, True])
def test_task_10_shutdown(run, trap, host):
    async def body():
        trap_exit(trap)
        log = me()
        # It had just finished.
        task = Task.run(double, 4, host=host)
        await eventually(lambda: current().mailbox)
        assert await task.shutdown() == Result(8)
        # This call ended it.
        task = Task.run(sleeper, log, host=host)
        await receive()
        assert await task.shutdown() is None
        # It ended otherwise.
        task = Task.run(polite, log, "own reason", host=host)
        await receive()
        assert await task.shutdown() == Exited("own reason")
        # It did not end in time.
        task = Task.run(stubborn, log, host=host)
        await receive()
        assert await task.shutdown(0.02) == Exited("killed")
        # It was killed.
        task = Task.run(stubborn, log, host=host)
        await receive()
        assert await task.shutdown("brutal_kill") is None
        assert await nothing()
        assert nothing_left()

    run(body)


def test_task_10_shutdown_of_a_task_that_has_not_started(run):
    async def body():
        task = Task.run(sleeper, host="spread")
        assert await task.shutdown() is None
        assert await nothing()
        assert nothing_left()

    run(body)


def test_task_10_shutdown_after_await_timed_out(run):
    async def body():
        task = Task.run(sleeper)
        with pytest.raises(CallTimeout):
            await task.result(timeout=0.01)
        assert await task.shutdown() is None
        assert not alive(task.pid)
        assert await task.shutdown() == Exited("noproc")

    run(body)


@pytest.mark.parametrize("host", PLACES)
def test_task_11_ignore(run, host):
    async def body():
        log = me()
        task = Task.run(double, 4, host=host)
        await eventually(lambda: current().mailbox)
        assert task.ignore() == Result(8)

        async def work():
            send(log, me())
            await receive()
            send(log, "runs on")
            return 1

        task = Task.run(work, host=host)
        pid = await receive()
        assert task.ignore() is None
        assert nothing_left(pid)
        send(pid, "go on")
        assert await receive() == "runs on"
        assert await nothing()

    run(body)


@pytest.mark.parametrize("host", PLACES)
def test_task_12_await_many(run, host):
    async def body():
        trap_exit()
        send(me(), "foreign")
        pauses = (0.02, 0, 0.01)
        tasks = [Task.run(double, n, pauses[n], host=host) for n in range(3)]
        assert await Task.await_many(tasks) == [0, 2, 4]
        assert await Task.await_many([]) == []
        tasks = [Task.run(sleeper, host=host), Task.run(fail, Exit("odd"), host=host)]
        with pytest.raises(CallExit) as caught:
            await Task.await_many(tasks, timeout=None)
        assert (caught.value.reason, caught.value.server) == ("odd", tasks[1])
        await tasks[0].shutdown("brutal_kill")
        tasks = [Task.run(double, 1, host=host), Task.run(sleeper, host=host)]
        with pytest.raises(CallTimeout) as caught:
            await Task.await_many(tasks, timeout=0.1)
        assert caught.value.server is tasks[1]
        await tasks[1].shutdown("brutal_kill")
        assert await receive() == "foreign"
        assert (await receive()).reason == "odd"
        assert await nothing()
        assert nothing_left()

    run(body)


class TaskTree(Supervisor):
    def init(self, log):
        return [Task.spec(report_to, log, "static"), Doer.spec(name="after")]


async def report_to(log, what):
    await asyncio.sleep(0.01)
    send(log, (what, process_info(me())["ancestors"][0]))


def test_task_25_a_task_as_static_child(run):
    async def body():
        assert Task.spec(double, 1).restart == "temporary"
        assert Task.spec(double, 1).id is Task
        assert Task.spec(double, 1, id="d", restart="transient").restart == "transient"
        top = await TaskTree.start_link(me())
        assert await call("after", "count") == 1  # nobody waited for the task
        assert await receive() == ("static", top)
        await eventually(lambda: _only(top))

    async def _only(top):
        return (await Supervisor.count_children(top)).active == 1

    run(body)


@pytest.mark.parametrize("host", PLACES)
def test_task_26_callers_and_ancestors(run, host):
    def describe():
        info = process_info(me())
        return info["callers"], info["ancestors"]

    async def outer():
        return me(), await Task.run(describe, host=host)

    async def body():
        pid, (callers, ancestors) = await Task.run(outer, host=host)
        assert callers == [pid, me()]
        assert ancestors == [pid, me()]
        assert await Task.run(describe) == ([me()], [me()])

    run(body)


def test_task_27_an_unclean_end_is_reported_with_its_origin(run):
    async def body():
        trap_exit()
        task = Task.run(fail, ValueError("boom"))
        assert type(await task.yield_()) is Exited
        for reason in ("normal", "shutdown"):
            assert await Task.run(fail, Exit(reason)).yield_() == Exited(reason)
        return me(), task.pid

    client, pid = run(body)
    (report,) = run.reports
    assert type(report) is CrashReport
    assert (report.pid, report.kind, report.client) == (pid, "Task", client)
    assert report.callers == (client,)
    assert report.reason.message == "boom"
    assert "fail(ValueError('boom'))" in report.last_message


def test_task_28_completed(run):
    async def body():
        assert await Task.completed(7) == 7
        task = Task.completed([1])
        assert await task.yield_(0) == Result([1])
        assert await Task.completed(1).shutdown() == Result(1)
        assert Task.completed(1).ignore() == Result(1)
        assert await Task.await_many([Task.completed(1), Task.run(double, 1)]) == [1, 2]
        assert await nothing()

    run(body)


class Worker(GenServer):
    """Leaves its tasks to ``handle_info``."""

    def init(self, log):
        self.log = log
        self.tasks = {}
        trap_exit()

    def handle_call(self, request, caller):
        function, *args = request
        task = Task.run(function, *args)
        self.tasks[task.ref] = caller
        return NoReply()

    def handle_info(self, message):
        send(self.log, message)


def test_task_in_a_server_messages_come_to_handle_info(run):
    async def body():
        worker = await Worker.start_link(me())
        with pytest.raises(CallTimeout):
            await call(worker, (double, 4), timeout=0.05)
        (ref, value), exit_message, down = sorted(await events(3), key=_kind)
        assert value == 8
        assert (down.ref, down.reason) == (ref, "normal")
        assert exit_message.reason == "normal"

    def _kind(message):
        return (tuple, ExitMsg, Down).index(type(message))

    run(body)


def test_task_start_link_wants_no_result(run):
    async def body():
        pid = await Task.start_link(report_to, me(), "linked")
        assert pid in process_info(me())["links"]
        assert await receive() == ("linked", me())
        pid = await Task.start(fail, Exit("odd"))
        assert await nothing()

    run(body)


def test_task_arguments_and_results_are_copied(run):
    async def body():
        given = [1]

        def append(things):
            things.append(2)
            return things

        result = await Task.run(append, given)
        assert (given, result) == ([1], [1, 2])

    run(body)


@pytest.mark.parametrize("host", PLACES)
def test_task_a_result_that_cannot_travel_fails_the_task(run, host):
    async def body():
        trap_exit()
        with pytest.raises(CallExit) as caught:
            await Task.run(lambda: (n for n in range(3)), host=host)
        assert caught.value.reason.type.endswith(Unsendable.__name__)
        assert (await receive()).reason == caught.value.reason
        with pytest.raises(Unsendable):
            Task.run(double, (n for n in range(3)), host=host)
        assert nothing_left()

    run(body)


@pytest.mark.parametrize("host", PLACES)
def test_task_ends_with_its_owner(run, host):
    async def owner(log):
        Task.run(sleeper, log, host=host)
        raise Exit(await receive())

    async def body():
        pid = spawn(owner, me())
        task = await receive()
        ref = current().kernel.signals.monitor(current(), task)
        send(pid, "odd")
        assert await receive() == Down(ref, task, "odd")

    run(body)


def test_task_exit_of_itself(run):
    async def body():
        trap_exit()

        def leave():
            exit(me(), "left")

        assert await Task.run(leave).yield_() == Exited("left")
        assert await Task.run(lambda: raiser(SystemExit())).yield_()

    run(body)
