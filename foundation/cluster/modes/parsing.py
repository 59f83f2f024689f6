"""Reading settings: each may come as text (environment) or as a plain value (program, TOML).

Each parser returns the checked value or raises ``ValueError`` with what is allowed (``WrongPart``
with what is wrong). Finer checks,
as of addresses, are those of ``ClusterConfig`` and of the strategies.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

from foundation.cluster.timing import Timing, is_number

TRUE = ("true", "1", "yes", "on")
FALSE = ("false", "0", "no", "off")
Parser = Callable[[Any], Any]


class WrongPart(ValueError):
    """A part of a value is wrong; the message says which, and what is allowed."""


def text(value: Any) -> str:
    """A string that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a non-empty string")
    return value.strip()


def node_name(value: Any) -> str:
    """A name of a node."""
    if not isinstance(value, str) or not value.strip() or "/" in value:
        raise ValueError("a non-empty string without '/'")
    return value.strip()


def boolean(value: Any) -> bool:
    """True or False, or one of the words for them."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in TRUE + FALSE:
        return value.strip().lower() in TRUE
    raise ValueError("true or false")


def whole(least: int, most: int | None = None) -> Parser:
    """Return a parser of whole numbers in these limits."""

    def parse(value: Any) -> int:
        number = value
        if isinstance(value, str):
            digits = value.strip()
            number = int(digits) if digits.isascii() and digits.lstrip("-").isdigit() else None
        good = isinstance(number, int) and not isinstance(number, bool)
        if not good or number < least or (most is not None and number > most):
            limits = f"of {least} or more" if most is None else f"from {least} to {most}"
            raise ValueError(f"a whole number {limits}")
        return int(number)

    return parse


def seconds(value: Any) -> float:
    """A number of seconds, 0 or more."""
    number = value
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            number = None
    if not is_number(number) or number < 0:
        raise ValueError("a number of seconds of 0 or more")
    return float(number)


def period(value: Any) -> float:
    """A number of seconds above 0."""
    try:
        number = seconds(value)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise ValueError("a number of seconds above 0")
    return number


def listed(value: Any) -> tuple[str, ...]:
    """A list of strings, or one string with commas between them."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)) or not all(isinstance(each, str) for each in parts):
        raise ValueError("a list of strings, or 'one,two'")
    found = tuple(each.strip() for each in parts if each.strip())
    if not found:
        raise ValueError("a list of strings that is not empty")
    return found


def pairs(value: Any) -> dict[str, str]:
    """A table of strings, or ``key=value,key=value``."""
    if isinstance(value, str):
        parts = [part.partition("=") for part in value.split(",") if part.strip()]
        if any(not equals or not key.strip() for key, equals, _ in parts):
            raise ValueError("a table of strings, or 'key=value,key=value'")
        return {key.strip(): found.strip() for key, _, found in parts}
    if not isinstance(value, Mapping):
        raise ValueError("a table of strings, or 'key=value,key=value'")
    return dict(value)


def timing(value: Any) -> Timing:
    """A ``Timing``, a table of its fields, or ``field=seconds,field=seconds``."""
    if isinstance(value, Timing):
        return value
    fields = {field.name: field.type for field in dataclasses.fields(Timing)}
    allowed = f"a table of seconds by name, of {', '.join(fields)}"
    try:
        found: dict[str, Any] = dict(pairs(value))
    except ValueError:
        raise ValueError(allowed) from None
    for name, each in found.items():
        if name not in fields:
            raise ValueError(f"{allowed}; {name!r} is none of them")
        if isinstance(each, str):
            try:
                found[name] = int(each) if name == "indirect_probes" else float(each)
            except ValueError:
                raise ValueError(f"{allowed}; {name} is no number") from None
    try:
        return Timing(**found)
    except ValueError as error:
        raise WrongPart(str(error)) from None


def secret(value: Any) -> bytes:
    """A secret of 16 bytes or more, as bytes."""
    raw = value.encode() if isinstance(value, str) else value
    if not isinstance(raw, bytes) or len(raw.strip()) < 16:
        raise ValueError("a secret of 16 bytes or more, as by `openssl rand -hex 32`")
    return raw.strip()


def word(*words: str) -> Parser:
    """Return a parser of one of *words*."""

    def parse(value: Any) -> str:
        found = value.strip() if isinstance(value, str) else ""
        for each in words:
            if found.lower() == each.lower():
                return each
        raise ValueError(f"one of {', '.join(words)}")

    return parse
