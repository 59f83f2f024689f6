"""The membership of one node: SWIM with Lifeguard, without I/O.

The driver calls the methods with the time, and after each call sends what is in ``outbox``, takes
what is in ``events``, and sees to it that ``tick`` is called at ``next_wake``.

The parts: what is known (``table.py``) and how it changes (``merging.py``); who is probed
(``rotation.py``, ``probing.py``, ``relaying.py``) and suspected (``suspects.py``); what is passed
on (``gossip.py``); who is joined, and what two nodes compare (``joining.py``, ``exchange.py``);
what a message does (``receiving.py``).

Invariants:
    S1  Everything follows from the inputs and the random generator; times of different nodes
        are never compared.
    S2  No message, however malformed, raises: it is counted and dropped.
    S3  When this process was paused (a call comes much later than ``next_wake``), the deadlines of
        others are put off: a paused observer does not accuse.
    S4  After ``leave`` this node says nothing but that it has left.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from random import Random
from typing import Any

from foundation.cluster.membership.exchange import Exchange
from foundation.cluster.membership.gossip import NewsQueue
from foundation.cluster.membership.joining import Candidates, Versions
from foundation.cluster.membership.merging import Merging
from foundation.cluster.membership.probing import Prober
from foundation.cluster.membership.receiving import Receiver
from foundation.cluster.membership.records import (
    ALIVE,
    KILLED,
    LEFT,
    META_LIMIT,
    SUSPECT,
    Record,
)
from foundation.cluster.membership.relaying import Relays
from foundation.cluster.membership.rotation import Rotation
from foundation.cluster.membership.suspects import Suspects
from foundation.cluster.membership.table import Table
from foundation.cluster.membership.wire import Item, pack_item, parse
from foundation.cluster.timing import LAN, Timing
from foundation.cluster.values import Labels, View

FANOUT = 3  # to how many a round of gossip goes
PAUSE = 0.05  # a call that is later than this comes from a process that was paused
GRACE_INTERVAL = 2.0  # between two pauses that are given time beyond their length
FIRST_INCARNATIONS = 1 << 31

COUNTERS = (
    "probes",
    "acks",
    "indirect",  # probes answered by way of another node
    "relays",  # probes for others
    "suspicions",  # our own accusations
    "refutations",
    "killed",  # deaths that this node was the one to find
    "silent",
    "joins",  # sent
    "admitted",
    "welcomes",
    "refused",  # by this node
    "syncs",
    "pauses",  # of this process
    "malformed",
)


class Swim:
    """The membership state machine of one node.

    Args:
        name: of this node, unique in the cluster.
        address: ``"host:port"`` by which others reach it.
        generation: which life of this name it is; above those of earlier lives. If it is not, it
            is raised on joining, and ``("generation", n)`` tells so.
        cluster: name of the cluster; nodes of another one are refused.
        labels: sorted ``(key, value)`` pairs.
        meta: small opaque data, at most ``META_LIMIT`` bytes.
        timing: see `Timing`.
        rng: the only source of chance.
        versions: lowest and highest protocol version that this node speaks.
        expected: size of the whole cluster, if configured; kept for others to read.

    Attributes:
        outbox: ``(address, message)`` to send, in order; the driver empties it.
        events: what has changed, in order; the driver empties it.
        counters: what has happened, by kind.
        left: `leave` was called.
    """

    def __init__(
        self,
        *,
        name: str,
        address: str,
        generation: int,
        cluster: str,
        labels: Labels = (),
        meta: bytes = b"",
        timing: Timing = LAN,
        rng: Random,
        versions: Versions = (1, 1),
        expected: int | None = None,
    ) -> None:
        _check_meta(meta)
        self.name = name
        self.cluster = cluster
        self.timing = timing
        self.rng = rng
        self.versions = versions
        self.expected = expected
        self.outbox: list[tuple[str, tuple[Any, ...]]] = []
        self.events: list[tuple[Any, ...]] = []
        self.counters = dict.fromkeys(COUNTERS, 0)
        self.left = False
        self.now = 0.0
        # Random, so that two lives that were given the same generation can be told apart.
        incarnation = rng.randrange(FIRST_INCARNATIONS)
        me = Record(name, generation, incarnation, ALIVE, address, tuple(labels), meta=meta)
        self.rotation = Rotation(name, rng)
        self.news = NewsQueue()
        self.table = Table(me, self.rotation, self.news.drop)
        self.joining = Candidates(timing, rng)
        self.merging = Merging(self)
        self.suspects = Suspects(self)
        self.prober = Prober(self)
        self.relays = Relays(self)
        self.exchange = Exchange(self)
        self.receiver = Receiver(self)
        self._started = False
        self._number = 0
        self._next_gossip = float("inf")
        self._grace_at = float("-inf")
        self._wake = float("inf")

    # What is known

    @property
    def generation(self) -> int:
        """Which life of this name this node is."""
        return self.table.me.generation

    @property
    def malformed(self) -> int:
        """How many messages were dropped because they made no sense."""
        return self.counters["malformed"]

    @property
    def next_wake(self) -> float:
        """When `tick` wants to be called next."""
        return self._wake

    def members(self) -> list[Record]:
        """Return the records of all members, this node included, sorted by name."""
        return self.table.members()

    def record(self, name: str) -> Record | None:
        """Return what is known of *name*, a member or gone; None if nothing is."""
        return self.table.get(name)

    def view(self) -> View:
        """Return the members as a view; its version counts the changes."""
        return self.table.view()

    def last_heard(self, name: str) -> float:
        """Return when there was the last sign of life of *name*, direct or not.

        It is the last input for this node itself, and minus infinity for unknown ones.
        """
        if name == self.name:
            return self.now
        contact = self.table.contact(name)
        return contact.heard if contact is not None else float("-inf")

    def reach(self, name: str, now: float) -> str | None:
        """Return the address to send to so that it reaches *name*; None if it is no member.

        It is its own, or that of a member that reached it for us when it did not answer us.
        """
        record = self.table.get(name)
        if record is None or not record.live:
            return None
        contact = self.table.contact(name)
        if contact is not None and contact.relay is not None:
            relay = self.table.get(contact.relay)
            if relay is not None and relay.status == ALIVE:
                return relay.address
        return record.address

    # Inputs

    def start(self, now: float) -> None:
        """Begin to probe and to gossip."""
        self._begin(now)
        self._started = True
        self.prober.start(now)
        self.exchange.start(now)
        self._end()

    def tick(self, now: float) -> None:
        """Do what is due; early calls do no harm, late ones are noticed (S3)."""
        self._begin(now)
        if not self.left and self._started:
            self.prober.tick(now)
            self.relays.tick(now)
            self.suspects.tick(now)
            self.exchange.tick(now)
        self._gossip(now)
        self._end()

    def receive(self, now: float, sender_address: str, message: object) -> None:
        """Take a message from the node at *sender_address*."""
        self._begin(now)
        try:
            code, fields = parse(message)
        except ValueError:
            self.count("malformed")
        else:
            self.receiver.handle(now, sender_address, code, fields)
        self._end()

    def heard(self, now: float, name: str, generation: int) -> None:
        """Other traffic came directly from that life of *name*: a sign of life (D3).

        Cheap, as it is called for each frame: it makes nothing due sooner than `next_wake` says.
        """
        record = self.table.get(name)
        contact = self.table.contact(name)
        if record is None or contact is None or record.generation != generation or self.left:
            return
        contact.heard = contact.checked = now
        if not record.live:
            self.receiver.remind(now, record.address, record)

    def candidates(self, now: float, addresses: Iterable[str]) -> None:
        """Discovery has found nodes at *addresses*: join those that are not members (J1)."""
        if self.left:
            return
        self._begin(now)
        for address in addresses:
            canonical = self.joining.canonical(address)
            if not any(record.live for record in self.table.at(canonical)):
                self.joining.name(now, address)
        self._end()

    def lost(self, now: float, address: str, refused: bool) -> None:
        """The connection to *address* broke; *refused*: no process listens there any more."""
        if self.left:
            return
        self._begin(now)
        for record in self.table.at(address):
            if record.name == self.name or not record.live:
                continue
            if refused:
                self.merging.bury(now, record.name, KILLED)
            else:
                if record.status == ALIVE:
                    self.merging.accuse(now, record.name)
                self.prober.press(now, record.name)
        self._end()

    def update(
        self,
        now: float,
        *,
        labels: Labels | None = None,
        draining: bool | None = None,
        meta: bytes | None = None,
    ) -> None:
        """Change what this node says of itself, and tell."""
        _check_meta(meta or b"")
        self._begin(now)
        me = self.table.me
        changed = replace(
            me,
            labels=me.labels if labels is None else tuple(labels),
            draining=me.draining if draining is None else draining,
            meta=me.meta if meta is None else meta,
        )
        if changed != me and not self.left:
            self.say(now, replace(changed, incarnation=me.incarnation + 1))
        self._end()

    def leave(self, now: float) -> None:
        """Tell every member that this node leaves (S4)."""
        self._begin(now)
        if not self.left:
            self.left = True
            me = self.table.me
            self.news.clear()
            self.say(now, replace(me, status=LEFT, incarnation=me.incarnation + 1))
            for record in self.table.others():
                self.tell(record.address, self.table.me)
        self._end()

    # Around each input

    def _begin(self, now: float) -> None:
        late = now - self._wake
        self.now = now
        if late > PAUSE:
            self.count("pauses")
            grace = 0.0
            if now - self._grace_at > GRACE_INTERVAL:
                # Once: what came meanwhile may be read only after this call.
                grace, self._grace_at = self.timing.probe_timeout, now
            self.prober.paused(now, late, grace)
            self.suspects.paused(now, late, grace)

    def _end(self) -> None:
        if not self._started:
            return
        due = self._gossip_due()
        if not self.left:
            due = min(
                due,
                self.prober.next_due(),
                self.relays.next_due(),
                self.suspects.next_due(),
                self.exchange.next_due(),
            )
        # What became due long ago only by this input (a new neighbour to watch, say) is due now:
        # else the next call would look late, and this process paused.
        self._wake = max(due, self.now)

    # News

    def say(self, now: float, me: Record) -> None:
        """Change this node's own record, and tell."""
        self.table.put(now, me)
        self.pass_on(now, me)

    def pass_on(self, now: float, record: Record, accuser: str = "") -> None:
        """*record* is news: gossip it, beginning at once."""
        self.news.add(record, accuser)
        self._next_gossip = now

    def _gossip_due(self) -> float:
        return self._next_gossip if self.news and self.rotation else float("inf")

    def _gossip(self, now: float) -> None:
        if not self.rotation:
            self.news.clear()
        if now < self._next_gossip or not self.news:
            return
        self._next_gossip = now + self.timing.gossip_interval
        for name in self.rotation.sample(FANOUT):
            record = self.table.get(name)
            items = self.news_for()
            if record is not None and items:
                me = self.table.me
                self.send(record.address, "swim.news", me.name, me.generation, items)

    def news_for(self, about: Record | None = None) -> tuple[Item, ...]:
        """Return news for one message; *about* goes first: what its receiver should refute."""
        accuser = self.suspects.accuser(about.name) if about is not None else ""
        return tuple(self.news.take(self.table.size, about, accuser))

    # Sending

    def count(self, what: str) -> None:
        """Count *what*."""
        self.counters[what] += 1

    def next_number(self) -> int:
        """Return a number for a ping of this node."""
        self._number += 1
        return self._number

    def send(self, address: str, code: str, *fields: object) -> None:
        """Put a message into the outbox."""
        self.outbox.append((address, (code, *fields)))

    def tell(self, address: str, record: Record) -> None:
        """Send just *record* to *address*."""
        me = self.table.me
        items = (pack_item(record, self.suspects.accuser(record.name)),)
        self.send(address, "swim.news", me.name, me.generation, items)

    def ping(self, number: int, target: Record) -> None:
        """Ping *target*; a suspect is told that it is one (L2)."""
        news = self.news_for(target if target.status == SUSPECT else None)
        me = self.table.me
        to = target.name, target.generation
        self.send(target.address, "swim.ping", number, me.name, me.generation, *to, news)

    def ask(self, helper: str, number: int, target: Record) -> None:
        """Ask *helper* to ping *target* for us."""
        record = self.table.get(helper)
        assert record is not None
        me = self.table.me
        to = target.name, target.generation, target.address
        news = self.news_for()
        self.send(record.address, "swim.ask", number, me.name, me.generation, *to, news)

    def check(self) -> None:
        """Raise ``AssertionError`` where an invariant does not hold."""
        for part in (self.table, self.joining, self.suspects, self.prober, self.relays):
            part.check()
        assert all(self.table.get(name) is not None for name in self.news.names())
        assert self.left == (self.table.me.status == LEFT)


def _check_meta(meta: bytes) -> None:
    if len(meta) > META_LIMIT:
        raise ValueError(f"meta has {len(meta)} bytes; at most {META_LIMIT} are passed on")
