"""All entries of one distributed registry as one host shows them to readers. A plain value.

It follows the table of the registry, of which each node owns a slice, and hides at once what is
known dead in this host.

Invariants:
    X1  A unique key shows one entry: the one of the highest rank among those that nodes have.
        So all hosts that have the same copies show the same survivor.
    X2  An entry that was hidden stays hidden until the table has another one in its place.
    X3  ``_by_key``, ``_contest`` and ``_by_pid`` hold exactly the records of ``_records``, and
        no empty collection: memory is proportional to the number of entries.
    X4  ``_derived`` has results for keys that have entries, made of the entries that these have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from foundation.cluster.registry.keys import decode_key
from foundation.cluster.registry.record import Change, Isolate, Record
from foundation.cluster.registry.values import Entry
from foundation.cluster.slices import GONE
from foundation.kernel.values import Pid
from foundation.otp.registry_table import normal_key

_PLAIN = frozenset({str, int, bytes, type(None)})  # types that ``normal_key`` returns as they are

DERIVED = 8  # functions whose results are kept for each key, see ``derive``

_MISSING = object()

Told = Callable[[Change], None]
Slot = tuple[str, Any]  # (node, key in the table)


class Index:
    """What both kinds of index have.

    Args:
        name: of the registry.
        isolate: copies what is mutable.
        dead: whether a process is known dead in this host.
        told: called with each change that readers see, after it.
    """

    unique: bool

    def __init__(
        self, name: str, isolate: Isolate, dead: Callable[[Pid], bool], told: Told
    ) -> None:
        self.name = name
        self.isolate = isolate
        self._dead = dead
        self._told = told
        self._records: dict[Slot, Record] = {}
        self._by_pid: dict[Pid, dict[Slot, None]] = {}
        self._derived: dict[Any, dict[Any, Any]] = {}  # by key and function

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}, {len(self._records)} entries>"

    # Following the table

    def apply(self, node: str, id: Any, value: Any) -> None:
        """The slice of *node* has *value*, or ``GONE``, under *id* now."""
        slot = (node, id)
        old = self._records.pop(slot, None)
        if old is not None:
            self._forget_pid(slot, old.pid)
        new = None if value is GONE else self._record(node, id, value, old)
        if new is not None and self._dead(new.pid):
            new = None
        if new is not None:
            self._records[slot] = new
            self._by_pid.setdefault(new.pid, {})[slot] = None
        if old is not None or new is not None:
            self._derived.pop((new or old).filed, None)  # type: ignore[union-attr]
            self._replace(slot, old, new)

    def hide(self, pid: Pid) -> None:
        """*pid* is known dead."""
        for slot in list(self._by_pid.get(pid, ())):
            self.apply(*slot, GONE)

    def pids(self, host: str) -> list[Pid]:
        """Return the processes of *host* that have entries."""
        return [pid for pid in self._by_pid if pid.host == host]

    def clear(self) -> None:
        """The registry has ended here."""
        for slot in list(self._records):
            self.apply(*slot, GONE)

    def _forget_pid(self, slot: Slot, pid: Pid) -> None:
        mine = self._by_pid[pid]
        del mine[slot]
        if not mine:
            del self._by_pid[pid]

    def _record(self, node: str, id: Any, value: Any, old: Record | None) -> Record | None:
        raise NotImplementedError

    def _replace(self, slot: Slot, old: Record | None, new: Record | None) -> None:
        raise NotImplementedError

    # Reading

    def lookup(self, key: Any) -> list[Entry]:
        """Return the entries of *key*."""
        raise NotImplementedError

    def of_key(self, key: Any) -> list[Record]:
        """Return the records of *key*."""
        raise NotImplementedError

    def derive(self, key: Any, function: Callable[[Any, list[Entry]], Any]) -> Any:
        """Return ``function(key, lookup(key))``, made again only when the entries have changed."""
        filed = key if type(key) in _PLAIN else normal_key(key)
        kept = self._derived.get(filed)
        if kept is not None:
            result = kept.get(function, _MISSING)
            if result is not _MISSING:
                return result
        entries = self.lookup(key)
        result = function(key, entries)
        if entries:  # of keys that nobody has nothing is kept
            kept = self._derived.setdefault(filed, {})
            if len(kept) >= DERIVED:
                del kept[next(iter(kept))]
            kept[function] = result
        return result

    def __iter__(self) -> Iterator[Record]:
        """Iterate over what readers see."""
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def first(self, n: int) -> list[Record]:
        """Return *n* of what readers see, or fewer; for tools."""
        return list(islice(self._seen(), n))

    def _seen(self) -> Iterator[Record]:
        raise NotImplementedError

    def of_pid(self, pid: Pid) -> list[Record]:
        """Return the records of *pid* that readers see."""
        return [self._records[slot] for slot in self._by_pid.get(pid, ())]

    def own(self, key: Any, pid: Pid) -> list[Record]:
        """Return the records of *key* that belong to *pid*."""
        filed = normal_key(key)
        return [record for record in self.of_pid(pid) if record.filed == filed]

    def entry(self, record: Record) -> Entry:
        """Return *record* as readers get it."""
        return record.entry(self.isolate)


class UniqueIndex(Index):
    """One entry for each key; where nodes disagree, the survivor (X1)."""

    unique = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._by_key: dict[Any, Record] = {}
        self._contest: dict[Any, dict[str, Record]] = {}  # keys of several nodes

    def _record(self, node: str, id: Any, value: Any, old: Record | None) -> Record | None:
        if type(id) is not bytes:
            return None  # made by a node that has this registry with duplicate keys
        pid, token, data = value
        if old is not None:
            return Record(node, id, old.key, old.filed, pid, token, data)
        key = decode_key(id)
        return Record(node, id, key, normal_key(key), pid, token, data)

    def _replace(self, slot: Slot, old: Record | None, new: Record | None) -> None:
        filed = (new or old).filed  # type: ignore[union-attr]
        shown = self._by_key.get(filed)
        rivals = self._contest.get(filed)
        if rivals is None:
            if new is None or shown is None or shown is old:
                self._show(filed, shown, new)
                return
            rivals = self._contest[filed] = {shown.node: shown}
        node = slot[0]
        if new is None:
            rivals.pop(node, None)
        else:
            rivals[node] = new
        winner = max(rivals.values(), key=lambda record: record.rank, default=None)
        if len(rivals) < 2:
            del self._contest[filed]
        self._show(filed, shown, winner)

    def _show(self, filed: Any, old: Record | None, new: Record | None) -> None:
        if new is None:
            self._by_key.pop(filed, None)
        else:
            self._by_key[filed] = new
        if old is not new:
            self._told(Change(old, new))

    def lookup(self, key: Any) -> list[Entry]:
        """Return the entry of *key* in a list, or ``[]``."""
        record = self._by_key.get(key if type(key) in _PLAIN else normal_key(key))
        return [] if record is None else [record.entry(self.isolate)]

    def holder(self, key: Any) -> Pid | None:
        """Return who holds *key*, or None."""
        record = self._by_key.get(key if type(key) in _PLAIN else normal_key(key))
        return None if record is None else record.pid

    def of_key(self, key: Any) -> list[Record]:
        """Return the record of *key* in a list, or ``[]``."""
        record = self._by_key.get(normal_key(key))
        return [] if record is None else [record]

    def of_pid(self, pid: Pid) -> list[Record]:
        """Return the records of *pid*, but for those that another node's entry beats."""
        return [r for r in super().of_pid(pid) if self._by_key.get(r.filed) is r]

    def __iter__(self) -> Iterator[Record]:
        return iter(list(self._by_key.values()))

    def _seen(self) -> Iterator[Record]:
        return iter(self._by_key.values())

    def __len__(self) -> int:
        return len(self._by_key)


