"""What the demo shows while it runs: a rich progress bar, or plain lines where there is no tty."""

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

    def progress(self, done: int, total: int, at_work: int, score: dict[str, Any]) -> None:
        """Show how far the work is."""
        now = time.monotonic()
        if now - self._last >= PLAIN_SECONDS:
            self._last = now
            self.say(f"  {done}/{total} files, {at_work} indexers at work")


class RichScreen(Screen):
    """A live bar by rich."""

    def __init__(self) -> None:
        super().__init__()
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._bar = Progress(
            TextColumn("[bold]indexing"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total} files"),
            TextColumn("[cyan]{task.fields[state]}"),
            TimeElapsedColumn(),
        )
        self._task: Any = None

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._bar.console.print(text, highlight=False, markup=False)

    def progress(self, done: int, total: int, at_work: int, score: dict[str, Any]) -> None:
        """Move the bar."""
        if self._task is None:
            self._task = self._bar.add_task("index", total=total, state="")
        state = (
            f"{at_work} indexers, "
            f"{score['crashes'] + score['exits'] + score['reader_kills']} crashes, "
            f"{score['host_kills']} host kills"
        )
        self._bar.update(self._task, completed=done, state=state)


def make_screen(*, quiet: bool = False) -> Screen:
    """Return the best screen for where the output goes."""
    if not quiet and sys.stdout.isatty():
        try:
            return RichScreen()
        except ImportError:
            pass
    return Screen(quiet=quiet)
