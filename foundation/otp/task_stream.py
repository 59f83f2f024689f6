"""Running a function over many items, some at a time, as an async iterator."""

from __future__ import annotations

import os
import weakref
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from foundation.errors import CallTimeout
from foundation.kernel import ops
from foundation.kernel.process import Process
from foundation.kernel.signals import flush_exits
from foundation.kernel.values import Ref
from foundation.otp.task import Exited, Result, Task, ref_of

T = TypeVar("T")

ON_TIMEOUT = ("exit", "kill_task")


class _Slot:
    """One item that has been taken from the input, until its outcome is given out."""

    __slots__ = ("deadline", "item", "outcome", "task")

    def __init__(self, item: Any, task: Task[Any], deadline: float | None) -> None:
        self.item = item
        self.task = task
        self.deadline = deadline
        self.outcome: Any = None


class TaskStream(Generic[T]):
    """The outcomes of tasks, in the order of the items: ``Result(value)`` or ``Exited(reason)``.

    An async iterator, for the process that made it. Input is taken, and tasks are started,
    while somebody awaits the next outcome, and only as far as there is room; while an async
    input has nothing to give, an outcome that comes meanwhile waits. When the loop is
    left early, by ``break``, an exception, or the end of the process, the tasks that still run
    are killed; ``async with`` says so in the code, and ``close()`` does it by hand.

    Args:
        items: an iterable or async iterable; may be endless.
        start: starts the task for one item.
        max_concurrency: how many tasks run at once; default the number of processors.
        ordered: False gives each outcome as soon as it is there.
        timeout: seconds one task may take; None is no limit.
        on_timeout: ``"exit"`` raises ``CallTimeout``; ``"kill_task"`` kills the task and gives
            ``Exited("timeout")`` in its place.
        zip_input_on_exit: give ``Exited((item, reason))``.

    Raises:
        ValueError: an option has a wrong value.
        whatever *items* or *start* raised, when they do; the tasks are killed first.
    """

    def __init__(
        self,
        items: Iterable[Any] | AsyncIterable[Any],
        start: Callable[[Any], Awaitable[Task[T]]],
        *,
        max_concurrency: int | None = None,
        ordered: bool = True,
        timeout: float | None = 5.0,
        on_timeout: str = "exit",
        zip_input_on_exit: bool = False,
    ) -> None:
        self._slots: deque[_Slot] = deque()  # in the order of the items
        self._running: dict[Ref, _Slot] = {}
        self._finished: deque[_Slot] = deque()  # in the order of their ends
        self._me: Process | None = None
        limit = (os.cpu_count() or 1) if max_concurrency is None else max_concurrency
        if type(limit) is not int or limit < 1:
            raise ValueError(f"max_concurrency must be 1 or more, got {max_concurrency!r}")
        if on_timeout not in ON_TIMEOUT:
            raise ValueError(f"on_timeout must be 'exit' or 'kill_task', got {on_timeout!r}")
        if timeout is not None and timeout <= 0:
            raise ValueError(f"timeout must be None or seconds above 0, got {timeout!r}")
        self._items = items
        self._source: Iterator[Any] | AsyncIterator[Any] | None = None
        self._start = start
        self._limit = limit
        self._ordered = ordered
        self._timeout = timeout
        self._on_timeout = on_timeout
        self._zip = zip_input_on_exit
        self._exhausted = False
        self._hook: Any = None

    # Iterating

    def __aiter__(self) -> TaskStream[T]:
        return self

    async def __anext__(self) -> Result[T] | Exited:
        me = self._open()
        try:
            if not isinstance(self._items, AsyncIterable):
                # Keeps all at work while outcomes are taken; an async input may make us wait.
                await self._fill(me)
            while True:
                slot = self._take()
                if slot is not None:
                    return self._given(slot)
                await self._fill(me)
                if not self._running:
                    raise StopAsyncIteration
                await self._wait(me)
        except BaseException:  # StopAsyncIteration too: nothing is left
            self.close()
            raise

    async def __aenter__(self) -> TaskStream[T]:
        return self

    async def __aexit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill the tasks that still run; the stream is at its end."""
        self._exhausted = True
        self._items, self._source = (), None  # a generator ends now, even if the stream is kept
        me = self._me
        if me is None:
            return
        for slot in list(self._running.values()):
            slot.task.stop(me)
        self._running.clear()
        self._slots.clear()
        self._finished.clear()
        hooks = me.get_extra("exit_hooks", ())
        if self._hook in hooks:
            me.set_extra("exit_hooks", tuple(hook for hook in hooks if hook is not self._hook))

    def __del__(self) -> None:
        # The loop was left: CPython comes here at once, in the process that ran the loop.
        if self._running and self._me is not None and not self._me.kernel.closed:
            self.close()

    def _open(self) -> Process:
        me = ops.current()
        if self._me is None:
            self._me = me
            weak = weakref.ref(self)

            def hook(process: Process, reason: Any) -> None:
                stream = weak()
                if stream is not None:
                    stream.close()

            self._hook = hook
            me.add_exit_hook(hook)
        elif self._me is not me:
            raise RuntimeError(f"this stream belongs to {self._me!r}; make one in each process")
        return me

    # Input

    async def _fill(self, me: Process) -> None:
        while len(self._running) < self._limit and not self._exhausted:
            try:
                item = await self._next_item()
            except (StopIteration, StopAsyncIteration):
                self._exhausted = True
                return
            task = await self._start(item)
            deadline = None
            if self._timeout is not None:
                deadline = me.kernel.driver.now() + self._timeout
            slot = self._running[task.ref] = _Slot(item, task, deadline)
            if self._ordered:
                self._slots.append(slot)

    async def _next_item(self) -> Any:
        if self._source is None:
            items = self._items
            self._source = (
                aiter(items) if isinstance(items, AsyncIterable) else iter(items)
            )
        source = self._source
        if isinstance(source, AsyncIterator):
            return await anext(source)
        try:
            return next(source)
        except StopIteration:  # may not leave a coroutine
            raise StopAsyncIteration from None

    # Outcomes

    def _take(self) -> _Slot | None:
        """Return the next slot to give out, if its outcome is there."""
        if not self._ordered:
            return self._finished.popleft() if self._finished else None
        if self._slots and self._slots[0].outcome is not None:
            return self._slots.popleft()
        return None

    def _given(self, slot: _Slot) -> Result[T] | Exited:
        outcome: Result[T] | Exited = slot.outcome
        if self._zip and type(outcome) is Exited:
            return Exited((slot.item, outcome.reason))
        return outcome

    async def _wait(self, me: Process) -> None:
        """Wait until a task ends, or has taken too long."""
        running = self._running
        timeout = None
        if self._timeout is not None:
            # Tasks were started in this order, with one timeout: the first is due first.
            due = next(iter(running.values()))
            assert due.deadline is not None
            timeout = max(0.0, due.deadline - me.kernel.driver.now())
        try:
            message = await ops.receive(lambda m: ref_of(m) in running, timeout=timeout)
        except TimeoutError:
            self._late(me, due)
            return
        ref = ref_of(message)
        assert ref is not None
        slot = running.pop(ref)
        slot.outcome = slot.task.settle(me, message)
        if slot.task.pid is not None:
            flush_exits(me, slot.task.pid)
        self._ended(slot)

    def _late(self, me: Process, slot: _Slot) -> None:
        if self._on_timeout == "exit":
            raise CallTimeout("timeout", slot.task, "result", self._timeout)
        del self._running[slot.task.ref]
        slot.task.stop(me)
        slot.outcome = Exited("timeout")
        self._ended(slot)

    def _ended(self, slot: _Slot) -> None:
        if not self._ordered:
            self._finished.append(slot)
