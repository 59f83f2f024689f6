"""What a node that was asked to read or write does: the proposer of CASPaxos.

A write asks a majority to *promise* a ballot, learns thereby what was accepted last, and has a
majority *accept* its own record on top of that. Somebody else's record that was accepted by a
few is so either finished, as the one below, or lost for good. A read asks a majority what they
hold; when they do not all say the same, it has the latest record accepted anew before it is
returned.

Invariants:
    P1  One ballot is used for one record.
    P2  Answers count that were given in the present configuration, by one that votes in it,
        once each.
    P3  Records of one path that are decided are a chain: each was made on top of the one
        before, so their numbers rise, and one number has one value.
    P4  A write is in that chain at most once, however often its proposer tries again: it looks
        for its own op in what a majority holds, which lists the last write of each member. As
        a node has one write of a path under way at a time, that answers for certain.
    P5  ``"refused"`` is said of a write only when nobody was ever asked to accept it.
    P6  What a node knows to be decided it never goes back behind, also where a majority has
        lost its memory and holds less.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from foundation.config.protocol.acceptor import Acceptor
from foundation.config.protocol.peers import Peers
from foundation.config.protocol.values import (
    ABSENT,
    FORGOTTEN,
    LATE,
    NO_BALLOT,
    OVERTAKEN,
    QUEUED,
    SUCCESSOR,
    Ballot,
    Life,
    Outcome,
    Path,
    Record,
    op_id,
)

if TYPE_CHECKING:
    from random import Random

WRITE, READ, CARRY, MOVE = "write", "read", "carry", "move"  # kinds of an op
WAIT, QUERY, PREPARE, ACCEPT = "wait", "query", "prepare", "accept"  # phases

ASK_AGAIN = 0.25  # seconds without an answer until a question is repeated
FIRST_PAUSE = 0.05  # seconds at most that a proposer leaves the field to a rival; doubled ...
LAST_PAUSE = 0.1  # ... up to this
TURN = 0.1  # seconds that one which was done leaves the field to a rival that it has seen
FOR_EVER = float("inf")


@dataclass
class Op:
    """Something that this node wants to be decided.

    Attributes:
        number: which of this node.
        id: of the record that it makes.
        token: whose question it is; None: its own.
        path: of what.
        kind: ``WRITE`` puts *value* on top; ``CARRY`` the record *value*, unless a later one is
            there; ``MOVE`` makes what *value* returns the successor, unless there is one; ``READ``
            reads.
        value: see *kind*.
        deadline: until when.
        phase: what it waits for; ``WAIT``: until *at*, or a new configuration.
        ballot: of the present attempt.
        answers: by life, to the present phase.
        record: of the present attempt.
        first: the lowest number of a record that anybody was asked to accept; 0: none was.
        attempts: so far.
        overtaken: whether a rival ended the last attempt.
        at: when to go on by itself.
    """

    number: int
    id: bytes
    token: Any
    path: Path
    kind: str
    value: Any = None
    deadline: float = FOR_EVER
    phase: str = WAIT
    ballot: Ballot = NO_BALLOT
    answers: dict[Life, Any] = field(default_factory=dict)
    record: Record = ABSENT
    first: int = 0
    attempts: int = 0
    overtaken: bool = False
    at: float = FOR_EVER


class Rounds:
    """The ops of one node; of each path one at a time.

    Args:
        acceptor: of this node.
        peers: who is there.
        rng: the only source of chance.
        applied: the machine's.
        post: sends a message to a life.
        decided: told ``(op, record)`` when a majority has accepted.
        outcome: told of ends.
    """

    def __init__(
        self,
        acceptor: Acceptor,
        peers: Peers,
        rng: Random,
        applied: dict[Path, Record],
        post: Callable[[Life, tuple[Any, ...]], None],
        decided: Callable[[Op, Record], None],
        outcome: Callable[[Outcome], None],
    ) -> None:
        self._acceptor = acceptor
        self._peers = peers
        self._rng = rng
        self._applied = applied
        self._post = post
        self._decided = decided
        self._outcome = outcome
        self._queues: dict[Path, deque[Op]] = {}
        self._open: dict[int, Op] = {}  # the first of each queue, by number
        self._number = 0
        self._highest: dict[Path, int] = {}  # ballot numbers that were heard of
        self._rivals: dict[Path, None] = {}  # where another proposer was seen lately

    @property
    def next_wake(self) -> float:
        """When ``tick`` is to be called."""
        waits = [min(op.at, op.deadline) for q in self._queues.values() for op in q]
        return min(waits, default=FOR_EVER)

    def busy(self, path: Path) -> bool:
        """Whether there is an op about *path*."""
        return path in self._queues

    def submit(
        self, now: float, token: Any, path: Path, kind: str, value: Any, deadline: float
    ) -> None:
        """Begin an op, or let it wait for its turn."""
        self._number += 1
        id = op_id(self._peers.me, self._number)
        op = Op(self._number, id, token, path, kind, value, deadline)
        queue = self._queues.setdefault(path, deque())
        queue.append(op)
        if queue[0] is op:
            self._open[op.number] = op
            self._begin(op, now)

    def restart(self, now: float) -> None:
        """There is a new configuration: begin the present attempts anew, in that one."""
        self._highest.clear()
        for op in list(self._open.values()):
            if op.kind == MOVE:
                self._end(op, now)  # it was about the old one
            else:
                self._begin(op, now)

    def tick(self, now: float) -> None:
        """Give up what is late; ask again; try again."""
        late = [op for q in self._queues.values() for op in q if op.deadline <= now]
        for op in late:
            self._give_up(op, now)
        for op in [op for op in self._open.values() if op.at <= now]:
            if op.phase == WAIT:
                self._begin(op, now)
            else:
                self._ask(op, now)

    # Attempts

    def _begin(self, op: Op, now: float) -> None:
        op.answers = {}
        if not self._acceptor.votes(self._acceptor.configuration.id, op.path):
            op.phase, op.at = WAIT, FOR_EVER
        elif op.kind == READ and not op.attempts:
            op.phase = QUERY
            self._ask(op, now)
        else:
            self._prepare(op, now)

    def _prepare(self, op: Op, now: float) -> None:
        op.attempts += 1
        op.overtaken = False
        op.answers = {}
        promised = self._acceptor.look(op.path).promised[0]
        number = max(promised, self._highest.get(op.path, 0)) + 1
        self._highest[op.path] = number
        op.ballot = (number, self._peers.me)
        op.phase = PREPARE
        self._ask(op, now)

    def _ask(self, op: Op, now: float) -> None:
        """Ask those who have not answered."""
        op.at = now + ASK_AGAIN
        me, about = self._peers.me, self._acceptor.configuration
        message: tuple[Any, ...] = (op.phase, me, about.id, op.path, op.number)
        if op.phase != QUERY:
            message += (op.ballot,)
        if op.phase == ACCEPT:
            message += (op.record,)
        for life in self._peers.electorate(about):
            if life not in op.answers:
                self._post(life, message)

    # Answers

    def answered(
        self, now: float, life: Life, phase: str, number: int, ballot: Ballot, answer: Any
    ) -> None:
        """A voter has answered a question of the present configuration."""
        op = self._open.get(number)
        about = self._acceptor.configuration
        if op is None or op.phase != phase or life not in self._peers.electorate(about):
            return
        if phase != QUERY and ballot != op.ballot:
            return  # to an earlier attempt
        op.answers[life] = answer
        if len(op.answers) < self._peers.needed(about, op.path == SUCCESSOR):
            return
        if phase == QUERY:
            self._looked(op, now)
        elif phase == PREPARE:
            self._promised(op, now)
        else:
            self._accepted(op, now)

    def refused(self, now: float, number: int, ballot: Ballot, promised: Ballot) -> None:
        """A voter has promised more to a rival: leave the field to that one for a moment."""
        op = self._open.get(number)
        if op is None or op.phase not in (PREPARE, ACCEPT) or ballot != op.ballot:
            return
        highest = self._highest
        highest[op.path] = max(highest.get(op.path, 0), promised[0])
        op.overtaken = True
        pause = min(LAST_PAUSE, FIRST_PAUSE * 2 ** min(op.attempts, 16))
        op.phase, op.at = WAIT, now + self._rng.uniform(0.0, pause)

    def rival(self, path: Path) -> None:
        """Another proposer is about *path*, too."""
        if path in self._queues:
            self._rivals[path] = None

    def _looked(self, op: Op, now: float) -> None:
        first, *others = op.answers.values()
        known = self._applied.get(op.path, ABSENT)
        if all(answer == first for answer in others) and first[1].order >= known.order:
            if first[1].number:
                self._decided(op, first[1])  # a majority has accepted it with one ballot
            if self._open.get(op.number) is op:
                self._finish(op, now, first[1])
        else:
            self._prepare(op, now)

    def _promised(self, op: Op, now: float) -> None:
        base = max(op.answers.values(), key=lambda a: (a[0], a[1].order))[1]
        if op.path != SUCCESSOR:  # P6
            base = max(base, self._applied.get(op.path, ABSENT), key=lambda record: record.order)
        record = self._next(op, base)
        if record is None:
            self._end(op, now, "unknown", why=FORGOTTEN)
        elif not record.number:
            self._finish(op, now, record)
        else:
            op.record = record
            if op.kind == WRITE:
                op.first = min(op.first or record.number, record.number)
            op.phase, op.answers = ACCEPT, {}
            self._ask(op, now)

    def _next(self, op: Op, base: Record) -> Record | None:
        """Return what is to be accepted on top of *base*; None: nobody can know (any more)."""
        if op.kind == READ:
            return base
        if op.kind == CARRY:
            carried: Record = op.value
            return carried if carried.order > base.order else base
        node, members = self._peers.node, self._acceptor.configuration.members
        if op.kind == MOVE:
            return base if base.number else base.after(op.id, node, op.value(), members)
        if op.first and base.number_of(op.id) is not None:
            return base  # P4
        if op.first and not base.remembers(op.id, op.first):
            return None
        return base.after(op.id, node, op.value, members)

    def _accepted(self, op: Op, now: float) -> None:
        self._decided(op, op.record)
        if self._open.get(op.number) is op:
            self._finish(op, now, op.record)

    def _finish(self, op: Op, now: float, record: Record) -> None:
        if op.kind == WRITE and record.op != op.id:
            number = record.number_of(op.id)
            assert number is not None
            record = Record(number, op.id, self._peers.node, op.value)
        self._end(op, now, "done", record)

    # Ends

    def _give_up(self, op: Op, now: float) -> None:
        if op.first:
            self._end(op, now, "unknown", why=LATE)
        elif op.number not in self._open:
            self._end(op, now, "refused", why=QUEUED)
        else:
            self._end(op, now, "refused", why=OVERTAKEN if op.overtaken else LATE)

    def _end(
        self,
        op: Op,
        now: float,
        kind: str = "dropped",
        record: Record | None = None,
        why: str = "",
    ) -> None:
        queue = self._queues[op.path]
        queue.remove(op)
        was_open = self._open.pop(op.number, None) is not None
        if not queue:
            del self._queues[op.path]
            self._rivals.pop(op.path, None)
        elif was_open:
            following = self._open[queue[0].number] = queue[0]
            if op.path in self._rivals:
                del self._rivals[op.path]
                following.at = now + self._rng.uniform(0.0, TURN)
            else:
                self._begin(following, now)
        if op.token is not None:
            about = self._acceptor.configuration
            needed = self._peers.needed(about, op.path == SUCCESSOR)
            self._outcome(Outcome(op.token, kind, record, why, len(op.answers), needed))
