"""The history of one server's state: what it was after each message."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from foundation.errors import (
    CallExit,
    CallTimeout,
    NoConnection,
    NoProc,
    ScopeError,
    SysError,
)
from foundation.kernel.process import CAST, Caller
from foundation.kernel.values import Crash
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
        ScopeError: *size* is wrong, or *server* cannot be watched; it says why.
    """
    if type(size) is not int or size < 1:
        raise ScopeError(f"watch_state: size must be an int of 1 or more, got {size!r}")
    with told_by("watch_state", server):
        await sys.install(server, WATCH, Watcher, size, bool(copies), timeout=timeout)


async def state_history(server: Any, *, timeout: float | None = 5.0) -> list[StateChange]:
    """Return the states of a watched *server*, oldest first.

    Raises:
        ScopeError: it is not watched, or cannot be asked; it says why.
    """
    with told_by("state_history", server):
        found: list[StateChange] = await sys.read(server, WATCH, timeout=timeout)
    return found


async def unwatch_state(server: Any, *, timeout: float | None = 5.0) -> bool:
    """Forget the states of *server*, and watch it no more; False when it was not watched.

    Raises:
        ScopeError: it cannot be asked; it says why.
    """
    with told_by("unwatch_state", server):
        return await sys.remove(server, WATCH, timeout=timeout)


@contextmanager
def told_by(function: str, server: Any) -> Iterator[None]:
    """Raise what goes wrong in the block as a ``ScopeError`` of *function*."""
    try:
        yield
    except (CallExit, SysError) as error:
        raise ScopeError(f"{function}({text(server)}): {_why(error)}") from error


def _why(error: CallExit | SysError) -> str:
    if isinstance(error, SysError):
        reason = error.reason
        if type(reason) is not Crash:
            return f"it was refused: {text(reason)}"
        if reason.type.endswith("LookupError"):
            return (
                "it is not watched; watch_state(server) begins that, and has to be called again "
                "after a restart, which makes a new process"
            )
        return str(reason.message)
    match error:
        case NoProc():
            return "there is no such process; start it first, or look at its name (whereis)"
        case NoConnection():
            return "its host or node cannot be reached; see foundation.cluster.view()"
        case CallTimeout():
            return (
                f"no answer within {error.timeout} s: it is busy; wait longer with timeout=, or "
                "see what it does with foundation.otp.sys.get_status"
            )
    return f"it has ended meanwhile: {text(error.reason)}"


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
