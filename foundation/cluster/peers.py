"""What an agent knows of the agent of another node."""

from __future__ import annotations

from typing import Any

from foundation.cluster.channel import Channel
from foundation.cluster.membership.records import Record


class AgentPeer:
    """A member other than this node, and the conversation with it.

    Attributes:
        record: what membership says of it.
        channel: the present session.
        staging: its tables while they arrive; None once they have.
        mark: the epoch it has installed, see ``agent.py``.
        marks: how many it had marked by then.
        seen: how many of ours it had heard by then.
        heard_us: its hosts have applied our tables.
        applied: our hosts have applied its tables.
        ready: both, and ``NodeUp`` was told.
    """

    __slots__ = (
        "applied", "channel", "heard_us", "mark", "marks", "ready", "record", "seen", "staging",
    )  # fmt: skip

    def __init__(self, record: Record) -> None:
        self.record = record
        self.ready = False
        self.restart(Channel(0))  # until the first session begins

    def restart(self, channel: Channel) -> None:
        """Begin a session; what was said in the last one may be lost."""
        self.channel = channel
        self.staging: dict[str, dict[Any, Any]] | None = {}
        self.mark = self.marks = self.seen = 0
        self.heard_us = False
        self.applied = False
