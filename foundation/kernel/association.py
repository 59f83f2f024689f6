"""What makes frames between hosts of different nodes reliable: associations.

Within a node a connection breaks only when a process dies. Between nodes it may break any time,
and then frames are lost, of which neither side can say which. Each side therefore numbers its
*associations* with one host, upwards, and the frames within one. Who misses a frame, or loses
the connection, settles all that crosses to the other host with ``noconnection`` and begins a
new association; the other side notices by the higher number and does the same. So links,
monitors and calls never outlive the loss of a frame, as over a connection of distributed Erlang.

    head of a frame = [host, its incarnation, ours, mine, theirs, number]
"""

from __future__ import annotations

ACCEPT, DROP, ANNOUNCE, FOLLOW, SETTLE, RESTART = range(6)


class Association:
    """One side of the present association with one host.

    Attributes:
        mine: number of this association, above all earlier ones with that host.
        theirs: the other side's number for it; 0 while unknown.
        sent: frames sent in it.
        seen: frames received in it.
    """

    __slots__ = ("mine", "seen", "sent", "theirs")

    def __init__(self, mine: int, theirs: int = 0) -> None:
        self.mine = mine
        self.theirs = theirs
        self.sent = 0
        self.seen = 0

    @property
    def used(self) -> bool:
        """Whether anything could have been lost."""
        return bool(self.sent or self.seen)

    def judge(self, theirs: int, mine: int, number: int) -> int:
        """Say what to do about a frame with this head.

        Returns one of:
            ``ACCEPT``: apply it.
            ``DROP``: it is late, or doubled.
            ``ANNOUNCE``: drop it, and let them know the number of this association.
            ``FOLLOW``: they have begun anew; begin anew, knowing theirs, and judge again.
            ``SETTLE``: they have followed a new one of ours, but not from the one that is
                known here: settle what crosses, go on with their number, and judge again.
            ``RESTART``: frames are missing: begin anew, and let them know.
        """
        if theirs < self.theirs:
            return DROP
        news = theirs > self.theirs != 0
        if mine not in (0, self.mine):
            return RESTART if news else ANNOUNCE
        if news:
            return SETTLE if mine else FOLLOW
        self.theirs = theirs
        if number <= self.seen:
            return DROP
        if number > self.seen + 1:
            return RESTART
        self.seen = number
        return ACCEPT
