"""Who is interested in which topics: by name, or by a pattern. Pure.

The same table serves for the subscribers of a host (processes) and for the routes of a
publisher (hosts).
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

TOPIC, PATTERN = 0, 1  # kinds of interest

Who = TypeVar("Who", bound=Hashable)
What = TypeVar("What")


class Interests(Generic[Who, What]):
    """A table (kind, text) -> {who: what}.

    Invariants:
        T1  An interest without anybody has no entry: nothing remains of what has ended.
        T2  ``match`` lists everybody once, those of the topic itself first, then those of
            patterns, each in the order in which they came; the topic itself decides the value.
    """

    def __init__(self) -> None:
        self._by_topic: dict[str, dict[Who, What]] = {}
        self._by_pattern: dict[str, dict[Who, What]] = {}
        self._matchers: dict[str, Callable[[str], Any]] = {}

    def of(self, kind: int, text: str) -> dict[Who, What]:
        """Return who has just this interest; not to be changed."""
        return (self._by_pattern if kind else self._by_topic).get(text, {})

    def texts(self, kind: int) -> list[str]:
        """Return all topics, or all patterns, sorted."""
        return sorted(self._by_pattern if kind else self._by_topic)

    def add(self, kind: int, text: str, who: Who, what: What) -> None:
        """Note an interest; one that is there gets the new value."""
        table = self._by_pattern if kind else self._by_topic
        entries = table.get(text)
        if entries is None:
            entries = table[text] = {}
            if kind:
                self._matchers[text] = re.compile(fnmatch.translate(text)).match
        entries[who] = what

    def remove(self, kind: int, text: str, who: Who) -> bool:
        """Forget an interest; False when there is none."""
        table = self._by_pattern if kind else self._by_topic
        entries = table.get(text)
        if entries is None or who not in entries:
            return False
        del entries[who]
        if not entries:
            del table[text]
            self._matchers.pop(text, None) if kind else None
        return True

    def match(self, topic: str) -> dict[Who, What]:
        """Return all who are to get what is said on *topic* (T2)."""
        found = dict(self._by_topic.get(topic, {}))
        for pattern, matches in self._matchers.items():
            if matches(topic):
                for who, what in self._by_pattern[pattern].items():
                    found.setdefault(who, what)
        return found
