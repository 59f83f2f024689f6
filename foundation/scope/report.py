"""What the hosts of a trace have recorded, put together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from foundation.kernel.values import Pid, Ref
from foundation.runtime.inspect import text as pid_text
from foundation.scope import diagrams
from foundation.scope.clock import Stamp
from foundation.scope.events import Event, ref_text
from foundation.scope.hosts import HostReport


class Moment(NamedTuple):
    """One line of a timeline.

    Attributes:
        stamp: when, by the hybrid logical clock.
        host: where.
        what: ``"sent"``, ``"taken"``, ``"spawned"``, ``"span"``, ``"span over"``,
            ``"noted"``, ``"failed"`` (a caller learned that its call has) or ``"ended"``.
        event: of what.
    """

    stamp: Stamp
    host: str
    what: str
    event: Event


@dataclass(frozen=True)
class TraceReport:
    """What a trace has recorded.

    Attributes:
        name: of the trace.
        nodes: the nodes that answered, and by host how many events each had.
        missing: the nodes and hosts that did not, or recorded less than was wanted, and why.
        dropped: by host, how many events did not fit its buffer; only hosts with some.
        events: in the order in which they were sent.
        labels: what the processes in *events* are called.
    """

    name: str
    nodes: dict[str, dict[str, int]]
    missing: dict[str, str]
    dropped: dict[str, int]
    events: tuple[Event, ...]
    labels: dict[Pid, str]

    @property
    def complete(self) -> bool:
        """Whether every host that was to take part did, answered, and had kept what was wanted."""
        return not self.missing and not self.dropped

    @property
    def errors(self) -> tuple[Event, ...]:
        """What went wrong: crashes, calls that failed, spans left by an exception."""
        return tuple(event for event in self.events if not event.ok)

    @property
    def unanswered(self) -> tuple[Event, ...]:
        """The calls of which neither a reply nor a failure is known: somebody waits yet."""
        answered = {event.answers for event in self.events if event.answers is not None}
        return tuple(e for e in self.events if e.kind == "call" and e.id not in answered)

    @property
    def timeline(self) -> tuple[Moment, ...]:
        """All that happened, in an order that no cause contradicts."""
        moments = [moment for event in self.events for moment in _moments(event)]
        return tuple(sorted(moments, key=lambda m: (m.stamp, m.host)))

    def chains(self) -> dict[Ref, tuple[Event, ...]]:
        """Return the events by the chain that they belong to, the first one first."""
        found: dict[Ref, list[Event]] = {}
        for event in self.events:
            found.setdefault(event.chain, []).append(event)
        return {chain: tuple(events) for chain, events in found.items()}

    def label(self, pid: Pid) -> str:
        """Return what *pid* is called."""
        if pid in self.labels:
            return self.labels[pid]
        return "outside" if pid.serial == 0 else pid_text(pid).partition("/")[2]

    def mermaid(self, *, limit: int = 500) -> str:
        """Return a Mermaid sequence diagram of the first *limit* events."""
        return diagrams.mermaid(self.events[:limit], self.label, len(self.events) - limit)

    def diagram(self, width: int = 100, *, limit: int = 500) -> str:
        """Return a sequence diagram of the first *limit* events, for a terminal."""
        lines = diagrams.terminal(self.events[:limit], self.label, width)
        left = len(self.events) - limit
        return "\n".join([*lines, f"... and {left} more"] if left > 0 else lines)

    def summary(self) -> str:
        """Say in a few lines what there is, and what is missing."""
        hosts = sum(map(len, self.nodes.values()))
        lines = [
            f"trace {self.name!r}: {len(self.events)} events in {len(self.chains())} chains, "
            f"{len(self.errors)} errors, from {hosts} hosts of {len(self.nodes)} nodes"
        ]
        lines += [f"missing: {who}: {why}" for who, why in self.missing.items()]
        lines += [f"{host}: {n} older events were dropped" for host, n in self.dropped.items()]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "name": self.name,
            "complete": self.complete,
            "nodes": self.nodes,
            "missing": self.missing,
            "dropped": self.dropped,
            "labels": {pid_text(pid): text for pid, text in self.labels.items()},
            "events": [event.as_json() for event in self.events],
            "errors": [ref_text(event.id) for event in self.errors],
        }


_FIRST = {
    "span": "span",
    "spawn": "spawned",
    "note": "noted",
    "end": "ended",
    "failure": "failed",
}


def _moments(event: Event) -> list[Moment]:
    first = Moment(event.sent, event.sender.host, _FIRST.get(event.kind, "sent"), event)
    if event.taken is None or event.kind in ("spawn", "note", "end", "failure"):
        return [first]
    what = "span over" if event.kind == "span" else "taken"
    return [first, Moment(event.taken, event.receiver.host, what, event)]


def assemble(
    name: str, nodes: Iterable[str], hosts: Iterable[HostReport], missing: dict[str, str]
) -> TraceReport:
    """Put together what *hosts* recorded.

    Args:
        name: of the trace.
        nodes: those that answered.
        hosts: what their hosts recorded.
        missing: who did not answer, and why.
    """
    halves: dict[Ref, Event] = {}
    counts: dict[str, dict[str, int]] = {node: {} for node in nodes}
    labels: dict[Pid, str] = {}
    dropped: dict[str, int] = {}
    for host in hosts:
        events = host.events()
        counts.setdefault(host.host.partition("/")[0], {})[host.host] = len(events)
        labels |= host.labels
        if host.failure:
            missing = {**missing, host.host: host.failure}
        if host.dropped:
            dropped[host.host] = host.dropped
        for event in events:
            known = halves.get(event.id)
            halves[event.id] = event if known is None else _joined(known, event)
    events = tuple(sorted(halves.values(), key=lambda e: (e.sent, e.id)))
    seen = {pid for event in events for pid in (event.sender, event.receiver)}
    return TraceReport(
        name=name,
        nodes=counts,
        missing=missing,
        dropped=dropped,
        events=events,
        labels={pid: text for pid, text in labels.items() if pid in seen},
    )


def _joined(one: Event, other: Event) -> Event:
    """Return the event of which the sender's host knows *one*, and the receiver's *other*."""
    if one.taken is None:
        one, other = other, one
    return replace(one, text=one.text or other.text, ok=one.ok and other.ok)
