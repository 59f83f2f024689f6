"""``foundation top`` in a terminal: looks again and again, and listens to keys."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any

from foundation.errors import NodeError
from foundation.observer import text
from foundation.observer.history import History
from foundation.observer.watch import Watch

KEYS = {"a": None, **{str(n): name for n, name in enumerate(text.SECTIONS, 1)}}
HELP = "  ".join(["a all", *(f"{n} {name}" for n, name in enumerate(text.SECTIONS, 1)), "q quit"])


class Screen:
    """What is shown, and which keys change it (pure).

    Attributes:
        section: the one that is shown; None: all.
        ended: whether ``q`` was pressed.
        trouble: why the picture is an old one.
    """

    def __init__(self, section: str | None = None) -> None:
        self.section = section
        self.ended = False
        self.trouble = ""
        self._picture: dict[str, Any] | None = None

    def key(self, key: str) -> None:
        """Somebody has pressed *key*."""
        if key == "q":
            self.ended = True
        elif key in KEYS:
            self.section = KEYS[key]

    def show(self, picture: dict[str, Any]) -> None:
        """Show *picture* from now on."""
        self._picture, self.trouble = picture, ""

    def lines(self, height: int) -> list[str]:
        """Return what fits on a screen of *height* lines."""
        if self._picture is None:
            made = [self.trouble or "looking …"]
        else:
            rows = None if self.section is None else max(1, height - 6)
            made = text.lines(self._picture, self.section, rows)
        foot = [text.clean(self.trouble)] if self.trouble and self._picture else []
        foot.append(HELP)
        return [*made[: max(1, height - len(foot))], *foot]


async def live(watch: Watch, interval: float, section: str | None = None) -> None:
    """Show the cluster until ``q`` or Ctrl-C; a node that is gone is replaced by another.

    Args:
        watch: looks.
        interval: seconds between looks.
        section: see ``text.lines``.

    Raises:
        NodeError: the very first look failed.
        ImportError: rich is not installed.
    """
    from rich.console import Console
    from rich.live import Live

    screen, history, console = Screen(section), History(), Console()
    screen.show(history.add(await watch.look(), time.monotonic()))
    pressed = asyncio.Event()

    def press() -> None:
        for key in sys.stdin.read(1):
            screen.key(key)
        pressed.set()

    with Live(console=console, screen=True, auto_refresh=False) as shown, _keys(press):
        while not screen.ended:
            shown.update(_drawn(screen.lines(console.height)), refresh=True)
            pressed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(interval):
                    await pressed.wait()
            if not pressed.is_set():
                await _look(watch, screen, history)


async def _look(watch: Watch, screen: Screen, history: History) -> None:
    try:
        screen.show(history.add(await watch.look(), time.monotonic()))
    except NodeError as error:
        screen.trouble = f"connection lost: {error}"
        with contextlib.suppress(NodeError):
            await watch.move_on()


@contextlib.contextmanager
def _keys(press: Any) -> Iterator[None]:
    """Have *press* called for each key, where the input is a terminal."""
    if not sys.stdin.isatty():
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    loop = asyncio.get_running_loop()
    tty.setcbreak(sys.stdin)  # Ctrl-C stays what it is
    loop.add_reader(sys.stdin, press)
    try:
        yield
    finally:
        loop.remove_reader(sys.stdin)
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _drawn(lines: list[str]) -> Any:
    from rich.text import Text

    drawn = Text(no_wrap=True, overflow="crop")
    for number, line in enumerate(lines):
        after_gap = number > 0 and not lines[number - 1]
        foot = number == len(lines) - 1
        style = "bold" if number == 0 else "bold cyan" if after_gap else "dim" if foot else ""
        drawn.append(line + ("" if foot else "\n"), style=style)
    return drawn
