"""Tables of which each node owns a slice, and every node has a copy.

Only the owner changes its slice; what others have of it is a copy that follows, in order, over
a ``Channel``. When a channel begins anew the whole slice is sent again, and the difference is
applied. A node that is down has no slice. There is nothing to merge, so nothing to merge
wrongly: this is the design of syn and of phoenixframework/group, not that of a CRDT.

Names, running children, subscriptions, presences and the hosts of a node are such tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


class Gone:
    """The type of ``GONE``: there is no entry (any more)."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "GONE"


GONE: Any = Gone()

Listener = Callable[[str, Any, Any, Any], None]  # (node, key, new value, old value)


class Table:
    """One table as one host sees it.

    Attributes:
        name: of the table.
        listeners: told of each change, after it: ``(node, key, new, old)``, where ``GONE``
            stands for no entry.
    """

    __slots__ = ("_slices", "listeners", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.listeners: list[Listener] = []
        self._slices: dict[str, dict[Any, Any]] = {}

    def of(self, node: str) -> dict[Any, Any]:
        """Return the slice of *node*; not to be changed."""
        return self._slices.get(node, {})

    def get(self, node: str, key: Any) -> Any:
        """Return the value of *key* in the slice of *node*, or ``GONE``."""
        return self.of(node).get(key, GONE)

    def nodes(self) -> list[str]:
        """Return who has entries, sorted."""
        return sorted(node for node, entries in self._slices.items() if entries)

    def items(self) -> Iterator[tuple[str, Any, Any]]:
        """Iterate over all ``(node, key, value)``, node by node."""
        for node in self.nodes():
            for key, value in self._slices[node].items():
                yield node, key, value

    def set(self, node: str, key: Any, value: Any) -> bool:
        """Set an entry; False when that is no news."""
        entries = self._slices.setdefault(node, {})
        old = entries.get(key, GONE)
        if old == value and type(old) is type(value):
            return False
        entries[key] = value
        self._tell(node, key, value, old)
        return True

    def unset(self, node: str, key: Any) -> bool:
        """Remove an entry; False when there is none."""
        entries = self._slices.get(node)
        if entries is None or key not in entries:
            return False
        old = entries.pop(key)
        if not entries:
            del self._slices[node]
        self._tell(node, key, GONE, old)
        return True

    def replace(self, node: str, entries: dict[Any, Any]) -> None:
        """Make *entries* the slice of *node*."""
        for key in [key for key in self.of(node) if key not in entries]:
            self.unset(node, key)
        for key, value in entries.items():
            self.set(node, key, value)

    def drop(self, node: str) -> None:
        """*node* is down: remove its slice."""
        self.replace(node, {})

    def _tell(self, node: str, key: Any, new: Any, old: Any) -> None:
        for listener in self.listeners:
            listener(node, key, new, old)


class Tables:
    """All tables of one host, made when first asked for."""

    def __init__(self) -> None:
        self._tables: dict[str, Table] = {}

    def __getitem__(self, name: str) -> Table:
        table = self._tables.get(name)
        if table is None:
            table = self._tables[name] = Table(name)
        return table

    def find(self, name: str) -> Table | None:
        """Return the table *name* if anybody has asked for it before."""
        return self._tables.get(name)

    def __iter__(self) -> Iterator[Table]:
        return iter(list(self._tables.values()))

    def drop(self, node: str) -> None:
        """*node* is down: remove its slice of every table."""
        for table in self:
            table.drop(node)
