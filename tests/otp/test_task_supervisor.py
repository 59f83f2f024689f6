"""TASK-21 to TASK-24: TaskSupervisor."""

from __future__ import annotations

import asyncio

import pytest

from foundation.otp import (
    CallExit,
    Down,
    Exit,
    Exited,
    ExitMsg,
    GenServer,
    MaxChildren,
    NoProc,
    Supervisor,
    Task,
    TaskSupervisor,
    alive,
    call,
    demonitor,
    exit,
    me,
    monitor,
    process_info,
    receive,
    send,
    spawn,
    spawn_monitor,
    stop,
    trap_exit,
)
from foundation.testing import eventually
from tests.otp.gskit import events, nothing
from tests.otp.test_task_run import double, fail, nothing_left, polite, sleeper, stubborn

PLACES = [None, "spread"]


class Small(TaskSupervisor):
    max_children = 2


async def begin(cls=TaskSupervisor):
    return await cls.start_link(name="tasks")


@pytest.mark.parametrize("host", PLACES)
def test_task_21_run_nolink(run, host):
    async def body():
        await begin()
        task = await TaskSupervisor.run_nolink("tasks", double, 4, host=host)
        assert task.pid not in process_info(me())["links"]
        assert await task == 8
        task = await TaskSupervisor.run_nolink("tasks", fail, Exit("odd"), host=host)
        assert await task.yield_() == Exited("odd")
        task = await TaskSupervisor.run_nolink("tasks", fail, ValueError("boom"), host=host)
        with pytest.raises(CallExit, match="boom"):
            await task
        assert await nothing()
        assert nothing_left()

    run(body)


class Worker(GenServer):
    """Passes on what ``handle_info`` gets of its tasks."""

    def init(self, log):
        self.log = log

    async def handle_call(self, request, caller):
        task = await TaskSupervisor.run_nolink("tasks", *request)
        return task.ref, task.pid

    def handle_info(self, message):
        if type(message) is tuple and message[1] == "enough":
            demonitor(message[0], flush=True)
        send(self.log, message)


@pytest.mark.parametrize("host", PLACES)
def test_task_21_messages_in_handle_info(run, host):
    async def body():
        await begin()
        worker = await Worker.start_link(me())
        ref, pid = await call(worker, (fail, Exit("odd")))
        assert await receive() == Down(ref, pid, "odd")
        ref, pid = await call(worker, (double, 4))
        assert await events(2) == [(ref, 8), Down(ref, pid, "normal")]
        ref, pid = await call(worker, (say_enough,))
        assert await receive() == (ref, "enough")
        assert await nothing()

    run(body)


def say_enough():
    return "enough"


@pytest.mark.parametrize("host", PLACES)
def test_task_21_run_links(run, host):
    async def body():
        sup = await begin()
        trap_exit()
        task = await TaskSupervisor.run("tasks", sleeper, host=host)
        assert task.pid in process_info(me())["links"]
        exit(task.pid, "odd")
        assert await task.yield_() == Exited("odd")
        assert await receive() == ExitMsg(task.pid, "odd")
        pid, ref = spawn_monitor(owner_of_failing, host)
        assert await receive() == Down(ref, pid, "odd")
        await eventually(lambda: _none(sup))

    async def _none(sup):
        return await TaskSupervisor.children(sup) == []

    run(body)


async def owner_of_failing(host):
    await (await TaskSupervisor.run("tasks", fail, Exit("odd"), host=host))


@pytest.mark.parametrize("host", PLACES)
def test_task_22_start_child_outlives_its_caller(run, host):
    async def starter(log):
        send(log, await TaskSupervisor.start_child("tasks", sleeper, host=host))
        raise Exit("odd")

    async def body():
        await begin()
        pid, ref = spawn_monitor(starter, me())
        task, down = await events(2)
        assert down == Down(ref, pid, "odd")
        assert await TaskSupervisor.children("tasks") == [task]
        assert monitor(task)
        assert await nothing()

    run(body)


def test_task_22_temporary_by_default_and_other_restarts(run):
    async def body():
        await begin()
        log = me()

        async def once(reason):
            send(log, me())
            raise Exit(reason)

        await TaskSupervisor.start_child("tasks", once, "odd")
        await receive()
        assert await nothing()
        await TaskSupervisor.start_child("tasks", once, "normal", restart="transient")
        await receive()
        assert await nothing()

        async def fail_once():
            send(log, me())
            if await receive() == "fail":
                raise Exit("odd")
            await asyncio.sleep(3600)

        first = await TaskSupervisor.start_child("tasks", fail_once, restart="transient")
        assert await receive() == first
        send(first, "fail")
        second = await receive()
        assert second != first
        send(second, "stay")
        assert await TaskSupervisor.children("tasks") == [second]

    run(body)


