"""Unwinding a callback whose process has ended while it awaited.

Its ``finally`` blocks and ``async with`` exits may await, as those of asyncio libraries do. So it
is cancelled, as it expects to be, and what its clean-up still has to wait for goes on in a
process of its own, for a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from foundation.errors import Exit
from foundation.kernel.process import Killed, Process
from foundation.kernel.reports import Notice

LIMIT = 5.0  # seconds a clean-up may take

_EXPECTED = (asyncio.CancelledError, GeneratorExit, Killed, Exit)


class Unwinding(Process):
    """Takes *coro* over from *process*, with all that asyncio knows of it."""

    __slots__ = ("owner",)

    kind = "unwinding"

    def __init__(self, process: Process, coro: Coroutine[Any, Any, Any]) -> None:
        super().__init__(process.kernel, process.kernel.new_pid(), process.pid)
        self.owner = process
        self.state = "running"
        self.coro = coro
        self.context = process.context
        self.task, process.task = process.task, None
        if self.task is not None:
            self.task.belongs_to(self)

    def start(self) -> None:
        """Cancel the coroutine; when it has not ended by that, let it go on."""
        self.outcome = (False, asyncio.CancelledError())
        kernel = self.kernel
        outer = kernel.stepping, kernel.running
        kernel.running = self
        self.step()
        kernel.stepping, kernel.running = outer
        if self.state != "dead":
            kernel.procs[self.pid] = self
            kernel.driver.call_later(LIMIT, self._late)

    def run(self) -> None:
        """Go on with the clean-up."""
        if self.coro is not None and self.state != "dead":
            self.step()

    def finished(self, value: Any) -> None:
        """The clean-up is done; nobody wants its value."""
        self._end()

    def crashed(self, error: BaseException) -> None:
        """The clean-up has failed, or is done: then the cancellation comes out of it."""
        if not isinstance(error, _EXPECTED):
            self._tell(f"raised {error!r} while it was being closed")
        self._end()

    def _late(self) -> None:
        if self.state != "dead" and not self.kernel.closed:
            self._tell(f"has not cleaned up within {LIMIT} s after its end, and is abandoned")
            self._end()

    def _end(self) -> None:
        coro, self.coro = self.coro, None
        if coro is not None:
            try:
                coro.close()
            except BaseException as error:
                self._tell(f"raised {error!r} while it was being closed")
        self.kernel.die(self, "normal")

    def _tell(self, what: str) -> None:
        self.kernel.driver.report(Notice("warning", f"{self.owner!r} {what}"))
