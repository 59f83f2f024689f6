"""What subscribers of the cluster are told of distributed children."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from foundation.kernel.codec import register
from foundation.kernel.values import Pid


@dataclass(frozen=True, slots=True)
class ChildQuarantined:
    """Event: a child failed more often than its budget allows, and is not restarted for now.

    Attributes:
        supervisor: its name.
        id: of the child.
        node: where it ran.
        reason: of the last failure, as text.
        retry_in: seconds until it is tried again; ``restart_child`` does so at once.
    """

    supervisor: str
    id: Any
    node: str
    reason: str
    retry_in: float


@dataclass(frozen=True, slots=True)
class ChildState:
    """One line of ``which_children``.

    Attributes:
        id: of the child.
        node: that has it; None when none has.
        pid: while it runs.
        status: ``"running"``, ``"starting"``, ``"stopping"``, ``"leaving"``, ``"moving"``,
            ``"holding"``, ``"quarantined"`` or ``"ignored"``.
        generation: the number of its present start, above those of all earlier ones.
        reason: why, where that says something.
    """

    id: Any
    node: str | None
    pid: Pid | None
    status: str
    generation: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ChildChanged:
    """Event: what a node has of a child has changed; see ``subscribe_children``.

    Attributes:
        supervisor: its name.
        id: of the child.
        node: that has it, or had.
        before: the status of before, as in ``ChildState``; ``""`` when the node did not have it.
        status: the status of now; ``""`` when the node does not have it any more.
        pid: while it runs.
        generation: as in ``ChildState``.
        reason: why, where that says something.
    """

    supervisor: str
    id: Any
    node: str
    before: str
    status: str
    pid: Pid | None
    generation: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class WantedChild:
    """One line of ``wanted_children``.

    Attributes:
        id: of the child; of a part of one with partitions: ``(id, number)``.
        group: id of the child with partitions that it is a part of, or None.
        every_node: whether one runs on each eligible node.
        labels: that the node must have.
        restart: as in its spec.
        on_minority: ``"stop"`` or ``"keep"``.
        prefers: the node that it was moved to, or None.
    """

    id: Any
    group: Any
    every_node: bool
    labels: dict[str, str]
    restart: str
    on_minority: str
    prefers: str | None


@dataclass(frozen=True, slots=True)
class Move:
    """A child that goes, or would go, from one node to another.

    Attributes:
        id: of the child.
        from_: where it is; None: nowhere.
        to: where it is to be; None: nowhere.
        why: for people.
    """

    id: Any
    from_: str | None
    to: str | None
    why: str


register(ChildQuarantined, 115)
register(ChildState, 116)
register(Move, 117, ("id", "from_", "to", "why"))
register(ChildChanged, 118)
register(WantedChild, 119)
