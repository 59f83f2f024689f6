"""What makes frames between hosts of different nodes reliable: associations.

Within a node a connection breaks only when a process dies. Between nodes it may break any time,
and then frames are lost, of which neither side can say which. Each side therefore numbers its
*associations* with one host, upwards, and the frames within one. Who misses a frame, or loses
the connection, settles all that crosses to the other host with ``noconnection`` and begins a
new association; the other side notices by the higher number and does the same. So links,
monitors and calls never outlive the loss of a frame, as over a connection of distributed Erlang.

    head of a frame = [host, its incarnation, ours, mine, theirs, number]

*theirs* is 0 while nothing is known of it, and minus the number of their last association that
has ended here: they may not have been told by any frame that there was one.
"""

from __future__ import annotations

ACCEPT, DROP, ANNOUNCE, FOLLOW, RESTART = range(5)


class Association:
    """One side of the present association with one host.

    Attributes:
        mine: number of this association, above all earlier ones with that host.
        theirs: the other side's number for it; 0 while unknown.
        ended: the greatest number of theirs that is over on this side.
        sent: frames sent in it.
        seen: frames received in it.
    """

    __slots__ = ("ended", "mine", "seen", "sent", "theirs")

    def __init__(self, mine: int, ended: int = 0) -> None:
        self.mine = mine
        self.theirs = 0
        self.ended = ended
        self.sent = 0
        self.seen = 0

    @property
    def used(self) -> bool:
        """Whether anything could have been lost."""
        return bool(self.sent or self.seen)

    @property
    def over(self) -> int:
        """The number of theirs that is over when this association is."""
        return self.theirs or self.ended

    def head(self) -> tuple[int, int, int]:
        """Return the head of the next frame."""
        return self.mine, self.theirs or -self.ended, self.sent + 1

    def judge(self, theirs: int, mine: int, number: int) -> int:
        """Say what to do about a frame with this head.

        Returns one of:
            ``ACCEPT``: apply it.
            ``DROP``: it is late, or doubled.
            ``ANNOUNCE``: drop it, and let them know the number of this association.
            ``FOLLOW``: they have begun anew; begin anew, knowing theirs, and judge again.
            ``RESTART``: frames are missing, or both sides have begun anew past each other:
                begin anew, without knowing theirs, and let them know.
        """
        if theirs < self.theirs:
            return DROP
        if theirs > self.theirs != 0:
            return RESTART if mine > 0 else FOLLOW
        if mine > 0 and mine != self.mine:
            return ANNOUNCE
        if theirs > self.theirs and -mine >= self.mine:
            return FOLLOW  # what was said in this association reached one that is over
        self.theirs = theirs
        if number <= self.seen:
            return DROP
        if number > self.seen + 1:
            return RESTART
        self.seen = number
        return ACCEPT
