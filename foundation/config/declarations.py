"""What is declared of a path: which values it may hold, and which it has when nobody sets one.

A declaration lives on one node, in all its hosts, as plain data, until the node ends. A validator
is a function of the user's, so it travels as bytes, and only the process that sets a value makes it
a function again: the control host of the node never does.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from foundation.config.errors import InvalidValue, UnknownPath, shown
from foundation.config.plain import KINDS
from foundation.kernel.codec import dumps, loads

Validator = Callable[[Any], Any]


class Declaration(NamedTuple):
    """See the module docstring.

    Attributes:
        kinds: names of the types that are allowed; empty: any plain data.
        default: what the path holds when nobody has set it.
        validator: encoded; None: there is none.
    """

    kinds: tuple[str, ...]
    default: Any
    validator: bytes | None


def declaration(type_: Any, default: Any, validator: Validator | None) -> Declaration:
    """Return a declaration.

    Raises:
        TypeError: *type_* is no type of plain data or tuple of such, *validator* no function.
        Unsendable: *validator* cannot be sent to the other hosts of the node.
    """
    types: Iterable[Any]
    if type_ is None:
        types = ()
    else:
        types = type_ if isinstance(type_, tuple) else (type_,)
    for each in types:
        if not isinstance(each, type) or each not in KINDS:
            raise TypeError(
                f"declare: type must be one of {', '.join(KINDS.values())}, a tuple of these, or "
                f"None for any plain data, got {shown(each)}; for more say validator="
            )
    if validator is not None and not callable(validator):
        raise TypeError(f"declare: validator must be a function, got {shown(validator)}")
    encoded = None if validator is None else dumps(validator)
    return Declaration(tuple([KINDS[each] for each in types]), default, encoded)


def check_kind(path: str, value: Any, kinds: tuple[str, ...]) -> None:
    """Raise InvalidValue unless *value* is of one of *kinds*. An int will do for a float."""
    kind = KINDS.get(type(value), "")
    if kinds and kind not in kinds and not (kind == "int" and "float" in kinds):
        raise InvalidValue(path, shown(value), f"it is declared as {' or '.join(kinds)}")


def check_validator(path: str, value: Any, encoded: bytes | None) -> None:
    """Raise InvalidValue unless the validator takes *value*: returns no False, raises nothing."""
    if encoded is None:
        return
    validator = _function(encoded)
    try:
        verdict = validator(value)
    except Exception as error:
        why = f"its validator raised {type(error).__name__}: {error}"
        raise InvalidValue(path, shown(value), why) from error
    if verdict is False:
        name = getattr(validator, "__qualname__", shown(validator))
        raise InvalidValue(path, shown(value), f"its validator {name} returned False")


@functools.lru_cache(maxsize=10_000)
def _function(encoded: bytes) -> Validator:
    found: Any = loads(encoded)
    return found  # type: ignore[no-any-return]


def unknown(path: str, declared: Iterable[str]) -> UnknownPath:
    """Return the error for a *path* that is not declared; *declared* are those that are."""
    others = [each for each in declared if each != path]
    return UnknownPath(path, tuple(difflib.get_close_matches(path, others, 2)))
