"""A selector that looks a few more times before it sleeps.

A process that sleeps for its next message must be woken: its core comes out of idle, the kernel
schedules it, and on a virtual machine the hypervisor does the same once more. That costs more
than most messages. The schedulers of the BEAM therefore spin for a while before they sleep
(``+sbwt``), and so do the loops of a node's processes, if anything has happened just before.
"""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Callable
from typing import Any

from foundation.errors import TransportError
from foundation.transport.cores import usable_cores

Ready = list[tuple[selectors.SelectorKey, int]]

BUSY_WAIT = 0.00005  # seconds; longer spins help no lone call, and take from those who work
MOST = 0.01


def _nothing() -> None:
    """Where there is no ``sched_yield``."""


give_way: Callable[[], None] = getattr(os, "sched_yield", _nothing)


class BusyWaitSelector(selectors.DefaultSelector):
    """The system's best selector, which spins before it sleeps.

    It spins only after a call that found something, so timers of an idle process cost nothing,
    and gives way to every other process that wants its core.

    Args:
        seconds: how long it spins.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds
        self._awake = False

    def select(self, timeout: float | None = None) -> Ready:
        """As ``selectors.BaseSelector.select``."""
        look: Callable[[float | None], Ready] = super().select
        if self._awake and (timeout is None or timeout > 0):
            spin = self._seconds if timeout is None else min(timeout, self._seconds)
            ready = self._spin(look, spin)
            self._awake = bool(ready)
            if ready:
                return ready
        ready = look(timeout)
        self._awake = self._awake or bool(ready)
        return ready

    def _spin(self, look: Callable[[float | None], Ready], seconds: float) -> Ready:
        clock = time.monotonic
        end = clock() + seconds
        while True:
            ready = look(0)
            if ready or clock() >= end:
                return ready
            give_way()


def check_busy_wait(seconds: Any) -> None:
    """Raise TransportError unless a selector can spin for *seconds*."""
    if type(seconds) not in (int, float) or not 0 <= seconds <= MOST:
        raise TransportError(
            f"busy_wait must be between 0 and {MOST} seconds, got {seconds!r}: 0 sleeps at once"
        )


def worth_it() -> bool:
    """Whether spinning can help: with one core it only keeps others from sending."""
    return usable_cores() > 1
