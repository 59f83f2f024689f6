"""Which children of one supervisor are wanted: a replicated map with tombstones.

Each key has one record, and of two records the one with the higher version holds: a
last-writer-wins map (Shapiro et al., 2011) whose time is a Lamport clock (Lamport, 1978), so
that nobody's wall clock decides. Merging is commutative, associative and idempotent.

Invariants:
    M1  The counter is at least that of every record ever seen, so what is written here holds
        over all that was known here.
    M2  There are at most ``MOST_TOMBSTONES`` tombstones of children that are not declared, none
        older than ``TOMBSTONE_SECONDS``; the oldest go first.
    M3  ``digest`` is equal where the same live records are known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from hashlib import blake2b

from foundation.cluster.supervisor.records import Record, Version

MOST_TOMBSTONES = 10_000
TOMBSTONE_SECONDS = 24 * 3600.0


class Desired:
    """The records of one supervisor, as one agent knows them."""

    def __init__(self) -> None:
        self._records: dict[bytes, Record] = {}
        self._buried: dict[bytes, float] = {}  # tombstones: since when, the oldest first
        self._generations: dict[bytes, int] = {}
        self._counter = 0
        self.digest = 0

    def get(self, key: bytes) -> Record | None:
        """Return the record of *key*, which may be a tombstone."""
        return self._records.get(key)

    def wanted(self, key: bytes) -> Record | None:
        """Return the record of *key* if that child is wanted."""
        record = self._records.get(key)
        return None if record is None or record.deleted else record

    def live(self) -> list[bytes]:
        """Return the keys of all wanted children."""
        return [key for key, record in self._records.items() if not record.deleted]

    def __len__(self) -> int:
        """Return how many children are wanted."""
        return sum(not record.deleted for record in self._records.values())

    def tombstones(self) -> int:
        """Return how many records only say that a child is wanted no longer."""
        return sum(record.deleted for record in self._records.values())

    def next_version(self, node: str) -> Version:
        """Return the version of what *node* writes now (M1)."""
        self._counter += 1
        return (self._counter, node)

    def merge(self, key: bytes, record: Record, now: float) -> bool:
        """Take *record* in; False when it is no news."""
        self._counter = max(self._counter, record.version[0])
        old = self._records.get(key)
        if old is not None and _order(record) <= _order(old):
            return False
        if old is None and record.deleted:
            self._generations.pop(key, None)
        self._put(key, record, old, now)
        return True

    def _put(self, key: bytes, record: Record, old: Record | None, now: float) -> None:
        if old is not None and not old.deleted:
            self.digest ^= _hash(key, old)
        self._records[key] = record
        self._buried.pop(key, None)
        if not record.deleted:
            self.digest ^= _hash(key, record)
        else:
            self._buried[key] = now
            self.expire(now)

    def expire(self, now: float) -> None:
        """Drop tombstones that are too old or too many (M2)."""
        for key, since in list(self._buried.items()):
            if len(self._buried) <= MOST_TOMBSTONES and now - since <= TOMBSTONE_SECONDS:
                break
            del self._buried[key], self._records[key]
            self._generations.pop(key, None)

    def tombstone(self, key: bytes, node: str, *, refuse: bool = False) -> Record | None:
        """Return what *node* is to write so that *key* is wanted no longer.

        With *refuse* it keeps the token, so that a repeat of the request that started the child
        is refused.
        """
        record = self.wanted(key)
        if record is None:
            return None
        version = self.next_version(node)
        token = record.token if refuse else ""
        return replace(record, version=version, spec=b"", token=token, home="", deleted=True)

    # Generations

    def saw(self, key: bytes, generation: int) -> None:
        """That child has been started so often."""
        if generation > self._generations.get(key, 0):
            self._generations[key] = generation

    def generation(self, key: bytes) -> int:
        """Return the highest known generation of a child."""
        return self._generations.get(key, 0)

    # Comparing with others

    def versions(self) -> list[tuple[bytes, Version, int]]:
        """Return ``(key, version, generation)`` of all records."""
        seen = self._generations
        return [(key, r.version, seen.get(key, 0)) for key, r in self._records.items()]

    def newer_than(self, versions: Iterable[tuple[bytes, Version, int]]) -> list[bytes]:
        """Return the keys of records that are news to someone who has *versions*.

        Tombstones of what they have never heard of are none: they may have dropped them.
        """
        theirs = {key: tuple(version) for key, version, _ in versions}
        news = []
        for key, record in self._records.items():
            version = theirs.get(key)
            if version is None:
                if not record.deleted:
                    news.append(key)
            elif record.version > version or (record.declared and record.version == version):
                news.append(key)
        return news

    def check(self) -> None:
        """Raise ``AssertionError`` where an invariant does not hold."""
        digest = 0
        for key, record in self._records.items():
            assert record.version[0] <= self._counter
            assert record.deleted == (key in self._buried)
            if not record.deleted:
                digest ^= _hash(key, record)
        assert digest == self.digest
        assert len(self._buried) <= MOST_TOMBSTONES


def _order(record: Record) -> tuple[int, str, bool, bytes]:
    # Declared records of two releases have one version; the bytes decide, alike everywhere.
    return (*record.version, record.deleted, record.spec)


def _hash(key: bytes, record: Record) -> int:
    text = b"%d\0%b\0%b\0%b" % (record.version[0], record.version[1].encode(), key, record.spec)
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")
