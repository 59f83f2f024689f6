"""What is raised for settings of the cluster."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from foundation.errors import NodeError


class SettingError(NodeError):
    """A setting of the cluster is unknown, wrong or missing; nothing was started."""


def unknown(
    what: str, got: str, valid: Sequence[str], near: str | None = None
) -> SettingError:
    """Return the error for a name that does not exist: it lists those that do.

    Args:
        what: kind of name, and where it was written.
        got: the name.
        valid: the names that there are.
        near: the one that was meant; None looks for it.
    """
    near = near or closest(got, valid)
    hint = f" (did you mean {near!r}?)" if near else ""
    return SettingError(f"unknown {what} {got!r}{hint}; valid: {', '.join(valid)}")


def closest(got: str, valid: Iterable[str], cutoff: float = 0.7) -> str | None:
    """Return the valid name that *got* was probably meant to be, or None."""
    found = difflib.get_close_matches(got.lower(), list(valid), 1, cutoff)
    return found[0] if found else None
