"""Who is present on which topic, as one host sees it, and what has changed. Pure.

Invariants:
    V1  A diff is the difference between two states of a topic: what came and went in between
        is in no diff, and what is in a diff is in no other.
    V2  A process that is known to be dead is not listed, whatever the table still says.
    V3  Nothing remains of what has gone.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import Any

from foundation.cluster.pubsub.values import Meta
from foundation.kernel.codec import loads
from foundation.kernel.values import Pid

Key = Any  # a string, an integer, bytes, a pid, or a tuple of these
Changes = tuple[dict[Key, list[Meta]], dict[Key, list[Meta]]]  # joins, leaves


class Entry:
    """One presence; what was said about it is decoded when somebody looks."""

    __slots__ = ("_meta", "pid", "ref", "said")

    def __init__(self, pid: Pid, said: bytes, ref: int) -> None:
        self.pid = pid
        self.said = said
        self.ref = ref
        self._meta: Meta | None = None

    @property
    def meta(self) -> Meta:
        """The presence as users see it; to be isolated before it is given away.

        Raises:
            CodecError: this host cannot decode what was said.
        """
        if self._meta is None:
            self._meta = Meta(self.pid, loads(self.said), self.ref)
        return self._meta


class PresenceView:
    """See the module docstring.

    Args:
        changed: called when a watched topic has changed for the first time since its last diff.
        dead: processes known to be dead.
    """

    def __init__(self, changed: Callable[[str], None], dead: Container[Pid]) -> None:
        self._changed = changed
        self._dead = dead
        self._topics: dict[str, dict[Key, dict[Pid, Entry]]] = {}
        self._by_pid: dict[Pid, dict[tuple[str, Key], None]] = {}
        self._watched: dict[str, dict[tuple[Key, Pid], Entry | None]] = {}  # before the change

    # Changes

    def set(self, topic: str, key: Key, pid: Pid, said: bytes, ref: int) -> None:
        """*pid* is present, or something else is said about it."""
        if pid in self._dead:
            return
        entries = self._topics.setdefault(topic, {}).setdefault(key, {})
        self._note(topic, key, pid, entries.get(pid))
        entries[pid] = Entry(pid, said, ref)
        self._by_pid.setdefault(pid, {})[(topic, key)] = None

    def unset(self, topic: str, key: Key, pid: Pid) -> None:
        """*pid* is not present there (any more)."""
        keys = self._topics.get(topic, {})
        entries = keys.get(key, {})
        if pid not in entries:
            return
        self._note(topic, key, pid, entries.pop(pid))
        if not entries:
            del keys[key]
        if not keys:
            del self._topics[topic]
        mine = self._by_pid[pid]
        del mine[(topic, key)]
        if not mine:
            del self._by_pid[pid]

    def died(self, pid: Pid) -> None:
        """*pid* is among the dead now (V2); its entries will go from the table soon."""
        for topic, key in list(self._by_pid.get(pid, ())):
            self.unset(topic, key, pid)

    def _note(self, topic: str, key: Key, pid: Pid, before: Entry | None) -> None:
        changes = self._watched.get(topic)
        if changes is None:
            return
        if not changes:
            self._changed(topic)
        changes.setdefault((key, pid), before)

    # Diffs

    def watch(self, topic: str) -> None:
        """Remember what changes on *topic*, from now on."""
        self._watched.setdefault(topic, {})

    def unwatch(self, topic: str) -> None:
        """Remember it no more."""
        self._watched.pop(topic, None)

    def diff(self, topic: str) -> list[tuple[Key, Entry | None, Entry | None]]:
        """Return ``(key, before, now)`` of what has changed since the last time (V1)."""
        changes = self._watched.get(topic)
        if not changes:
            return []
        self._watched[topic] = {}
        keys = self._topics.get(topic, {})
        found = []
        for (key, pid), before in changes.items():
            now = keys.get(key, {}).get(pid)
            if _said(before) != _said(now):
                found.append((key, before, now))
        return found

    # Reads

    def entries(self, topic: str) -> dict[Key, list[Entry]]:
        """Return who is present on *topic*."""
        return {key: list(found.values()) for key, found in self._topics.get(topic, {}).items()}

    def of(self, topic: str, key: Key) -> list[Entry]:
        """Return the presences of *key*."""
        return list(self._topics.get(topic, {}).get(key, {}).values())

    def count(self, topic: str) -> int:
        """Return how many keys are present."""
        return len(self._topics.get(topic, ()))

    def topics(self) -> Iterable[str]:
        """Return the topics that have anybody, sorted."""
        return sorted(self._topics)


def _said(entry: Entry | None) -> tuple[bytes, int] | None:
    return None if entry is None else (entry.said, entry.ref)
