"""Channels, and the envelopes that middleware sees."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from foundation.kernel.values import Pid

PRIORITIES = ("low", "normal", "high")
TOPIC = "foundation:"  # before the name of a channel


@dataclass(frozen=True, slots=True)
class Channel:
    """A named topic with a way to travel.

    Attributes:
        name: of the channel.
        priority: ``"high"``: ahead of everything that is bulk, always. ``"normal"``: the same,
            unless *bulk*. ``"low"``: as bulk.
        bulk: messages go over bulk lanes, where they may be large and delay nothing else.
    """

    name: str
    priority: str = "normal"
    bulk: bool = False

    @property
    def topic(self) -> str:
        """Its topic, for the primitives."""
        return TOPIC + self.name

    def is_bulk(self, priority: str | None) -> bool:
        """Whether a message of *priority* (None: as the channel) is bulk here."""
        return self.bulk if priority in (None, "normal") else priority == "low"

    def __str__(self) -> str:
        way = "bulk" if self.bulk else "not bulk"
        return f"channel {self.name!r} ({self.priority} priority, {way})"


BUILT_IN = {
    channel.name: channel
    for channel in (
        Channel("control", "high"),
        Channel("events"),
        Channel("telemetry"),
        Channel("data", bulk=True),
    )
}


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message on its way through middleware. Middleware passes on a changed copy.

    It may change *message* and *metadata*, on the side ``"publish"`` *priority* and *compress*
    too; anything else that is changed is a ``MiddlewareError``.

    Attributes:
        channel: its name.
        message: what subscribers get.
        publisher: the process that broadcast it.
        side: ``"publish"``: it is about to be sent, in the publisher's host; ``"deliver"``: about
            to be given to a subscriber, in the subscriber's host.
        metadata: what travels with it, by key: plain values. Subscribers do not see it, unless
            they subscribed to the topic with ``tagged=True``.
        priority: as ``broadcast``; on the side ``"publish"``.
        compress: None or a length above which it is compressed between hosts, False: never; on
            the side ``"publish"``.
    """

    channel: str
    message: Any
    publisher: Pid
    side: str
    metadata: dict[str, Any] = field(default_factory=dict)
    priority: str | None = None
    compress: int | bool | None = None

    def replace(self, **changes: Any) -> Envelope:
        """Return a copy with other values."""
        return dataclasses.replace(self, **changes)

    def with_metadata(self, **more: Any) -> Envelope:
        """Return a copy with *more* metadata."""
        return dataclasses.replace(self, metadata={**self.metadata, **more})
