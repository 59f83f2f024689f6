"""What members of a configuration say to each other. All are tuples of plain values.

They travel as plain tuples, so that nobody unpickles anything; ``Record(*raw)`` and
``Configuration.of(raw)`` make them what they are again.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from foundation.kernel.values import Pid

Life = Pid  # of a server: it ends with its memory
Path = tuple[str, ...]
Ballot = tuple[int, tuple[Any, ...]]  # (number, life of the proposer); of one configuration

NO_BALLOT: Ballot = (0, ())  # below all others: the state in which a configuration begins
SUCCESSOR: Path = ()  # the register that holds the next configuration; written once
STRANGERS = 32  # writers that are no members (any more) whose last writes a record lists
WRITER_BYTES = 16  # of the name of a writer, a life
NUMBER_BYTES = 8
OP_BYTES = WRITER_BYTES + NUMBER_BYTES  # of the name of a write
_ITEM = OP_BYTES + NUMBER_BYTES  # of one write in ``Record.last``


class Record(NamedTuple):
    """What a register holds: one write, and the last one of each other writer before it.

    Attributes:
        number: how many writes the path has had with this one; 0: none.
        op: which write it was; unique for ever. It begins with the name of its writer.
        node: that was asked for it.
        value: the value's bytes; None: the path was reset. A configuration in ``SUCCESSOR``.
        last: ``(op, number)`` of the last write of each other writer, put together, by number. By
            these a proposer knows whether a write of its own, of which it heard no more, took
            effect, however many came after it: it has one under way at a time for each path.
        forgotten: the highest number that was dropped from *last*; 0: none was. Members
            of the configuration are never dropped.
    """

    number: int
    op: bytes
    node: str
    value: Any
    last: bytes = b""
    forgotten: int = 0

    @property
    def order(self) -> tuple[int, bytes]:
        """By this, of two records of a path, the later one is known; see invariant P3."""
        return self.number, self.op

    def after(self, op: bytes, node: str, value: Any, members: Iterable[Life]) -> Record:
        """Return the record of the write *op* on top of this one, made among *members*."""
        writer = op[:WRITER_BYTES]
        writes = [each for each in self.history() if each[1][:WRITER_BYTES] != writer]
        dropped = dict.fromkeys(_strangers(writes, members)[STRANGERS:])
        forgotten = max([self.forgotten, *(number for number, _ in dropped)])
        kept = [each for each in reversed(writes) if each not in dropped]
        last = b"".join([op + number.to_bytes(NUMBER_BYTES, "big") for number, op in kept])
        return Record(self.number + 1, op, node, value, last, forgotten)

    def history(self) -> list[tuple[int, bytes]]:
        """Return ``(number, op)`` of this write, and of those in ``last``, latest first."""
        return [*reversed([*self._listed(), (self.number, self.op)])] if self.number else []

    def _listed(self) -> Iterator[tuple[int, bytes]]:
        for at in range(0, len(self.last), _ITEM):
            item = self.last[at : at + _ITEM]
            yield int.from_bytes(item[OP_BYTES:], "big"), item[:OP_BYTES]

    def number_of(self, op: bytes) -> int | None:
        """Return the number of the write *op*; None: it is not the last one of its writer."""
        return next((number for number, other in self.history() if other == op), None)

    def remembers(self, op: bytes, number: int) -> bool:
        """Whether the write *op*, if it had been made with *number* or a later one, would show."""
        writer = op[:WRITER_BYTES]
        listed = any(other[:WRITER_BYTES] == writer for _, other in self.history())
        return listed or number > self.forgotten


ABSENT = Record(0, b"", "", None)


def op_id(life: Life, number: int) -> bytes:
    """Return what names the write *number* of the server *life*, and no other."""
    return _writer(life) + number.to_bytes(NUMBER_BYTES, "big")


@functools.lru_cache(maxsize=10_000)
def _writer(life: Life) -> bytes:
    text = f"{life.host} {life.incarnation} {life.serial}"
    return hashlib.blake2b(text.encode(), digest_size=WRITER_BYTES).digest()


def _strangers(
    writes: list[tuple[int, bytes]], members: Iterable[Life]
) -> list[tuple[int, bytes]]:
    """Return those of *writes* whose writers are not among *members*."""
    known = dict.fromkeys(map(_writer, members))
    return [each for each in writes if each[1][:WRITER_BYTES] not in known]


class Configuration(NamedTuple):
    """Who decides.

    Attributes:
        number: 0: nobody has decided on one yet; then each the successor of the last.
        tag: the life that proposed it: where no size is expected there may be several of one
            number, of parts of the cluster that could not see each other.
        members: the lives, sorted.
        least: acknowledgements that a majority needs at least, however few members there are;
            0 where no size is expected.
        origin: tag of the first configuration, from which this one descends.
    """

    number: int
    tag: tuple[Any, ...]
    members: tuple[Life, ...]
    least: int
    origin: tuple[Any, ...]

    @classmethod
    def of(cls, raw: Any) -> Configuration:
        """Return the configuration that travelled as *raw*."""
        number, tag, members, least, origin = raw
        return cls(number, tuple(tag), tuple(members), least, tuple(origin))

    @property
    def id(self) -> tuple[int, tuple[Any, ...]]:
        """Names it."""
        return self.number, self.tag

    @property
    def majority(self) -> int:
        """How many acknowledgements are a majority."""
        return max(len(self.members) // 2 + 1, self.least)


GENESIS = Configuration(0, (), (), 0, ())


def node_of(life: Life) -> str:
    """Return the node where the server of *life* ran, or runs."""
    return life.host.partition("/")[0]


class Entry(NamedTuple):
    """One register, as it is handed over.

    Attributes:
        path: which.
        ballot: with which the record was accepted.
        record: the record; ``ABSENT`` when none was accepted.
        applied: the latest record that is known to be decided, or ``ABSENT``.
    """

    path: Path
    ballot: Ballot
    record: Record
    applied: Record


def entry_of(raw: Any) -> Entry:
    """Return the entry that travelled as *raw*."""
    path, ballot, record, applied = raw
    return Entry(tuple(path), ballot_of(ballot), Record(*record), Record(*applied))


def ballot_of(raw: Any) -> Ballot:
    """Return the ballot that travelled as *raw*."""
    number, life = raw
    return number, tuple(life)


def merged(snapshots: Iterable[Iterable[Entry]]) -> dict[Path, Entry]:
    """Return what all *snapshots* of one configuration say: for each path the latest of each."""
    found: dict[Path, Entry] = {}
    for snapshot in snapshots:
        for entry in snapshot:
            have = found.get(entry.path)
            if have is None:
                found[entry.path] = entry
                continue
            newer = (entry.ballot, entry.record.order) > (have.ballot, have.record.order)
            accepted = entry if newer else have
            applied = max(entry.applied, have.applied, key=lambda record: record.order)
            found[entry.path] = Entry(entry.path, accepted.ballot, accepted.record, applied)
    return found


def plain(value: Any) -> Any:
    """Return *value* in tuples and lists without names, which need no pickle; pids stay."""
    if isinstance(value, tuple):
        return value if type(value) is Pid else tuple([plain(item) for item in value])
    return [plain(item) for item in value] if isinstance(value, list) else value


# What a machine asks of its driver

LATE, FORGOTTEN, QUEUED, OVERTAKEN = "late", "forgotten", "queued", "overtaken"  # Outcome.why


@dataclass(frozen=True)
class Send:
    """Send *message* to the server whose life is *to*; it may be lost."""

    to: Life
    message: tuple[Any, ...]


@dataclass(frozen=True)
class Greet:
    """Send *message* to the server of *node*, whichever its life."""

    node: str
    message: tuple[Any, ...]


@dataclass(frozen=True)
class Applied:
    """*record* is now the value of *path*: it is decided, and later than what was applied."""

    path: Path
    record: Record


@dataclass(frozen=True)
class Outcome:
    """What was asked with *token* has ended.

    Attributes:
        token: whose question it was.
        kind: ``"done"``; ``"refused"``: nothing was applied, nor will be; ``"unknown"``: it may
            have been applied, or may be yet.
        record: when done: what was written, or read.
        why: when unknown: ``LATE``, the deadline came first; ``FORGOTTEN``, the records do not
            list (any more) what this node had written. When refused: ``LATE``; ``QUEUED``, other
            writes of this node were before it; ``OVERTAKEN``, those of other nodes.
        answered: when not done: how many have answered in the last attempt,
        needed: of how many that had to.
    """

    token: Any
    kind: str
    record: Record | None = None
    why: str = ""
    answered: int = 0
    needed: int = 0


Effect = Send | Greet | Applied | Outcome
