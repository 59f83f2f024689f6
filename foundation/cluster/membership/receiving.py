"""What a node does with a message, once it is known to be well formed.

Invariants:
    V1  What comes from an earlier life of a node changes nothing; it is told of the later one.
    V2  Who is thought to be suspect or dead and yet speaks to us is told what is said of it.
    V3  Who knows us while we do not know it is joined.
    V4  A ping for another node, or another life of this one, is not acknowledged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from foundation.cluster.membership.records import ALIVE, LEFT, Record

if TYPE_CHECKING:
    from foundation.cluster.membership.swim import Swim

News = list[tuple[Record, str]]

_ANSWERED_AFTER_LEAVING = ("swim.ping", "swim.ask", "swim.join", "swim.digest", "swim.sync")


class Receiver:
    """The handlers of the messages, by code; ``wire.py`` lists the fields."""

    def __init__(self, swim: Swim) -> None:
        self._swim = swim
        self._handlers: dict[str, Callable[..., None]] = {
            "swim.ping": self._ping,
            "swim.ack": self._ack,
            "swim.ask": self._ask,
            "swim.nack": self._nack,
            "swim.news": self._news,
            "swim.digest": self._digest,
            "swim.sync": self._sync,
            "swim.join": self._join,
            "swim.welcome": swim.exchange.on_welcome,
            "swim.refuse": swim.exchange.on_refuse,
        }

    def handle(self, now: float, sender: str, code: str, fields: list[Any]) -> None:
        """Handle a message from the node at *sender*."""
        if not self._swim.left:
            self._handlers[code](now, sender, *fields)
        elif code in _ANSWERED_AFTER_LEAVING:
            self._swim.tell(sender, self._swim.table.me)

    def _met(self, now: float, sender: str, name: str, generation: int) -> bool:
        """Note that the node at *sender* lives; return whether what it says counts."""
        swim = self._swim
        record = swim.table.get(name)
        if name == swim.name:
            return False
        if record is None or record.generation < generation:
            swim.exchange.join(sender)  # V3
            return True
        if record.generation > generation:
            self.remind(now, sender, record)  # V1
            return False
        contact = swim.table.contact(name)
        assert contact is not None
        contact.heard = now
        return record.status != LEFT

    def remind(self, now: float, address: str, record: Record) -> None:
        """Tell the node at *address* what is said of it, so that it may refute (V2)."""
        contact = self._swim.table.contact(record.name)
        if contact is not None and now - contact.told >= self._swim.timing.gossip_interval:
            contact.told = now
            self._swim.tell(address, record)

    def _accusation(self, name: str) -> Record | None:
        """Return the record of *name* if it should hear of it (V2)."""
        record = self._swim.table.get(name)
        return record if record is not None and record.status != ALIVE else None

    def _ping(
        self,
        now: float,
        sender: str,
        number: int,
        name: str,
        generation: int,
        target: str,
        life: int,
        news: News,
    ) -> None:
        swim = self._swim
        if name == swim.name and sender != swim.table.me.address:
            swim.tell(sender, swim.table.me)  # a rival for our name
        if not self._met(now, sender, name, generation):
            return
        swim.merging.learn(now, news, sender=sender)
        me = swim.table.me
        if (target, life) != (me.name, me.generation):
            swim.tell(sender, me)  # V4
            return
        items = swim.news_for(self._accusation(name))
        swim.send(sender, "swim.ack", number, me.name, me.generation, "", items)

    def _ack(
        self,
        now: float,
        sender: str,
        number: int,
        name: str,
        generation: int,
        via: str,
        news: News,
    ) -> None:
        swim = self._swim
        swim.merging.learn(now, news, sender=sender)
        swim.relays.acked(number, name, generation)
        record = swim.table.get(name)
        if record is None or name == swim.name or record.generation != generation:
            return
        swim.prober.acked(now, number, record, via)
        if not via and not record.live:
            self.remind(now, sender, record)

    def _ask(
        self,
        now: float,
        sender: str,
        number: int,
        name: str,
        generation: int,
        target: str,
        life: int,
        address: str,
        news: News,
    ) -> None:
        swim = self._swim
        if not self._met(now, sender, name, generation):
            return
        swim.merging.learn(now, news, sender=sender)
        known = swim.table.get(target)
        if known is None or known.generation != life:
            known = Record(target, life, 0, ALIVE, address)
        swim.relays.asked(now, sender, number, known)

    def _nack(self, now: float, sender: str, number: int, name: str, generation: int) -> None:
        if self._met(now, sender, name, generation):
            self._swim.prober.nacked(number)

    def _news(self, now: float, sender: str, name: str, generation: int, news: News) -> None:
        if self._met(now, sender, name, generation):
            self._swim.merging.learn(now, news, sender=sender)
            self._remind_again(now, sender, name)
        elif name == self._swim.name:
            # A rival speaks, or we are told of ourselves.
            self._swim.merging.learn(now, news, sender=sender)

    def _digest(self, now: float, sender: str, name: str, generation: int, digest: int) -> None:
        if self._met(now, sender, name, generation):
            self._swim.exchange.on_digest(sender, digest)

    def _sync(
        self, now: float, sender: str, name: str, generation: int, news: News, wanted: bool
    ) -> None:
        if self._met(now, sender, name, generation):
            self._swim.exchange.on_sync(now, sender, news, wanted)
            self._remind_again(now, sender, name)

    def _remind_again(self, now: float, sender: str, name: str) -> None:
        """Tell *name* what is said of it, if it has not refuted that by now."""
        record = self._accusation(name)
        if record is not None and record.status != LEFT:
            self.remind(now, sender, record)

    def _join(
        self,
        now: float,
        sender: str,
        low: int,
        high: int,
        cluster: str,
        joiner: Record,
        news: News,
        dialled: str,
    ) -> None:
        if joiner.status != ALIVE or low > high:
            self._swim.count("malformed")
        else:
            self._swim.exchange.on_join(now, sender, (low, high), cluster, joiner, news, dialled)
