"""From one configuration to the next: who proposes it, and how state goes along.

    members of k            decide on the successor in a register of k (``SUCCESSOR``)
    whoever knows of that   is sealed, has the other members sealed, and collects what they have
                            accepted; from a majority it has all that was decided in k
    it then tells           the members of k + 1 to begin with that

Any sealed member does all of this, so nothing depends on the one that proposed. Nothing is decided
between the first seals and the first votes in k + 1: a few messages' time.

The least of the lives that are there proposes; others only if it is gone. Two that propose at
once agree, as the register is one of Paxos.

Where a size is expected, a member that is not there stays a member until another one takes its
place: what it has accepted it still has when it comes back.

Where none is, those who are not there do not count for a change, so each side of a
split goes on with a configuration of its own. After the heal the side with the highest takes the
others in, and these write what they have applied and is later (``CARRY``). So does one whose
configuration can never decide anything again, as a majority of it lost its memory, when others
have begun anew: it writes what it has accepted, too, which may have been decided.

Invariants:
    M1  A configuration has one successor, where a size is expected.
    M2  Who is a member of k + 1 holds, when it first votes, everything that was decided in k.
    M3  A life is a member of a configuration once: what it has left it never returns to, so
        that it is not unsealed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from foundation.config.protocol.acceptor import Acceptor
from foundation.config.protocol.peers import Peers
from foundation.config.protocol.values import (
    NO_BALLOT,
    Configuration,
    Entry,
    Life,
    Path,
    Record,
    merged,
)

ASK_AGAIN = 0.25  # seconds without an answer until a question is repeated
SETTLED_AFTER = 0.1  # seconds without news of who is there until that is proposed
WAIT_FOR_ALL = 1.0  # seconds that the first configuration waits for nodes beyond a majority
FOR_EVER = float("inf")


class Mover:
    """See the module docstring.

    Args:
        acceptor: of this node.
        peers: who is there.
        applied: the machine's.
        post: sends a message to a life.
        propose: has a successor decided, the one that its argument returns when asked.
        moved: told, after this node has begun a configuration, what it held before and should
            be written where it is later than what is there.
    """

    def __init__(
        self,
        acceptor: Acceptor,
        peers: Peers,
        applied: dict[Path, Record],
        post: Callable[[Life, tuple[Any, ...]], None],
        propose: Callable[[Callable[[], Configuration]], None],
        moved: Callable[[dict[Path, Record]], None],
    ) -> None:
        self._acceptor = acceptor
        self._peers = peers
        self._applied = applied
        self._post = post
        self._propose = propose
        self._moved = moved
        self._been: dict[Any, None] = {}  # configurations of this life (M3)
        self._sealed: dict[Life, list[Entry]] = {}
        self._news = 0.0  # when who is there last changed
        self._proposed = False
        self.at = FOR_EVER

    def news(self, now: float) -> None:
        """Who is there, or what they said of themselves, has changed."""
        self._news = now
        self.at = min(self.at, now + SETTLED_AFTER)

    # The next configuration

    def review(self, now: float) -> None:
        """Propose a configuration, or go on with one: to be called at ``at``."""
        self.at = FOR_EVER
        if self._acceptor.successor is not None:
            if not self._is_out(self._acceptor.successor):
                self._help(self._acceptor.configuration, now)  # who is behind cannot be sealed
                self._ask_to_seal(now)
            return
        mine = self._acceptor.configuration
        group = self._group(mine)
        if group is None:
            return
        if group[0] != self._peers.me:
            self.at = now + ASK_AGAIN  # it is theirs to do; they may go
            return
        self._help(mine, now)
        if self._proposed or self._peers.proposal(mine) == mine.members:
            return
        wait = self._news + self._patience(mine) - now
        if wait > 0:
            self.at = min(self.at, now + wait)
            return
        self._proposed = True
        self._propose(self._next)

    def _next(self) -> Configuration:
        mine, peers = self._acceptor.configuration, self._peers
        least = max(peers.least(), mine.least)
        origin = mine.origin or peers.me
        members = peers.proposal(mine)
        return Configuration(mine.number + 1, peers.me, members, least, origin)

    def _is_out(self, successor: Configuration) -> bool:
        """Whether the others go on without this node: they take it in again, later."""
        if self._peers.me in successor.members:
            return False
        others = [peer.configuration.number for peer in self._peers.known.values()]
        return any(number >= successor.number for number in others)

    def _group(self, mine: Configuration) -> list[Life] | None:
        """Return who may propose the next configuration, sorted; None: this node is not of it."""
        peers = self._peers
        others = [peer.configuration for peer in peers.known.values()]
        rivals = [c for c in others if c.id != mine.id and c.number and peers.viable(c)]
        if mine.number == 0:
            fresh = list(peers.electorate(mine))
            return fresh if not rivals and len(fresh) >= peers.needed(mine, True) else None
        if peers.me not in mine.members or not peers.viable(mine):
            return None
        if any(c.id > mine.id for c in rivals):
            return None  # they take this node in
        same = [p.life for p in peers.known.values() if p.configuration.id == mine.id]
        return sorted([peers.me, *(life for life in same if life in mine.members)])

    def _patience(self, mine: Configuration) -> float:
        if mine.number == 0 and len(self._peers.lives) < self._peers.whole():
            return WAIT_FOR_ALL
        return SETTLED_AFTER

    def _help(self, mine: Configuration, now: float) -> None:
        """Hand the state to members that have missed the beginning."""
        if not mine.number:
            return
        behind = [
            peer.life
            for peer in self._peers.known.values()
            if peer.life in mine.members and self._is_behind(peer.configuration, mine)
        ]
        if behind:
            entries = self._acceptor.snapshot(self._applied)
            for life in behind:
                self._post(life, ("install", self._peers.me, mine, entries))
            self.at = now + ASK_AGAIN

    @staticmethod
    def _is_behind(theirs: Configuration, mine: Configuration) -> bool:
        return theirs.id < mine.id or theirs.origin != mine.origin

    # Sealing

    def decided(self, successor: Configuration, now: float) -> None:
        """The successor of this node's configuration is decided."""
        if self._acceptor.successor is None:
            self._acceptor.seal(successor)
            self._sealed.clear()
            self._ask_to_seal(now)

    def _ask_to_seal(self, now: float) -> None:
        self.at = now + ASK_AGAIN
        acceptor, successor = self._acceptor, self._acceptor.successor
        assert successor is not None
        if acceptor.configuration.number == 0:
            self._tell(successor, [])  # nothing was decided before
            return
        for life in acceptor.configuration.members:
            if life not in self._sealed:
                message = ("seal", self._peers.me, acceptor.configuration.id, successor)
                self._post(life, message)
        if self._complete():  # what was said then may not have arrived
            self._finish()

    def seal(self, life: Life, about: Any, successor: Configuration, now: float) -> None:
        """*life* says that the successor of *about* is decided, and asks what was accepted."""
        if about == self._acceptor.configuration.id:
            self.decided(successor, now)
            entries = self._acceptor.snapshot(self._applied)
            self._post(life, ("sealed", self._peers.me, about, entries))

    def sealed(self, life: Life, about: Any, entries: list[Entry]) -> None:
        """*life* is sealed, and had accepted *entries*."""
        acceptor = self._acceptor
        if acceptor.successor is None or about != acceptor.configuration.id:
            return
        if life in acceptor.configuration.members:
            self._sealed[life] = entries
            if self._complete():
                self._finish()

    def _complete(self) -> bool:
        return len(self._sealed) >= self._peers.needed(self._acceptor.configuration, True)

    def _finish(self) -> None:
        entries = []
        for entry in merged(self._sealed.values()).values():
            record = max(entry.record, entry.applied, key=lambda r: r.order)
            entries.append(Entry(entry.path, NO_BALLOT, record, entry.applied))
        successor = self._acceptor.successor
        assert successor is not None
        self._tell(successor, entries)

    def _tell(self, successor: Configuration, entries: list[Entry]) -> None:
        for life in successor.members:
            self._post(life, ("install", self._peers.me, successor, entries))

    # Beginning

    def install(self, configuration: Configuration, entries: list[Entry], now: float) -> None:
        """Begin *configuration*, unless this node knows better."""
        mine = self._acceptor.configuration
        if self._peers.me not in configuration.members or configuration.id in self._been:
            return
        if configuration.id < mine.id and not self._is_lost(mine, configuration):
            return
        self._been[configuration.id] = None
        carried = dict(self._applied)
        if mine.number and mine.origin != configuration.origin:
            for entry in self._acceptor.snapshot(carried):
                if entry.record.order > entry.applied.order:
                    carried[entry.path] = entry.record
        self._acceptor.install(configuration, entries)
        self._sealed.clear()
        self._proposed = False
        self.news(now)
        self._moved(carried)

    def _is_lost(self, mine: Configuration, other: Configuration) -> bool:
        """Whether *mine* cannot decide anything, while others, who are there, are in *other*."""
        if mine.origin == other.origin or self._peers.viable(mine):
            return False
        return any(peer.configuration.id == other.id for peer in self._peers.known.values())
