"""Keys of partitions: values that lead to the same partition in every interpreter (pure).

A key is made *plain* first, so that equal keys become equal plain values and these have one
encoding: numbers that are equal are one number (``1``, ``1.0``, ``True``), a named tuple is a
tuple, and classes count by their qualified name alone, so that a class of a script means the same
where the script is ``__main__``, where it is imported, and where it came by value. What has no such
form is refused: a pickle depends on identities, a set on the order of its hashes.
"""

from __future__ import annotations

import dataclasses
import hashlib
from enum import Enum, Flag
from functools import lru_cache
from typing import Any
from uuid import UUID

from foundation.kernel.codec import dumps

MAX_DEPTH = 8  # of tuples and dataclasses in each other


def partition_index(key: Any, size: int) -> int:
    """Return which of *size* partitions *key* belongs to; the same in every interpreter.

    Raises:
        TypeError, ValueError: as ``plain``.
    """
    kind = type(key)
    if kind is not str and kind is not int:
        key = plain(key)
    if isinstance(key, int):
        return abs(key) % size
    data = key.encode("utf-8", "surrogatepass") if type(key) is str else dumps(key)
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big") % size


def plain(key: Any) -> Any:
    """Return *key* as None, a number, text, bytes, or a tuple of these; equal for equal keys.

    Raises:
        TypeError: a part of *key* is of a type that may be no key.
        ValueError: a part equals nothing (NaN), or is nested more than ``MAX_DEPTH`` deep.
    """
    return _plain(key, key, 0)


def _plain(part: Any, key: Any, depth: int) -> Any:
    kind = type(part)
    if part is None or kind is bytes:
        return part
    if _keeps_equality(kind, str):
        return _text(str.__str__(part), depth)
    if _keeps_equality(kind, int):
        return int.__index__(part)  # of True, too, and of members of an IntEnum
    if _keeps_equality(kind, float):
        return _number(float.__pos__(part), key)
    if kind is UUID:
        return part.bytes
    if _keeps_equality(kind, bytes):
        return bytes.__getitem__(part, slice(None))
    if _keeps_equality(kind, tuple):
        return _parts(tuple.__iter__(part), key, depth)
    if _keeps_equality(kind, Enum):
        # Of flags several may be set; other members have a name of their own, aliases have not.
        return (kind.__qualname__, part.value if isinstance(part, Flag) else part.name)
    names = _compared(kind)  # type: ignore[arg-type]
    if names is not None:
        return _parts((kind.__qualname__, *(getattr(part, name) for name in names)), key, depth)
    inside = "" if part is key else f" in {key!r:.200}"
    raise TypeError(
        "a key of partitions must be a str, bytes, int, bool, None, float, UUID, a member of an "
        "enumeration, a frozen dataclass that is compared by its fields, or a tuple of these, got "
        f"{part!r:.200}{inside}: only these lead to the same partition in every process; of a set "
        "make a sorted tuple, of other objects what identifies them"
    )


def _keeps_equality(kind: Any, base: Any) -> bool:
    """Whether *kind* is *base*, or is compared as it."""
    return kind is base or (issubclass(kind, base) and kind.__eq__ is base.__eq__)


def _text(text: str, depth: int) -> Any:
    if depth and not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # the codec knows no lone surrogates
            return text.encode("utf-8", "surrogatepass")
    return text


def _number(value: float, key: Any) -> Any:
    if value != value:
        raise ValueError(f"the key {key!r:.200} holds NaN, which equals nothing, not even itself")
    return int(value) if value.is_integer() else value


def _parts(parts: Any, key: Any, depth: int) -> Any:
    if depth == MAX_DEPTH:
        raise ValueError(f"the key {key!r:.200} is nested more than {MAX_DEPTH} deep")
    return tuple([_plain(part, key, depth + 1) for part in parts])


@lru_cache(maxsize=1000)
def _compared(kind: type) -> tuple[str, ...] | None:
    """Return the fields by which instances of the frozen dataclass *kind* are compared."""
    options = getattr(kind, "__dataclass_params__", None)
    if options is None or not (options.frozen and options.eq):
        return None
    names = [field.name for field in dataclasses.fields(kind) if field.compare]
    own: Any = getattr(kind.__eq__, "__code__", None)
    usual: Any = _like(names).__eq__.__code__
    if own is None or (own.co_code, own.co_names) != (usual.co_code, usual.co_names):
        return None  # it has an ``__eq__`` of its own
    return tuple(names)


def _like(names: list[str]) -> Any:
    """Return a class that is compared by the fields *names*, to see what that looks like."""
    return dataclasses.make_dataclass("Like", names, frozen=True)
