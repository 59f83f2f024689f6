"""What one member has promised and accepted in its configuration: the acceptor of CASPaxos.

Invariants:
    A1  A promise only rises: nothing is accepted below the highest ballot promised.
    A2  Nothing is promised or accepted for another configuration than this one, nor once sealed.
    A3  Before the first configuration (number 0) nothing but its successor is decided.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from foundation.config.protocol.values import (
    ABSENT,
    GENESIS,
    NO_BALLOT,
    SUCCESSOR,
    Ballot,
    Configuration,
    Entry,
    Path,
    Record,
)


@dataclass(slots=True)
class Register:
    """One path.

    Attributes:
        promised: nothing below is accepted.
        ballot: with which *record* was accepted.
        record: accepted last.
    """

    promised: Ballot = NO_BALLOT
    ballot: Ballot = NO_BALLOT
    record: Record = ABSENT


class Acceptor:
    """See the module docstring.

    Attributes:
        configuration: of which this is a member, or was; ``GENESIS`` at first.
        successor: what follows it, once that is decided: this member is sealed.
        registers: by path.
    """

    def __init__(self) -> None:
        self.configuration: Configuration = GENESIS
        self.successor: Configuration | None = None
        self.registers: dict[Path, Register] = {}

    def votes(self, configuration: tuple[int, object], path: Path) -> bool:
        """Whether this member decides about *path* in *configuration* (A2, A3)."""
        mine = self.configuration
        if configuration != mine.id or self.successor is not None:
            return False
        return mine.number > 0 or path == SUCCESSOR

    def register(self, path: Path) -> Register:
        """Return the register of *path*."""
        found = self.registers.get(path)
        if found is None:
            found = self.registers[path] = Register()
        return found

    def look(self, path: Path) -> Register:
        """Return the register of *path*, to be read only."""
        return self.registers.get(path) or Register()

    def promise(self, path: Path, ballot: Ballot) -> Register | None:
        """Promise *ballot*; return what was accepted, or None when more was promised (A1)."""
        register = self.register(path)
        if ballot < register.promised:
            return None
        register.promised = ballot
        return register

    def accept(self, path: Path, ballot: Ballot, record: Record) -> bool:
        """Accept *record*; False when more was promised (A1)."""
        register = self.register(path)
        if ballot < register.promised:
            return False
        register.promised = register.ballot = ballot
        register.record = record
        return True

    def seal(self, successor: Configuration) -> None:
        """Decide nothing more in this configuration."""
        self.successor = successor

    def snapshot(self, applied: dict[Path, Record]) -> list[Entry]:
        """Return all that was accepted or applied, to be handed over."""
        paths = dict.fromkeys((*self.registers, *applied))
        paths.pop(SUCCESSOR, None)
        found = []
        for path in paths:
            register, known = self.look(path), applied.get(path, ABSENT)
            if register.record.number or known.number:
                found.append(Entry(path, register.ballot, register.record, known))
        return found

    def install(self, configuration: Configuration, entries: Iterable[Entry]) -> None:
        """Become a member of *configuration*, beginning with *entries*."""
        self.configuration = configuration
        self.successor = None
        self.registers = {
            entry.path: Register(entry.ballot, entry.ballot, entry.record)
            for entry in entries
            if entry.record.number
        }
