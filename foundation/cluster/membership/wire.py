"""The messages between nodes: tuples of plain values, checked before anything believes them.

    ===================  ====================================================================
    ``swim.ping``        number, name, generation, target, generation of the target, news
    ``swim.ack``         number, name, generation, via, news; *via* is who asked on behalf of
                         the receiver, or ``""``
    ``swim.ask``         number, name, generation, target, generation of the target, its
                         address, news: probe it for me
    ``swim.nack``        number, name, generation: the one you asked for did not answer me
    ``swim.news``        name, generation, news
    ``swim.digest``      name, generation, digest of all that the sender knows
    ``swim.sync``        name, generation, news, whether the same is wanted back
    ``swim.join``        lowest and highest protocol version, cluster, record of the sender,
                         news, address as dialled
    ``swim.welcome``     version, news, address as dialled
    ``swim.refuse``      code, text, generation known, address as dialled
    ===================  ====================================================================

*News* is a sequence of items: the fields of a `Record`, then who suspects it, or ``""``.

Invariants:
    W1  `parse` returns values of exactly these shapes or raises ``ValueError``; nothing of a
        malformed message is used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from foundation.cluster.membership.records import (
    DEAD,
    KILLED,
    META_LIMIT,
    RANK,
    SILENT,
    Record,
)

Item = tuple[Any, ...]

_NUMBER_LIMIT = 1 << 63
_TEXT_LIMIT = 1024
_LABELS_LIMIT = 64
_NEWS_LIMIT = 100_000


def pack_item(record: Record, accuser: str = "") -> Item:
    """Return *record* as an item of news."""
    return (
        record.name,
        record.generation,
        record.incarnation,
        record.status,
        record.address,
        record.labels,
        record.draining,
        record.reason,
        record.meta,
        accuser,
    )


def unpack_item(value: object) -> tuple[Record, str]:
    """Return the record and its accuser; ``ValueError`` if *value* is no item."""
    if not isinstance(value, (tuple, list)) or len(value) != 10:
        raise ValueError("an item of news has ten fields")
    name, generation, incarnation, status, address, labels, draining, reason, meta, accuser = value
    if not isinstance(status, str) or status not in RANK:
        raise ValueError("unknown status")
    if reason not in ((KILLED, SILENT) if status == DEAD else ("",)):
        raise ValueError("the reason does not fit the status")
    if not isinstance(meta, bytes) or len(meta) > META_LIMIT:
        raise ValueError("meta is not bytes, or too long")
    record = Record(
        _name(name),
        _number(generation),
        _number(incarnation),
        status,
        _name(address),
        _labels(labels),
        _flag(draining),
        reason,
        meta,
    )
    return record, _text(accuser)


def parse(message: object) -> tuple[str, list[Any]]:
    """Return the code of *message* and its fields, checked (W1)."""
    if not isinstance(message, (tuple, list)) or not message:
        raise ValueError("a message is a tuple that begins with its code")
    code = message[0]
    shape = SHAPES.get(code) if isinstance(code, str) else None
    if shape is None or len(shape) != len(message) - 1:
        raise ValueError(f"no message has this code and length: {code!r}")
    return code, [check(value) for check, value in zip(shape, message[1:], strict=True)]


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value < _NUMBER_LIMIT:
        raise ValueError("not a number")
    return value


def _digest(value: object) -> int:
    if type(value) is not int:
        raise ValueError("not a digest")
    return value


def _flag(value: object) -> bool:
    if type(value) is not bool:
        raise ValueError("not a bool")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > _TEXT_LIMIT:
        raise ValueError("not a text, or too long")
    return value


def _name(value: object) -> str:
    if not value:
        raise ValueError("empty")
    return _text(value)


def _labels(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, (tuple, list)) or len(value) > _LABELS_LIMIT:
        raise ValueError("not labels, or too many")
    return tuple(_label(pair) for pair in value)


def _label(value: object) -> tuple[str, str]:
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise ValueError("a label is a pair")
    return _text(value[0]), _text(value[1])


def _news(value: object) -> list[tuple[Record, str]]:
    if not isinstance(value, (tuple, list)) or len(value) > _NEWS_LIMIT:
        raise ValueError("not news")
    return [unpack_item(item) for item in value]


def _record(value: object) -> Record:
    return unpack_item(value)[0]


SHAPES: dict[str, tuple[Callable[[object], Any], ...]] = {
    "swim.ping": (_number, _name, _number, _name, _number, _news),
    "swim.ack": (_number, _name, _number, _text, _news),
    "swim.ask": (_number, _name, _number, _name, _number, _name, _news),
    "swim.nack": (_number, _name, _number),
    "swim.news": (_name, _number, _news),
    "swim.digest": (_name, _number, _digest),
    "swim.sync": (_name, _number, _news, _flag),
    "swim.join": (_number, _number, _text, _record, _news, _name),
    "swim.welcome": (_number, _news, _name),
    "swim.refuse": (_text, _text, _number, _name),
}
