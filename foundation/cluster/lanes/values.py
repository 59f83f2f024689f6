"""What is told about lanes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LaneState:
    """One host's lane to another, as ``pubsub.lanes()`` lists it.

    Attributes:
        host: the other host; "" sums up the lanes to hosts that have gone.
        separate: whether it has a connection of its own; without one (in a simulation, on a
            stock Thespian base, or where none can be made) chunks go the ordinary way.
        backlog: bytes of messages that have not left completely.
        sent: messages that have left completely.
        dropped: messages that found the backlog full.
        lost: messages that were under way, or waited, when the connection or the host was lost.
    """

    host: str
    separate: bool
    backlog: int
    sent: int
    dropped: int
    lost: int
