"""What subscribers of topics and presences get."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from foundation.kernel.codec import register
from foundation.kernel.values import Pid


@dataclass(frozen=True, slots=True)
class Published:
    """A message as ``subscribe(..., tagged=True)`` delivers it.

    Attributes:
        topic: on which it was broadcast.
        message: as it was broadcast.
        publisher: the process that broadcast it.
        metadata: what ``publish(..., metadata=...)`` sent with it, or None.
    """

    topic: str
    message: Any
    publisher: Pid
    metadata: dict[str, Any] | None = None


class Drop:
    """The type of ``DROP``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "DROP"


DROP: Final = Drop()
"""Returned by a subscription's ``through``: the subscriber does not get this message."""


class Through(Protocol):
    """What stands between a topic and a subscriber: a function, or an object like this.

    Attributes:
        idle: that it would return each message as it is, so that it need not be called. When
            that changes, ``refresh`` must be called.
    """

    @property
    def idle(self) -> bool:
        """See the class."""

    def __call__(self, published: Published) -> Any:
        """Return what the subscriber gets, or ``DROP``. Must not wait."""


Filter = Callable[[Published], Any] | Through


@dataclass(frozen=True, slots=True)
class Meta:
    """One presence of a key: a process that is tracked under it.

    Attributes:
        pid: of the process.
        value: what was said about it.
        ref: number of this version; an update has a higher one.
    """

    pid: Pid
    value: Any
    ref: int


@dataclass(frozen=True, slots=True)
class PresenceDiff:
    """What has changed on a topic since the last diff, or since ``Tracker.subscribe``.

    An update is a leave of the old ``Meta`` and a join of the new one. Who applies first the
    leaves, then the joins to the list that ``subscribe`` returned has the present list.

    Attributes:
        topic: of the tracker.
        joins: by key, what is new.
        leaves: by key, what is no more.
    """

    topic: str
    joins: dict[Any, list[Meta]]
    leaves: dict[Any, list[Meta]]


register(Published, 107)
register(Meta, 108)
register(PresenceDiff, 109)
