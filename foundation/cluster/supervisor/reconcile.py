"""What one node is to do about one child, given what is wanted and what there is (pure).

This is the whole policy, level-triggered: it looks at what is, never at what has changed, and
is asked again after every change and from time to time. So a message that got lost, or an
action that failed, is made good by the next look.

Why a child runs once: a node starts it only under a *settled* epoch that makes it the owner,
and when no member's slice has an entry of it. Members put an entry before they start and
remove it after the process has ended, and in a settled epoch all entries of earlier ones have
arrived (``agent.py``, A2). A move passes the entry on: the new node has one (``holding``) before
the old one (``moving``) goes. What is left are nodes that do not see each other: see ``survivor``
for ``on_minority="keep"``, ``lease.py`` for ``"stop"``.

The *owner* is the same for all members of an epoch. The *place* is not: a child that was moved on
request prefers a node, and members hear of that one after the other. So only the owner starts what
nobody has, the place merely says where it goes from there; an entry on offer is not started until
the offer is answered; and a node that is not the owner takes one only when all members have seen
that it has (``service.py``), so that the owner never finds nobody in between.

A move that was asked for and cannot be made (the state cannot be exported, or the child does not
start at the new place) is *undone*: the node that finds that out keeps the child, or its entry with
the state, and tells the node that writes the moves of the child; that one writes a record as
another move would, and the entry goes back as it came.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from foundation.cluster.supervisor.records import (
    ALIVE,
    LEAVING,
    MOVING,
    SETTLED,
    STOPPING,
    TOKENS,
    Entry,
    Record,
)

NOTHING = "nothing"  # it is as it should be
WAIT = "wait"  # something is to be done, but not now
START = "start"
STOP = "stop"
KILL = "kill"  # stop, at once
MOVE = "move"  # end it here, to go on at ``to``
OFFER = "offer"  # pass on what has ended here, to ``to``
DROP = "drop"  # remove an entry without a process
FORGET = "forget"  # want it no longer, everywhere
UNDO = "undo"  # have the move undone by which it should be elsewhere, or here
RELEASE = "release"  # of what rests here: have it go on at ``to``


class Action(NamedTuple):
    """What to do, and why.

    Attributes:
        kind: one of the words above.
        why: for people.
        to: a node.
    """

    kind: str
    why: str = ""
    to: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """All that the decision about one child depends on.

    Attributes:
        me: this node.
        life: ``"name/generation"`` of this node.
        record: what is wanted, or None.
        mine: this node's entry, or None.
        others: entries of other live nodes.
        owner: who is to start it, or None; for ``every_node``: *me* or None.
        settled: whether the epoch is, and what is wanted has been compared with all members.
        hindered: why a start must wait, or ``""``.
        minority: a child that stops in a minority has to.
        moves_left: how many moves may begin.
        home_gone: whether the life of the node that a temporary child is bound to is over.
        prefers: the node that it was moved to on request, if that may run it; or ``""``.
        offered: whether this node's entry is being offered to another.
        failed: why the move that *record* asks for is not possible: what runs here cannot go, or
            what was moved here cannot start; or ``""``.
    """

    me: str
    life: str
    record: Record | None
    mine: Entry | None
    others: Mapping[str, Entry]
    owner: str | None
    settled: bool = True
    hindered: str = ""
    minority: bool = False
    moves_left: int = 1
    home_gone: bool = False
    prefers: str = ""
    offered: bool = False
    failed: str = ""

    @property
    def place(self) -> str | None:
        """The node where it belongs, or None."""
        return self.prefers or self.owner


OK = Action(NOTHING)


def decide(case: Case) -> Action:
    """Return what to do."""
    mine, record = case.mine, case.record
    if mine is None:
        return _decide_absent(case)
    if record is None or record.deleted:
        return _end(mine, "it is wanted no longer")
    if mine.version != record.instance:
        return _end(mine, "its specification has been replaced")
    if case.minority and record.on_minority == "stop" and mine.status in ALIVE:
        return Action(KILL, "this node has lost the majority")
    if record.every_node:
        return _decide_of_every_node(case, mine)
    if not case.settled:
        return Action(WAIT, "the members do not agree yet")
    if case.offered:
        return Action(WAIT, "another node has been asked to take it")
    if mine.status in TOKENS:
        return _decide_token(case, mine)
    if mine.status in SETTLED:
        return _decide_running(case, mine, record)
    if mine.status in (STOPPING, LEAVING):
        return OK
    return _decide_resting(case)


def _decide_of_every_node(case: Case, mine: Entry) -> Action:
    if case.owner != case.me:
        return _end(mine, "this node may not run it any more")
    if mine.status not in TOKENS:
        return OK
    return Action(WAIT, case.hindered) if case.hindered else Action(START, "of every node")


def _end(mine: Entry, why: str) -> Action:
    if mine.status == STOPPING:
        return OK
    return Action(STOP, why) if mine.status in ALIVE else Action(DROP, why)


def _decide_absent(case: Case) -> Action:
    record = case.record
    if record is None or record.deleted:
        return OK
    if record.every_node:
        if case.owner != case.me:
            return OK
        return Action(WAIT, case.hindered) if case.hindered else Action(START, "of every node")
    if record.home:
        return _decide_temporary(case, record)
    if case.owner != case.me:
        return OK
    if not case.settled:
        return Action(WAIT, "the members do not agree yet")
    if case.others:
        node = min(case.others)
        return Action(WAIT, f"it is {case.others[node].status} on {node!r}")
    if case.hindered:
        return Action(WAIT, case.hindered)
    return Action(START, f"this node, {case.me!r}, is its owner and nobody runs it")


def _decide_temporary(case: Case, record: Record) -> Action:
    """Of a temporary child that this node does not run: it is never started again."""
    if not case.settled or case.others:
        return OK
    if record.home == case.life:
        return Action(FORGET, "it has ended")
    if case.owner != case.me:
        return OK
    if case.home_gone:
        return Action(FORGET, "it was temporary, and has ended with its node")
    return Action(WAIT, "it is temporary, and its node may still run it")


def _decide_token(case: Case, mine: Entry) -> Action:
    for node, entry in case.others.items():
        if entry.status in ALIVE:
            return Action(DROP, f"it is {entry.status} on {node!r}")
    if case.place is None:
        return Action(WAIT, "no node may run it")
    if case.place != case.me:
        return Action(OFFER, _belongs(case), case.place)
    holders = [node for node, entry in case.others.items() if entry.status in TOKENS]
    if case.failed:
        return Action(UNDO, case.failed)
    if mine.status == MOVING and holders:
        return Action(OFFER, f"it was passed on to {holders[0]!r}", holders[0])
    if case.hindered:
        return Action(WAIT, case.hindered)
    return Action(START, f"this node, {case.me!r}, is its owner and it was moved here")


def _decide_running(case: Case, mine: Entry, record: Record) -> Action:
    rivals = {n: e for n, e in case.others.items() if e.status in SETTLED}
    if rivals:
        winner = survivor({**rivals, case.me: mine}, case.place)
        if winner != case.me:
            return Action(STOP, f"duplicate: the copy on {winner!r} stays")
        return OK
    if case.place in (case.me, None):
        return OK
    if record.restart == "temporary":
        return Action(WAIT, "temporary children do not move")
    if case.failed:
        return Action(UNDO, case.failed)
    if case.others:
        node = min(case.others)
        return Action(WAIT, f"it is {case.others[node].status} on {node!r}, too")
    if case.moves_left <= 0:
        return Action(WAIT, f"it moves to {case.place!r} when other moves have ended")
    return Action(MOVE, _belongs(case), case.place or "")


def _belongs(case: Case) -> str:
    return f"it was moved to {case.prefers!r}" if case.prefers else f"{case.owner!r} is its owner"


def _decide_resting(case: Case) -> Action:
    """Of a child that is quarantined, or ignored by its init."""
    for node, entry in case.others.items():
        if entry.status in ALIVE:
            return Action(DROP, f"it is {entry.status} on {node!r}")
    if case.place in (case.me, None):
        return OK
    if case.failed:
        return Action(UNDO, case.failed)
    if case.place == case.owner:
        return Action(DROP, _belongs(case))  # that node starts it
    return Action(RELEASE, _belongs(case), case.place or "")


def survivor(copies: Mapping[str, Entry], owner: str | None) -> str:
    """Return which of several running copies stays, alike on every node.

    That of the owner, else the one with the highest generation, else by name.
    """
    if owner in copies:
        return owner  # type: ignore[return-value]
    return max(copies, key=lambda node: (copies[node].generation, node))


def fewest(hosts: Iterable[str], load: Mapping[str, int]) -> str | None:
    """Return the host with the fewest children; None when there is none."""
    return min(hosts, key=lambda host: (load.get(host, 0), len(host), host), default=None)
