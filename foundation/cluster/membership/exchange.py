"""Joining, and the comparison of all that two nodes know.

    joiner                       member
      join ─────────────────────▶  admit (``joining.py``), learn
      learn  ◀──────────── welcome     (or refuse)
      sync ─────────────────────▶  learn                  what the welcome lacked

    one                          other
      digest ───────────────────▶  the same? nothing more
      learn  ◀─────────────── sync
      sync ─────────────────────▶  learn                  what the other lacked

Invariants:
    X1  After either, both know what either knew.
    X2  Whether a record under its name is of its own life is judged by the node itself
        (``Merging``): a joiner whose generation is known already is told so by the welcome.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.cluster.membership.joining import (
    Candidate,
    Versions,
    admit,
    common_version,
    taken,
)
from foundation.cluster.membership.records import DEAD, Record, supersedes
from foundation.cluster.membership.wire import Item, pack_item

if TYPE_CHECKING:
    from foundation.cluster.membership.swim import Swim

News = list[tuple[Record, str]]


class Exchange:
    """The joins and comparisons of one node."""

    def __init__(self, swim: Swim) -> None:
        self._swim = swim
        self._next_compare = float("inf")

    def start(self, now: float) -> None:
        """Begin, at a moment of its own."""
        self._next_compare = now + self._swim.timing.push_pull_interval * self._swim.rng.random()

    def next_due(self) -> float:
        """When `tick` has something to do."""
        return min(self._next_compare, self._swim.joining.next_due)

    def tick(self, now: float) -> None:
        """Join the candidates that are due; compare with somebody now and then."""
        swim = self._swim
        for candidate in swim.joining.due(now):
            if self._worth_it(now, candidate):
                self.join(candidate.address)
            else:
                swim.joining.drop(candidate.address)
        if now >= self._next_compare:
            interval = swim.timing.push_pull_interval
            self._next_compare = now + interval * swim.rng.uniform(0.75, 1.25)
            swim.table.forget_old(now, swim.timing.forget)
            for name in swim.rotation.sample(1):
                self._say(name, "swim.digest", swim.table.digest())

    def _worth_it(self, now: float, candidate: Candidate) -> bool:
        known = self._swim.table.at(candidate.address)
        if any(record.live for record in known):
            return False
        gone = any(record.status == DEAD for record in known)
        return gone or self._swim.joining.named_lately(now, candidate)

    def _say(self, name: str, code: str, *fields: object) -> None:
        record = self._swim.table.get(name)
        assert record is not None
        me = self._swim.table.me
        self._swim.send(record.address, code, me.name, me.generation, *fields)

    # Joining

    def join(self, address: str) -> None:
        """Ask the node at *address* to let us in."""
        swim = self._swim
        known = [pack_item(record) for record in swim.table.at(address) if record != swim.table.me]
        swim.count("joins")
        me = pack_item(swim.table.me)
        swim.send(address, "swim.join", *swim.versions, swim.cluster, me, known, address)

    def on_join(
        self,
        now: float,
        sender: str,
        theirs: Versions,
        cluster: str,
        joiner: Record,
        news: News,
        dialled: str,
    ) -> None:
        """A node wants to come in."""
        swim = self._swim
        known = swim.table.get(joiner.name)
        if joiner.name == swim.name and joiner.address == swim.table.me.address:
            swim.joining.answered(dialled, joiner.address)  # it was us, under another address
            return
        refusal = admit(swim.cluster, swim.versions, known, joiner, theirs, cluster)
        if refusal is not None:
            swim.count("refused")
            answer = refusal.code, refusal.text, refusal.generation, dialled
            swim.send(sender, "swim.refuse", *answer)
            if known is not None and known.live and known.generation > joiner.generation:
                swim.tell(sender, known)  # it may have had the name first: a conflict
            return
        swim.count("admitted")
        swim.merging.learn(now, news, listed=True)
        swim.merging.takes_over(now, joiner)
        known = swim.table.get(joiner.name)  # its news may have told of it, too
        if known is None or joiner.generation > known.generation:
            swim.merging.adopt(now, joiner)
        version = common_version(swim.versions, theirs)
        swim.send(sender, "swim.welcome", version, self._all(), dialled)

    def on_welcome(self, now: float, sender: str, version: int, news: News, dialled: str) -> None:
        """The node at *sender* has let us in, or met us again."""
        swim = self._swim
        if not swim.versions[0] <= version <= swim.versions[1]:
            text = f"{sender} chose protocol version {version}, which this node does not speak"
            swim.events.append(("warning", text))
            return
        for record, _ in news:
            holder = self.holder(record) if record.address == sender else None
            if holder is not None:
                swim.count("refused")
                refusal = taken(record.name, holder.address)
                answer = refusal.code, refusal.text, refusal.generation, dialled
                swim.send(sender, "swim.refuse", *answer)
                return  # J3: it has met nobody yet who knows better, or does not believe it
        swim.count("welcomes")
        swim.joining.answered(dialled, sender)
        swim.merging.learn(now, news, listed=True)
        self._return(sender, news)

    def holder(self, record: Record) -> Record | None:
        """Return the live node that has the name of *record*, if it is another one."""
        known = self._swim.table.get(record.name)
        return known if known and known.live and known.address != record.address else None

    def on_refuse(
        self, now: float, sender: str, code: str, text: str, generation: int, dialled: str
    ) -> None:
        """The node at *sender* does not let us in."""
        swim = self._swim
        if code == "stale":
            if generation > swim.generation:  # if equal it may be ours: the welcome will tell (X2)
                swim.merging.new_generation(now, generation + 1)
            swim.joining.at_once(now, dialled)
        else:
            news = swim.joining.refused(dialled, text)
            if news or code == "name":
                swim.events.append(("refused", dialled, text, code))

    # Comparing

    def on_digest(self, sender: str, digest: int) -> None:
        """The node at *sender* knows what has this *digest*."""
        swim = self._swim
        if digest != swim.table.digest():
            swim.count("syncs")
            me = swim.table.me
            swim.send(sender, "swim.sync", me.name, me.generation, self._all(), True)

    def on_sync(self, now: float, sender: str, news: News, wanted: bool) -> None:
        """The node at *sender* knows *news*."""
        self._swim.merging.learn(now, news, listed=True, sender=sender)
        if wanted:
            self._return(sender, news)

    def _all(self) -> tuple[Item, ...]:
        return tuple(pack_item(record) for record in self._swim.table.records())

    def _return(self, sender: str, news: News) -> None:
        """Send what *news*, all that the node at *sender* knows, does not hold."""
        theirs = {record.name: record for record, _ in news}
        table = self._swim.table
        lacking = [r for r in table.records() if supersedes(r, theirs.get(r.name))]
        if lacking:
            me = table.me
            items = tuple(pack_item(record) for record in lacking)
            self._swim.send(sender, "swim.sync", me.name, me.generation, items, False)
