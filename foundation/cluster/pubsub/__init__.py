"""Topics over the cluster (``ops.py``), and who is present on them (``tracker.py``)."""

from __future__ import annotations

from foundation.cluster.pubsub.ops import (
    PubSub,
    broadcast,
    broadcast_from,
    direct_broadcast,
    local_broadcast,
    nodes_interested,
    patterns,
    subscribe,
    subscribers,
    topics,
    unsubscribe,
)
from foundation.cluster.pubsub.tracker import Tracker
from foundation.cluster.pubsub.values import Meta, PresenceDiff, Published
from foundation.errors import AlreadyTracked, NotTracked, TrackerError

__all__ = [
    "AlreadyTracked",
    "Meta",
    "NotTracked",
    "PresenceDiff",
    "PubSub",
    "Published",
    "Tracker",
    "TrackerError",
    "broadcast",
    "broadcast_from",
    "direct_broadcast",
    "local_broadcast",
    "nodes_interested",
    "patterns",
    "subscribe",
    "subscribers",
    "topics",
    "unsubscribe",
]
