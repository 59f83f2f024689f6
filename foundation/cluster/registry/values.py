"""What a distributed registry tells its users: entries, events, conflicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from foundation.kernel.codec import register
from foundation.kernel.values import Pid


@dataclass(frozen=True, slots=True)
class Entry:
    """One registration, as ``lookup`` returns it.

    Attributes:
        pid: the holder.
        value: what it registered; a ``CodecError`` when it is of a class unknown here.
        token: the fencing token of the claim; a later claim of the key has a higher one. In
            registries with duplicate keys 0.
        node: where the holder lives.
    """

    pid: Pid
    value: Any
    token: int
    node: str


@dataclass(frozen=True, slots=True)
class NameConflict:
    """Exit reason or message: after a split healed another holder of the key has survived.

    Attributes:
        registry: the registry's name.
        key: that was held on both sides.
        winner: who holds it now.
        token: the winner's fencing token.
    """

    registry: str
    key: Any
    winner: Pid
    token: int


@dataclass(frozen=True, slots=True)
class Registered:
    """Event: an entry has come, on this node or another."""

    registry: str
    key: Any
    pid: Pid
    value: Any
    node: str


@dataclass(frozen=True, slots=True)
class Updated:
    """Event: an entry has another value."""

    registry: str
    key: Any
    pid: Pid
    value: Any
    node: str


@dataclass(frozen=True, slots=True)
class Unregistered:
    """Event: an entry is no more.

    Attributes:
        registry: the registry's name.
        key: of the entry.
        pid: who held it.
        node: where that lives or lived.
        reason: ``"gone"``: withdrawn, or its process, host or node is gone; ``"conflict"``:
            another holder of the key has survived.
    """

    registry: str
    key: Any
    pid: Pid
    node: str
    reason: str


register(Entry, 101)
register(NameConflict, 102)
register(Registered, 103)
register(Updated, 104)
register(Unregistered, 105)
