"""Look into a running server, or change it: OTP's ``sys``.

Every server answers these, without code of its own; while a callback awaits, too. A server that
is busy with a plain ``def`` callback answers when that is done. All functions are awaited in
an ``async def`` callback or body, and raise as ``call`` does (``NoProc``, ``CallTimeout`` …).

    await sys.get_state("counter")                        # {"count": 7}
    await sys.replace_state("counter", lambda s: {**s, "count": 0})
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from foundation.errors import SysError
from foundation.kernel import ops
from foundation.otp.debug import Event
from foundation.otp.sys_requests import SysFailed, SysRequest

State = dict[str, Any]


async def _ask(server: Any, timeout: float | None, op: str, *args: Any) -> Any:
    value = await ops.system_call(server, SysRequest(op, args), timeout=timeout)
    if type(value) is SysFailed:
        raise SysError(value.reason, server, op)
    return value


async def get_state(server: Any, *, timeout: float | None = 5.0) -> State:
    """Return a copy of the server's attributes; as text those that cannot be copied.

    Args:
        server: pid, name or ``Via``.
        timeout: seconds to wait; None waits for ever.
    """
    state: State = await _ask(server, timeout, "get_state")
    return state


async def replace_state(
    server: Any, function: Callable[[State], State], *, timeout: float | None = 5.0
) -> State:
    """Run *function* in the server on a copy of its attributes; what it returns replaces them.

    Args:
        server: pid, name or ``Via``.
        function: gets and returns the dictionary of the attributes.
        timeout: seconds to wait; None waits for ever. The change may still be made later.

    Returns:
        A copy of the new attributes.

    Raises:
        SysError: *function* raised or returned no dictionary; the state is unchanged.
    """
    state: State = await _ask(server, timeout, "replace_state", function)
    return state


async def suspend(server: Any, *, timeout: float | None = 5.0) -> None:
    """Have *server* handle no message until ``resume``; they wait, in order."""
    await _ask(server, timeout, "suspend")


async def resume(server: Any, *, timeout: float | None = 5.0) -> None:
    """End ``suspend``."""
    await _ask(server, timeout, "resume")


async def statistics(
    server: Any, flag: Literal["on", "off", "get"], *, timeout: float | None = 5.0
) -> dict[str, Any] | None:
    """Count messages: switch it ``"on"`` or ``"off"``, or ``"get"`` the numbers.

    Returns:
        For ``"get"``: ``seconds`` since it was switched on, ``messages_in``, ``replies``; None
        when it is off.
    """
    if flag not in ("on", "off", "get"):
        raise ValueError(f"flag must be 'on', 'off' or 'get', got {flag!r}")
    numbers: dict[str, Any] | None = await _ask(server, timeout, "statistics", flag)
    return numbers


async def trace(server: Any, on: bool, *, timeout: float | None = 5.0) -> None:
    """Write each message and reply of *server* to the log at level ``info``, or stop that."""
    await _ask(server, timeout, "trace", bool(on))


async def log(
    server: Any, what: int | Literal["get", "off"], *, timeout: float | None = 5.0
) -> list[Event] | None:
    """Remember events in the server: the last *what* of them; ``"get"`` them; ``"off"``.

    Returns:
        For ``"get"``: the events, oldest first.
    """
    number = isinstance(what, int) and not isinstance(what, bool) and what > 0
    if what not in ("get", "off") and not number:
        raise ValueError(f"what must be a number above 0, 'get' or 'off', got {what!r}")
    events: list[Event] | None = await _ask(server, timeout, "log", what)
    return events


async def get_status(server: Any, *, timeout: float | None = 5.0) -> dict[str, Any]:
    """Return ``process_info`` of the server, its class, what is switched on here, and its
    ``attributes`` as its ``format_status`` shows them.
    """
    status: dict[str, Any] = await _ask(server, timeout, "get_status")
    return status


async def migrate(
    server: Any, old_version: Any, extra: Any = None, *, timeout: float | None = 5.0
) -> None:
    """Call ``server.migrate(old_version, extra)``, a plain ``def``, while it is suspended.

    Raises:
        SysError: it raised, is missing, or the server is not suspended; the state is unchanged.
    """
    await _ask(server, timeout, "migrate", old_version, extra)


async def install(
    server: Any,
    key: str,
    make: Callable[..., Any],
    *args: Any,
    timeout: float | None = 5.0,
) -> None:
    """Have an observer look on while *server* works, from its next message on.

    Args:
        server: pid, name or ``Via``.
        key: names the observer; one that has this name already is removed.
        make: ``make(process, *args)`` is called in the server's host and returns the observer,
            see ``foundation.otp.debug.Observer``.
        *args: for *make*.
        timeout: seconds to wait.

    Raises:
        SysError: *make* raised.
    """
    await _ask(server, timeout, "install", key, make, args)


async def remove(server: Any, key: str, *, timeout: float | None = 5.0) -> bool:
    """Remove an observer; False when there is none of that name."""
    found: bool = await _ask(server, timeout, "remove", key)
    return found


async def read(server: Any, key: str, *args: Any, timeout: float | None = 5.0) -> Any:
    """Return what the observer *key* of *server* answers to ``read(*args)``.

    Raises:
        SysError: there is no such observer, or it raised.
    """
    return await _ask(server, timeout, "read", key, args)


__all__ = [
    "Event",
    "get_state",
    "get_status",
    "install",
    "log",
    "migrate",
    "read",
    "remove",
    "replace_state",
    "resume",
    "statistics",
    "suspend",
    "trace",
]
