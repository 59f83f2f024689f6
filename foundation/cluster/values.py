"""What the cluster says about itself: members, views, and the events that tell of changes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from foundation.kernel.codec import register

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Member:
    """One life of one node of the cluster.

    Attributes:
        name: of the node; unique in the cluster.
        generation: which life of that name; a restarted node has a higher one.
        address: ``"host:port"`` of its cluster endpoint.
        labels: ``(key, value)`` pairs, sorted, by which placement chooses.
        draining: it takes no new work and gives away what it has.
    """

    name: str
    generation: int
    address: str
    labels: Labels = ()
    draining: bool = False

    def label(self, key: str, default: str | None = None) -> str | None:
        """Return the value of the label *key*."""
        return dict(self.labels).get(key, default)


@dataclass(frozen=True)
class View:
    """Who is in the cluster, as one node sees it.

    Attributes:
        version: how many views this node has had; not comparable between nodes.
        members: all members, this node included, sorted by name.
    """

    version: int
    members: tuple[Member, ...]

    @cached_property
    def digest(self) -> int:
        """A number that is equal on nodes that see the same lives of the same nodes."""
        text = "\n".join(f"{m.name}\t{m.generation}" for m in self.members)
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of all members, sorted."""
        return tuple(m.name for m in self.members)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __len__(self) -> int:
        return len(self.members)

    def member(self, name: str) -> Member | None:
        """Return the member *name*, or None."""
        return next((m for m in self.members if m.name == name), None)


@dataclass(frozen=True, slots=True)
class NodeUp:
    """Event: a node has joined, and processes here can talk to it."""

    node: str
    member: Member


@dataclass(frozen=True, slots=True)
class NodeDown:
    """Event: a node is gone; links, monitors and calls to it have got ``noconnection``.

    Attributes:
        reason: ``"left"`` in order, ``"killed"`` its process is known to be dead, ``"silent"``
            it has not been heard of (it may live on, beyond a broken link).
    """

    node: str
    member: Member
    reason: str


@dataclass(frozen=True, slots=True)
class ViewChanged:
    """Event: the set of members, or what they say of themselves, has changed."""

    view: View


def labels_of(labels: dict[str, Any] | None) -> Labels:
    """Return *labels* in the form that ``Member`` keeps."""
    return tuple(sorted((str(k), str(v)) for k, v in (labels or {}).items()))


register(Member, 96)
register(View, 97, ("version", "members"))
register(NodeUp, 98)
register(NodeDown, 99)
register(ViewChanged, 100)
