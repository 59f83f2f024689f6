"""The suspicions that one node holds: who is suspected, watched closely, and declared dead.

Invariants:
    L1  There is one suspicion for each record with the status ``suspect``, of its incarnation.
    L2  A suspect is told of it: each probe of it carries its own record, first of the news. The
        accuser and the few nodes before it on the ring probe it every ``probe_timeout``.
    L3  Time during which this observer was paused itself does not count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.cluster.membership.records import SILENT, Record
from foundation.cluster.membership.suspicion import Suspicion, wanted_confirmations

if TYPE_CHECKING:
    from foundation.cluster.membership.swim import Swim


class Suspects:
    """The suspicions, by name."""

    def __init__(self, swim: Swim) -> None:
        self._swim = swim
        self._held: dict[str, Suspicion] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._held

    def begin(self, now: float, record: Record, accuser: str) -> None:
        """*record*, of a suspect, is new."""
        swim = self._swim
        wanted = wanted_confirmations(swim.table.size)
        suspicion = Suspicion(record.generation, record.incarnation, now, wanted)
        suspicion.confirm(accuser)
        suspicion.watched = accuser == swim.name or swim.rotation.near(record.name)
        suspicion.probe_at = now
        self._held[record.name] = suspicion

    def confirm(self, name: str, accuser: str) -> None:
        """*accuser* suspects *name* as well; others are told as long as it shortens the time."""
        suspicion = self._held.get(name)
        if suspicion is not None and suspicion.confirm(accuser):
            record = self._swim.table.get(name)
            assert record is not None
            self._swim.pass_on(self._swim.now, record, accuser)

    def end(self, name: str) -> None:
        """*name* is no longer suspected."""
        self._held.pop(name, None)

    def accuser(self, name: str) -> str:
        """Return who suspected *name* first."""
        suspicion = self._held.get(name)
        return next(iter(suspicion.accusers), "") if suspicion is not None else ""

    def next_due(self) -> float:
        """When `tick` has something to do."""
        due = float("inf")
        for suspicion in self._held.values():
            due = min(due, self._deadline(suspicion))
            if suspicion.watched:
                due = min(due, suspicion.probe_at)
        return due

    def _deadline(self, suspicion: Suspicion) -> float:
        timing = self._swim.timing
        return suspicion.deadline(timing.suspicion_min, timing.suspicion_max)

    def tick(self, now: float) -> None:
        """Declare dead whose time is up; probe the others."""
        for name, suspicion in list(self._held.items()):
            if now >= self._deadline(suspicion):
                self._swim.merging.bury(now, name, SILENT)
            elif suspicion.watched and now >= suspicion.probe_at:
                suspicion.probe_at = now + self._swim.timing.probe_timeout
                self._swim.prober.press(now, name)

    def paused(self, now: float, late: float, grace: float) -> None:
        """This observer did nothing for *late* seconds (L3); nobody is declared dead in *grace*."""
        for suspicion in self._held.values():
            suspicion.started += late
            suspicion.started += max(0.0, now + grace - self._deadline(suspicion))

    def check(self) -> None:
        """Raise ``AssertionError`` where an invariant does not hold."""
        suspects = [r for r in self._swim.table.members() if r.status == "suspect"]
        assert sorted(self._held) == [r.name for r in suspects], (self._held, suspects)
        for record in suspects:
            held = self._held[record.name]
            assert (held.generation, held.incarnation) == (record.generation, record.incarnation)
