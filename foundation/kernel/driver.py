"""What a kernel needs of the world: one small protocol.

The same kernel runs under an asyncio loop (in a Thespian host or an attached program) and
under the simulator's virtual time; they differ by the driver only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class TimerHandle(Protocol):
    """What ``call_later`` returns."""

    def cancel(self) -> None:
        """Make sure that the callback does not run."""


class Driver(Protocol):
    """The world as a kernel sees it. Everything runs in one thread."""

    def now(self) -> float:
        """Return monotonic seconds."""

    def wall(self) -> float:
        """Return seconds by the wall clock: for people, never for durations or order."""

    def call_soon(self, callback: Callable[[], None], /) -> Any:
        """Run *callback* in the next turn of the loop."""

    def call_later(self, delay: float, callback: Callable[[], None]) -> TimerHandle:
        """Run *callback* after *delay* seconds, never before."""

    def send_frame(self, host: str, frame: bytes) -> None:
        """Send *frame* to the kernel of *host*; in order per host, at most once."""

    def report(self, report: Any) -> None:
        """Take a report (``kernel/reports.py``) for the log; must not raise."""

    def new_task(self, process: Any) -> Any:
        """Return what stands for *process* while its coroutines are stepped (asyncio's task)."""

    def enter_task(self, task: Any, /) -> None:
        """Called before a coroutine is stepped."""

    def leave_task(self, task: Any, /) -> None:
        """Called after the step."""

    def unwind(self, process: Any, coro: Any) -> None:
        """End *coro*, a callback of *process* that awaits and will never go on.

        Its ``finally`` blocks run; those that await go on later, without the process.
        """

    def new_future(self) -> Any:
        """Return a future of the surrounding loop, for calls made from foreign tasks."""
