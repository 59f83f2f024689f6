"""Paths: ``"feature.enabled"`` or ``("feature", "enabled")``."""

from __future__ import annotations

import functools
import re
from typing import Any

from foundation.config.errors import shown

Path = tuple[str, ...]

MAX_PARTS = 16
MAX_PART = 100  # characters
TOPIC = "foundation:config/"  # of changes: + the parts, each with a slash
_PART = re.compile(r"[\w-]+")


def parse(path: Any) -> Path:
    """Return the parts of *path*.

    Raises:
        TypeError: it is neither a string nor a tuple of strings.
        ValueError: it is empty, too long, or a part holds something else than letters, digits,
            ``_`` and ``-``.
    """
    if type(path) is str or (type(path) is tuple and all(type(part) is str for part in path)):
        return _parse(path)
    raise TypeError(
        'a config path is a string like "feature.enabled" or a tuple of strings like '
        f'("feature", "enabled"), got {shown(path)}'
    )


def parse_prefix(prefix: Any) -> Path:
    """Return the parts of *prefix*: as ``parse``, but it may be empty, which is all paths."""
    return () if prefix == "" or prefix == () else parse(prefix)


@functools.lru_cache(maxsize=10_000)
def _parse(path: str | Path) -> Path:
    parts = tuple(path.split(".")) if isinstance(path, str) else path
    if not 0 < len(parts) <= MAX_PARTS:
        raise ValueError(f"a config path has 1 to {MAX_PARTS} parts, got {shown(path)}")
    for part in parts:
        if not _PART.fullmatch(part) or len(part) > MAX_PART:
            raise ValueError(
                f"each part of a config path is 1 to {MAX_PART} letters, digits, '_' or '-', got "
                f"{shown(part)} in {shown(path)}"
            )
    return parts


def dotted(path: Path) -> str:
    """Return *path* as text."""
    return ".".join(path)


def topic(path: Path) -> str:
    """Return the topic on which changes of *path* are told."""
    return TOPIC + "".join(f"{part}/" for part in path)


def pattern(prefix: Path) -> str:
    """Return the pattern of the topics of *prefix* and all paths below."""
    return topic(prefix) + "*"
