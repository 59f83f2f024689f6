"""The hybrid logical clock of Kulkarni et al. (2014), "Logical Physical Clocks": order without
clocks that agree.

A stamp is near the wall clock where it was taken, and if one event can have caused another its
stamp is smaller, whatever the wall clocks of the two machines say.

Invariants:
    H1  Stamps of one clock rise strictly, also when its wall clock stands still or goes back.
    H2  The stamp of a receipt is above the stamp of its sending.
    H3  A stamp is never behind the wall clock it was taken by, and ahead of it only by as much
        as another clock was, or as this one went back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Stamp(NamedTuple):
    """A moment; stamps compare in the order of what caused what.

    Attributes:
        micros: microseconds since the epoch of the wall clock (in a simulation: since its start).
        tie: tells stamps of one microsecond apart.
    """

    micros: int
    tie: int

    @property
    def seconds(self) -> float:
        """The moment in seconds."""
        return self.micros / 1e6


def tick(last: Stamp, now: int) -> Stamp:
    """Return the stamp of a local event or a sending.

    Args:
        last: the latest stamp of this clock.
        now: microseconds by the wall clock.
    """
    return Stamp(now, 0) if now > last.micros else Stamp(last.micros, last.tie + 1)


def merge(last: Stamp, now: int, theirs: Stamp) -> Stamp:
    """Return the stamp of the receipt of a message that was sent at *theirs*."""
    micros = max(last.micros, theirs.micros, now)
    ties = [stamp.tie for stamp in (last, theirs) if stamp.micros == micros]
    return Stamp(micros, max(ties) + 1 if ties else 0)


class HybridClock:
    """The clock of one host.

    Args:
        wall: returns seconds by the wall clock.
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self.last = Stamp(0, 0)

    def tick(self) -> Stamp:
        """Stamp a local event or a sending."""
        now = int(self._wall() * 1e6)
        last = self.last
        self.last = stamp = tick(last, now)
        return stamp

    def merge(self, theirs: Stamp) -> Stamp:
        """Stamp the receipt of what was sent at *theirs*."""
        self.last = stamp = merge(self.last, int(self._wall() * 1e6), theirs)
        return stamp
