"""Structural patterns for values, in place of Erlang's match specifications."""

from __future__ import annotations

from typing import Any, Final


class Anything:
    """The type of ``ANY``."""

    def __repr__(self) -> str:
        return "ANY"


ANY: Final = Anything()
"""Matches every value."""


def matches(pattern: Any, value: Any) -> bool:
    """Whether *value* has the form of *pattern*.

    Args:
        pattern: ``ANY`` matches everything; a class, its instances; any other callable is a
            predicate; a tuple or list, one of the same type and length whose items match; a
            dict, one that has these keys with matching values; anything else, what is equal
            to it and of the same type, so that ``1`` does not match ``True``.
        value: anything.
    """
    if pattern is ANY:
        return True
    if isinstance(pattern, type):
        return isinstance(value, pattern)
    if callable(pattern):
        return bool(pattern(value))
    kind = type(pattern)
    if type(value) is not kind:
        return False
    if kind in (tuple, list):
        return len(pattern) == len(value) and all(map(matches, pattern, value))
    if kind is dict:
        return all(key in value and matches(p, value[key]) for key, p in pattern.items())
    return bool(pattern == value)
