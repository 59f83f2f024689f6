"""An asyncio loop inside an actor of a stock Thespian base.

Stock bases have a loop of their own, which can watch file descriptors (``ThespianWatch``). An
epoll descriptor can itself be watched, so one descriptor stands for all of asyncio's; a timer
descriptor in the same epoll set wakes it for timers. Costs about 100 microseconds a turn.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import selectors
import struct
from typing import Any

from thespian.actors import ThespianWatch

CLOCK_MONOTONIC = 1
TURNS = 64


class StockLoop:
    """A loop that is pumped once per message of the actor."""

    def __init__(self) -> None:
        self._selector = selectors.EpollSelector()
        self.loop: Any = asyncio.SelectorEventLoop(self._selector)
        libc = ctypes.CDLL(None, use_errno=True)
        self._settime = libc.timerfd_settime
        self._timer: int = libc.timerfd_create(CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._timer < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self.loop.add_reader(self._timer, self._drain)
        self._closed = False

    def _drain(self) -> None:
        try:
            os.read(self._timer, 8)
        except BlockingIOError:
            return

    def pump(self) -> Any:
        """Run what is ready; return what the actor's ``receiveMessage`` must return."""
        if self._closed:
            return None
        for _ in range(TURNS):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()
            if not self.loop._ready:
                break
        self._arm()
        return ThespianWatch([self._selector.fileno()])

    def _arm(self) -> None:
        delay = 0.0
        if self.loop._ready:
            delay = 1e-9
        elif self.loop._scheduled:
            delay = max(1e-9, self.loop._scheduled[0]._when - self.loop.time())
        seconds = int(delay)
        spec = struct.pack("qqqq", 0, 0, seconds, int((delay - seconds) * 1e9))
        self._settime(self._timer, 0, spec, None)

    def close(self) -> None:
        """Release everything."""
        self._closed = True
        self.loop.remove_reader(self._timer)
        os.close(self._timer)
        self.loop.close()
