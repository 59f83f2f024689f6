"""Who waits for a child: to have started, or to change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Outcome = tuple[Any, ...]  # ("started", pid), ("failed", reason), ("ignored",)


class Waiters:
    """The waiters of one supervisor on one node. Each is told once."""

    def __init__(self) -> None:
        self._start: dict[bytes, list[Callable[[Outcome], None]]] = {}
        self._change: dict[bytes, list[Callable[[], None]]] = {}

    def when_started(self, key: bytes, told: Callable[[Outcome], None]) -> None:
        """Tell when the start of *key* has succeeded or failed."""
        self._start.setdefault(key, []).append(told)

    def when_changed(self, key: bytes, told: Callable[[], None]) -> None:
        """Tell when what some node has of *key* has changed."""
        self._change.setdefault(key, []).append(told)

    def starting(self, key: bytes) -> bool:
        """Whether somebody waits for the start of *key*."""
        return key in self._start

    def started(self, key: bytes, pid: Any) -> bool:
        """It runs."""
        return self._tell(key, ("started", pid))

    def failed(self, key: bytes, reason: bytes) -> bool:
        """It did not start; False when nobody waits for that."""
        return self._tell(key, ("failed", reason))

    def ignored(self, key: bytes) -> bool:
        """Its init returned ``Ignore()``; False when nobody waits for that."""
        return self._tell(key, ("ignored",))

    def moved(self, key: bytes) -> bool:
        """It will not start on this node."""
        return self._tell(key, ("moved",))

    def _tell(self, key: bytes, outcome: Outcome) -> bool:
        waiting = self._start.pop(key, ())
        for told in waiting:
            told(outcome)
        return bool(waiting)

    def changed(self, key: bytes) -> None:
        """What some node has of *key* has changed."""
        for told in self._change.pop(key, ()):
            told()

    def pending(self) -> int:
        """Return how many keys are waited for."""
        return len(self._start) + len(self._change)
