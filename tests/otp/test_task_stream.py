"""TASK-14 to TASK-20: streams."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from foundation.kernel.ops import current
from foundation.otp import (
    CallTimeout,
    Crash,
    Exit,
    Exited,
    GenServer,
    Result,
    Task,
    TaskSupervisor,
    call,
    exit,
    me,
    monitor,
    process_info,
    receive,
    send,
    spawn,
    spawn_monitor,
    trap_exit,
)
from foundation.testing import eventually
from tests.otp.gskit import events, nothing

STREAMS = ["linked", "supervised", "nolink", "spread"]


def make_stream(kind, items, function, *args, **options):
    """Return a stream of the kind that a test is about; a supervisor is ``"tasks"``."""
    if kind == "linked":
        return Task.async_stream(items, function, *args, **options)
    if kind == "spread":
        return Task.async_stream(items, function, *args, host="spread", **options)
    make = TaskSupervisor.stream if kind == "supervised" else TaskSupervisor.stream_nolink
    return make("tasks", items, function, *args, **options)


async def collect(stream):
    return [outcome async for outcome in stream]


KNOWN = {}


async def begin(server=None):
    """Start the supervisor, and *server*; remember what is there before the stream."""
    await TaskSupervisor.start_link(name="tasks")
    pid = None if server is None else await server.start_link()
    process = current()
    KNOWN["links"] = list(process.links)
    KNOWN["hooks"] = process.get_extra("exit_hooks", ())
    return pid


def clean():
    """Whether this process has no task's message, link, monitor, alias or hook."""
    process = current()
    return (
        not process.mailbox
        and not process.monitors
        and list(process.links or ()) == KNOWN["links"]
        and not process.get_extra("aliases")
        and process.get_extra("exit_hooks", ()) == KNOWN["hooks"]
    )


async def same(n):
    return n


async def work(n, pause=0.0):
    await asyncio.sleep(pause)
    return n * 2


async def slow_first(n):
    await asyncio.sleep(0.03 if n == 0 else 0)
    return n


class Gauge(GenServer):
    """Counts how many are at work."""

    def init(self):
        self.now = self.most = 0

    def handle_call(self, request, caller):
        if request == "most":
            return self.most
        self.now += request
        self.most = max(self.most, self.now)
        return None


async def gauged(n, gauge):
    await call(gauge, 1)
    await asyncio.sleep(0.005)
    await call(gauge, -1)
    return n


@pytest.mark.parametrize("kind", STREAMS)
def test_task_14_at_most_n_at_once_and_in_order(run, kind):
    async def body():
        gauge = await begin(Gauge)
        stream = make_stream(kind, range(12), gauged, gauge, max_concurrency=3)
        assert await collect(stream) == [Result(n) for n in range(12)]
        assert await call(gauge, "most") == 3
        assert await collect(make_stream(kind, [], work)) == []
        assert await collect(make_stream(kind, [1], work, 0.0)) == [Result(2)]
        assert await collect(make_stream(kind, range(3), slow_first)) == [
            Result(0),
            Result(1),
            Result(2),
        ]
        assert clean()

    run(body)


def test_task_14_wrong_options(run):
    async def body():
        for options in (
            {"max_concurrency": 0},
            {"max_concurrency": 1.5},
            {"on_timeout": "explode"},
            {"timeout": 0},
        ):
            with pytest.raises(ValueError, match=next(iter(options))):
                Task.async_stream([1], work, **options)

    run(body)


@pytest.mark.parametrize("kind", STREAMS)
def test_task_15_unordered(run, kind):
    async def body():
        await begin()
        stream = make_stream(kind, range(4), slow_first, ordered=False, max_concurrency=4)
        got = await collect(stream)
        assert got[-1] == Result(0)
        assert sorted(outcome.value for outcome in got) == [0, 1, 2, 3]
        assert clean()

    run(body)


async def fail_on(n, bad):
    await asyncio.sleep(0)
    if n == bad:
        raise Exit("odd")
    return n