class DuplicateIndex(Index):
    """Any number of entries for each key, ordered by node and claim: on all hosts the same."""

    unique = False

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._by_key: dict[Any, dict[Slot, Record]] = {}
        self._order: dict[Any, list[Record]] = {}  # what has been read since it changed last

    def _record(self, node: str, id: Any, value: Any, old: Record | None) -> Record | None:
        if type(id) is not tuple:
            return None  # made by a node that has this registry with unique keys
        data, pid, _ = id
        if old is not None:
            return Record(node, id, old.key, old.filed, pid, 0, value)
        key = decode_key(data)
        return Record(node, id, key, normal_key(key), pid, 0, value)

    def _replace(self, slot: Slot, old: Record | None, new: Record | None) -> None:
        filed = (new or old).filed  # type: ignore[union-attr]
        found = self._by_key.setdefault(filed, {})
        self._order.pop(filed, None)
        if new is not None:
            found[slot] = new
        else:
            found.pop(slot, None)
            if not found:
                del self._by_key[filed]
        self._told(Change(old, new))

    def lookup(self, key: Any) -> list[Entry]:
        """Return the entries of *key*."""
        return [record.entry(self.isolate) for record in self.of_key(key)]

    def of_key(self, key: Any) -> list[Record]:
        """Return the records of *key*; not to be changed."""
        filed = key if type(key) in _PLAIN else normal_key(key)
        order = self._order.get(filed)
        if order is None:
            found = self._by_key.get(filed)
            if found is None:
                return []
            order = sorted(found.values(), key=lambda record: (record.node, record.id[2]))
            self._order[filed] = order
        return order

    def own(self, key: Any, pid: Pid) -> list[Record]:
        """Return the records of *key* that belong to *pid*, in the order of ``of_key``."""
        return sorted(super().own(key, pid), key=lambda record: record.id[2])

    def __iter__(self) -> Iterator[Record]:
        return iter(list(self._records.values()))

    def _seen(self) -> Iterator[Record]:
        return iter(self._records.values())

    def __len__(self) -> int:
        return len(self._records)


def new_index(
    unique: bool, name: str, isolate: Isolate, dead: Callable[[Pid], bool], told: Told
) -> Index:
    """Return an empty index of the right kind."""
    kind = UniqueIndex if unique else DuplicateIndex
    return kind(name, isolate, dead, told)
