"""What one host says of its processes in a few kilobytes, however many there are.

All are counted; the rows describe those that somebody would look at first: supervisors and the
first of their children (so that trees can be drawn), full mailboxes, restarts. With *match* those
come first that have the text in their name, class or pid.

A survey takes processes in portions, since going through 100,000 of them at once would stop the
host for a tenth of a second.

Invariants:
    V1  ``result()`` has at most ``rows`` rows, and counts of at most ``COUNTS`` classes and of
        ``rows`` parents; no text in it is longer than ``TEXT`` characters.
    V2  What is counted does not depend on ``rows`` and ``match``.
    V3  A process that fits in is described: with no more processes than ``rows`` all are.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from typing import Any

from foundation.kernel.process import Process
from foundation.kernel.values import Pid
from foundation.runtime.inspect import class_of, describe, state_of, text

COUNTS = 20  # classes that are counted by name
TEXT = 200  # characters of a name or a class
PARENTS = ("supervisor", "runner")  # kinds that are described first, so that trees can be drawn
CHILDREN_FIRST = 12  # of one parent, described before others are


class Survey:
    """See the module docstring.

    Args:
        rows: how many processes are described.
        match: those whose name, class or pid contains this text, in any case, come first.
    """

    def __init__(self, rows: int, match: str = "") -> None:
        self.rows = rows
        self._match = match.lower()
        self._count = self._mail = self._matches = 0
        self._states: dict[str, int] = {}
        self._classes: dict[str, int] = {}
        self._children: dict[Pid, int] = {}
        self._matching: list[Process] = []
        self._supervisors: list[Process] = []
        self._full: list[tuple[int, int, Process]] = []  # a heap: mailbox, -number
        self._restarted: list[tuple[int, int, Process]] = []
        self._first: list[Process] = []  # children that come first of their parents
        self._others: list[Process] = []

    def take(self, processes: Iterable[Process]) -> None:
        """Take a portion."""
        states, classes, children, others = (
            self._states, self._classes, self._children, self._others
        )  # fmt: skip
        rows, match = self.rows, self._match
        for process in processes:  # a microsecond each
            self._count += 1
            server = getattr(process, "server", None)
            if server is None or process.kind == "supervisor":
                kind = class_of(process)
            else:  # the same, sooner
                kind = type(server).__qualname__
            classes[kind] = classes.get(kind, 0) + 1
            state = state_of(process)
            states[state] = states.get(state, 0) + 1
            if process.mailbox:
                self._mail += len(process.mailbox)
                self._keep(self._full, len(process.mailbox), process)
            if match and self._matches_text(process, kind):
                self._matches += 1
                self._add(self._matching, process)
            if process.kind in PARENTS:
                self._supervisor(process)
            parent = process.parent
            if parent is not None:
                count = children[parent] = children.get(parent, 0) + 1
                if count <= CHILDREN_FIRST:
                    self._add(self._first, process)
                    continue
            if len(others) < rows:
                others.append(process)

    def _supervisor(self, process: Process) -> None:
        self._add(self._supervisors, process)
        restarts = process.get_extra("restarts", 0)
        if restarts:
            self._keep(self._restarted, restarts, process)

    def _add(self, to: list[Process], process: Process) -> None:
        if len(to) < self.rows:
            to.append(process)

    def _keep(self, heap: list[tuple[int, int, Process]], weight: int, process: Process) -> None:
        entry = (weight, -self._count, process)  # of equal ones the older ones are kept
        if len(heap) < self.rows:
            heapq.heappush(heap, entry)
        elif entry[:2] > heap[0][:2]:
            heapq.heapreplace(heap, entry)

    def _matches_text(self, process: Process, kind: str) -> bool:
        name = process.name
        if name is not None and self._match in str(name).lower():
            return True
        return self._match in kind.lower() or self._match in text(process.pid)

    def result(self) -> dict[str, Any]:
        """Return plain data."""
        chosen = self._choose()
        hidden = self._hidden(chosen)
        return {
            "process_count": self._count,
            "mailboxes": self._mail,
            "matches": self._matches if self._match else None,
            "states": dict(sorted(self._states.items())),
            "classes": {_cut(kind): n for kind, n in self._most_common()},
            "children": hidden,
            "processes": [_row(process) for process in chosen],
        }

    def _most_common(self) -> list[tuple[str, int]]:
        return heapq.nsmallest(COUNTS, self._classes.items(), key=lambda item: (-item[1], item[0]))

    def _choose(self) -> list[Process]:
        """Return the processes to describe: a share of each kind, then what fits in."""
        full = [entry[2] for entry in sorted(self._full, key=lambda e: e[:2], reverse=True)]
        restarted = [e[2] for e in sorted(self._restarted, key=lambda e: e[:2], reverse=True)]
        share = max(1, self.rows // 4)
        chosen: dict[Pid, Process] = {}
        kinds = (self._matching, full, restarted, self._supervisors, self._first, self._others)
        portions = [(self._matching, self.rows), (full, share), (restarted, share)]
        portions += [(self._supervisors, share), *((kind, self.rows) for kind in kinds)]
        for kind, most in portions:
            for process in kind[:most]:
                if len(chosen) >= self.rows:
                    return list(chosen.values())
                chosen[process.pid] = process
        return list(chosen.values())

    def _hidden(self, chosen: list[Process]) -> dict[str, int]:
        """Return how many children here, of parents anywhere, are not described; most first."""
        shown = Counter(process.parent for process in chosen)
        left = {parent: n - shown[parent] for parent, n in self._children.items()}
        most = heapq.nlargest(self.rows, ((n, parent) for parent, n in left.items() if n))
        return {text(parent): n for n, parent in most}


def _row(process: Process) -> dict[str, Any]:
    row = describe(process)
    row["name"] = None if row["name"] is None else _cut(row["name"])
    row["class"] = _cut(row["class"])
    return row


def _cut(said: str) -> str:
    return said if len(said) <= TEXT else said[: TEXT - 1] + "…"