@pytest.mark.parametrize("kind", STREAMS)
def test_task_16_a_failing_item(run, kind):
    async def body():
        await begin()
        if kind != "nolink":
            trap_exit()
        got = await collect(make_stream(kind, range(4), fail_on, 1, max_concurrency=2))
        assert got == [Result(0), Exited("odd"), Result(2), Result(3)]
        assert await nothing()
        assert clean()

    run(body)


@pytest.mark.parametrize("kind", ["linked", "supervised", "spread"])
def test_task_16_a_consumer_that_does_not_trap_dies(run, kind):
    async def consumer():
        await collect(make_stream(kind, range(4), fail_on, 1))

    async def body():
        await begin()
        pid, ref = spawn_monitor(consumer)
        down = await receive()
        assert (down.object, down.reason) == (pid, "odd")
        assert ref

    run(body)


async def report_and_sleep(n, log):
    send(log, me())
    await asyncio.sleep(0 if n == 0 else 3600)
    return n


@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("how", ["break", "raise", "close", "async with"])
@pytest.mark.parametrize("trap", [False, True])
def test_task_18_leaving_the_loop_kills_the_running_tasks(run, kind, how, trap):
    async def consume(log):
        if how == "async with":
            async with make_stream(
                kind, range(9), report_and_sleep, log, max_concurrency=3
            ) as stream:
                assert await anext(stream) == Result(0)
            return
        stream = make_stream(kind, range(9), report_and_sleep, log, max_concurrency=3)
        if how == "close":
            assert await anext(stream) == Result(0)
            stream.close()
            assert await collect(stream) == []
            return
        loop = stream.__aiter__()
        del stream
        async for outcome in loop:
            assert outcome == Result(0)
            del loop
            if how == "raise":
                raise LookupError("mine")
            break

    async def body():
        trap_exit(trap)
        log = await begin(Log)
        if how == "raise":
            with pytest.raises(LookupError, match="mine"):
                await consume(log)
        else:
            await consume(log)
        assert clean()
        # Whoever was started is gone soon.
        for pid in await call(log, "pids"):
            monitor(pid)
            await receive(timeout=5.0)
        assert await nothing()

    run(body)


@pytest.mark.parametrize("kind", STREAMS)
def test_task_18_a_generator_ends_with_its_stream(run, kind):
    async def body():
        ended = []

        def numbers():
            try:
                yield from range(100)
            finally:
                ended.append("def")

        async def more_numbers():
            try:
                for number in range(100):
                    yield number
            finally:
                await asyncio.sleep(0)
                ended.append("async def")

        await begin(Log)
        for items in (numbers, more_numbers):
            stream = make_stream(kind, items(), same, max_concurrency=2)
            assert await anext(stream) == Result(0)
            stream.close()
        await eventually(lambda: ended == ["def", "async def"])
        assert clean()

    run(body)


class Log(GenServer):
    """Remembers the pids it is told."""

    def init(self):
        self.pids = []

    def handle_info(self, message):
        self.pids.append(message)

    def handle_call(self, request, caller):
        return self.pids


@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("reason", ["kill", "normal"])
def test_task_18_the_end_of_the_consumer_kills_the_running_tasks(run, kind, reason):
    async def consumer(log):
        stream = make_stream(kind, range(1, 9), report_and_sleep, log, max_concurrency=2)
        if reason == "normal":
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await anext(stream)
            return
        await anext(stream)

    async def body():
        await begin()
        pid = spawn(consumer, me())
        tasks = await events(2)
        refs = [monitor(task) for task in tasks]
        if reason == "kill":
            exit(pid, "kill")
        downs = [await receive(lambda m: getattr(m, "ref", None) in refs) for _ in refs]
        assert {down.reason for down in downs} <= {"killed", "noproc"}

    run(body)


