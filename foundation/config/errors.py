"""What ``foundation.config`` raises.

ConfigError
 ├── UnknownPath        nobody has declared that path on this node       (also LookupError)
 ├── InvalidValue       the value is not what was declared               (also ValueError)
 ├── QuorumNotReached   no majority in time: nothing was done, nor will be
 ├── ConfigUncertain    nobody can say whether the write took effect
 └── ConfigUnavailable  the server does not run on this node
"""

from __future__ import annotations

from typing import Any

from foundation.errors import FoundationError


class ConfigError(FoundationError):
    """The root of the errors of ``foundation.config``."""


class UnknownPath(ConfigError, LookupError):
    """Nobody has declared *path* on this node; *near* are declared paths that resemble it."""

    def __init__(self, path: str, near: tuple[str, ...] = ()) -> None:
        super().__init__(path, near)
        self.path = path
        self.near = near

    def __str__(self) -> str:
        near = f"did you mean {' or '.join(map(repr, self.near))}? " if self.near else ""
        return (
            f"config path {self.path!r} is not declared on this node; {near}call "
            f"declare({self.path!r}, ...) first, as in the init of the application"
        )


class InvalidValue(ConfigError, ValueError):
    """*value* (as text) is not what *path* is declared to hold; *why* says so."""

    def __init__(self, path: str, value: str, why: str) -> None:
        super().__init__(path, value, why)
        self.path = path
        self.value = value
        self.why = why

    def __str__(self) -> str:
        return f"config path {self.path!r} cannot be {self.value}: {self.why}; nothing was changed"


class QuorumNotReached(ConfigError):
    """No majority agreed in time. Nothing was applied anywhere, nor will be.

    Attributes:
        what: ``"set"`` or ``"read"``.
        path: of what.
        timeout: seconds that were waited.
        answered: how many servers answered in the last attempt, this node's included.
        needed: how many are a majority.
        nodes: those whose servers were there.
        busy: nothing was wrong with the majority, but too many wrote the path at once: says which.
    """

    def __init__(
        self,
        what: str,
        path: str,
        timeout: float,
        answered: int,
        needed: int,
        nodes: tuple[str, ...],
        busy: str = "",
    ) -> None:
        super().__init__(what, path, timeout, answered, needed, nodes, busy)
        self.what = what
        self.path = path
        self.timeout = timeout
        self.answered = answered
        self.needed = needed
        self.nodes = nodes
        self.busy = busy

    def __str__(self) -> str:
        begin = f"config path {self.path!r} could not be {self.what} cluster-wide within "
        if self.busy:
            why, then = self.busy, "Try again, or give it a longer timeout"
        else:
            why = (
                f"a majority is {self.needed}, {self.answered} answered, servers are known on "
                f"{', '.join(self.nodes)}"
            )
            then = "Try again when more nodes can be reached"
        return f"{begin}{self.timeout} s: {why}; nothing was applied. {then}"


class ConfigUncertain(ConfigError):
    """The write of *path* was under way when it ended; it has been applied, or will be, or not.

    ``await get(path, consistency="quorum")`` tells: what that returns is final. To set the same
    value again is safe.
    """

    def __init__(self, path: str, why: str) -> None:
        super().__init__(path, why)
        self.path = path
        self.why = why

    def __str__(self) -> str:
        return (
            f"whether config path {self.path!r} was set cluster-wide is not known: {self.why}; "
            'ask with get(path, consistency="quorum"), or set it again'
        )


class ConfigUnavailable(ConfigError):
    """The server ``"foundation.config"`` does not run on this node (now)."""


def shown(value: Any, limit: int = 200) -> str:
    """Return *value* as it stands in a message."""
    try:
        text = repr(value)
    except Exception:
        text = f"<a {type(value).__qualname__}>"
    return text if len(text) <= limit else text[: limit - 3] + "..."
