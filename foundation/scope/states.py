"""The history of one server's state: what it was after each message."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from foundation.errors import ScopeError
from foundation.kernel.process import CAST, Caller
from foundation.otp import sys
from foundation.otp.describe import state_of, text

WATCH = "foundation.scope.watch"


@dataclass(frozen=True, slots=True)
class StateChange:
    """The state of a server after one message.

    Attributes:
        number: how many messages it had handled since it is watched; 0 is the state then.
        at: seconds since it is watched.
        kind: ``"call"``, ``"cast"``, ``"info"``; ``"watched"`` at the beginning.
        message: as text.
        state: its attributes: as text, or as copies where that was asked for and can be had.
    """

    number: int
    at: float
    kind: str
    message: str
    state: dict[str, Any]


async def watch_state(
    server: Any, *, size: int = 100, copies: bool = False, timeout: float | None = 5.0
) -> None:
    """Remember the state of *server* after each message, from now on.

    ``state_history`` returns it. It costs the server a copy, or text, of its attributes for each
    message, so it is for looking at one server, for a while.

    Args:
        server: pid, name or ``Via``.
        size: how many states are kept; the oldest go first.
        copies: keep copies of the attributes instead of their texts.
        timeout: seconds to wait for the server, which finishes what it is doing first.

    Raises:
        ScopeError: *size* is wrong.
        as ``foundation.otp.sys.install``.
    """
    if type(size) is not int or size < 1:
        raise ScopeError(f"watch_state: size must be an int of 1 or more, got {size!r}")
    await sys.install(server, WATCH, Watcher, size, bool(copies), timeout=timeout)


async def state_history(server: Any, *, timeout: float | None = 5.0) -> list[StateChange]:
    """Return the states of a watched *server*, oldest first.

    Raises:
        SysError: it is not watched.
    """
    found: list[StateChange] = await sys.read(server, WATCH, timeout=timeout)
    return found


async def unwatch_state(server: Any, *, timeout: float | None = 5.0) -> bool:
    """Forget the states of *server*, and watch it no more; False when it was not watched."""
    return await sys.remove(server, WATCH, timeout=timeout)


class Watcher:
    """The observer of ``watch_state``."""

    def __init__(self, process: Any, size: int, copies: bool) -> None:
        self._copies = copies
        self._since = process.kernel.driver.now()
        self._number = 0
        self._history: deque[StateChange] = deque(maxlen=size)
        self._note(process, "watched", "")

    def came(self, process: Any, item: Any) -> None:
        """Nothing yet."""

    def handled(self, process: Any, item: Any) -> None:
        """Note the state."""
        self._number += 1
        kind, message = kind_of(item)
        self._note(process, kind, text(message, 200))

    def ended(self, process: Any, reason: Any) -> None:
        """The history ends with the process, whose crash report shows the last state."""

    def read(self) -> list[StateChange]:
        """Return what is kept."""
        return list(self._history)

    def _note(self, process: Any, kind: str, message: str) -> None:
        at = process.kernel.driver.now() - self._since
        state = state_of(process.server)
        shown = {name: self._shown(process, value) for name, value in state.items()}
        self._history.append(StateChange(self._number, at, kind, message, shown))

    def _shown(self, process: Any, value: Any) -> Any:
        if not self._copies:
            return text(value)
        try:
            return process.kernel.isolate(value)
        except Exception:
            return text(value)


def kind_of(item: Any) -> tuple[str, Any]:
    """Return the kind of a mailbox item, and its message."""
    if type(item) is Caller:
        return "call", item.request
    return ("cast" if item[0] == CAST else "info"), item[1]
