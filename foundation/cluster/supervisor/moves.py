"""Moving a child to a node of the caller's choice.

The record of the child is written anew with the node that it *prefers*; what follows is an
ordinary move, since the node is its owner from now on (``placement.py``).
"""

from __future__ import annotations

from typing import Any

from foundation.cluster.host import Done
from foundation.cluster.supervisor.coordinator import Coordinator
from foundation.cluster.supervisor.records import QUARANTINED, RUNNING, Record
from foundation.cluster.supervisor.service import SupervisorService
from foundation.cluster.supervisor.settings import unknown

LOOK = 0.05  # seconds between two looks until the members agree


class Moves:
    """Serves ``sup_move``."""

    def __init__(self, service: SupervisorService) -> None:
        self._service = service
        service.agent.serves["sup_move"] = self._serve

    def _serve(
        self, origin: str, done: Done, name: str, key: bytes, to: str, timeout: float
    ) -> None:
        """Answer ``("moved", pid)``, ``("refused", why)`` or ``("unknown",)``."""
        service = self._service
        deadline = service.now() + timeout

        def attempt() -> None:
            coordinator = service.known(name)
            if coordinator is None:
                done(False, unknown(name))
            elif service.settled:
                self._begin(coordinator, key, to, deadline, done)
            elif service.now() < deadline:
                service.later(LOOK, attempt)

        attempt()

    def _begin(
        self, coordinator: Coordinator, key: bytes, to: str, deadline: float, done: Done
    ) -> None:
        record = coordinator.desired.wanted(key)
        if record is None:
            done(True, ("unknown",))
            return
        refusal = self._refusal(coordinator, record, to)
        if refusal:
            done(True, ("refused", refusal))
            return
        agent = self._service.agent
        wanted = record.moved(coordinator.desired.next_version(agent.node), to)
        target = coordinator.candidates.owner(key, record.labels, to)
        watch = _Watch(self._service, coordinator, key, wanted, target, deadline, done)
        self._service.replication.write(coordinator.name, key, wanted, watch.look)

    def _refusal(self, coordinator: Coordinator, record: Record, to: str) -> str:
        if record.every_node:
            return "it runs on every node"
        if record.restart == "temporary":
            return "temporary children do not move"
        found = coordinator.candidates
        if to and to not in found.eligible(record.labels):
            if to in found.draining:
                return f"node {to!r} drains"
            if to not in [member.name for member in found.members]:
                return f"node {to!r} does not run the distributed supervisor {coordinator.name!r}"
            wanted = ", ".join(f"{label}={value}" for label, value in record.labels)
            return f"node {to!r} does not have the labels {wanted}"
        return ""


class _Watch:
    """Waits until the child runs where it was moved to."""

    def __init__(
        self,
        service: SupervisorService,
        coordinator: Coordinator,
        key: bytes,
        record: Record,
        target: str | None,
        deadline: float,
        done: Done,
    ) -> None:
        self._service = service
        self._coordinator = coordinator
        self._key = key
        self._record = record
        self._target = target
        self._deadline = deadline
        self._done = done

    def look(self) -> None:
        """Answer if there is something to answer; else look again after the next change."""
        outcome = self._outcome()
        if outcome:
            self._done(True, outcome)
        elif self._service.now() < self._deadline:  # later nobody waits any more
            self._coordinator.waiters.when_changed(self._key, self.look)

    def _outcome(self) -> tuple[Any, ...]:
        record = self._coordinator.desired.wanted(self._key)
        if record is None or record.instance != self._record.instance:
            return ("unknown",)
        if record.prefers != self._record.prefers:
            return ("refused", f"it was moved again, to {record.prefers or 'its place'!r}")
        entries = self._coordinator.observed.get(self._key, {})
        entry = entries.get(self._target or "")
        if entry is None or len(entries) > 1:
            return ()
        if entry.status == RUNNING:
            return ("moved", entry.pid)
        return ("refused", entry.note) if entry.status == QUARANTINED else ()
