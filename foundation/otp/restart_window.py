"""Decides when a supervisor has restarted its children too often.

A supervisor may restart children at most ``max_restarts`` times within any ``max_seconds``. One
more and it gives up, so that its own parent can try a larger remedy.

Invariants:
    W1  Only restarts no older than ``max_seconds`` are remembered.
    W2  At most ``max_restarts + 1`` restarts are remembered.
    W3  One event (a lost host) counts once, however many children it took.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace

_EVENTS = 32  # how many lost hosts are remembered: more than a node has


@dataclass(frozen=True, slots=True)
class RestartWindow:
    """The restarts of the recent past, as a value."""

    max_restarts: int = 3
    max_seconds: float = 5.0
    _instants: tuple[float, ...] = field(default=(), repr=False)
    _events: tuple[Hashable, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if self.max_restarts < 0:
            msg = f"max_restarts must be 0 or more, got {self.max_restarts!r}"
            raise ValueError(msg)
        if self.max_seconds <= 0:
            msg = f"max_seconds must be greater than 0, got {self.max_seconds!r}"
            raise ValueError(msg)

    def record(self, now: float, event: Hashable = None) -> RestartWindow:
        """Return this window with a restart at *now* added.

        Args:
            now: monotonic seconds.
            event: what caused it, when that one cause may end many children; a restart for an
                event that was recorded before adds nothing (W3).
        """
        if event is not None and event in self._events:
            return self
        recent = [then for then in self._instants if now <= then + self.max_seconds]
        # max_restarts + 1 entries already prove excess, so older ones may go (W2).
        instants = (*recent, now)[-(self.max_restarts + 1) :]
        events = self._events if event is None else (*self._events, event)[-_EVENTS:]
        return replace(self, _instants=instants, _events=events)

    @property
    def exceeded(self) -> bool:
        """Whether the restarts remembered are more than allowed."""
        return len(self._instants) > self.max_restarts
