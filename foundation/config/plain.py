"""Values are plain data: what every node can read without running anybody's code."""

from __future__ import annotations

from typing import Any

from foundation.config.errors import InvalidValue, shown
from foundation.kernel.codec import dumps, loads

MAX_VALUE = 256 * 1024  # bytes of one value; every host of every node has all values
MAX_DEPTH = 8  # of containers in containers
ATOMS: dict[type, str] = {
    type(None): "None",
    bool: "bool",
    int: "int",
    float: "float",
    str: "str",
    bytes: "bytes",
}
CONTAINERS: dict[type, str] = {
    list: "list",
    tuple: "tuple",
    dict: "dict",
    set: "set",
    frozenset: "frozenset",
}
KINDS: dict[type, str] = {**ATOMS, **CONTAINERS}


def encode(path: str, value: Any) -> bytes:
    """Return the bytes of *value*.

    Raises:
        InvalidValue: it is not plain data, is nested too deep, or has too many bytes.
    """
    why = _why_not(value, 0)
    if why:
        raise InvalidValue(path, shown(value), why)
    data = dumps(value)
    if len(data) > MAX_VALUE:
        raise InvalidValue(
            path, shown(value), f"it has {len(data)} bytes, of which {MAX_VALUE} are allowed"
        )
    return data


def decode(data: bytes) -> Any:
    """Return the value that ``encode`` made *data* of; runs no code that a sender chose."""
    return loads(data, allow_pickle=False)


def _why_not(value: Any, depth: int) -> str:
    """Return why *value* is no plain data; nothing when it is."""
    kind = type(value)
    if kind is str:
        try:
            value.encode()
        except UnicodeEncodeError as error:
            return f"it holds a str that is no text: {error}"
        return ""
    if kind in ATOMS:
        return ""
    if kind not in CONTAINERS:
        return (
            f"it holds a {kind.__module__}.{kind.__qualname__}, and values are plain data: "
            f"{', '.join(KINDS.values())}"
        )
    if depth == MAX_DEPTH:
        return f"it is nested more than {MAX_DEPTH} deep"
    parts = (*value, *value.values()) if kind is dict else tuple(value)
    return next((why for part in parts if (why := _why_not(part, depth + 1))), "")
