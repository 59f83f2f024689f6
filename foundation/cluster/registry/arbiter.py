"""Who gets a unique key: the decisions of one node about the keys it arbitrates. A plain value.

In each epoch one node arbitrates a key. Its *era* numbers the epochs upwards like the ballots
of Paxos (Lamport, 1998) or the views of Viewstamped Replication (Oki and Liskov, 1988): each
member publishes one number above all that it has seen before it marks an epoch, and the era is
the highest of these. A token is the era and a count within it, so it is above all tokens of
earlier epochs of which one member is still here. No clock is asked.

Invariants:
    B1  Within an epoch a key is granted to one process until that process is known dead, or the
        claim known given up.
    B2  Each grant of a key has a higher token than all earlier ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from foundation.kernel.values import Pid

COUNT_BITS = 32  # of a token; the era is above them

Held = tuple[str, tuple[Pid, int, bytes]]  # (node, value) of an entry in a slice


class Grant(NamedTuple):
    """A key that was granted; no slice shows it yet."""

    pid: Pid
    token: int


class Arbiter:
    """See the module docstring."""

    def __init__(self) -> None:
        self._grants: dict[tuple[str, bytes], Grant] = {}
        self._own = 0
        self._era = 0
        self._count = 0

    def __len__(self) -> int:
        """How many grants are not used yet."""
        return len(self._grants)

    def begin(self, own: int, era: int) -> None:
        """An epoch has settled (again).

        Args:
            own: what this node has published for it. Another number than the last is another
                epoch: the grants of earlier ones are void. In the same one they stand, since
                entries of members that did not leave it may be on their way.
            era: the highest of what all members have published for it.
        """
        if own != self._own:
            self._own = own
            self._grants.clear()
        if era > self._era:
            self._era, self._count = era, 0

    def holder(self, registry: str, key: bytes, held: Iterable[Held]) -> Grant | None:
        """Return who has the key: of the entries *held*, else of the grants."""
        best = max(((v[1], node, v[0]) for node, v in held), default=None)
        if best is not None:
            return Grant(best[2], best[0])
        return self._grants.get((registry, key))

    def grant(self, registry: str, key: bytes, pid: Pid) -> int:
        """Give the key, which is free, to *pid*; return the token."""
        self._count += 1
        token = (self._era << COUNT_BITS) + self._count
        self._grants[(registry, key)] = Grant(pid, token)
        return token

    def granted(self, registry: str, key: bytes, pid: Pid) -> int | None:
        """Return the token of a grant to *pid* that is not used yet, or None."""
        grant = self._grants.get((registry, key))
        return grant.token if grant is not None and grant.pid == pid else None

    def used(self, registry: str, key: bytes, pid: Pid) -> None:
        """The grant to *pid* is seen in a slice, or was given up, or *pid* is dead."""
        grant = self._grants.get((registry, key))
        if grant is not None and grant.pid == pid:
            del self._grants[(registry, key)]


class Eras:
    """Numbers of epochs, of which each is above those before; see the module docstring."""

    def __init__(self) -> None:
        self._highest = 0

    def saw(self, number: Any) -> None:
        """Another node has published *number*."""
        if type(number) is int:
            self._highest = max(self._highest, number)

    def next(self) -> int:
        """Return the number to publish for a new epoch."""
        self._highest += 1
        return self._highest
