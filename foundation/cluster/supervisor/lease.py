"""Whether this node may run what must not run in a minority (pure).

Each node asks all others, every quarter of a lease, whether they count it as a member, and in
which epoch they are. It holds the lease for ``lease`` seconds from when it *sent* the oldest
request that the latest majority answered (Gray and Cheriton, 1989). When it lapses, the children
stop. A node starts such a child only when

    (1) it holds the lease;
    (2) ``takeover`` seconds have passed since a majority settled a view without the nodes that
        went silent, and a majority has answered what was asked ``lease`` seconds after that;
    (3) all members have answered, what was asked within the last ``lease``, that they are in the
        epoch that this node is in.

Why that is enough. Let a node S be silent to the others, who settle a view without it at time t.
None of them answers S any more, so by (1) what runs at S ends by t + lease. Should one of them
count S as a member again before that, its mark of the new view travels to the others ahead of
its next answer, so by (2) they know. And S, should it have slept through all that and still be
in an epoch of old, learns by (3) what the others have started: their answers come after their
entries. Clocks need to run equally fast, not to agree.
"""

from __future__ import annotations

import math
from collections.abc import Iterable


class Lease:
    """The lease of one node.

    Args:
        majority: how many nodes are one, this node included; None: no size is expected, and
            there is no lease.
        lease: seconds it lasts.
        takeover: seconds until the work of a silent node is taken over.
    """

    def __init__(self, majority: int | None, lease: float, takeover: float) -> None:
        self._majority = majority
        self._lease = lease
        self._takeover = takeover
        self._granted: dict[str, tuple[float, int]] = {}  # by node: (asked when, its epoch)
        self._quiet_since: float | None = None  # None: not yet settled since a loss

    def granted(self, node: str, sent: float, epoch: int) -> None:
        """*node* has answered what was asked at *sent*: it is in *epoch*."""
        if node not in self._granted or sent >= self._granted[node][0]:
            # What is older than a lease counts for nothing: nodes that are gone are forgotten.
            self._granted = {n: g for n, g in self._granted.items() if sent - g[0] < self._lease}
            self._granted[node] = (sent, epoch)

    def basis(self, now: float) -> float:
        """Return when the oldest request was sent that the latest majority has answered."""
        if self._majority is None:
            return -math.inf
        if self._majority <= 1:
            return now
        times = sorted((sent for sent, _ in self._granted.values()), reverse=True)
        needed = self._majority - 1
        return times[needed - 1] if len(times) >= needed else -math.inf

    def until(self, now: float) -> float:
        """Return until when the lease holds; in the past when it does not."""
        return self.basis(now) + self._lease

    def holds(self, now: float) -> bool:
        """Whether the lease holds."""
        return now < self.until(now)

    def lost(self) -> None:
        """A node went silent, or this one has just begun: who knows what runs elsewhere."""
        self._quiet_since = None

    def settled(self, now: float, size: int) -> None:
        """An epoch of *size* members is settled."""
        if self._majority is None or size < self._majority:
            self._quiet_since = None
        elif self._quiet_since is None:
            self._quiet_since = now

    def hindered(self, now: float, others: Iterable[str], epoch: int) -> str:
        """Say why nothing may be started now that could run elsewhere; ``""`` when it may.

        Args:
            now: seconds.
            others: the other members of the view.
            epoch: this node's.
        """
        if not self.holds(now):
            return "this node is not in a majority"
        since = self._quiet_since
        if since is None:
            return "the members do not agree yet"
        if now - since < self._takeover or self.basis(now) - since < self._lease:
            return "what runs on nodes that went silent must have ended first"
        for node in others:
            sent, theirs = self._granted.get(node, (-math.inf, 0))
            if now - sent >= self._lease or theirs != epoch:
                return f"{node!r} has not confirmed lately that it agrees"
        return ""
