"""Bulk lanes: a second way from host to host, for what is large and may wait.

What hosts say to each other leaves in one queue, so a message of a megabyte delays all that is
said after it. On a lane it is cut into chunks, of which a few are under way at a time, over a
connection of its own: what travels the ordinary way never waits for it.

``machine.py`` decides what is sent when; ``host.py`` does it for one host.
"""

from __future__ import annotations

from foundation.cluster.lanes.host import Lanes, LaneWire, install_lanes, lanes_of
from foundation.cluster.lanes.machine import BACKLOG, CHUNK, WINDOW, Payload
from foundation.cluster.lanes.values import LaneState

__all__ = [
    "BACKLOG",
    "CHUNK",
    "WINDOW",
    "LaneState",
    "LaneWire",
    "Lanes",
    "Payload",
    "install_lanes",
    "lanes_of",
]
