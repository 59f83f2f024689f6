"""Channels: a few named ways for messages to all nodes, of which the urgent never wait for bulk.

    subscription = await channels.subscribe("events", match=OrderPlaced)
    channels.broadcast("events", OrderPlaced(7))
    channels.broadcast("data", block)                  # a megabyte, in chunks, on a lane of its own
    await channels.drained()                           # as fast as the slowest node takes it

==========  =================================================================================
control     urgent coordination
events      what happened in the application
telemetry   measurements
data        bulk: large, and may wait
==========  =================================================================================

Others are declared: ``await channels.declare("video", bulk=True)``. A channel is the topic
``foundation:<channel>`` of ``foundation.cluster.pubsub``. Whoever subscribes to or broadcasts on
that topic with the primitives takes part in the channel.

What middleware adds to a message (``channels.use``) travels beside it: subscribers by primitives
get the plain message, whatever the publisher's middleware was, and with ``tagged=True`` the
metadata as ``Published.metadata``. Compressed messages arrive decompressed everywhere. The
middleware of a subscriber's node is for subscribers of channels only.

Delivery is at most once, and in order for each sender, channel and way to travel (bulk or not).
Nobody waits for a slow receiver. A slow host misses bulk once 64 MiB wait for it; a slow
subscriber, once 64 MiB of bulk from other hosts wait in its mailbox. Both are counted.
"""

from __future__ import annotations

from foundation.channels.delivery import Subscription
from foundation.channels.errors import (
    ChannelExists,
    ChannelsNotStarted,
    MiddlewareError,
    UnknownChannel,
)
from foundation.channels.functions import (
    broadcast,
    explain_route,
    route,
    subscribe,
    unsubscribe,
)
from foundation.channels.keeper import NAME as _KEEPER
from foundation.channels.keeper import Keeper
from foundation.channels.middleware import (
    TRACE,
    Compression,
    Middleware,
    Next,
    Trace,
    Tracing,
    current_trace,
)
from foundation.channels.server import NAME as _SERVER
from foundation.channels.server import ChannelsServer
from foundation.channels.settings import (
    channels,
    declare,
    drained,
    installed,
    remove,
    statistics,
    use,
)
from foundation.channels.values import BUILT_IN, Channel, Envelope
from foundation.otp.child_spec import ChildSpec
from foundation.otp.registry_match import ANY


def specs() -> list[ChildSpec]:
    """Return what a node needs for declared channels and middleware, and for messages."""
    return [
        Keeper.spec(name=_KEEPER, id=_KEEPER, host="control"),
        ChannelsServer.spec(name=_SERVER, id=_SERVER, host="worker"),
    ]


__all__ = [
    "ANY",
    "BUILT_IN",
    "TRACE",
    "Channel",
    "ChannelExists",
    "ChannelsNotStarted",
    "ChannelsServer",
    "Compression",
    "Envelope",
    "Middleware",
    "MiddlewareError",
    "Next",
    "Subscription",
    "Trace",
    "Tracing",
    "UnknownChannel",
    "broadcast",
    "channels",
    "current_trace",
    "declare",
    "drained",
    "explain_route",
    "installed",
    "remove",
    "route",
    "specs",
    "statistics",
    "subscribe",
    "unsubscribe",
    "use",
]
