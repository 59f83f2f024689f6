"""What a kernel counts."""

from __future__ import annotations


class Counts:
    """Counters of one host, none of them on the path of a message.

    They are an object of their own since an instance of more than 30 attributes, which the kernel
    would be with them, is slower in CPython: it shares its keys with no other.

    Attributes:
        queued_slices: slices that came from the run queue; counted turn by turn.
        handled: messages that servers have taken in these; counted slice by slice.
        calls_failed: calls of this host that ended without a reply.
        crashes: processes that ended by an exception, theirs or that of one they are linked to.
    """

    __slots__ = ("calls_failed", "crashes", "handled", "queued_slices")

    def __init__(self) -> None:
        self.queued_slices = self.handled = self.calls_failed = self.crashes = 0
