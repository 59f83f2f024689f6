"""Keys of distributed registries: values that every node encodes in the same bytes.

Only the bytes travel and are compared between nodes, so equal keys must have equal bytes on all
Python versions and machines. Pickles have not; these few types have.
"""

from __future__ import annotations

from typing import Any

from foundation.errors import Unsendable
from foundation.kernel.codec import dumps, loads
from foundation.kernel.values import Pid

MAX_DEPTH = 8  # of tuples in tuples
MAX_VALUE = 8 * 1024 * 1024  # bytes of a value; it shares the agents' channels with all else
_ATOMS = frozenset({str, bytes, int, bool, type(None), float, Pid})


def encode_key(key: Any) -> bytes:
    """Return the bytes of *key*, the same on every node.

    Raises:
        TypeError: a part of *key* is of a type that has no such encoding.
        ValueError: a part of *key* equals nothing (NaN) or is no text (a lone surrogate), or
            tuples are nested more than ``MAX_DEPTH`` deep.
    """
    if type(key) is str and key.isascii():
        return dumps(key)
    return dumps(_checked(key, key, 0))


def decode_key(data: bytes) -> Any:
    """Return the key that ``encode_key`` made *data* of; runs no code that a sender chose."""
    return loads(data, allow_pickle=False)


def encode_value(value: Any) -> bytes:
    """Return the bytes of the *value* of an entry.

    Raises:
        Unsendable: it cannot be sent, or has more than ``MAX_VALUE`` bytes.
    """
    data = dumps(value)
    if len(data) > MAX_VALUE:
        raise Unsendable(
            f"a value of {len(data)} bytes is longer than the {MAX_VALUE} that an entry of a "
            "distributed registry may have: every host of every node gets a copy; keep the data "
            "in the process, and ask it"
        )
    return data


def _checked(part: Any, key: Any, depth: int) -> Any:
    kind = type(part)
    if kind is tuple:
        if depth == MAX_DEPTH:
            raise ValueError(f"the key {key!r} is nested more than {MAX_DEPTH} tuples deep")
        return tuple([_checked(item, key, depth + 1) for item in part])
    if kind not in _ATOMS:
        inside = "" if part is key else f" in {key!r}"
        raise TypeError(
            f"a key of a distributed registry must be a str, bytes, int, bool, None, float, Pid "
            f"or a tuple of these, got {part!r}{inside}: only these have one encoding on all nodes"
        )
    if kind is str:
        try:
            part.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"the key {key!r} holds a str that is no text: {error}") from None
    if kind is float:
        if part != part:
            raise ValueError(f"the key {key!r} holds NaN, which equals nothing, not even itself")
        return part + 0.0  # -0.0 equals 0.0, so it must have its bytes
    return part
