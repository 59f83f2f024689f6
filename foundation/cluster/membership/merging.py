"""What happens when a node learns something of a node.

Invariants:
    M1  A record takes effect only if it supersedes what is known (``records.py``), once.
    M2  For each life of another node, ``up`` and ``down`` alternate, beginning with ``up``.
    M3  This node never believes that it is suspect or dead: it refutes, with an incarnation
        above the accusation, and tells the accuser directly.
    M4  Old news does not make a death: what one record list says of a death, and what gossip
        says of the silence of a node that has just answered us, counts as a suspicion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from foundation.cluster.membership.records import (
    ALIVE,
    DEAD,
    KILLED,
    LEFT,
    SILENT,
    SUSPECT,
    Record,
    died,
    supersedes,
    suspected,
)

if TYPE_CHECKING:
    from foundation.cluster.membership.swim import Swim

MOST_CONFLICTS = 64


class Merging:
    """Applies news to the table of one node, and says what has changed."""

    def __init__(self, swim: Swim) -> None:
        self._swim = swim
        self._first = swim.table.me.incarnation  # of this life
        self._conflicts: dict[tuple[int, str], None] = {}

    def learn(
        self,
        now: float,
        news: Sequence[tuple[Record, str]],
        *,
        listed: bool = False,
        sender: str = "",
    ) -> None:
        """Take in *news*; *listed*: as part of a list of all that a node knows (M4).

        What the node at *sender* says of itself is not believed while another live one has its
        name: that is for ``admit`` to decide (J3).
        """
        for record, accuser in news:
            if record.name == self._swim.name:
                self._about_me(now, record, accuser)
            elif record.address != sender or self._swim.exchange.holder(record) is None:
                self._about_other(now, record, accuser, listed)

    def _about_other(self, now: float, record: Record, accuser: str, listed: bool) -> None:
        table = self._swim.table
        old = table.get(record.name)
        if not supersedes(record, old):
            if old is not None and old == record and record.status == SUSPECT:
                self._swim.suspects.confirm(record.name, accuser)
            return
        if old is not None and self._doubtful(now, old, record, listed):
            record = suspected(record)
            if not supersedes(record, old):
                return
        self.adopt(now, record, accuser, listed=listed)

    def _doubtful(self, now: float, old: Record, new: Record, listed: bool) -> bool:
        """Whether the death that *new* tells of counts as a suspicion only (M4)."""
        if new.status != DEAD or not old.live or old.generation != new.generation:
            return False
        if listed:
            return True
        contact = self._swim.table.contact(old.name)
        assert contact is not None
        fresh = now - contact.checked <= 2 * self._swim.timing.probe_interval
        return new.reason == SILENT and old.status == ALIVE and fresh

    def adopt(self, now: float, record: Record, accuser: str = "", *, listed: bool = False) -> None:
        """Believe *record*, which supersedes what is known of another node, and pass it on."""
        swim = self._swim
        old = swim.table.get(record.name)
        swim.table.put(now, record)
        if old is not None or record.live or not listed:
            swim.pass_on(now, record, accuser)  # what a newcomer reads of the past is no news
        if old is None or old.generation != record.generation:
            self._new_life(old, record)
        else:
            self._same_life(old, record)
        self._follow(now, record, accuser, old is not None and old.live)

    def _new_life(self, old: Record | None, new: Record) -> None:
        """A life that was not known, perhaps in place of *old*."""
        if old is not None and old.live:
            certain = old.address == new.address
            self._swim.events.append(("down", died(old, KILLED if certain else SILENT)))
        if new.live:
            self._swim.events.append(("up", new))
        if new.status == SUSPECT:
            self._swim.events.append(("suspect", new))

    def _same_life(self, old: Record, new: Record) -> None:
        events = self._swim.events
        if not new.live:
            if old.live:
                events.append(("down", new))
            return
        if not old.live:
            events.append(("up", new))
        elif _said(old) != _said(new):
            events.append(("changed", new))
        if new.status == SUSPECT and old.status != SUSPECT:
            events.append(("suspect", new))
        elif new.status == ALIVE and old.status == SUSPECT:
            events.append(("alive", new))

    def _follow(self, now: float, record: Record, accuser: str, was_live: bool) -> None:
        """Suspect, search or rest, as *record* says."""
        swim = self._swim
        contact = swim.table.contact(record.name)
        assert contact is not None
        if record.status == SUSPECT:
            swim.suspects.begin(now, record, accuser)
            return
        swim.suspects.end(record.name)
        if record.status == ALIVE:
            contact.heard = now
            swim.joining.drop(record.address)
            return
        swim.prober.drop(record.name)
        vacant = not any(other.live for other in swim.table.at(record.address))
        if record.status == DEAD and was_live and vacant:
            swim.joining.rejoin(now, record.address)

    # What this node itself finds

    def accuse(self, now: float, name: str) -> None:
        """*name* did not answer: suspect it, or confirm the suspicion."""
        record = self._swim.table.get(name)
        if record is None or not record.live:
            return
        if record.status == SUSPECT:
            self._swim.suspects.confirm(name, self._swim.name)
            return
        self._swim.count("suspicions")
        self.adopt(now, suspected(record), self._swim.name)

    def bury(self, now: float, name: str, reason: str) -> None:
        """*name* is dead as far as this node knows."""
        record = self._swim.table.get(name)
        if record is not None and record.live:
            self._swim.count(reason)
            self.adopt(now, died(record, reason))

    def takes_over(self, now: float, joiner: Record) -> None:
        """A live process says it is *joiner*: other lives at its address are over."""
        for record in self._swim.table.at(joiner.address):
            if record.name not in (joiner.name, self._swim.name):
                self.bury(now, record.name, KILLED)

    # What others say of this node

    def _about_me(self, now: float, record: Record, accuser: str) -> None:
        me = self._swim.table.me
        if record.generation < me.generation or me.status == LEFT:
            return
        own = self._first <= record.incarnation <= me.incarnation
        if record.generation == me.generation and record.address == me.address and own:
            if record.status != ALIVE:
                self._refute(now, record, accuser)
            return
        rival = (record.generation, record.address) > (me.generation, me.address)
        if record.live and record.address != me.address and rival:
            self._conflict(record)
        else:
            self.new_generation(now, record.generation + 1)

    def _refute(self, now: float, accusation: Record, accuser: str) -> None:
        swim = self._swim
        me = swim.table.me
        if accusation.incarnation < me.incarnation:
            if me.name not in swim.news:
                swim.pass_on(now, me)  # refuted already, but not everybody has heard it
            return
        swim.count("refutations")
        swim.say(now, replace(me, incarnation=me.incarnation + 1))
        known = swim.table.get(accuser)
        if known is not None and known.live and accuser != swim.name:
            swim.tell(known.address, swim.table.me)

    def _conflict(self, record: Record) -> None:
        """Another node has our name and the better right to it; told once per rival."""
        rival = (record.generation, record.address)
        if rival in self._conflicts:
            return
        if len(self._conflicts) >= MOST_CONFLICTS:
            del self._conflicts[next(iter(self._conflicts))]
        self._conflicts[rival] = None
        self._swim.events.append(("conflict", record))

    def new_generation(self, now: float, generation: int) -> None:
        """What is known under our name is of an earlier life: begin a later one."""
        me = self._swim.table.me
        if generation <= me.generation:
            return
        self._first = me.incarnation
        self._swim.say(now, replace(me, generation=generation))
        self._swim.events.append(("generation", generation))


def _said(record: Record) -> tuple[object, ...]:
    """What a node says of itself, apart from being alive."""
    return record.labels, record.draining, record.meta, record.address
