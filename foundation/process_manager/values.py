"""What the process manager says of processes, and how one is addressed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from foundation.cluster.host import TABLE, ClusterHost
from foundation.cluster.slices import GONE
from foundation.cluster.supervisor import ChildState
from foundation.cluster.supervisor.api import find_child
from foundation.cluster.supervisor.ids import key_of
from foundation.kernel.values import Pid

if TYPE_CHECKING:
    from foundation.kernel.kernel import Kernel

SUPERVISOR = "foundation.processes"  # the distributed supervisor of what is started here
SERVER = "foundation.process_manager"  # the server that answers the messages, on each node


class ProcessState(StrEnum):
    """What a process is doing.

    ::

        absent ──▶ starting ──▶ active ──▶ stopping ──▶ absent
                      ▲  │        │  ▲
                      │  ▼        ▼  │
                  quarantined   migrating

    Attributes:
        ABSENT: no node has it: it was not started, has been stopped, or waits for a node.
        STARTING: its ``init`` runs, or is about to.
        ACTIVE: it serves.
        MIGRATING: it has ended where it was, and is about to go on: on another node, or in another
            host of its node.
        QUARANTINED: it failed too often, and is tried again later.
        STOPPING: it was told to end.
    """

    ABSENT = "absent"
    STARTING = "starting"
    ACTIVE = "active"
    MIGRATING = "migrating"
    QUARANTINED = "quarantined"
    STOPPING = "stopping"


_STATES = {
    "running": ProcessState.ACTIVE,
    "starting": ProcessState.STARTING,
    "leaving": ProcessState.MIGRATING,
    "moving": ProcessState.MIGRATING,
    "holding": ProcessState.MIGRATING,
    "quarantined": ProcessState.QUARANTINED,
    "ignored": ProcessState.ABSENT,
    "stopping": ProcessState.STOPPING,
}
_ORDER = ("active", "migrating", "starting", "stopping", "quarantined", "absent")


def state_of(status: str) -> ProcessState:
    """Return the state that a status of the distributed supervisor stands for."""
    return _STATES[status]


def overall(children: Iterable[ChildState], id: Any, here: str = "") -> ProcessState:
    """Return the state of the child *id*, of which several nodes may have something.

    What the node *here* has of it comes first. Of a name with partitions: that of its worst part.
    """
    there = list(children)
    states = {child.node: state_of(child.status) for child in there if child.id == id}
    if here in states:
        return states[here]
    parts = [state_of(child.status) for child in there if is_part(id, child.id)]
    if parts and not states:
        return max(parts, key=_ORDER.index)
    return min(states.values(), key=_ORDER.index, default=ProcessState.ABSENT)


def is_part(name: Any, id: Any) -> bool:
    """Whether *id* is that of a part of the partitions *name*."""
    return type(id) is tuple and len(id) == 2 and id[0] == name and type(id[1]) is int


def check_name(name: Any) -> None:
    """Raise TypeError or ValueError unless *name* is that of a process, or ``(name, number)``."""
    if type(name) is tuple and len(name) == 2 and type(name[1]) is int:
        name = name[0]
    if not isinstance(name, str):
        raise TypeError(f"the name of a process must be a str, got {name!r}")
    if not name:
        raise ValueError("the name of a process must not be empty")


def check_whole(cluster: ClusterHost, name: Any) -> None:
    """Raise ValueError when *name* is that of partitions, as this host sees it: one is meant."""
    table = cluster.tables.find(f"sup:{SUPERVISOR}")
    if table is None or type(name) is not str:
        return
    part = key_of((name, 0))
    if any(table.get(node, part) is not GONE for node in table.nodes()):
        raise ValueError(
            f"{name!r} is the name of partitions: name one of them, as ({name!r}, 0), or use "
            "PartitionSet.route(key), which leads to that of a key"
        )


@dataclass(frozen=True, slots=True)
class Instance:
    """What one node has of a process.

    Attributes:
        node: its name.
        pid: while it runs.
        state: what it is doing.
        reason: why, where that says something.
    """

    node: str
    pid: Pid | None
    state: ProcessState
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """One line of ``list_processes``.

    Attributes:
        name: as it was started.
        pattern: ``"singleton"``, ``"replicated"`` or ``"partitioned"``.
        count: how many parts it has; 1 of a singleton, and of replicas.
        instances: what the nodes have of it.
        restart: as in its spec.
        on_minority: ``"stop"`` or ``"keep"``.
        labels: that its node must have.
    """

    name: str
    pattern: str
    count: int
    instances: tuple[Instance, ...]
    restart: str
    on_minority: str
    labels: dict[str, str] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Managed:
    """The name of a singleton or a part, looked up at each use; see ``via``."""

    id: Any

    def __resolve__(self, kernel: Kernel) -> Pid | None:
        """Return the process of now, or None."""
        cluster: ClusterHost | None = kernel.tables.get(TABLE)
        return None if cluster is None else find_child(cluster, SUPERVISOR, self.id)
