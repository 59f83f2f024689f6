"""The values that processes exchange about themselves: pids, refs, exit reasons, notices.

All are immutable, hashable, comparable and serialisable (``kernel/codec.py``). ``Pid`` and
``Ref`` are named tuples because they are dictionary keys on every hot path, and a tuple hashes
and compares in C.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Any, NamedTuple

from foundation.errors import Exit


class Pid(NamedTuple):
    """The name of one process life. Never reused.

    Attributes:
        host: address of the host, ``"<node>/<host>"``.
        incarnation: which life of that host.
        serial: which process of that life.
    """

    host: str
    incarnation: int
    serial: int

    def __repr__(self) -> str:
        return f"<Pid {self.host}.{self.incarnation}.{self.serial}>"


class Ref(NamedTuple):
    """A unique reference, made by ``monitor`` and ``send_after``."""

    host: str
    incarnation: int
    number: int

    def __repr__(self) -> str:
        return f"<Ref {self.host}.{self.incarnation}.{self.number}>"


class Alias(NamedTuple):
    """A temporary address of a process (OTP's process alias); see ``kernel.alias``."""

    pid: Pid
    number: int


@dataclass(frozen=True, slots=True)
class Shutdown:
    """A clean exit reason with a detail, OTP's ``{shutdown, Detail}``."""

    detail: Any = None


@dataclass(frozen=True, slots=True)
class Crash:
    """An exit reason: a callback raised an exception. Text only, so it always travels.

    Attributes:
        type: qualified name of the exception's class.
        message: ``str()`` of the exception.
        traceback_text: the formatted traceback, not compared.
    """

    type: str
    message: str
    traceback_text: str = ""

    @classmethod
    def from_exception(cls, error: BaseException) -> Crash:
        """Describe *error*; never raises, whatever its ``__str__`` does."""
        kind = type(error)
        try:
            message = str(error)
        except Exception:
            message = "<unprintable>"
        name = kind.__qualname__
        if kind.__module__ not in ("builtins", "__main__"):
            name = f"{kind.__module__}.{name}"
        try:
            text = "".join(traceback.format_exception(error))
        except Exception:
            text = f"{name}: {message}"
        return cls(name, message, text)

    def __repr__(self) -> str:
        return f"Crash({self.type}: {self.message})"


@dataclass(frozen=True, slots=True)
class BadReturn:
    """An exit reason: a callback returned something it may not (OTP's bad_return_value)."""

    value: str
    callback: str = ""


@dataclass(frozen=True, slots=True)
class ExitMsg:
    """What a process that traps exits gets when a linked process ends (OTP's ``{'EXIT', …}``)."""

    pid: Pid
    reason: Any


@dataclass(frozen=True, slots=True)
class Down:
    """What a monitoring process gets when the monitored one ends (OTP's ``{'DOWN', …}``).

    Attributes:
        ref: what ``monitor`` returned.
        object: what was monitored: a pid, or the name (a ``str``) it was monitored by.
        reason: the exit reason; ``"noproc"`` when there was no such process.
    """

    ref: Ref
    object: Any
    reason: Any


@dataclass(frozen=True, slots=True)
class Timeout:
    """What ``handle_info`` gets when the ``timeout=`` of a result has passed in silence."""


TIMEOUT = Timeout()


def is_clean(reason: Any) -> bool:
    """Whether *reason* is an orderly end: ``normal``, ``shutdown`` or ``Shutdown(x)``."""
    if isinstance(reason, str):
        return reason in ("normal", "shutdown")
    return isinstance(reason, Shutdown)


def reason_of(error: BaseException) -> Any:
    """Return the exit reason that a raised *error* stands for."""
    return error.reason if isinstance(error, Exit) else Crash.from_exception(error)
