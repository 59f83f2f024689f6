"""The messages that the server ``"foundation.config"`` of each node answers.

``await call("foundation.config", Set("feature.enabled", True))`` does what
``await config.set("feature.enabled", True)`` does, but for the validator: that is a function of
the user's, and runs in the process that calls ``config.set``. What the function would raise comes
back as ``Failed(error)``. A path may be a string or a tuple. The server of another node is
``("foundation.config", node)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from foundation.config.values import ConfigStatus, ConfigVersion
from foundation.otp import Call

TIMEOUT = 5.0  # seconds


def seconds(timeout: Any) -> float:
    """Return *timeout*; raise TypeError or ValueError unless it is seconds, finite and above 0."""
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"timeout must be seconds, a number, got {timeout!r}")
    if not 0 < timeout < float("inf"):
        raise ValueError(f"timeout must be finite and above 0, got {timeout!r}")
    return timeout


@dataclass(frozen=True)
class Get(Call[Any]):
    """What the path has on this node: its value. ``Failed(UnknownPath)`` when it has none."""

    path: Any


@dataclass(frozen=True)
class GetQuorum(Call[Any]):
    """What a majority of the servers agrees that the path has cluster-wide.

    The reply is ``(value,)``; where nobody has set one, the value is the default that is declared
    on the node of the server; ``()`` where there is none either.
    """

    path: Any
    timeout: float = TIMEOUT


@dataclass(frozen=True)
class Set(Call[None]):
    """Set the path on this node alone."""

    path: Any
    value: Any


@dataclass(frozen=True)
class SetClusterWide(Call[ConfigVersion]):
    """Set the path on all nodes, if a majority agrees; the reply is the version."""

    path: Any
    value: Any
    timeout: float = TIMEOUT


@dataclass(frozen=True)
class Reset(Call[None]):
    """Undo ``Set`` of the path on this node; of all paths when it is None."""

    path: Any = None


@dataclass(frozen=True)
class ResetClusterWide(Call[ConfigVersion]):
    """Remove the cluster-wide value of the path; the reply is the version of that write."""

    path: Any
    timeout: float = TIMEOUT


@dataclass(frozen=True)
class Declare(Call[None]):
    """Declare the path on this node.

    Attributes:
        path: which.
        kinds: names of allowed types, ``("int",)``; empty: any plain data.
        default: its value when nobody sets it.
        validator: a function as ``foundation.kernel.codec.dumps`` encodes it, or None.
    """

    path: Any
    kinds: tuple[str, ...] = ()
    default: Any = None
    validator: bytes | None = None


@dataclass(frozen=True)
class Status(Call[ConfigStatus]):
    """The state of this node's server."""
