"""Values in the file of a recording: what can travel as bytes, the rest as text."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from dataclasses import dataclass
from typing import Any

from foundation.errors import CodecError, ScopeError
from foundation.kernel.codec import dumps, loads
from foundation.kernel.process import Caller
from foundation.kernel.timers import Timer
from foundation.kernel.values import TIMEOUT, Timeout
from foundation.otp.describe import text

Packed = bytes | str  # bytes of the codec; or a text, of what cannot be recorded

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class CallerOf:
    """Stands for the ``caller`` of the call that came in step *number*."""

    number: int


@dataclass(frozen=True, slots=True)
class TimerOf:
    """Stands for a timer."""


@dataclass(frozen=True, slots=True)
class FutureOf:
    """Stands for a future or task of asyncio."""


class Unrecorded:
    """Stands in a replay for a value that could not be recorded; using it fails.

    Attributes are refused with a ``ScopeError``, so that a replay says where it was used.
    """

    def __init__(self, description: str) -> None:
        self.__dict__["_description"] = description

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise ScopeError(f"{self._description} could not be recorded, and is used here")

    def __repr__(self) -> str:
        return str(self._description)


def plain_text(value: Any, limit: int = 500) -> str:
    """Return *value* as text, without the addresses that differ in each run."""
    return _ADDRESS.sub("", text(value, limit))


def pack(value: Any, callers: dict[Caller, int] | None = None) -> Packed:
    """Return *value* packed; *callers* says in which step each of them came."""
    value = marked(value, callers or {})
    try:
        return dumps(value)
    except Exception:
        return plain_text(value)


def packed_error(error: BaseException) -> Packed:
    """Return an exception packed; as text where it could not be loaded again."""
    try:
        packed = dumps(error)
        if isinstance(loads(packed), BaseException):
            return packed
    except Exception:  # of its own __reduce__, or of its class
        return f"{type(error).__qualname__}: {plain_text(str(error))}"
    return f"{type(error).__qualname__}: {plain_text(str(error))}"


def unpacked_error(packed: Packed) -> BaseException:
    """Return the exception; a ``ScopeError`` in the place of one that could not be recorded."""
    found = unpack(packed)
    if isinstance(found, BaseException):
        return found
    return ScopeError(f"{found!r} was raised, and could not be recorded")


def unpack(packed: Packed) -> Any:
    """Return the value; ``Unrecorded`` where there is only a text.

    Raises:
        CodecError: its class cannot be imported here, or is another one by now.
    """
    if isinstance(packed, str):
        return Unrecorded(packed)
    value = loads(packed)
    return TIMEOUT if type(value) is Timeout else value


def marked(value: Any, callers: dict[Caller, int]) -> Any:
    """Return *value* with marks for callers, timers and futures, which belong to one run."""
    kind = type(value)
    if kind is Caller:
        return CallerOf(callers.get(value, 0))
    if isinstance(value, Timer):
        return TimerOf()
    if isinstance(value, asyncio.Future):
        return FutureOf()
    if kind in (list, deque):
        return kind(marked(item, callers) for item in value)
    if kind is tuple:
        return tuple(marked(item, callers) for item in value)
    if kind is dict:
        return {marked(k, callers): marked(v, callers) for k, v in value.items()}
    return value


def same(recorded: Packed, value: Any, callers: dict[Caller, int]) -> bool:
    """Whether *value*, of a replay, is what was recorded."""
    if isinstance(recorded, str):
        return recorded == plain_text(marked(value, callers))
    packed = pack(value, callers)
    if packed == recorded:
        return True
    try:
        return bool(unpack(recorded) == marked(value, callers))
    except (CodecError, ScopeError):
        return False
    except Exception:  # of somebody's __eq__
        return False


def shown(packed: Packed) -> str:
    """Return a packed value as text."""
    try:
        return plain_text(unpack(packed))
    except CodecError as error:
        return f"<{error}>"
