"""The state of a server as plain data and as text, for reports and ``sys``."""

from __future__ import annotations

import itertools
import reprlib
from typing import TYPE_CHECKING, Any

from foundation.kernel.process import Caller
from foundation.kernel.reports import CrashReport

if TYPE_CHECKING:
    from foundation.otp.server_process import ServerProcess


def state_of(server: Any) -> dict[str, Any]:
    """Return the attributes of a server, which are its state."""
    state = dict(getattr(server, "__dict__", ()))
    for cls in type(server).__mro__:
        slots = vars(cls).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(server, name):
                state[name] = getattr(server, name)
    return state


class _Brief(reprlib.Repr):
    """``repr`` that looks at the beginning of large containers only.

    A state may have millions of items, and its host waits while it is described.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.left = limit  # values yet to be shown; each adds a character at least
        self.maxlevel = 20
        for kind in ("tuple", "list", "array", "dict", "set", "frozenset", "deque"):
            setattr(self, f"max{kind}", limit)
        for kind in ("string", "long", "other"):
            setattr(self, f"max{kind}", 2 * limit)

    def repr1(self, x: Any, level: int) -> str:
        """Show one value, unless enough has been shown."""
        self.left -= 1
        return super().repr1(x, level) if self.left >= 0 else "..."

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        """In the order of the dict; the base class sorts."""
        if level <= 0:
            return "{...}"
        items = itertools.islice(x.items(), self.maxdict)
        parts = [f"{self.repr1(k, level - 1)}: {self.repr1(v, level - 1)}" for k, v in items]
        return "{" + ", ".join(parts + ["..."] * (len(x) > self.maxdict)) + "}"

    def repr_bytes(self, x: bytes, level: int) -> str:
        """Its beginning."""
        return repr(x[: self.maxstring])


def text(value: Any, limit: int = 500) -> str:
    """Return ``repr(value)``, cut when it is long; never raises."""
    try:
        found = _Brief(limit).repr(value)
    except Exception:
        found = f"<unprintable {type(value).__name__}>"
    return found if len(found) <= limit else found[: limit - 3] + "..."


def crash_report(process: ServerProcess, reason: Any) -> CrashReport:
    """Return what the log is told of the end of *process* with *reason*."""
    current = process.current
    return CrashReport(
        pid=process.pid,
        name=process.name,
        kind=process.describe_class(),
        reason=reason,
        last_message=process.last_message(),
        state=process.describe_state(),
        client=current.pid if type(current) is Caller else None,
        ancestors=process.get_extra("ancestors", ()),
        callers=process.get_extra("callers", ()),
    )
