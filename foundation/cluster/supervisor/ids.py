"""Ids of children, as bytes that are equal exactly when the ids are.

The agents keep and hash these bytes; they need no class of the user's to do so.
"""

from __future__ import annotations

from typing import Any

from foundation.kernel.codec import dumps, loads

PLAIN = (str, int, bytes, bool, type(None))


def key_of(id: Any) -> bytes:
    """Return the key of the child *id*.

    Raises:
        TypeError: it is neither text, a number, bytes, True, False, None nor a tuple of these.
    """
    _check(id, id)
    return dumps(id)


def id_of(key: bytes) -> Any:
    """Return the id that *key* stands for."""
    return loads(key, allow_pickle=False)


def _check(part: Any, whole: Any) -> None:
    if type(part) is tuple:
        for item in part:
            _check(item, whole)
    elif type(part) not in PLAIN:
        raise TypeError(
            "the id of a distributed child must be text, a whole number, bytes, or a tuple of "
            f"these, since it must mean the same on every node; got {whole!r}"
        )
