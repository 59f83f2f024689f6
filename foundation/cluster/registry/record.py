"""One entry of a distributed registry as one host keeps it, and what has changed for readers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from foundation.cluster.registry.values import Entry
from foundation.errors import CodecError
from foundation.kernel.codec import loads
from foundation.kernel.values import Pid

Isolate = Callable[[Any], Any]


class Record:
    """An entry of the slice of *node*; its value is decoded when first read."""

    __slots__ = ("_data", "_shared", "filed", "id", "key", "node", "pid", "token")

    def __init__(
        self, node: str, id: Any, key: Any, filed: Any, pid: Pid, token: int, data: bytes
    ) -> None:
        self.node = node
        self.id = id  # its key in the table
        self.key = key
        self.filed = filed  # the normalised key, see ``otp/registry_table.py``
        self.pid = pid
        self.token = token
        self._data = data
        self._shared: Entry | None = None  # when the value is immutable

    @property
    def rank(self) -> tuple[int, str, Pid]:
        """Of several holders of one unique key the one of the highest rank survives."""
        return (self.token, self.node, self.pid)

    def entry(self, isolate: Isolate) -> Entry:
        """Return what readers get: never a mutable value that another reader has, too."""
        shared = self._shared
        if shared is not None:
            return shared
        try:
            value: Any = loads(self._data)
        except CodecError as error:
            value = error
        entry = Entry(self.pid, value, self.token, self.node)
        if isolate(value) is value:
            self._shared = entry
        return entry

    def revalued(self, other: Record) -> bool:
        """Whether *other* is the same claim with another value."""
        return self.rank == other.rank and self._data != other._data


class Change(NamedTuple):
    """What readers see: *old* was there, *new* is there now; either may be None."""

    old: Record | None
    new: Record | None


def rank_of(node: str, value: tuple[Pid, int, bytes]) -> tuple[int, str, Pid]:
    """Return the rank of an entry *value* in the slice of *node*; see ``Record.rank``."""
    return (value[1], node, value[0])
