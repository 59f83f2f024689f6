"""What is wanted, and what would move if nodes went, drained or came (pure)."""

from __future__ import annotations

from collections.abc import Mapping

from foundation.cluster.supervisor.desired import Desired
from foundation.cluster.supervisor.events import Move, WantedChild
from foundation.cluster.supervisor.ids import id_of
from foundation.cluster.supervisor.placement import Candidates
from foundation.cluster.supervisor.records import ALIVE, Entry, Record


def planned(
    desired: Desired,
    observed: Mapping[bytes, Mapping[str, Entry]],
    found: Candidates,
    without: tuple[str, ...] = (),
) -> list[Move]:
    """Return all that is to move until everything is where it belongs.

    Args:
        desired: what is wanted.
        observed: what there is.
        found: the nodes that will run the supervisor.
        without: nodes that will be gone at once, with what they run.
    """
    moves = []
    for key in desired.live():
        record = desired.wanted(key)
        assert record is not None
        here = [node for node, e in sorted(observed.get(key, {}).items()) if e.status in ALIVE]
        if record.every_node:
            moves += _of_every_node(key, record, here, found)
        else:
            move = _one(key, record, here[0] if here else None, found, without)
            if move is not None:
                moves.append(move)
    return moves


def wanted_child(key: bytes, record: Record) -> WantedChild:
    """Return what *record* says of the child *key*, for people and programs."""
    return WantedChild(
        id=id_of(key),
        group=id_of(record.group) if record.group else None,
        every_node=record.every_node,
        labels=dict(record.labels),
        restart=record.restart,
        on_minority=record.on_minority,
        prefers=record.prefers or None,
    )


def _one(
    key: bytes, record: Record, at: str | None, found: Candidates, without: tuple[str, ...]
) -> Move | None:
    owner = found.owner(key, record.labels, record.prefers)
    if owner == at or (owner is None and at is not None and at not in without):
        return None
    if record.restart == "temporary":
        if at not in without:
            return None
        return Move(id_of(key), at, None, "it is temporary and ends with its node")
    if owner is None:
        return Move(id_of(key), at, None, "no node may run it")
    why = f"{owner!r} is its owner" if at is not None else f"{owner!r} is to start it"
    return Move(id_of(key), at, owner, why)


def _of_every_node(key: bytes, record: Record, here: list[str], found: Candidates) -> list[Move]:
    eligible = found.eligible(record.labels)
    gone = [Move(id_of(key), n, None, "of every node") for n in here if n not in eligible]
    return gone + [Move(id_of(key), None, n, "of every node") for n in eligible if n not in here]
