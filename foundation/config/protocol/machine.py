"""The configuration server of one node, without I/O; see the package's docstring.

The driver calls the methods with the time; after each call it carries out what is in
``effects``, in order, and sees to it that ``tick`` is called at ``next_wake``. Messages may be
lost, doubled and reordered.

Invariants:
    C1  What is applied was decided by a majority, here or where it was learnt from.
    C2  The records applied to one path rise in ``Record.order``.
    C3  Every outcome is told once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from foundation.config.protocol.acceptor import Acceptor
from foundation.config.protocol.moving import Mover
from foundation.config.protocol.peers import Peer, Peers
from foundation.config.protocol.rounds import (
    ACCEPT,
    CARRY,
    FOR_EVER,
    MOVE,
    PREPARE,
    QUERY,
    READ,
    WRITE,
    Op,
    Rounds,
)
from foundation.config.protocol.values import (
    ABSENT,
    SUCCESSOR,
    Applied,
    Configuration,
    Effect,
    Greet,
    Life,
    Path,
    Record,
    Send,
    ballot_of,
    entry_of,
    plain,
)
from foundation.kernel.codec import dumps
from foundation.kernel.values import Pid

if TYPE_CHECKING:
    from random import Random

HELLO_EVERY = 1.0  # seconds between two greetings: they say what the other may have missed
UNFINISHED_AFTER = 2.0  # seconds after which an accepted record of nobody is finished
CHUNK = 256 * 1024  # bytes of values in one message of what another has missed


class Machine:
    """See the module docstring.

    Args:
        me: the life of this server.
        node: its node.
        expected: ``ClusterConfig.expected_size``; None: a majority is of who is there.
        rng: the only source of chance.
        applied: what an earlier server of this node knew to be decided, if anything.

    Attributes:
        effects: what is to be done; the driver empties it.
        applied: by path, the decided record that this node knows.
    """

    def __init__(
        self,
        me: Life,
        node: str,
        expected: int | None,
        rng: Random,
        applied: dict[Path, Record] | None = None,
    ) -> None:
        self.me = me
        self.effects: list[Effect] = []
        self.applied: dict[Path, Record] = {} if applied is None else applied
        self.peers = Peers(me, node, expected or 0)
        self.acceptor = Acceptor()
        self.rounds = Rounds(
            self.acceptor,
            self.peers,
            rng,
            self.applied,
            self._post,
            self._decided,
            self.effects.append,
        )
        self.mover = Mover(
            self.acceptor, self.peers, self.applied, self._post, self._propose, self._moved
        )
        self._now = 0.0
        self._mail: list[tuple[Any, ...]] = []  # from this node to itself
        self._hello_at = FOR_EVER
        self._digest = 0
        for path, record in self.applied.items():
            self._digest ^= _fingerprint(path, record)
        self._settling: dict[Path, None] = {}  # what was accepted before this node came
        self._unfinished: dict[Path, Record] = {}  # accepted and not applied, when last looked
        self._look_at = FOR_EVER

    # What the driver tells

    def start(self, now: float, nodes: list[str]) -> None:
        """Begin; *nodes* are up."""
        for node in nodes:
            self.peers.up(node)
        self._wake_for_others(now)
        self.mover.news(now)
        self.tick(now)

    def node_up(self, node: str, now: float) -> None:
        """Another node can be reached."""
        self.peers.up(node)
        self._wake_for_others(now)
        if node != self.peers.node:
            self.effects.append(Greet(node, plain(self._hello(True))))

    def node_down(self, node: str, now: float) -> None:
        """Another node cannot be reached any more."""
        if self.peers.down(node):
            self._run(now, self.mover.news, now)

    def write(
        self, token: Any, path: Path, value: bytes | None, deadline: float, now: float
    ) -> None:
        """Write *value*, None to remove it; an ``Outcome`` with *token* will come."""
        self._run(now, self.rounds.submit, now, token, path, WRITE, value, deadline)

    def read(self, token: Any, path: Path, deadline: float, now: float) -> None:
        """Read what a majority holds; an ``Outcome`` with *token* will come."""
        self._run(now, self.rounds.submit, now, token, path, READ, None, deadline)

    def receive(self, message: Any, now: float) -> None:
        """Take a message of another server. One that makes no sense changes nothing."""
        self._run(now, self._receive, message)

    def tick(self, now: float) -> None:
        """Do what is due."""
        self._run(now, self._tick)

    @property
    def next_wake(self) -> float:
        """When ``tick`` is to be called."""
        return min(self._hello_at, self._look_at, self.mover.at, self.rounds.next_wake)

    @property
    def available(self) -> bool:
        """Whether this node is a member that knows all that was decided before it came."""
        acceptor = self.acceptor
        if acceptor.successor is not None or self.me not in acceptor.configuration.members:
            return False
        for path in [path for path in self._settling if not self.rounds.busy(path)]:
            del self._settling[path]
        return not self._settling

    # Inside

    def _run(self, now: float, method: Callable[..., None], *args: Any) -> None:
        self._now = now
        method(*args)
        while self._mail:
            self._receive(self._mail.pop(0))

    def _post(self, life: Life, message: tuple[Any, ...]) -> None:
        if life == self.me:
            self._mail.append(message)
        else:
            self.effects.append(Send(life, plain(message)))

    def _tick(self) -> None:
        now = self._now
        alone = not self.peers.nodes
        if self._hello_at <= now:
            self._hello_at = FOR_EVER if alone else now + HELLO_EVERY
            self._say_hello()
        if self._look_at <= now:
            self._look_at = FOR_EVER if alone else now + UNFINISHED_AFTER
            self._finish_others()
        if self.mover.at <= now:
            self.mover.review(now)
        self.rounds.tick(now)

    def _wake_for_others(self, now: float) -> None:
        """See to what is done now and then while there are other nodes."""
        if self.peers.nodes:
            self._hello_at = min(self._hello_at, now)
            self._look_at = min(self._look_at, now + UNFINISHED_AFTER)

    def _say_hello(self) -> None:
        for node in self.peers.nodes:
            self.effects.append(Greet(node, plain(self._hello(True))))

    def _hello(self, answer: bool) -> tuple[Any, ...]:
        mine, expected = self.acceptor.configuration, self.peers.expected
        return "hello", self.me, self.peers.node, mine, expected, self._digest, answer

    def _finish_others(self) -> None:
        """Have records decided, or replaced, whose proposers have gone in the middle."""
        left = {}
        for path, register in self.acceptor.registers.items():
            record = register.record
            if path != SUCCESSOR and record.order > self.applied.get(path, ABSENT).order:
                left[path] = record
        for path, record in left.items():
            if self._unfinished.get(path) == record and not self.rounds.busy(path):
                self._settle(path)
        self._unfinished = left

    def _settle(self, path: Path) -> None:
        self.rounds.submit(self._now, None, path, READ, None, FOR_EVER)

    def _propose(self, successor: Callable[[], Configuration]) -> None:
        self.rounds.submit(self._now, None, SUCCESSOR, MOVE, successor, FOR_EVER)

    def _decided(self, op: Op, record: Record) -> None:
        if op.path == SUCCESSOR:
            self.mover.decided(Configuration.of(record.value), self._now)
        elif self._learn(op.path, record):
            for peer in self.peers.known.values():
                self._post(peer.life, ("records", self.me, [(op.path, record)]))

    def _learn(self, path: Path, record: Record) -> bool:
        old = self.applied.get(path, ABSENT)
        if record.order <= old.order:
            return False
        self.applied[path] = record
        self._digest ^= _fingerprint(path, old) ^ _fingerprint(path, record)
        self.effects.append(Applied(path, record))
        return True

    def _moved(self, carried: dict[Path, Record]) -> None:
        """A configuration has begun here."""
        now = self._now
        registers = self.acceptor.registers
        self.rounds.restart(now)
        for path, record in carried.items():
            held = registers[path].record if path in registers else ABSENT
            if record.order > held.order:
                self.rounds.submit(now, None, path, CARRY, record, FOR_EVER)
        for path, register in registers.items():
            if register.record.order > self.applied.get(path, ABSENT).order:
                self._settling[path] = None
                self._settle(path)
        self._say_hello()

    # Messages

    def _receive(self, message: Any) -> None:
        handler = self._HANDLERS.get(message[0])
        if handler is not None:
            handler(self, *message[1:])

    def _on_hello(
        self, life: Any, node: str, theirs: Any, expected: int, digest: int, answer: bool
    ) -> None:
        peer = Peer(Pid(*life), Configuration.of(theirs), expected)
        if self.peers.heard(node, peer):
            self.mover.news(self._now)
        if node not in self.peers.nodes:
            return
        if answer:
            self._post(peer.life, self._hello(False))
        if digest != self._digest:
            have = [(path, r.number, r.op) for path, r in self.applied.items()]
            self._post(peer.life, ("have", self.me, have))

    def _on_have(self, life: Any, have: Any) -> None:
        theirs = {tuple(path): (number, op) for path, number, op in have}
        lacks = [
            (path, record)
            for path, record in self.applied.items()
            if record.order > theirs.get(path, ABSENT.order)
        ]
        for part in _chunks(lacks):
            self._post(Pid(*life), ("records", self.me, part))

    def _on_records(self, life: Any, records: Any) -> None:
        for path, record in records:
            self._learn(tuple(path), Record(*record))

    def _votes(self, life: Any, about: Any, path: Path) -> bool:
        number, tag = about
        return self.acceptor.votes((number, tuple(tag)), path)

    def _on_query(self, life: Any, about: Any, path: Any, number: int) -> None:
        path = tuple(path)
        if self._votes(life, about, path):
            held = self.acceptor.look(path)
            answer = ("held", self.me, about, number, held.ballot, held.record)
            self._post(Pid(*life), answer)

    def _on_prepare(self, life: Any, about: Any, path: Any, number: int, raw: Any) -> None:
        path, ballot = tuple(path), ballot_of(raw)
        if not self._votes(life, about, path):
            return self._tell_successor(life, about)
        if ballot[1] != self.me:
            self.rounds.rival(path)
        held = self.acceptor.promise(path, ballot)
        if held is None:
            return self._refuse(life, about, path, number, ballot)
        answer = ("promised", self.me, about, number, ballot, held.ballot, held.record)
        return self._post(Pid(*life), answer)

    def _on_accept(
        self, life: Any, about: Any, path: Any, number: int, raw: Any, record: Any
    ) -> None:
        path, ballot = tuple(path), ballot_of(raw)
        if not self._votes(life, about, path):
            return self._tell_successor(life, about)
        if not self.acceptor.accept(path, ballot, Record(*record)):
            return self._refuse(life, about, path, number, ballot)
        return self._post(Pid(*life), ("accepted", self.me, about, number, ballot))

    def _refuse(self, life: Any, about: Any, path: Path, number: int, ballot: Any) -> None:
        promised = self.acceptor.look(path).promised
        self._post(Pid(*life), ("refused", self.me, about, number, ballot, promised))

    def _tell_successor(self, life: Any, about: Any) -> None:
        """Who still asks a sealed member is to be sealed, too."""
        successor = self.acceptor.successor
        if successor is not None and self._is_mine(about):
            self._post(Pid(*life), ("seal", self.me, about, successor))

    def _is_mine(self, about: Any) -> bool:
        return (about[0], tuple(about[1])) == self.acceptor.configuration.id

    def _on_held(self, life: Any, about: Any, number: int, ballot: Any, record: Any) -> None:
        if self._is_mine(about):
            held = (ballot_of(ballot), Record(*record))
            self.rounds.answered(self._now, Pid(*life), QUERY, number, held[0], held)

    def _on_promised(
        self, life: Any, about: Any, number: int, ballot: Any, held: Any, record: Any
    ) -> None:
        if self._is_mine(about):
            answer = (ballot_of(held), Record(*record))
            asked = ballot_of(ballot)
            self.rounds.answered(self._now, Pid(*life), PREPARE, number, asked, answer)

    def _on_accepted(self, life: Any, about: Any, number: int, ballot: Any) -> None:
        if self._is_mine(about):
            asked = ballot_of(ballot)
            self.rounds.answered(self._now, Pid(*life), ACCEPT, number, asked, True)

    def _on_refused(self, life: Any, about: Any, number: int, ballot: Any, promised: Any) -> None:
        if self._is_mine(about):
            self.rounds.refused(self._now, number, ballot_of(ballot), ballot_of(promised))

    def _on_seal(self, life: Any, about: Any, successor: Any) -> None:
        self.mover.seal(
            Pid(*life), (about[0], tuple(about[1])), Configuration.of(successor), self._now
        )

    def _on_sealed(self, life: Any, about: Any, entries: Any) -> None:
        parts = [entry_of(entry) for entry in entries]
        self.mover.sealed(Pid(*life), (about[0], tuple(about[1])), parts)

    def _on_install(self, life: Any, configuration: Any, entries: Any) -> None:
        parts = [entry_of(entry) for entry in entries]
        known = [(entry.path, entry.applied) for entry in parts if entry.applied.number]
        self._on_records(life, known)
        self.mover.install(Configuration.of(configuration), parts, self._now)

    _HANDLERS: dict[str, Callable[..., Any]] = {
        "hello": _on_hello,
        "have": _on_have,
        "records": _on_records,
        "query": _on_query,
        "held": _on_held,
        "prepare": _on_prepare,
        "promised": _on_promised,
        "accept": _on_accept,
        "accepted": _on_accepted,
        "refused": _on_refused,
        "seal": _on_seal,
        "sealed": _on_sealed,
        "install": _on_install,
    }


def _chunks(records: list[tuple[Path, Record]]) -> Iterator[list[tuple[Path, Record]]]:
    """Divide *records* into messages of about ``CHUNK`` bytes."""
    part: list[tuple[Path, Record]] = []
    size = 0
    for path, record in records:
        part.append((path, record))
        size += len(record.value or b"")
        if size > CHUNK:
            yield part
            part, size = [], 0
    if part:
        yield part


def _fingerprint(path: Path, record: Record) -> int:
    if not record.number:
        return 0
    data = dumps((path, record.number, record.op))
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")
