"""Anything as data that JSON knows, in a bounded size (pure)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Set
from enum import Enum
from itertools import islice
from typing import Any

from foundation.kernel.values import Pid
from foundation.runtime.inspect import text

TEXT = 300  # characters of one string
DEPTH = 6  # of values in values


def plain(value: Any, items: int = 100, depth: int = DEPTH) -> Any:
    """Return *value* as dicts, lists, strings and numbers; never raises.

    Args:
        value: anything; dataclasses become dicts, pids text, what is unknown its ``repr``.
        items: how many of a collection are kept.
        depth: how deep it is followed.
    """
    if isinstance(value, Enum):
        return plain(value.value, items, depth)
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, str):
        return cut(value)
    if isinstance(value, Pid):
        return text(value)
    if depth > 0:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            names = [field.name for field in dataclasses.fields(value)]
            return {name: plain(getattr(value, name, None), items, depth - 1) for name in names}
        if isinstance(value, Mapping):
            some = islice(value.items(), items)
            return {key_text(key): plain(each, items, depth - 1) for key, each in some}
        if isinstance(value, Set):
            return sorted((plain(each, items, depth - 1) for each in value), key=repr)[:items]
        if isinstance(value, (list, tuple)):
            return [plain(each, items, depth - 1) for each in islice(value, items)]
    return shown(value)


def key_text(key: Any) -> str:
    """Return the key of a mapping as text."""
    return cut(key) if isinstance(key, str) else shown(key)


def shown(value: Any) -> str:
    """Return the ``repr`` of *value*; never raises."""
    try:
        return cut(repr(value))
    except Exception as error:  # a ``__repr__`` of users
        return f"<{type(value).__name__}, whose repr fails: {type(error).__name__}>"


def cut(said: str, most: int = TEXT) -> str:
    """Return *said* in at most *most* characters, all of which can be encoded."""
    if len(said) > most:
        said = said[: most - 1] + "…"
    return said.encode("utf-8", "replace").decode()
