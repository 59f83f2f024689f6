"""Whom a node probes: all the others in turn, and one neighbour always.

Chance alone leaves a node unprobed for seconds now and then. So the members also stand on a ring,
by the hash of their names, and each one watches the next.

Invariants:
    P1  Between two shuffles each other member comes up exactly once in the order (newcomers and
        leavers aside).
    P2  Every member is watched by the member before it on the ring; a watcher that comes upon a
        suspect watches the one behind it too.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from random import Random

LONGEST_WATCH = 4


def ring_position(name: str) -> bytes:
    """Return where *name* stands on the ring: spread out, whatever scheme the names follow."""
    return blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()


class Rotation:
    """The other members, in the order of probing and on the ring."""

    def __init__(self, me: str, rng: Random) -> None:
        self._me = ring_position(me), me
        self._rng = rng
        self._order: list[str] = []
        self._next = 0
        self._ring: list[tuple[bytes, str]] = []  # beginning behind this node

    def __len__(self) -> int:
        return len(self._order)

    def names(self) -> list[str]:
        """Return all others, as they come up."""
        return list(self._order)

    def add(self, name: str) -> None:
        """Take in a newcomer, at a random place of the order."""
        self._order.insert(self._rng.randint(0, len(self._order)), name)
        self._ring.append((ring_position(name), name))
        self._ring.sort(key=lambda place: (place <= self._me, place))

    def remove(self, name: str) -> None:
        """Take *name* out."""
        index = self._order.index(name)
        del self._order[index]
        if index < self._next:
            self._next -= 1
        self._ring.remove((ring_position(name), name))

    def turn(self, eligible: Callable[[str], bool]) -> str | None:
        """Return the next in order that is *eligible*, or None if nobody is."""
        for _ in range(len(self._order)):
            if self._next >= len(self._order):
                self._rng.shuffle(self._order)
                self._next = 0
            name = self._order[self._next]
            self._next += 1
            if eligible(name):
                return name
        return None

    def watched(self, suspect: Callable[[str], bool]) -> list[str]:
        """Return whom this node watches: the next on the ring, and on as long as it is suspect."""
        watched = []
        for _, name in self._ring[:LONGEST_WATCH]:
            watched.append(name)
            if not suspect(name):
                break
        return watched

    def near(self, name: str) -> bool:
        """Whether this node is one of the few before *name* on the ring."""
        return any(name == other for _, other in self._ring[:LONGEST_WATCH])

    def sample(self, count: int, without: str = "") -> list[str]:
        """Return up to *count* random others."""
        names = [name for name in self._order if name != without]
        return self._rng.sample(names, min(count, len(names)))
