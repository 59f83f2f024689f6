"""Notices handlers that hog their host.

A thread looks a few times a second whether the kernel is still in the slice it was in; the
hogging handler's stack goes into the log, with the advice that helps.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

from foundation.kernel.kernel import Kernel
from foundation.kernel.reports import Notice


class Watchdog:
    """Watches the kernel of the current thread.

    Args:
        kernel: what to watch.
        seconds: a slice that runs longer is a hog.
        report: takes the notices; called in the watching thread.
    """

    def __init__(
        self, kernel: Kernel, seconds: float, report: Callable[[Any], None]
    ) -> None:
        self._kernel = kernel
        self._seconds = seconds
        self._report = report
        self._watched = threading.get_ident()
        self._stop = threading.Event()
        self.hogs = 0
        self._thread = threading.Thread(target=self._watch, name="foundation-watchdog", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching; returns when the thread has ended."""
        self._stop.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _watch(self) -> None:
        kernel = self._kernel
        seen = reported = -1
        while not self._stop.wait(self._seconds):
            process, slices = kernel.running, kernel.slices
            if process is not None and slices == seen and slices != reported:
                reported = slices
                self.hogs += 1
                self._report(self._notice(process))
            seen = slices if process is not None else -1

    def _notice(self, process: Any) -> Notice:
        frame = sys._current_frames().get(self._watched)
        stack = "".join(traceback.format_stack(frame)[-6:]) if frame is not None else ""
        kind = type(getattr(process, "server", None) or process).__qualname__
        text = (
            f"{kind} {process.name or process.pid!r} has hogged host {self._kernel.address} for "
            f"more than {self._seconds} s, nothing else there can run; make the callback "
            "`async def` and await, or give the child a host of its own: isolation='host'\n"
            f"{stack}"
        )
        return Notice("warning", text, {"pid": process.pid, "event": "hog"})