def test_task_23_max_children(run):
    async def body():
        await begin(Small)
        tasks = [await TaskSupervisor.run("tasks", sleeper) for _ in range(2)]
        for start in (TaskSupervisor.run, TaskSupervisor.run_nolink, TaskSupervisor.start_child):
            with pytest.raises(MaxChildren):
                await start("tasks", sleeper)
        await tasks[0].shutdown()
        await tasks[1].shutdown()
        assert nothing_left()
        await eventually(_empty)
        with pytest.raises(MaxChildren):
            async for _ in TaskSupervisor.stream(
                "tasks", [3600] * 9, asyncio.sleep, max_concurrency=3
            ):
                pass
        assert nothing_left()
        await eventually(_empty)

    async def _empty():
        return await TaskSupervisor.children("tasks") == []

    run(body)


@pytest.mark.parametrize("host", PLACES)
def test_task_24_tasks_get_shutdown_and_are_killed_later(run, host):
    async def body():
        sup = await TaskSupervisor.start()
        log = me()
        plain = await TaskSupervisor.run_nolink(sup, sleeper, log, host=host)
        patient = await TaskSupervisor.run_nolink(sup, polite, log, "done", host=host)
        hung = await TaskSupervisor.run_nolink(sup, stubborn, log, shutdown=0.02, host=host)
        brutal = await TaskSupervisor.run_nolink(
            sup, stubborn, log, shutdown="brutal_kill", host=host
        )
        await events(4)
        await stop(sup)
        outcomes = await Task.yield_many([plain, patient, hung, brutal])
        assert outcomes == [
            Exited("shutdown"),
            Exited("done"),
            Exited("killed"),
            Exited("killed"),
        ]

    run(body)


@pytest.mark.parametrize("host", PLACES)
def test_task_26_callers_and_ancestors_under_a_supervisor(run, host):
    def describe():
        info = process_info(me())
        return info["callers"], info["ancestors"]

    async def outer():
        inner = await TaskSupervisor.run("tasks", describe, host=host)
        return me(), await inner

    async def body():
        await begin()
        task = await TaskSupervisor.run("tasks", outer, host=host)
        pid, (callers, ancestors) = await task
        assert callers == [pid, me()]
        assert ancestors == ["tasks", me()]

    run(body)


def test_task_27_reports_of_supervised_tasks(run):
    async def body():
        await begin()
        task = await TaskSupervisor.run_nolink("tasks", fail, ValueError("boom"))
        assert type(await task.yield_()) is Exited
        return me()

    client = run(body)
    reports = [r for r in run.reports if getattr(r, "kind", "") == "Task"]
    if run.name != "processes":
        assert [(r.client, r.reason.message) for r in reports] == [(client, "boom")]
        assert reports[0].ancestors == ("tasks", client)


@pytest.mark.parametrize("host", PLACES)
def test_task_supervisor_a_task_whose_owner_ended_early_never_runs(run, host):
    async def owner(log):
        from foundation.kernel.ops import current
        from foundation.otp import DynamicSupervisor
        from foundation.otp.task import new_task, order_for
        from foundation.otp.task_supervisor import _spec

        process = current()
        task = new_task(process, sleeper)
        spec = _spec(order_for(process, task, True), sleeper, (log,), {}, "temporary", 5.0, host)
        send(log, await DynamicSupervisor.start_child("tasks", spec))

    async def body():
        await begin()
        spawn(owner, me())
        pid = await receive()
        monitor(pid)
        assert (await receive()).reason in ("shutdown", "noproc")
        assert await nothing()

    run(body)


class App(Supervisor):
    def init(self):
        return [TaskSupervisor.spec(name="tasks")]


def test_task_supervisor_under_a_supervisor(run):
    async def body():
        await App.start_link()
        assert TaskSupervisor.spec().type == "supervisor"
        assert await (await TaskSupervisor.run("tasks", double, 3)) == 6
        assert await (await TaskSupervisor.run("tasks", lambda a, b: a + b, 1, b=2)) == 3
        with pytest.raises(NoProc):
            await TaskSupervisor.run("nobody", double, 3)
        with pytest.raises(TypeError, match="runs a function"):
            await TaskSupervisor.run("tasks", 5)
        assert nothing_left()

    run(body)


def test_task_supervisor_when_it_dies_its_tasks_do(run):
    async def body():
        trap_exit()
        sup = await TaskSupervisor.start_link()
        task = await TaskSupervisor.run_nolink(sup, sleeper)
        exit(sup, "kill")
        assert await task.yield_() == Exited("killed")
        assert (await receive()).reason == "killed"
        assert not alive(task.pid) or run.name == "processes"

    run(body)
