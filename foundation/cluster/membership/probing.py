"""Probes: is that member there?

A probe is a ping; if no ack comes within ``probe_timeout``, a second ping, and some others are
asked to ping too; if none has come after ``probe_interval`` altogether, the member is suspected.
Both times are multiplied by how unwell this node is (``awareness.py``).

Invariants:
    D1  There is at most one probe of a member at a time.
    D2  The member watched (``rotation.py``) is probed ``probe_interval`` after it last answered, so
        the first probe of a silent node begins at most that long after its last answer to its
        watcher, whatever the size of the cluster.
    D3  A ping from a member does not spare it our probe: it shows that it reaches us, not that
        we reach it. An ack does, and so does other traffic.
    D4  The number of probes per second does not depend on the size of the cluster.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from foundation.cluster.membership.awareness import Awareness
from foundation.cluster.membership.records import ALIVE, SUSPECT, Record

if TYPE_CHECKING:
    from foundation.cluster.membership.swim import Swim

ROUNDING = 1e-4


@dataclass(slots=True)
class Probe:
    """One probe of one life of a member."""

    number: int
    name: str
    generation: int
    started: float
    timeout: float  # then others are asked
    deadline: float  # then it has failed
    escalated: bool = False
    nacks: int = 0


class Prober:
    """The probes of one node."""

    def __init__(self, swim: Swim) -> None:
        self._swim = swim
        self._probes: dict[int, Probe] = {}
        self._by_name: dict[str, Probe] = {}
        self._next_turn = float("inf")
        self._rounds = 0
        self.awareness = Awareness()

    def start(self, now: float) -> None:
        """Begin, at a moment of its own."""
        self._next_turn = now + self._swim.timing.probe_interval * self._swim.rng.random()

    # What is due

    def next_due(self) -> float:
        """When `tick` has something to do."""
        if not self._swim.rotation:
            return float("inf")
        due = min(self._next_turn, self._watch_due())
        for probe in self._probes.values():
            due = min(due, probe.deadline if probe.escalated else probe.timeout)
        return due

    def _watched(self) -> list[str]:
        return self._swim.rotation.watched(self._swim.suspects.__contains__)

    def _watch_due(self) -> float:
        due = float("inf")
        for name in self._watched():
            if name not in self._by_name and name not in self._swim.suspects:
                due = min(due, self._checked(name) + self._swim.timing.probe_interval)
        return due

    def _checked(self, name: str) -> float:
        contact = self._swim.table.contact(name)
        assert contact is not None
        return contact.checked

    def tick(self, now: float) -> None:
        """Go on with the probes; begin those that are due."""
        for probe in list(self._probes.values()):
            if now >= probe.deadline:
                self._fail(now, probe)
            elif now >= probe.timeout and not probe.escalated:
                self._escalate(probe)
        timing = self._swim.timing
        for name in self._watched():
            due = self._checked(name) + timing.probe_interval
            if now >= due and name not in self._swim.suspects:
                self.probe(now, name)
        if now >= self._next_turn:
            self._next_turn = now + timing.probe_interval * self.awareness.factor
            self._turn(now)

    def _turn(self, now: float) -> None:
        """Probe the next in turn; every second time one that others reach for us, if any."""
        watched = self._watched()
        horizon = now - self._swim.timing.probe_interval + ROUNDING

        def eligible(name: str) -> bool:
            free = name not in self._by_name and name not in watched
            return free and self._checked(name) <= horizon

        self._rounds += 1
        name = self._relayed(eligible) if self._rounds % 2 else None
        name = name or self._swim.rotation.turn(eligible)
        if name is not None:
            self.probe(now, name)

    def _relayed(self, eligible: Callable[[str], bool]) -> str | None:
        names = [n for n in self._swim.rotation.names() if self._is_relayed(n) and eligible(n)]
        return min(names, key=self._checked, default=None)

    def _is_relayed(self, name: str) -> bool:
        contact = self._swim.table.contact(name)
        return contact is not None and contact.relay is not None

    # One probe

    def probe(self, now: float, name: str) -> None:
        """Begin to probe *name*, unless that is going on (D1)."""
        record = self._swim.table.get(name)
        if name in self._by_name or record is None:
            return
        timing, factor = self._swim.timing, self.awareness.factor
        whole = max(timing.probe_interval, timing.probe_timeout * 1.5) * factor
        probe = Probe(
            self._swim.next_number(),
            name,
            record.generation,
            now,
            now + timing.probe_timeout * factor,
            now + whole,
        )
        self._probes[probe.number] = self._by_name[name] = probe
        self._swim.count("probes")
        self._swim.ping(probe.number, record)

    def press(self, now: float, name: str) -> None:
        """Ping *name* now, within a probe or as the beginning of one."""
        probe = self._by_name.get(name)
        record = self._swim.table.get(name)
        if probe is None or record is None or probe.generation != record.generation:
            self.drop(name)
            self.probe(now, name)
        else:
            self._swim.ping(probe.number, record)

    def _escalate(self, probe: Probe) -> None:
        probe.escalated = True
        record = self._swim.table.get(probe.name)
        if record is None or record.generation != probe.generation:
            return
        self._swim.ping(probe.number, record)
        for name in self._helpers(probe.name):
            self._swim.ask(name, probe.number, record)

    def _helpers(self, target: str) -> list[str]:
        """Whom to ask: random members that are not in doubt themselves, and who helped before."""
        swim = self._swim
        doubtful = [p.name for p in self._probes.values() if p.escalated]
        names = [
            name
            for name in swim.rotation.names()
            if name != target and name not in swim.suspects and name not in doubtful
        ]
        helpers = swim.rng.sample(names, min(swim.timing.indirect_probes, len(names)))
        contact = swim.table.contact(target)
        if contact is not None and contact.relay in names and contact.relay not in helpers:
            helpers[-1] = contact.relay
        return helpers

    def _fail(self, now: float, probe: Probe) -> None:
        self._forget(probe)
        record = self._swim.table.get(probe.name)
        if record is None or record.generation != probe.generation:
            return
        if record.status == ALIVE:
            self.awareness.probe_failed(probe.nacks)
        self._swim.merging.accuse(now, probe.name)

    def drop(self, name: str) -> None:
        """Probe *name* no further."""
        probe = self._by_name.get(name)
        if probe is not None:
            self._forget(probe)

    def _forget(self, probe: Probe) -> None:
        del self._probes[probe.number], self._by_name[probe.name]

    # Answers

    def acked(self, now: float, number: int, record: Record, via: str) -> None:
        """*record*'s node answered the ping *number*, to us or to *via*."""
        contact = self._swim.table.contact(record.name)
        assert contact is not None
        contact.heard = now
        probe = self._probes.get(number)
        mine = probe is not None and (probe.name, probe.generation) == (
            record.name,
            record.generation,
        )
        if not via:
            contact.relay = None
            self._swim.count("acks")
        elif mine:
            contact.relay = via
            self._swim.count("indirect")
        if probe is not None and mine:
            contact.checked = max(contact.checked, probe.started)
            self._forget(probe)
            if record.status != SUSPECT:
                self.awareness.probe_answered()

    def nacked(self, number: int) -> None:
        """One that was asked to help got no answer either."""
        probe = self._probes.get(number)
        if probe is not None:
            probe.nacks += 1

    def paused(self, now: float, late: float, grace: float) -> None:
        """This node did nothing for *late* seconds: its probes get these, and *grace*."""
        for probe in self._probes.values():
            probe.timeout = max(probe.timeout + late, now + grace if not probe.escalated else 0.0)
            probe.deadline = max(probe.deadline + late, now + 2 * grace)

    def check(self) -> None:
        """Raise ``AssertionError`` where an invariant does not hold."""
        assert list(self._probes.values()) == list(self._by_name.values())
        for name in self._by_name:
            record = self._swim.table.get(name)
            assert record is not None
            assert record.live, record
