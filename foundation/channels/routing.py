"""Which channel a message belongs on, by visible rules. Pure.

    channel= was given                                      that channel
    priority="high"                                         control
    longer than 10,240 bytes, encoded                       data
    ("telemetry", ...), or a dict with "type" "metric"
    or "measurement"                                        telemetry
    anything else                                           events

The first rule that applies decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foundation.kernel.codec import dumps

LARGE = 10_240  # bytes, encoded
MEASUREMENTS = ("metric", "measurement")


def choose(message: Any, channel: str | None, priority: str | None) -> tuple[str, str]:
    """Return the name of the channel, and why it is that.

    Raises:
        Unsendable: *message* cannot be encoded, and its length would decide.
    """
    if channel is not None:
        return channel, "channel= was given"
    if priority == "high":
        return "control", "priority is 'high'"
    size = encoded_size(message)
    if size > LARGE:
        return "data", f"it takes {size} bytes, more than {LARGE}"
    if is_measurement(message):
        return "telemetry", "it has the form of a measurement"
    return "events", f"no other rule applies (priority not 'high', {size} bytes, no measurement)"


def encoded_size(message: Any) -> int:
    """Return how many bytes *message* takes between hosts."""
    if type(message) is bytes and len(message) > LARGE:
        return len(message)
    return len(dumps(message))


def is_measurement(message: Any) -> bool:
    """Whether *message* is ``("telemetry", ...)``, or a mapping of a measurement's type."""
    if isinstance(message, tuple):
        return message[:1] == ("telemetry",)
    return isinstance(message, Mapping) and message.get("type") in MEASUREMENTS
