"""What callbacks may return besides a plain value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from foundation.kernel.process import UNSET


def _check(timeout: Any) -> None:
    """Refuse a wrong timeout where it is written; ``nan`` is one, too."""
    if timeout is not None and (isinstance(timeout, str) or not timeout >= 0):
        raise ValueError(f"timeout must be None or 0 or more seconds, got {timeout!r}")


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer the call with *value*; needed only to add an option to a plain reply.

    Attributes:
        value: the reply.
        continue_: run ``handle_continue`` with this before the next message.
        timeout: seconds of silence after which ``handle_info`` gets ``TIMEOUT``.
        hibernate: accepted for ported code; does nothing.
    """

    value: Any
    continue_: Any = UNSET
    timeout: float | None = None
    hibernate: bool = False

    def __post_init__(self) -> None:
        _check(self.timeout)


@dataclass(frozen=True, slots=True)
class NoReply:
    """Go on without answering (yet); ``reply(caller, value)`` may answer later.

    Attributes: as in ``Reply``.
    """

    continue_: Any = UNSET
    timeout: float | None = None
    hibernate: bool = False

    def __post_init__(self) -> None:
        _check(self.timeout)


Ok = NoReply
"""The same, by the name that reads well at the end of ``init``."""


def Continue(argument: Any) -> NoReply:
    """Run ``handle_continue(argument)`` before the next message."""
    return NoReply(continue_=argument)


@dataclass(frozen=True, slots=True)
class Stop:
    """End the server with *reason*, after ``terminate``; *reply* answers the current call."""

    reason: Any = "normal"
    reply: Any = UNSET


@dataclass(frozen=True, slots=True)
class Ignore:
    """From ``init``: do not run, and that is no error."""


@dataclass(frozen=True, slots=True)
class Fail:
    """From ``init``: the start fails with *reason*, quietly (Erlang's ``{error, Reason}``)."""

    reason: Any


@dataclass(frozen=True, slots=True)
class Ignored:
    """What a start function returns when ``init`` returned ``Ignore``."""


IGNORED: Final = Ignored()
