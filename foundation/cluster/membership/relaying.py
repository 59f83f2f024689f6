"""Probes on behalf of others (SWIM's indirect probes, with Lifeguard's nack).

Invariants:
    I1  At most ``MOST_RELAYS`` are open; each ends with its ack, or after two probe intervals.
    I2  Who asked is answered: with the ack, or with a nack in time for its own deadline.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from foundation.cluster.membership.records import Record

if TYPE_CHECKING:
    from foundation.cluster.membership.swim import Swim

MOST_RELAYS = 256


@dataclass(slots=True)
class Relay:
    """One probe for another node."""

    origin: str  # its address
    number: int  # of the origin's probe
    target: str
    generation: int
    nack_at: float
    until: float
    nacked: bool = False


class Relays:
    """The probes for others, by the number of our ping."""

    def __init__(self, swim: Swim) -> None:
        self._swim = swim
        self._open: dict[int, Relay] = {}

    def asked(self, now: float, origin: str, number: int, target: Record) -> None:
        """The node at *origin* asks us to ping *target* for its probe *number*."""
        if len(self._open) >= MOST_RELAYS:
            return
        timing = self._swim.timing
        rest = timing.probe_interval - timing.probe_timeout
        patience = 0.8 * (rest if rest > 0 else timing.probe_timeout / 2)
        ours = self._swim.next_number()
        self._open[ours] = Relay(
            origin,
            number,
            target.name,
            target.generation,
            now + patience,
            now + 2 * timing.probe_interval,
        )
        self._swim.count("relays")
        self._swim.ping(ours, target)

    def acked(self, number: int, name: str, generation: int) -> None:
        """A ping of ours was answered: pass it on if it was for another node."""
        relay = self._open.get(number)
        if relay is None or (relay.target, relay.generation) != (name, generation):
            return
        del self._open[number]
        swim = self._swim
        swim.send(
            relay.origin, "swim.ack", relay.number, name, generation, swim.name, swim.news_for()
        )

    def next_due(self) -> float:
        """When `tick` has something to do."""
        due = float("inf")
        for relay in self._open.values():
            due = min(due, relay.until if relay.nacked else relay.nack_at)
        return due

    def tick(self, now: float) -> None:
        """Send the nacks that are due; end what was in vain."""
        for number, relay in list(self._open.items()):
            if not relay.nacked and now >= relay.nack_at:
                relay.nacked = True
                me = self._swim.table.me
                self._swim.send(relay.origin, "swim.nack", relay.number, me.name, me.generation)
            if now >= relay.until:
                del self._open[number]

    def check(self) -> None:
        """Raise ``AssertionError`` where an invariant does not hold."""
        assert len(self._open) <= MOST_RELAYS
