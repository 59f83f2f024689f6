"""Ids of children, as bytes that are equal exactly when the ids are.

The agents keep and hash these bytes; they need no class of the user's to do so.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from foundation.cluster.registry.keys import MAX_DEPTH
from foundation.kernel.codec import dumps, loads

PLAIN = (str, int, bytes, bool, type(None))


@lru_cache(maxsize=10_000)
def _key_of_text(id: str) -> bytes:
    _check(id, id, 0)
    return dumps(id)


def key_of(id: Any) -> bytes:
    """Return the key of the child *id*.

    Raises:
        TypeError: it is neither text, a number, bytes, True, False, None nor a tuple of these.
        ValueError: a text in it is no text (a lone surrogate), or tuples are nested more than
            ``MAX_DEPTH`` deep.
    """
    if type(id) is str:  # look-ups encode the same few again and again
        return _key_of_text(id)
    _check(id, id, 0)
    return dumps(id)


def id_of(key: bytes) -> Any:
    """Return the id that *key* stands for."""
    return loads(key, allow_pickle=False)


@lru_cache(maxsize=10_000)
def group_of(key: bytes) -> bytes | None:
    """Return the key of the child with partitions that *key* is a part of, by the form of its id.

    That is of the form ``(id, number)``; None of other ids.
    """
    id = id_of(key)
    if type(id) is tuple and len(id) == 2 and type(id[1]) is int:
        return key_of(id[0])
    return None


def shown(key: bytes) -> str:
    """Return the id that *key* stands for as text, for people; never raises."""
    try:
        return repr(id_of(key))
    except Exception:  # whatever it is that another node has sent
        return f"of the key {key!r:.100}"


def is_text(value: str) -> bool:
    """Whether *value* can travel: a str with a lone surrogate cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check(part: Any, whole: Any, depth: int) -> None:
    kind = type(part)
    if kind is tuple:
        if depth == MAX_DEPTH:
            raise ValueError(
                f"the id of a distributed child is nested more than {MAX_DEPTH} tuples deep"
            )
        for item in part:
            _check(item, whole, depth + 1)
    elif kind not in PLAIN:
        raise TypeError(
            "the id of a distributed child must be text, a whole number, bytes, or a tuple of "
            f"these, since it must mean the same on every node; got {whole!r}"
        )
    elif kind is str and not is_text(part):
        raise ValueError(
            f"the id {whole!r} of a distributed child holds a str that is no text: it has a lone "
            "surrogate, which no encoding knows"
        )
