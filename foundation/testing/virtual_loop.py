"""An asyncio event loop on virtual time: when nothing is ready, the clock jumps ahead.

Works for every asyncio library that does no real input or output: sleeps, timeouts, queues,
locks, tasks. An hour of timeouts passes in milliseconds. When nothing is ready and no timer is
pending, nothing can ever happen again: that is reported at once, as ``Deadlock``, instead of
hanging.

Invariants:
    L1  The clock never goes back, and moves only while nothing is ready.
    L2  The same callbacks scheduled in the same order run in the same order.
    L3  No timer runs before its time, not even by the resolution of a clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any, NoReturn


class Deadlock(AssertionError):
    """Nothing is ready, no timer is pending, and what is being waited for has not come."""


class Livelock(AssertionError):
    """Something is always ready, so that time stands still."""


class _Selector:
    """Stands where asyncio expects the operating system: waiting is moving the clock."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            self._loop.stalled()
        elif timeout > 0:
            self._loop.jump()
        else:
            self._loop.stand_still()
        return []


def _raise_interrupt() -> None:
    raise KeyboardInterrupt


@contextlib.contextmanager
def _interruptible(loop: VirtualLoop) -> Iterator[None]:
    """Have the first Ctrl-C end *loop* between two callbacks.

    In the midst of one it would be the crash of the process that runs. A second one strikes as
    usual.
    """

    def on_signal(number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        loop.call_soon(_raise_interrupt)

    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not usual or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


class VirtualLoop(asyncio.BaseEventLoop):
    """The loop; see the module docstring.

    Args:
        start: what ``time()`` says at first, in seconds.
        on_stall: called when nothing can happen any more; raises, or schedules something.
        max_turns: turns of the loop without any time passing, before that is an error.
    """

    def __init__(
        self,
        start: float = 0.0,
        *,
        on_stall: Callable[[], None] | None = None,
        max_turns: int = 5_000_000,
    ) -> None:
        self._on_stall = on_stall
        self._max_turns = max_turns
        self._turns = 0  # since the clock moved
        super().__init__()
        self._set_clock(start)
        self._selector = _Selector(self)

    def time(self) -> float:
        """Return virtual seconds."""
        return self._now

    def run_until_complete(self, future: Any) -> Any:
        """As of any loop, but Ctrl-C ends it rather than whatever callback runs just then."""
        with _interruptible(self):
            return super().run_until_complete(future)

    # What BaseEventLoop asks of its subclasses

    def jump(self) -> None:
        """Move the clock to the earliest timer."""
        self._turns = 0
        self._set_clock(max(self._now, self._scheduled[0]._when))  # type: ignore[attr-defined]

    def _set_clock(self, now: float) -> None:
        self._now = now
        # asyncio runs a timer when its time is *before* now + resolution. With the next float
        # that is: at its time (L3). Much more, and a timer that is not due yet would run, find
        # that out, and be set again, for ever; much less is nothing at all.
        self._clock_resolution = math.ulp(now)

    def stand_still(self) -> None:
        """Something is ready, so no time passes.

        Raises:
            Livelock: that has been so for too long.
        """
        self._turns += 1
        if self._turns > self._max_turns:
            self._turns = 0
            raise Livelock(
                f"livelock: {self._max_turns} turns of the event loop have passed and no time; "
                "something runs for ever without ever waiting for time to pass"
            )

    def stalled(self) -> None:
        """Nothing is ready and no timer is pending.

        Raises:
            Deadlock: unless ``on_stall`` has found something to do.
        """
        if self._on_stall is not None:
            self._on_stall()
        if not self._ready:  # type: ignore[attr-defined]
            raise Deadlock("nothing is ready to run and no timer is pending")

    def _process_events(self, event_list: list[Any]) -> None:
        """There is no input or output, so there are no events."""

    def _write_to_self(self) -> None:
        """Nothing sleeps in a selector, so nobody needs waking."""

    # What would leave the simulation (and see the end of this file)

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Run *func* here and now: a thread would make the run depend on the real clock."""
        future = self.create_future()
        try:
            result = contextvars.copy_context().run(func, *args)
        except Exception as error:
            future.set_exception(error)
        else:
            future.set_result(result)
        return future


def _no_real_io(*args: Any, **kwargs: Any) -> NoReturn:
    raise NotImplementedError(
        "real input and output (sockets, pipes, child processes) do not exist on virtual time; "
        "give the code under test a fake, or test it on a real loop"
    )


for _name in (
    *("add_reader", "add_writer", "remove_reader", "remove_writer"),
    *("_add_reader", "_add_writer"),
    *("sock_recv", "sock_recv_into", "sock_recvfrom", "sock_sendall", "sock_sendto"),
    *("sock_connect", "sock_accept", "create_connection", "create_server"),
    *("create_datagram_endpoint", "connect_read_pipe", "connect_write_pipe"),
    *("subprocess_exec", "subprocess_shell", "add_signal_handler"),
):
    setattr(VirtualLoop, _name, _no_real_io)
