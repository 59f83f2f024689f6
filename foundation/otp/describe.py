"""The state of a server as plain data and as text, for reports and ``sys``."""

from __future__ import annotations

from typing import Any


def state_of(server: Any) -> dict[str, Any]:
    """Return the attributes of a server, which are its state."""
    state = dict(getattr(server, "__dict__", ()))
    for cls in type(server).__mro__:
        slots = vars(cls).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(server, name):
                state[name] = getattr(server, name)
    return state


def text(value: Any, limit: int = 500) -> str:
    """Return ``repr(value)``, cut when it is long; never raises."""
    try:
        found = repr(value)
    except Exception:
        found = f"<unprintable {type(value).__name__}>"
    return found if len(found) <= limit else found[: limit - 3] + "..."
