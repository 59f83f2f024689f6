"""Task: run a function in a process of its own, now, and await its result later.

Example::

    task = Task.run(fetch, "https://example.org")     # def or async def
    ...
    page = await task                                 # or await task.result(timeout=10.0)

A task is linked to the process that runs it, its *owner*: when one crashes, so does the other.
``TaskSupervisor.run_nolink`` runs tasks that may fail. Only the owner can await a task, in an
``async def`` body or callback. A server may also leave that to ``handle_info``, which gets
``(task.ref, value)`` and then ``Down(task.ref, pid, "normal")``, or one ``Down`` with the
reason why it failed.
"""

from __future__ import annotations

from collections.abc import (
    AsyncIterable,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Sequence,
)
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, overload

from foundation.errors import CallTimeout
from foundation.kernel import ops
from foundation.kernel.codec import register
from foundation.kernel.process import Caller, Process, exit_error
from foundation.kernel.signals import flush_exits
from foundation.kernel.starting import start
from foundation.kernel.values import Alias, Down, Pid, Ref
from foundation.otp.child_spec import ChildSpec, make_spec
from foundation.otp.task_process import Go, Order, TaskProcess

if TYPE_CHECKING:
    from foundation.otp.task_stream import TaskStream

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Result(Generic[T]):
    """A task has returned *value*. (``Ok`` is taken: it is what ``init`` may return.)"""

    value: T


@dataclass(frozen=True, slots=True)
class Exited:
    """A task has ended without a result, with the exit reason *reason*."""

    reason: Any


