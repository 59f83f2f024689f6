"""The asyncio driver: a kernel under any asyncio event loop, real or virtual."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from foundation.runtime.task import ProcessTask
from foundation.runtime.unwinding import Unwinding

_enter_task = asyncio.tasks._enter_task  # the documented hooks for tasks of other libraries
_leave_task = asyncio.tasks._leave_task


class AsyncioDriver:
    """Drives a kernel by *loop*.

    Args:
        loop: the event loop of the thread.
        send_frame: carries a frame to another host.
        report: takes reports for the log.
        wall: the wall clock, in seconds since the epoch; a simulation has its own.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        send_frame: Callable[[str, bytes], None] | None = None,
        report: Callable[[Any], None] | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.loop = loop
        self._send_frame = send_frame
        self._report = report
        self.wall = wall  # for stamps that people read, never for durations or order
        # Those that every call needs, without a frame of ours in between.
        plain = type(loop).time is asyncio.BaseEventLoop.time
        self.now: Callable[[], float] = time.monotonic if plain else loop.time
        self.call_soon: Callable[[Callable[[], None]], Any] = loop.call_soon
        self.enter_task: Callable[[Any], None] = partial(_enter_task, loop)
        self.leave_task: Callable[[Any], None] = partial(_leave_task, loop)

    def call_later(self, delay: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """Run *callback* after *delay* seconds."""
        return self.loop.call_later(delay, callback)

    def send_frame(self, host: str, frame: bytes) -> None:
        """Carry *frame* to *host*."""
        if self._send_frame is not None:
            self._send_frame(host, frame)

    def report(self, report: Any) -> None:
        """Pass *report* on."""
        if self._report is not None:
            self._report(report)

    def new_task(self, process: Any) -> ProcessTask:
        """Return what is asyncio's current task while a coroutine of *process* is stepped."""
        return ProcessTask(process, self.loop)

    def unwind(self, process: Any, coro: Any) -> None:
        """End *coro*, a callback of *process* that awaits and will never go on."""
        outer = asyncio.current_task(self.loop)
        if outer is not None:
            _leave_task(self.loop, outer)
        try:
            Unwinding(process, coro).start()
        finally:
            if outer is not None:
                _enter_task(self.loop, outer)

    def new_future(self) -> asyncio.Future[Any]:
        """Return a future of the loop."""
        return self.loop.create_future()
