"""All that one node knows of all nodes: one record per name, and what it saw itself of each.

Invariants:
    T1  This node's own record is in the table and is never suspect or dead.
    T2  At most ``MOST_GONE`` records are of nodes that are gone; the longest gone are dropped
        first, and each of them after ``Timing.forget``.
    T3  ``view.version`` rises exactly when the members, or what the view shows of them, change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from foundation.cluster.membership.records import Record, digest
from foundation.cluster.membership.rotation import Rotation
from foundation.cluster.values import View

MOST_GONE = 256


@dataclass(slots=True)
class Contact:
    """What this node saw itself of another one.

    Attributes:
        heard: the last sign of life, direct or not.
        checked: the last answer to a probe, or other traffic: it need not be probed for a while.
        relay: who reaches it for us; None while it answers us directly.
        told: when it was last told, unasked, what is said of it.
    """

    heard: float
    checked: float
    relay: str | None = None
    told: float = float("-inf")


class Table:
    """The records, in the order learnt; the order of probing follows the members in it."""

    def __init__(self, me: Record, rotation: Rotation, forgotten: Callable[[str], None]) -> None:
        self._name = me.name
        self._records: dict[str, Record] = {me.name: me}
        self._contacts: dict[str, Contact] = {}
        self._gone: dict[str, float] = {}  # since when, the longest gone first
        self._rotation = rotation
        self._forgotten = forgotten
        self._version = 1
        self._view: View | None = None
        self._digest: int | None = None

    @property
    def me(self) -> Record:
        """The record of this node."""
        return self._records[self._name]

    @property
    def size(self) -> int:
        """How many members there are, this node included."""
        return len(self._rotation) + 1

    def get(self, name: str) -> Record | None:
        """Return the record of *name*."""
        return self._records.get(name)

    def contact(self, name: str) -> Contact | None:
        """Return what was seen of *name*; None for this node and for unknown ones."""
        return self._contacts.get(name)

    def records(self) -> list[Record]:
        """Return all records."""
        return list(self._records.values())

    def members(self) -> list[Record]:
        """Return those of members, sorted by name."""
        return sorted((r for r in self._records.values() if r.live), key=lambda r: r.name)

    def others(self) -> list[Record]:
        """Return those of all members but this node."""
        return [self._records[name] for name in self._rotation.names()]

    def at(self, address: str) -> list[Record]:
        """Return all records of *address*, this node's included."""
        return [r for r in self._records.values() if r.address == address]

    def put(self, now: float, record: Record) -> None:
        """Store *record* in place of what is known of its name."""
        name = record.name
        old = self._records.get(name)
        self._records[name] = record
        self._digest = None
        if name != self._name:
            self._place(now, record, old)
        before = old.member if old is not None and old.live else None
        if before != (record.member if record.live else None):
            self._version += 1
            self._view = None
        while len(self._gone) > MOST_GONE:
            self.forget(next(iter(self._gone)))

    def _place(self, now: float, record: Record, old: Record | None) -> None:
        name = record.name
        was_live = old is not None and old.live
        contact = self._contacts.get(name)
        if contact is None or old is None or old.generation != record.generation:
            contact = self._contacts[name] = Contact(heard=now, checked=now)
        if record.live and not was_live:
            self._gone.pop(name, None)
            self._rotation.add(name)
            contact.relay = None
            contact.heard = contact.checked = now
        elif not record.live:
            if was_live:
                self._rotation.remove(name)
            self._gone.setdefault(name, now)

    def forget(self, name: str) -> None:
        """Drop the record of a node that is gone."""
        del self._records[name], self._contacts[name], self._gone[name]
        self._forgotten(name)

    def forget_old(self, now: float, after: float) -> None:
        """Drop the records of nodes that are gone for longer than *after* (T2)."""
        for name, since in list(self._gone.items()):
            if now - since <= after:
                break
            self.forget(name)

    def view(self) -> View:
        """Return the members as others see them (T3)."""
        if self._view is None:
            self._view = View(self._version, tuple(r.member for r in self.members()))
        return self._view

    def digest(self) -> int:
        """Return a number that is equal where the same members are known."""
        if self._digest is None:
            self._digest = digest(self.members())
        return self._digest

    def check(self) -> None:
        """Raise ``AssertionError`` where an invariant does not hold."""
        assert self.me.status in ("alive", "left"), self.me
        assert len(self._gone) <= MOST_GONE
        live = [n for n, r in self._records.items() if r.live and n != self._name]
        gone = [n for n, r in self._records.items() if not r.live and n != self._name]
        assert sorted(live) == sorted(self._rotation.names())
        assert sorted(gone) == sorted(self._gone)
        assert sorted(self._contacts) == sorted(live + gone)
        assert self.view().names == tuple(r.name for r in self.members())
        for name, record in self._records.items():
            assert record.name == name
