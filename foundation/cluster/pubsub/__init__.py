"""Topics over the cluster (``ops.py``), and who is present on them (``tracker.py``)."""

from __future__ import annotations

from foundation.cluster.pubsub.exchange import Volume
from foundation.cluster.pubsub.ops import (
    PubSub,
    broadcast,
    broadcast_from,
    direct_broadcast,
    drained,
    lanes,
    local_broadcast,
    nodes_interested,
    patterns,
    publish,
    subscribe,
    subscribers,
    topics,
    unsubscribe,
    volume,
)
from foundation.cluster.pubsub.subscription import Subscription
from foundation.cluster.pubsub.tracker import Tracker
from foundation.cluster.pubsub.values import DROP, Meta, PresenceDiff, Published, Through
from foundation.errors import AlreadyTracked, NotTracked, TrackerError

__all__ = [
    "DROP",
    "AlreadyTracked",
    "Meta",
    "NotTracked",
    "PresenceDiff",
    "PubSub",
    "Published",
    "Subscription",
    "Through",
    "Tracker",
    "TrackerError",
    "Volume",
    "broadcast",
    "broadcast_from",
    "direct_broadcast",
    "drained",
    "lanes",
    "local_broadcast",
    "nodes_interested",
    "patterns",
    "publish",
    "subscribe",
    "subscribers",
    "topics",
    "unsubscribe",
    "volume",
]
