"""What the nodes tell each other of children: what is wanted, and what there is.

A *record* says that a child is wanted (or no longer). Records are copied to all agents, and the
higher version holds. An *entry* says what one node has of a child; each node's entries are its
slice of the table ``table_of(supervisor)``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import NamedTuple

from foundation.cluster.values import Labels
from foundation.kernel.codec import register
from foundation.kernel.values import Pid

STARTING = "starting"  # its init runs, or is about to
RUNNING = "running"
STOPPING = "stopping"  # it was told to end
LEAVING = "leaving"  # it ends here, to go on elsewhere
MOVING = "moving"  # it has ended here and is being offered to another node, with its state
HOLDING = "holding"  # it was taken over from another node and is about to start here
QUARANTINED = "quarantined"  # it failed too often; it is tried again later
IGNORED = "ignored"  # its init returned ``Ignore()``

WITH_STATE, WITHOUT_STATE = "with its state", "without its state"  # how one that moved goes on
HOW = (WITH_STATE, WITHOUT_STATE)

ALIVE = (STARTING, RUNNING, STOPPING, LEAVING)  # a process may be there
SETTLED = (STARTING, RUNNING)  # ... and is meant to be
TOKENS = (MOVING, HOLDING)  # nothing runs, and whoever has this may start it

Version = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Record:
    """That a child is wanted, or was.

    Attributes:
        version: (Lamport counter, node that wrote it); the higher one holds. Of children that
            are declared by ``children=[…]``: (0, life of the node), so that the node that began
            last declares what holds, unless the child was terminated.
        spec: its ``ChildSpec``, encoded; opaque to agents.
        restart: as in the spec.
        labels: that the node must have which runs it.
        every_node: there is one on each eligible node.
        on_minority: ``"stop"`` or ``"keep"``.
        limits: (max_restarts, max_seconds) of its restart budget.
        group: key of the partitioned child that it is a part of, or ``b""``.
        token: of the request that started it, or ``""``.
        home: the one life of a node, ``"name/generation"``, that a temporary child is bound to.
        shipped: its class travels with the spec.
        deleted: it is wanted no longer: a tombstone, without the spec; with the token if it was
            terminated.
        prefers: the node that it was moved to, which runs it whenever it may; or ``""``.
        born: the version that it was started or declared with, where it was moved since.
        target: the node to which a request has moved it; or ``""``. If it cannot go there, the
            move is undone: what it *prefers* is then ``undo``, and ``failed`` says why.
        undo: see *target*.
        failed: see *target*.
    """

    version: Version
    spec: bytes
    restart: str = "permanent"
    labels: Labels = ()
    every_node: bool = False
    on_minority: str = "keep"
    limits: tuple[int, float] = (3, 5.0)
    group: bytes = b""
    token: str = ""
    home: str = ""
    shipped: bool = False
    deleted: bool = False
    prefers: str = ""
    born: Version | None = None
    target: str = ""
    undo: str = ""
    failed: str = ""

    @property
    def declared(self) -> bool:
        """Whether ``children=[…]`` has it."""
        return self.version[0] == 0

    @property
    def instance(self) -> Version:
        """What a process of it is known by: one of another instance is replaced.

        Of children that are declared it depends on what is declared alone, so that nothing is
        replaced when another node declares the same.
        """
        if self.token:
            return self.born or self.version
        moved = {"prefers": "", "born": None, "target": "", "undo": "", "failed": ""}
        plain = replace(self, version=(0, ""), **moved)  # type: ignore[arg-type]
        return (0, blake2b(repr(plain).encode(), digest_size=8).hexdigest())

    def moved(self, version: Version, to: str, target: str, undo: str) -> Record:
        """Return what says that the same child is to run on the node *to*, if it may.

        Args:
            version: of that record.
            to: the node; ``""``: its owner.
            target: which node that is now.
            undo: what it prefers when it cannot go there.
        """
        born = self.born or self.version
        news = {"target": target, "undo": undo, "failed": ""}
        return replace(self, version=version, prefers=to, born=born, **news)  # type: ignore[arg-type]

    def undone(self, version: Version, why: str) -> Record:
        """Return what says that the same child could not be moved."""
        return replace(
            self, version=version, prefers=self.undo, target="", undo="", failed=why or "unknown"
        )


class Entry(NamedTuple):
    """What one node has of one child.

    Attributes:
        status: one of the words above.
        generation: how often the child has been started; a fencing token.
        pid: while it runs.
        version: ``instance`` of the record that it was started by.
        note: why it is so, for people.
    """

    status: str
    generation: int
    pid: Pid | None
    version: Version
    note: str = ""


def table_of(supervisor: str) -> str:
    """Return the name of the table of the children of *supervisor*."""
    return f"sup:{supervisor}"


register(Record, 113)
register(Entry, 114)

RESTARTS_BITS = 20  # of a generation: restarts in place


def next_generation(known: int, life: int) -> int:
    """Return the generation of a start by a node, above all that are *known*.

    A runner that restarts a child in place adds one, which a node that takes the child over may
    not hear of. So a take-over leaves room: it is above any such restart. The generation of a
    child that nobody remembers begins with the *life* of the node: above those that a cluster
    which has died as a whole has used, unless the node's clock has gone back since.
    """
    rounds = (known >> RESTARTS_BITS) + 1 if known else life
    return rounds << RESTARTS_BITS
