"""What a kernel counts."""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Any

SPACING = 0.1  # seconds between the beginnings of two calls that are timed
KEPT = 600  # of these: a minute's
OURS = "foundation."  # names of servers, and modules of requests, that are no user's


class Counts:
    """Counters of one host, none of them on the path of a message.

    They are an object of their own since an instance of more than 30 attributes, which the kernel
    would be with them, is slower in CPython: it shares its keys with no other.

    Attributes:
        queued_slices: slices that came from the run queue; counted turn by turn.
        handled: messages that servers have taken in these; counted slice by slice.
        requests: calls of this host that were put into a mailbox, here or in another host. Those
            that were handed over are slices that did not come from the queue.
        calls_failed: calls of this host that ended without a reply.
        crashes: processes that ended by an exception, theirs or that of one they are linked to.
        timed: of calls that waited for a reply, one at most begun in each ``SPACING`` seconds:
            when each ended, and how many seconds it took.
        time_from: when the next call will be timed.
    """

    __slots__ = (
        *("calls_failed", "crashes", "handled", "queued_slices", "requests"),
        *("time_from", "timed"),
    )

    def __init__(self) -> None:
        self.queued_slices = self.handled = self.requests = self.calls_failed = self.crashes = 0
        self.time_from = -inf
        self.timed: deque[tuple[float, float]] = deque(maxlen=KEPT)

    def times(self, start: float, server: Any, request: Any) -> bool:
        """Whether to time a call that waits since *start*; asked from ``time_from`` on only.

        Those of the library's own servers among each other are not: they say nothing of what
        users' calls take.
        """
        name = server[0] if type(server) is tuple and server else server
        if type(name) is str and name.startswith(OURS):
            return False
        module = type(request).__module__
        if module.startswith(OURS) and not module.startswith("foundation.otp."):
            return False
        self.time_from = start + SPACING
        return True

    # A call that is handed over is a slice of its own that does not come from the queue.

    def messages_taken(self, slices: int) -> int:
        """Return how many messages servers have taken.

        Args:
            slices: ``Kernel.slices``, between two turns.
        """
        return self.handled + slices - self.queued_slices

    def calls_made(self, slices: int) -> int:
        """Return how many calls were made in this host; *slices* as for ``messages_taken``."""
        return self.requests + slices - self.queued_slices
