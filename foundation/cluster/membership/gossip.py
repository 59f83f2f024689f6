"""The news that a node passes on, and how often.

Invariants:
    G1  There is at most one item per name, the latest, so the queue is never longer than the
        table of records.
    G2  An item is sent at most ``transmit_limit(cluster size)`` times, then dropped: a change
        costs each node O(log n) sendings, and an unchanged cluster sends no news.
    G3  A message carries at most ``MOST_RECORDS`` items and, beyond the first, no more than
        ``MOST_BYTES`` (estimated).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2

from foundation.cluster.membership.records import Record
from foundation.cluster.membership.wire import Item, pack_item

MOST_RECORDS = 12
MOST_BYTES = 1200


def transmit_limit(cluster_size: int) -> int:
    """Return how often one node sends an item."""
    return ceil(4 * log2(cluster_size + 1))


def estimated_size(record: Record) -> int:
    """Return about how many bytes *record* takes in a message."""
    labels = sum(len(key) + len(value) + 4 for key, value in record.labels)
    return 32 + len(record.name) + len(record.address) + labels + len(record.meta)


@dataclass(slots=True)
class News:
    """One item of the queue."""

    record: Record
    accuser: str
    number: int
    sent: int = 0


class NewsQueue:
    """What is still to be passed on: the least sent first, the newest first among these."""

    def __init__(self) -> None:
        self._items: dict[str, News] = {}
        self._number = 0

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, name: str) -> bool:
        return name in self._items

    def names(self) -> list[str]:
        """Return of whom there is news."""
        return list(self._items)

    def add(self, record: Record, accuser: str = "") -> None:
        """Pass *record* on, and nothing older of the same node (G1).

        Args:
            record: what is new.
            accuser: who suspects the node, if it is suspected.
        """
        self._number += 1
        self._items[record.name] = News(record, accuser, self._number)

    def drop(self, name: str) -> None:
        """Pass nothing on of *name*."""
        self._items.pop(name, None)

    def clear(self) -> None:
        """Pass nothing on."""
        self._items.clear()

    def take(self, cluster_size: int, first: Record | None = None, accuser: str = "") -> list[Item]:
        """Return the items for one message (G2, G3).

        Args:
            cluster_size: how many members there are.
            first: this record goes first, whether it is news or not.
            accuser: who suspects it.
        """
        if not self._items:
            return [pack_item(first, accuser)] if first is not None else []
        taken: list[Item] = []
        room = MOST_BYTES
        if first is not None:
            taken.append(pack_item(first, accuser))
            room -= estimated_size(first)
        limit = transmit_limit(cluster_size)
        for news in sorted(self._items.values(), key=lambda n: (n.sent, -n.number)):
            if len(taken) == MOST_RECORDS:
                break
            if first is not None and news.record == first:
                continue
            size = estimated_size(news.record)
            if taken and size > room:
                continue
            taken.append(pack_item(news.record, news.accuser))
            room -= size
            news.sent += 1
            if news.sent >= limit:
                del self._items[news.record.name]
        return taken