@pytest.mark.parametrize("kind", STREAMS)
def test_task_17_a_task_that_takes_too_long(run, kind):
    async def body():
        await begin()
        options = {"timeout": 0.2, "max_concurrency": 3}
        stream = make_stream(kind, [0, 3600, 1], asyncio_sleep, on_timeout="kill_task", **options)
        assert await collect(stream) == [Result(0), Exited("timeout"), Exited("timeout")]
        with pytest.raises(CallTimeout):
            await collect(make_stream(kind, [0, 3600, 1], asyncio_sleep, **options))
        assert clean()
        assert await nothing()

    run(body)


async def asyncio_sleep(seconds):
    await asyncio.sleep(seconds)
    return seconds


def test_task_19_zip_input_on_exit(run):
    async def body():
        await begin()
        stream = TaskSupervisor.stream_nolink(
            "tasks", "ab", fail_on, "b", zip_input_on_exit=True
        )
        assert await collect(stream) == [Result("a"), Exited(("b", "odd"))]
        stream = TaskSupervisor.stream_nolink(
            "tasks",
            [3600],
            asyncio_sleep,
            timeout=0.02,
            on_timeout="kill_task",
            zip_input_on_exit=True,
        )
        assert await collect(stream) == [Exited((3600, "timeout"))]

    run(body)


async def hang_after_first(n):
    await asyncio.sleep(3600 if n else 0)
    return n


@pytest.mark.parametrize("kind", STREAMS)
def test_task_20_input_is_taken_as_capacity_frees_up(run, kind):
    taken = []

    def numbers():
        for n in itertools.count():
            taken.append(n)
            yield n

    async def body():
        await begin()
        stream = make_stream(kind, numbers(), hang_after_first, max_concurrency=2, timeout=0.2)
        assert not taken
        assert await anext(stream) == Result(0)
        assert taken == [0, 1]
        with pytest.raises(CallTimeout):
            await anext(stream)
        assert taken == [0, 1, 2]
        assert clean()

    run(body)


@pytest.mark.parametrize("kind", STREAMS)
def test_task_20_async_input(run, kind):
    async def numbers():
        for n in range(5):
            await asyncio.sleep(0.001)
            yield n

    async def body():
        await begin()
        stream = make_stream(kind, numbers(), work, max_concurrency=2)
        assert await collect(stream) == [Result(2 * n) for n in range(5)]
        assert clean()

    run(body)


@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("style", ["sync", "async"])
def test_task_20_a_raising_input_stops_the_tasks(run, kind, style):
    def numbers():
        yield 1
        raise LookupError("no more")

    async def later():
        yield 1
        raise LookupError("no more")

    async def body():
        log = await begin(Log)
        items = numbers() if style == "sync" else later()
        with pytest.raises(LookupError, match="no more"):
            await collect(make_stream(kind, items, report_and_sleep, log))
        assert clean()
        for pid in await call(log, "pids"):
            monitor(pid)
            await receive()
        assert await nothing()

    run(body)


def test_task_stream_belongs_to_one_process(run):
    async def body():
        stream = Task.async_stream(range(3), work)
        assert await anext(stream) == Result(0)
        log = me()

        async def other():
            with pytest.raises(RuntimeError, match="belongs to"):
                await anext(stream)
            send(log, "refused")

        spawn(other)
        assert await receive(lambda m: m == "refused")
        assert await collect(stream) == [Result(2), Result(4)]

    if run.name == "processes":
        return
    run(body)


class Fetcher(GenServer):
    """Streams inside a callback."""

    async def handle_call(self, request, caller):
        return [outcome.value async for outcome in Task.async_stream(request, work)]


def test_task_stream_in_a_server(run):
    async def body():
        pid = await Fetcher.start_link()
        assert await call(pid, [1, 2, 3]) == [2, 4, 6]
        assert len(process_info(me())["links"]) == 1

    run(body)


def test_task_stream_a_plain_function_that_raises(run):
    def half(n):
        return 10 // n

    async def body():
        trap_exit()
        await begin()
        got = await collect(Task.async_stream([1, 0], half))
        assert got[0] == Result(10)
        assert type(got[1].reason) is Crash
        await eventually(clean)

    run(body)
