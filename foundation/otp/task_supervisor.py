"""TaskSupervisor: tasks under a supervisor, by the thousand, that may outlive who started them.

Example::

    class App(Supervisor):
        def init(self):
            return [TaskSupervisor.spec(name="tasks"), Web.spec()]

    task = await TaskSupervisor.run_nolink("tasks", fetch, url)
    outcome = await task.yield_(10.0)                # Result(page), Exited(reason) or None
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Coroutine, Iterable
from typing import Any, TypeVar, overload

from foundation.kernel import ops
from foundation.kernel.process import Process
from foundation.kernel.values import Pid
from foundation.otp.child_spec import ChildSpec
from foundation.otp.dynamic_supervisor import DynamicSupervisor
from foundation.otp.task import Task, new_task, order_for
from foundation.otp.task_process import Order
from foundation.otp.task_stream import TaskStream

T = TypeVar("T")


class TaskSupervisor(DynamicSupervisor):
    """A ``DynamicSupervisor`` for tasks; its class attributes and flags are the same.

    When it stops, its tasks get exit ``shutdown``, and are killed after their shutdown time.
    """

    @overload
    @staticmethod
    async def run(
        supervisor: Any,
        function: Callable[..., Coroutine[Any, Any, T]],
        *args: Any,
        shutdown: float | str = 5.0,
        host: str | None = None,
        **kwargs: Any,
    ) -> Task[T]: ...
    @overload
    @staticmethod
    async def run(
        supervisor: Any,
        function: Callable[..., T],
        *args: Any,
        shutdown: float | str = 5.0,
        host: str | None = None,
        **kwargs: Any,
    ) -> Task[T]: ...
    @staticmethod
    async def run(
        supervisor: Any,
        function: Callable[..., Any],
        *args: Any,
        shutdown: float | str = 5.0,
        host: str | None = None,
        **kwargs: Any,
    ) -> Task[Any]:
        """Run *function* in a task under *supervisor*, linked to this process as well.

        Args:
            supervisor: pid, name or ``Via``.
            function: ``def`` or ``async def``.
            *args: for *function*, as **kwargs; copied.
            shutdown: seconds to end when the supervisor stops, or ``"brutal_kill"``.
            host: where; None is beside the supervisor, ``"spread"`` the worker hosts in turn.

        Raises:
            MaxChildren: the supervisor is full.
            NoProc: there is no such supervisor.
        """
        return await _run(supervisor, function, args, kwargs, shutdown, host, link=True)

    @overload
    @staticmethod
    async def run_nolink(
        supervisor: Any,
        function: Callable[..., Coroutine[Any, Any, T]],
        *args: Any,
        shutdown: float | str = 5.0,
        host: str | None = None,
        **kwargs: Any,
    ) -> Task[T]: ...
    @overload
    @staticmethod
    async def run_nolink(
        supervisor: Any,
        function: Callable[..., T],
        *args: Any,
        shutdown: float | str = 5.0,
        host: str | None = None,
        **kwargs: Any,
    ) -> Task[T]: ...
    @staticmethod
    async def run_nolink(
        supervisor: Any,
        function: Callable[..., Any],
        *args: Any,
        shutdown: float | str = 5.0,
        host: str | None = None,
        **kwargs: Any,
    ) -> Task[Any]:
        """Run a task that may fail: this process lives on, and so does the task when it ends.

        Arguments and errors as ``run``.
        """
        return await _run(supervisor, function, args, kwargs, shutdown, host, link=False)

    @staticmethod
    async def start_child(  # type: ignore[override]
        supervisor: Any,
        function: Callable[..., Any],
        *args: Any,
        restart: str = "temporary",
        shutdown: float | str = 5.0,
        host: str | None = None,
        **kwargs: Any,
    ) -> Pid:
        """Run *function* for its effects; return the pid. It goes on when this process ends.

        Args:
            restart: ``"temporary"``; ``"transient"`` runs it again when it failed;
                ``"permanent"`` whenever it ends.

        Other arguments and errors as ``run``.
        """
        order = order_for(ops.current(), None, False)
        spec = _spec(order, function, args, kwargs, restart, shutdown, host)
        pid: Pid = await DynamicSupervisor.start_child(supervisor, spec)
        return pid

    @staticmethod
    def stream(
        supervisor: Any,
        items: Iterable[Any] | AsyncIterable[Any],
        function: Callable[..., Any],
        *args: Any,
        shutdown: float | str = 5.0,
        host: str | None = None,
        **options: Any,
    ) -> TaskStream[Any]:
        """Run ``function(item, *args)`` for each of *items* in tasks under *supervisor*.

        Args:
            **options: ``max_concurrency, ordered, timeout, on_timeout, zip_input_on_exit`` as
                in ``TaskStream``. The others as in ``run``.
        """

        async def start_one(item: Any) -> Task[Any]:
            return await _run(supervisor, function, (item, *args), {}, shutdown, host, link=True)

        return TaskStream(items, start_one, **options)

    @staticmethod
    def stream_nolink(
        supervisor: Any,
        items: Iterable[Any] | AsyncIterable[Any],
        function: Callable[..., Any],
        *args: Any,
        shutdown: float | str = 5.0,
        host: str | None = None,
        **options: Any,
    ) -> TaskStream[Any]:
        """As ``stream``, for tasks that may fail: ``Exited(reason)`` stands in their place."""

        async def start_one(item: Any) -> Task[Any]:
            return await _run(supervisor, function, (item, *args), {}, shutdown, host, link=False)

        return TaskStream(items, start_one, **options)

    @staticmethod
    async def children(supervisor: Any) -> list[Pid]:
        """Return the pids of the tasks that run."""
        found = await DynamicSupervisor.which_children(supervisor)
        return [child.pid for child in found if type(child.pid) is Pid]


async def _run(
    supervisor: Any,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    shutdown: float | str,
    host: str | None,
    *,
    link: bool,
) -> Task[Any]:
    me: Process = ops.current()
    task: Task[Any] = new_task(me, function)
    try:
        spec = _spec(order_for(me, task, True), function, args, kwargs, "temporary", shutdown, host)
        pid = await DynamicSupervisor.start_child(supervisor, spec)
    except BaseException:
        task.release(me)
        raise
    task.started(me, pid, link)
    return task


def _spec(
    order: Order,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    restart: str,
    shutdown: float | str,
    host: str | None,
) -> ChildSpec:
    return ChildSpec(
        Task, (Task, (order, function, *args), kwargs), restart, shutdown, host=host
    )
