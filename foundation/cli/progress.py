"""What the demo shows while it runs: rich progress bars, or plain lines where there is no tty."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

PLAIN_SECONDS = 1.0  # between plain lines


class Screen:
    """Plain lines on standard output; ``quiet`` prints nothing."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._last = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def say(self, text: str) -> None:
        """Print a line."""
        if not self._quiet:
            print(text, flush=True)

    def progress(self, what: str, done: int, total: int, state: str = "") -> None:
        """Show how far *what* is, in files."""
        now = time.monotonic()
        if now - self._last >= PLAIN_SECONDS:
            self._last = now
            self.say(f"  {what}: {done}/{total} files{', ' if state else ''}{state}")


class RichScreen(Screen):
    """Live bars by rich."""

    def __init__(self) -> None:
        super().__init__()
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._bars = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total} files"),
            TextColumn("[cyan]{task.fields[state]}"),
            TimeElapsedColumn(),
        )
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def say(self, text: str) -> None:
        """Print a line above the bars."""
        self._bars.console.print(text, highlight=False, markup=False)

    def progress(self, what: str, done: int, total: int, state: str = "") -> None:
        """Move the bar of *what*."""
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=total, state="")
        self._bars.update(self._tasks[what], completed=done, state=state)


def make_screen(*, quiet: bool = False) -> Screen:
    """Return the best screen for where the output goes."""
    if not quiet and sys.stdout.isatty():
        try:
            return RichScreen()
        except ImportError:
            pass
    return Screen(quiet=quiet)
