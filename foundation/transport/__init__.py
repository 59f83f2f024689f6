"""Floor 2: a Thespian system base whose event loop is asyncio.

Connections are persistent, shared by both directions, and authenticated by a cookie before
anything is unpickled. A message is handled at most once, or its sender is told (dead letter).
"""

from foundation.transport.base import FoundationBase, admin_address, open_system
from foundation.transport.busy_wait import BUSY_WAIT, check_busy_wait
from foundation.transport.config import TransportConfig
from foundation.transport.cookie import load_cookie
from foundation.transport.cores import usable_cores
from foundation.transport.outside import Outside
from foundation.transport.peers import unwatch_peer_loss, watch_peer_loss

__all__ = [
    "BUSY_WAIT",
    "FoundationBase",
    "Outside",
    "TransportConfig",
    "admin_address",
    "check_busy_wait",
    "load_cookie",
    "open_system",
    "unwatch_peer_loss",
    "usable_cores",
    "watch_peer_loss",
]
