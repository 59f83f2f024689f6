"""The asyncio driver: a kernel under any asyncio event loop, real or virtual."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
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
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        send_frame: Callable[[str, bytes], None] | None = None,
        report: Callable[[Any], None] | None = None,
    ) -> None:
        self.loop = loop
        self._send_frame = send_frame
        self._report = report

    def now(self) -> float:
        """Return monotonic seconds."""
        return self.loop.time()

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Run *callback* in the next turn."""
        self.loop.call_soon(callback)

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

    def enter_task(self, process: Any) -> None:
        """Make the process asyncio's current task while its coroutine is stepped."""
        task = process.task
        if task is None:
            task = process.task = ProcessTask(process, self.loop)
        _enter_task(self.loop, task)

    def leave_task(self, process: Any) -> None:
        """Undo ``enter_task``."""
        _leave_task(self.loop, process.task)

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