class Task(Generic[T]):
    """A running task, as its owner sees it. Made by ``Task.run`` and ``TaskSupervisor.run``.

    Attributes:
        pid: of the task's process; None for ``completed`` tasks, and as long as the start of a
            task in another host is under way.
        ref: marks its result and its ``Down``.
        owner: the pid that may await it.
    """

    __slots__ = ("_alias", "_starting", "function", "owner", "pid", "ref")
    __process_class__: ClassVar[type[TaskProcess]] = TaskProcess
    __immutable__ = True  # a handle: another process of this host sees the same one

    def __init__(self, owner: Pid, ref: Ref, alias: Alias | None, function: Any) -> None:
        self.pid: Pid | None = None
        self.ref = ref
        self.owner = owner
        self.function = function
        self._alias = alias
        self._starting: Caller | None = None

    def __repr__(self) -> str:
        name = getattr(self.function, "__qualname__", repr(self.function))
        return f"<Task {name} {self.pid!r}>"

    # Starting

    @overload
    @staticmethod
    def run(
        function: Callable[..., Coroutine[Any, Any, T]],
        *args: Any,
        host: str | None = None,
        **kwargs: Any,
    ) -> Task[T]: ...
    @overload
    @staticmethod
    def run(
        function: Callable[..., T], *args: Any, host: str | None = None, **kwargs: Any
    ) -> Task[T]: ...
    @staticmethod
    def run(
        function: Callable[..., Any], *args: Any, host: str | None = None, **kwargs: Any
    ) -> Task[Any]:
        """Run *function* in a new process that is linked to this one; do not wait.

        Args:
            function: ``def`` or ``async def``. A ``def`` that takes long holds up its host.
            *args: for *function*, as **kwargs; copied.
            host: where; None is beside this process, ``"spread"`` the worker hosts in turn.
                There the function must be importable, or one that cloudpickle can copy.

        Raises:
            Unsendable: *function* or an argument cannot travel.
        """
        me = ops.current()
        task: Task[Any] = new_task(me, function)
        _start_linked(me, task, host, args, kwargs)
        return task

    @staticmethod
    def completed(value: T) -> Task[T]:
        """Return a task that has its result already; it can be awaited once, as any other."""
        me = ops.current()
        task: Task[T] = new_task(me, Task.completed)
        ops.send(me.pid, (task.ref, value))
        return task

    @staticmethod
    async def start_link(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Pid:
        """Run *function* in a linked process whose result nobody wants; for supervisors."""
        return await _start(function, args, kwargs, link=True)

    @staticmethod
    async def start(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Pid:
        """As ``start_link``, without a link: it lives on when this process ends."""
        return await _start(function, args, kwargs, link=False)

    @classmethod
    def spec(cls, function: Callable[..., Any], *args: Any, **options: Any) -> ChildSpec:
        """Return the spec of a task as a child: temporary; its supervisor does not wait for it.

        Args:
            function: ``def`` or ``async def``.
            *args: for *function*.
            **options: fields of ``ChildSpec``; the others are keyword arguments of *function*.
        """
        options.setdefault("restart", "temporary")
        return make_spec(cls, (Order(), function, *args), options)

    # Waiting

    def __await__(self) -> Generator[Any, Any, T]:
        return self.result().__await__()

    async def result(self, timeout: float | None = 5.0) -> T:
        """Wait for the result and return it; a task has one result, once.

        Args:
            timeout: seconds to wait; None waits for ever. When it passes, the task runs on, and
                its result will be dropped.

        Raises:
            CallExit: the task failed; ``reason`` says why. (When it is linked and this process
                does not trap exits, this process ends with it instead.)
            CallTimeout: no result in time.
            RuntimeError: this process is not its owner.
        """
        me = self._check_owner()
        try:
            message = await ops.receive(self._is_mine, timeout=timeout)
        except TimeoutError:
            self.release(me)
            raise CallTimeout("timeout", self, "result", timeout) from None
        outcome = self.settle(me, message)
        if type(outcome) is Exited:
            raise exit_error(outcome.reason, self, "result", timeout)
        value: T = outcome.value  # type: ignore[union-attr]
        return value

    async def yield_(self, timeout: float | None = 5.0) -> Result[T] | Exited | None:
        """Wait at most *timeout* seconds; None when it is not done: it may be awaited again."""
        me = self._check_owner()
        try:
            message = await ops.receive(self._is_mine, timeout=timeout)
        except TimeoutError:
            return None
        return self.settle(me, message)

    async def shutdown(
        self, timeout: float | str | None = 5.0
    ) -> Result[T] | Exited | None:
        """End the task, unless it has just finished; afterwards nothing of it is left.

        Args:
            timeout: seconds it may take to end after exit ``shutdown``, then it is killed;
                None waits for ever; ``"brutal_kill"`` kills it at once.

        Returns:
            ``Result`` when it had finished; None when this call ended it; ``Exited(reason)``
            when it ended otherwise, ``Exited("killed")`` when *timeout* passed.
        """
        me = self._check_owner()
        early = me.take(self._is_mine)
        if type(early) in (tuple, Down):
            return self.settle(me, early)
        brutal = timeout == "brutal_kill"
        signals = me.kernel.signals
        if self.pid is None:  # completed, or not started yet
            self.stop(me)
            return None
        if me.monitors is None or self.ref not in me.monitors:
            signals.monitor(me, self.pid, self.ref)  # awaited in vain before
        signals.unlink(me, self.pid)
        signals.signal(me.pid, self.pid, "kill" if brutal else "shutdown")
        expected = "killed" if brutal else "shutdown"
        seconds = timeout if isinstance(timeout, (int, float)) else None
        try:
            message = await ops.receive(self._is_mine, timeout=seconds)
        except TimeoutError:
            signals.signal(me.pid, self.pid, "kill")
            expected = ""
            message = await ops.receive(self._is_mine)
        outcome = self.settle(me, message)
        flush_exits(me, self.pid)
        return None if type(outcome) is Exited and outcome.reason == expected else outcome

    def ignore(self) -> Result[T] | Exited | None:
        """Let the task run on, unlinked; it can no longer be awaited.

        Returns:
            Its outcome if that is there already, else None.
        """
        me = self._check_owner()
        message = me.take(self._is_mine)
        if self.pid is not None:
            me.kernel.signals.unlink(me, self.pid)
        if type(message) in (tuple, Down):
            return self.settle(me, message)
        self.release(me)
        return None

    @staticmethod
    async def await_many(
        tasks: Sequence[Task[T]], timeout: float | None = 5.0
    ) -> list[T]:
        """Wait for all *tasks*; return their results in their order.

        Args:
            tasks: tasks of this process.
            timeout: seconds to wait for all together; None waits for ever.

        Raises:
            CallExit: one has failed; at once, with its reason. The others run on, and their
                results will be dropped.
            CallTimeout: not all were done in time; likewise.
        """
        from foundation.otp.task_waiting import await_many

        return await await_many(tasks, timeout)

    @staticmethod
    async def yield_many(
        tasks: Sequence[Task[T]], timeout: float | None = 5.0
    ) -> list[Result[T] | Exited | None]:
        """Wait at most *timeout* seconds for *tasks*; return their outcomes in their order.

        None stands for a task that is not done; it may be awaited again.
        """
        from foundation.otp.task_waiting import yield_many

        return await yield_many(tasks, timeout)

    @staticmethod
    def async_stream(
        items: Iterable[Any] | AsyncIterable[Any],
        function: Callable[..., Any],
        *args: Any,
        max_concurrency: int | None = None,
        ordered: bool = True,
        timeout: float | None = 5.0,
        on_timeout: str = "exit",
        zip_input_on_exit: bool = False,
        host: str | None = None,
    ) -> TaskStream[Any]:
        """Run ``function(item, *args)`` for each of *items*, some at a time; see ``TaskStream``.

        Example:
            ``async for outcome in Task.async_stream(urls, fetch, max_concurrency=10): ...``

        The tasks are linked to this process; ``TaskSupervisor.stream_nolink`` runs such that
        may fail. Arguments as in ``TaskStream``; *host* as in ``run``.
        """
        from foundation.otp.task_stream import TaskStream

        async def start_one(item: Any) -> Task[Any]:
            return Task.run(function, item, *args, host=host)

        return TaskStream(
            items,
            start_one,
            max_concurrency=max_concurrency,
            ordered=ordered,
            timeout=timeout,
            on_timeout=on_timeout,
            zip_input_on_exit=zip_input_on_exit,
        )

    # For this package

    def _check_owner(self) -> Process:
        me = ops.current()
        if me.pid != self.owner:
            raise RuntimeError(
                f"{self!r} belongs to {self.owner!r}, and only that process can await it; have "
                "the owner await it and send the result on"
            )
        return me

    def _is_mine(self, message: Any) -> bool:
        return ref_of(message) == self.ref

    def settle(self, me: Process, message: Any) -> Result[T] | Exited:
        """Return what *message* (taken already) tells; leave nothing else of the task."""
        if type(message) is Down:
            self.release(me)
            return Exited(message.reason)
        signals = me.kernel.signals
        signals.demonitor(me, self.ref, flush=True)
        if self.pid is not None:
            signals.unlink(me, self.pid)
            flush_exits(me, self.pid)
        return Result(message[1])

    def release(self, me: Process) -> None:
        """Forget the monitor and drop a result that comes later."""
        if self._alias is not None:
            me.get_extra("aliases", {}).pop(self._alias.number, None)
        me.kernel.signals.demonitor(me, self.ref, flush=True)

    def released(self, me: Process) -> bool:
        """Whether nobody waits for the result any more."""
        return self._alias is None or self._alias.number not in me.get_extra("aliases", {})

    def stop(self, me: Process) -> None:
        """Kill the task at once and leave nothing of it; safe while *me* is ending."""
        self.release(me)
        kernel = me.kernel
        me.take(self._is_mine)
        if self.pid is not None:
            kernel.signals.unlink(me, self.pid)
            flush_exits(me, self.pid)
            kernel.signals.signal(me.pid, self.pid, "kill")
        elif self._starting is not None and not self._starting.done:
            token = self._starting
            token.done = True
            kernel.remote.op(token.server.host, ("spawn_cancel", token.ref))
            kernel.remote.forget_call(token)

    def started(self, me: Process, pid: Pid, link: bool) -> None:
        """The task's process *pid* waits for ``Go``: monitor it, link it, let it go."""
        self.pid = pid
        kernel = me.kernel
        if me.state == "dead":
            return  # the task sees that by itself
        if not self.released(me):
            kernel.signals.monitor(me, pid, self.ref)
            if link:
                kernel.signals.link(me, pid)
        kernel.deliver(pid, Go())


class _Arriving:
    """The sink of a start in another host."""

    __slots__ = ("me", "task")

    def __init__(self, me: Process, task: Task[Any]) -> None:
        self.me = me
        self.task = task

    def resolve(self, token: Any, ok: bool, value: Any) -> None:
        """The task's process waits for us; or it could not be made."""
        me, task = self.me, self.task
        if ok:
            task.started(me, value, True)
            return
        if me.state == "dead" or task.released(me):
            return
        reason = getattr(value, "reason", value)
        me.kernel.deliver(me.pid, Down(task.ref, None, reason))
        me.kernel.signals.exit(me, token.server, reason)


def new_task(me: Process, function: Callable[..., Any]) -> Task[Any]:
    """Return the handle of a task that *me* is about to start."""
    if not callable(function):
        raise TypeError(f"a task runs a function, got {function!r}")
    return Task(me.pid, me.kernel.new_ref(), ops.alias(once=True), function)


def order_for(me: Process, task: Task[Any] | None, wait: bool) -> Order:
    """Return the order that makes the result of a task come to *me*."""
    callers = (me.pid, *me.get_extra("callers", ()))
    if task is None:
        return Order(callers)
    return Order(callers, task._alias, task.ref, wait)


def ref_of(message: Any) -> Ref | None:
    """Return the reference of a result or ``Down``; None for other messages."""
    if type(message) is tuple and len(message) == 2 and type(message[0]) is Ref:
        return message[0]
    return message.ref if type(message) is Down else None


def _start_linked(
    me: Process, task: Task[Any], host: str | None, args: Any, kwargs: dict[str, Any]
) -> None:
    kernel = me.kernel
    where = kernel.address
    if host is not None and kernel.placer is not None:
        where = kernel.placer.place(host)
    away = where != kernel.address
    try:
        payload = (Task, (order_for(me, task, away), task.function, *args), kwargs)
        if away:
            task._starting = kernel.remote.spawn(
                where, _Arriving(me, task), me, (TaskProcess.kind, payload, False, None, None)
            )
            return
        process = kernel.spawn(TaskProcess, kernel.isolate(payload), parent=me, link=True)
    except BaseException:
        task.release(me)
        raise
    task.pid = process.pid
    kernel.signals.monitor(me, process.pid, task.ref)


async def _start(
    function: Callable[..., Any], args: Any, kwargs: dict[str, Any], link: bool
) -> Pid:
    me = ops.current()
    payload = (Task, (order_for(me, None, False), function, *args), kwargs)
    pid: Pid = await start(
        TaskProcess, me.kernel.isolate(payload), link=link, what="Task"
    )
    return pid


register(Result, 84)
register(Exited, 85)
