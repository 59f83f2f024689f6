"""The table of one registry: which process holds which key, with which value. A plain value.

The host of the registry and every other host of the node have one each; the one of the
registry's host decides (``registry_host.py``).

Invariants:
    G1  In a unique registry a key has at most one entry (at the deciding table).
    G2  ``_by_key`` and ``_by_pid`` hold exactly the entries of ``_entries``.
    G3  No empty collection is kept: memory is proportional to the number of entries.
    G4  Keys are one only when they are equal *and* of one type, in tuples all the way down:
        ``1``, ``1.0`` and ``True`` are three keys.
    G5  A reader never gets a mutable object that the table holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from foundation.kernel.values import Pid

_PLAIN: frozenset[type] = frozenset({str, int, bytes, type(None)})
_TYPED = object()  # marks a key that carries its type; users cannot have it in a key of theirs


def normal_key(key: Any) -> Any:
    """Return what *key* is filed under: equal for equal keys of one type only (G4)."""
    kind = type(key)
    if kind in _PLAIN:
        return key
    if kind is tuple:
        for item in key:
            if type(item) not in _PLAIN:
                return tuple([normal_key(item) for item in key])
        return key
    if isinstance(key, tuple):  # a named tuple equals a plain one of the same items
        return (_TYPED, kind, normal_key(tuple(key)))
    if kind is frozenset:
        return (_TYPED, kind, frozenset([normal_key(item) for item in key]))
    return (_TYPED, kind, key)


class Entry:
    """One registration."""

    __slots__ = ("filed", "id", "key", "pair", "shared")

    def __init__(
        self, id: int, key: Any, filed: Any, pair: tuple[Pid, Any], shared: bool
    ) -> None:
        self.id = id
        self.key = key
        self.filed = filed  # the normalised key
        self.pair = pair  # (pid, value), as lookup returns it
        self.shared = shared  # whether the value is immutable, so that readers may share it

    def __repr__(self) -> str:
        return f"<Entry {self.id} {self.key!r} {self.pair!r}>"


# Most keys have one entry, and most processes one key, so an index holds a lone entry itself
# and a dictionary by id only for several.
_Index = dict[Any, "Entry | dict[int, Entry]"]


def _put(index: _Index, at: Any, entry: Entry) -> None:
    found = index.get(at)
    if found is None:
        index[at] = entry
    elif type(found) is Entry:
        index[at] = {found.id: found, entry.id: entry}
    else:
        found[entry.id] = entry  # type: ignore[index]


def _take(index: _Index, at: Any, entry: Entry) -> None:
    found = index.get(at)
    if found is entry:
        del index[at]
    elif type(found) is dict:
        found.pop(entry.id, None)
        if not found:
            del index[at]


def _all(found: Entry | dict[int, Entry] | None) -> list[Entry]:
    if found is None:
        return []
    return [found] if isinstance(found, Entry) else list(found.values())


class RegistryTable:
    """The entries and the metadata of one registry.

    Args:
        name: of the registry.
        owner: the registry's process; its host decides.
        unique: whether a key may have one entry only.
        partitions: into how many groups ``dispatch`` splits the entries of a key.
        listeners: names told of registrations.
        isolate: copies what is mutable.
    """

    __slots__ = (
        "_by_key", "_by_pid", "_entries", "_isolate", "_last_id", "_meta",
        "listeners", "name", "owner", "partitions", "unique",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        owner: Pid,
        *,
        unique: bool = True,
        partitions: int = 1,
        listeners: tuple[Any, ...] = (),
        isolate: Callable[[Any], Any],
    ) -> None:
        self.name = name
        self.owner = owner
        self.unique = unique
        self.partitions = partitions
        self.listeners = listeners
        self._isolate = isolate
        self._last_id = 0
        self._entries: dict[int, Entry] = {}
        self._by_key: _Index = {}
        self._by_pid: _Index = {}
        self._meta: dict[Any, tuple[Any, Any]] = {}

    def __repr__(self) -> str:
        return f"<RegistryTable {self.name!r} of {self.owner!r}, {len(self)} entries>"

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        """Yield the entries, the oldest first."""
        return iter(list(self._entries.values()))

    # Reading

    def lookup(self, key: Any) -> list[tuple[Pid, Any]]:
        """Return ``(pid, value)`` of each entry of *key*."""
        found = self._by_key.get(key if type(key) in _PLAIN else normal_key(key))
        if found is None:
            return []
        if type(found) is Entry:
            return [found.pair] if found.shared else [self.read(found)]
        return [e.pair if e.shared else self.read(e) for e in found.values()]  # type: ignore[union-attr]

    def read(self, entry: Entry) -> tuple[Pid, Any]:
        """Return ``(pid, value)`` of *entry*, for a reader (G5)."""
        if entry.shared:
            return entry.pair
        pid, value = entry.pair
        return (pid, self._isolate(value))

    def holder(self, key: Any) -> Pid | None:
        """Return who holds *key* of a unique registry, or None."""
        found = self._by_key.get(normal_key(key))
        return found.pair[0] if isinstance(found, Entry) else None

    def of_key(self, key: Any) -> list[Entry]:
        """Return the entries of *key*."""
        return _all(self._by_key.get(normal_key(key)))

    def of_pid(self, pid: Pid) -> list[Entry]:
        """Return the entries of *pid*."""
        return _all(self._by_pid.get(pid))

    def own(self, key: Any, pid: Pid) -> list[Entry]:
        """Return the entries of *key* that belong to *pid*."""
        mine = self._by_pid.get(pid)
        if mine is None:
            return []
        filed = normal_key(key)
        return [entry for entry in _all(mine) if entry.filed == filed]

    def __contains__(self, pid: Pid) -> bool:
        """Whether *pid* has entries."""
        return pid in self._by_pid

    def pids(self, host: str) -> list[Pid]:
        """Return the processes of *host* that have entries."""
        return [pid for pid in self._by_pid if pid.host == host]

    # Changing

    def add(self, key: Any, pid: Pid, value: Any, id: int | None = None) -> Entry:
        """Add an entry; *key* and *value* are the table's own from now on.

        Args:
            key: hashable.
            pid: the holder.
            value: anything.
            id: at a replica, the id which the deciding table gave.
        """
        if id is None:
            id = self._last_id + 1
        elif id in self._entries:
            return self._entries[id]
        filed = normal_key(key)
        entry = Entry(id, key, filed, (pid, value), self._isolate(value) is value)
        _put(self._by_key, filed, entry)  # first: it raises for an unhashable key
        _put(self._by_pid, pid, entry)
        self._entries[id] = entry
        self._last_id = max(id, self._last_id)
        return entry

    def remove(self, id: int) -> Entry | None:
        """Remove and return the entry *id*, if it is there."""
        entry = self._entries.pop(id, None)
        if entry is not None:
            _take(self._by_key, entry.filed, entry)
            _take(self._by_pid, entry.pair[0], entry)
        return entry

    def drop(self, pid: Pid) -> list[Entry]:
        """Remove and return all entries of *pid*."""
        entries = _all(self._by_pid.pop(pid, None))
        for entry in entries:
            del self._entries[entry.id]
            _take(self._by_key, entry.filed, entry)
        return entries

    def update(self, id: int, value: Any) -> bool:
        """Replace the value of the entry *id*; False when it is not there."""
        entry = self._entries.get(id)
        if entry is None:
            return False
        entry.pair = (entry.pair[0], value)
        entry.shared = self._isolate(value) is value
        return True

    # Metadata

    def meta(self, key: Any, default: Any = None) -> Any:
        """Return the metadata under *key*, or *default*."""
        found = self._meta.get(normal_key(key))
        return default if found is None else self._isolate(found[1])

    def meta_items(self) -> list[tuple[Any, Any]]:
        """Return all metadata as ``(key, value)``."""
        return list(self._meta.values())

    def put_meta(self, key: Any, value: Any) -> None:
        """Set metadata."""
        self._meta[normal_key(key)] = (key, value)

    def delete_meta(self, key: Any) -> None:
        """Remove metadata, if it is there."""
        self._meta.pop(normal_key(key), None)
