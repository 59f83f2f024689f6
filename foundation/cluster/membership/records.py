"""What the nodes tell each other of one node, and which of two tellings holds.

Invariants:
    R1  `order` is a total order on the records of one name, the same on every node, so nodes
        that have seen the same records, in whatever order and however often, agree.
    R2  Only the node itself raises its incarnation and its generation. So it can refute
        everything that others say of it, and nobody can refute what it says.
    R3  A record of an older life (lower generation) never replaces one of a newer life.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import blake2b

from foundation.cluster.values import Labels, Member

ALIVE = "alive"
SUSPECT = "suspect"
DEAD = "dead"
LEFT = "left"

KILLED = "killed"
SILENT = "silent"

META_LIMIT = 1024

RANK = {ALIVE: 0, SUSPECT: 1, DEAD: 2, LEFT: 3}


@dataclass(frozen=True, slots=True)
class Record:
    """What is said of one node.

    Attributes:
        name: of the node; unique in the cluster.
        generation: which life of that name; a restarted node has a higher one.
        incarnation: raised by the node itself when it refutes or changes what it says.
        status: ``"alive"``, ``"suspect"``, ``"dead"`` or ``"left"``.
        address: ``"host:port"`` of its cluster endpoint.
        labels: ``(key, value)`` pairs, sorted.
        draining: it takes no new work.
        reason: of death: ``"killed"`` (the process is known to be dead) or ``"silent"``.
        meta: small opaque data of the node, at most ``META_LIMIT`` bytes.
    """

    name: str
    generation: int
    incarnation: int
    status: str
    address: str
    labels: Labels = ()
    draining: bool = False
    reason: str = ""
    meta: bytes = b""

    @property
    def live(self) -> bool:
        """Whether the node is a member: alive, or suspected only."""
        return self.status in (ALIVE, SUSPECT)

    @property
    def member(self) -> Member:
        """The part that a view shows."""
        return Member(self.name, self.generation, self.address, self.labels, self.draining)


def order(record: Record) -> tuple[int, int, int, bool, str]:
    """Return by what the records of one name are ordered; the greatest holds (R1).

    That a process is known to be dead says more than that it is silent. The address decides
    between two nodes that took the same name and generation.
    """
    return (
        record.generation,
        record.incarnation,
        RANK[record.status],
        record.reason == KILLED,
        record.address,
    )


def supersedes(new: Record, old: Record | None) -> bool:
    """Whether *new* replaces *old*, which is of the same name."""
    return old is None or order(new) > order(old)


def suspected(record: Record) -> Record:
    """Return *record* as that of a suspect."""
    return replace(record, status=SUSPECT, reason="")


def died(record: Record, reason: str) -> Record:
    """Return *record* as that of a dead node."""
    return replace(record, status=DEAD, reason=reason)


def digest(records: Iterable[Record]) -> int:
    """Return a number that is equal where the same is known of the same members.

    Dead ones do not count, for each node forgets them in its own time; nor does suspicion,
    which passes by itself.
    """
    hashed = blake2b(digest_size=8)
    for record in records:
        if record.live:
            text = f"{record.name}\t{record.generation}\t{record.incarnation}\n"
            hashed.update(text.encode("utf-8", "surrogatepass"))
    return int.from_bytes(hashed.digest(), "big")
