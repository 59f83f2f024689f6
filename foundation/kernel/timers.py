"""The timer heap of a kernel: user timers (``send_after``) and process alarms.

Invariants:
    T1  Nothing fires before its time.
    T2  Timers fire in order of time, those of one time in order of creation.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any, ClassVar

from foundation.errors import FoundationError
from foundation.kernel.process import Process
from foundation.kernel.reports import Notice

if TYPE_CHECKING:
    from foundation.kernel.driver import TimerHandle
    from foundation.kernel.kernel import Kernel


SWEEP_MIN = 1000  # dead entries that are not worth sweeping


def _dead(entry: Process | Timer) -> bool:
    return entry.state == "dead" if isinstance(entry, Process) else entry.dest is None


class Timer:
    """What ``send_after`` returns."""

    __slots__ = ("_kernel", "dest", "message", "when")
    __immutable__ = True

    def __init__(self, kernel: Kernel, when: float, dest: Any, message: Any) -> None:
        self._kernel = kernel
        self.when = when
        self.dest = dest
        self.message = message

    def cancel(self) -> float | bool:
        """Stop the timer.

        Returns:
            The seconds that were left, or False when it had fired or been cancelled: then the
            message may already be in the mailbox.
        """
        if self.dest is None:
            return False
        self.dest = self.message = None
        self._kernel.timers.cancelled()
        return max(0.0, self.when - self._kernel.driver.now())


class Timers:
    """A heap of due times; the driver is asked for one wake-up, at the earliest."""

    timer_class: ClassVar[type[Timer]] = Timer

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._heap: list[tuple[float, int, Process | Timer]] = []
        self._sequence = 0
        self._stale = 0  # cancelled timers that are still in the heap, about
        self._armed_at: float | None = None
        self._handle: TimerHandle | None = None

    def __len__(self) -> int:
        return sum(1 for _, _, e in self._heap if isinstance(e, Timer) and e.dest is not None)

    def push(self, when: float, entry: Process | Timer) -> None:
        """Have *entry* fire at *when*.

        Raises:
            ValueError: *when* is not a number, which would be in nobody's order (T2).
        """
        if when != when:
            raise ValueError("a timeout or delay must be a number of seconds, got nan")
        self._sequence += 1
        heapq.heappush(self._heap, (when, self._sequence, entry))
        self._arm()

    def cancelled(self) -> None:
        """A timer was cancelled: once most entries are dead, sweep them out of the heap."""
        self._stale += 1
        if self._stale > SWEEP_MIN and self._stale * 2 > len(self._heap):
            self._heap[:] = [e for e in self._heap if not _dead(e[2])]
            heapq.heapify(self._heap)
            self._stale = 0

    def send_after(self, seconds: float, dest: Any, message: Any) -> Timer:
        """Have *message* sent to *dest* (looked up then) after *seconds*."""
        if seconds < 0:
            raise ValueError(f"seconds must be 0 or more, got {seconds!r}")
        timer = self.timer_class(self._kernel, self._kernel.driver.now() + seconds, dest, message)
        self.push(timer.when, timer)
        return timer

    def timed_out(self, caller: Any) -> None:
        """Who waits for the reply to *caller*, a call, waits no more."""
        self._kernel.counts.calls_failed += 1

    def _arm(self) -> None:
        when = self._heap[0][0]
        if self._armed_at is not None and self._armed_at <= when:
            return
        if self._handle is not None:
            self._handle.cancel()
        driver = self._kernel.driver
        self._armed_at = when
        self._handle = driver.call_later(max(0.0, when - driver.now()), self._fire)

    def _fire(self) -> None:
        self._armed_at = self._handle = None
        kernel, heap = self._kernel, self._heap
        now = kernel.driver.now()
        while heap and heap[0][0] <= now:
            when, _, entry = heapq.heappop(heap)
            if isinstance(entry, Process):
                entry.alarm(when, now)
            elif entry.dest is not None:
                self._send(entry)
        if heap:
            self._arm()
        kernel.wake()

    def _send(self, timer: Timer) -> None:
        kernel = self._kernel
        dest, timer.dest = timer.dest, None
        try:
            kernel.deliver(dest, timer.message)
        except FoundationError as error:  # a Via whose registry has ended
            kernel.driver.report(Notice("warning", f"send_after to {dest!r}: {error}"))

    def close(self) -> None:
        """Forget everything."""
        if self._handle is not None:
            self._handle.cancel()
        self._armed_at = self._handle = None
        self._heap.clear()
