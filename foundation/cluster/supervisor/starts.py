"""``start_child`` in the agents: from the caller's agent to the owner's, and until it runs.

    caller's host ─▶ its agent ─▶ agent of the owner: writes the record, has it started
                  ◀─           ◀─ when it runs, and another member has the record

The request carries a token, so that it can be repeated when the owner dies or is another one by
now: whoever finds a record with that token knows it as this very request.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from foundation.cluster.host import Done
from foundation.cluster.supervisor.coordinator import Coordinator
from foundation.cluster.supervisor.placement import Candidates, explain_none
from foundation.cluster.supervisor.records import (
    HOLDING,
    IGNORED,
    LEAVING,
    MOVING,
    QUARANTINED,
    RUNNING,
    STARTING,
    Record,
)
from foundation.cluster.supervisor.service import SupervisorService
from foundation.cluster.supervisor.settings import unknown
from foundation.cluster.supervisor.waiters import Outcome
from foundation.cluster.supervisor.work import TERMINATED
from foundation.cluster.values import Labels
from foundation.kernel.codec import loads

RETRY = 0.02  # seconds between two attempts while the members do not agree
MOVED = ("moved",)


class Starts:
    """See the module docstring."""

    def __init__(self, service: SupervisorService) -> None:
        self._service = service
        self._agent = service.agent
        self._agent.serves["sup_start"] = self._serve_start
        self._agent.serves["sup_start_at"] = self._serve_start_at

    # At the caller's agent

    def _serve_start(
        self,
        origin: str,
        done: Done,
        name: str,
        key: bytes,
        request: bytes,
        labels: Labels,
        every_node: bool,
        timeout: float,
    ) -> None:
        service = self._service
        deadline = service.now() + timeout

        def attempt() -> None:
            if service.now() > deadline:
                return  # the caller does not wait any more
            if not service.settled:
                service.later(RETRY, attempt)
                return
            coordinator = service.known(name)
            if coordinator is None:
                done(True, ("refused", unknown(name)))
                return
            found = coordinator.candidates
            to = self._choose(found, key, labels, every_node)
            if to is None:
                done(True, ("refused", explain_none(found, labels, name)))
                return
            self._agent.ask(to, "sup_start_at", (name, key, request), answered)

        def answered(ok: bool, value: Any) -> None:
            if (ok and tuple(value) == MOVED) or (not ok and value == "noconnection"):
                service.later(RETRY, attempt)
            else:
                done(ok, value)

        attempt()

    def _choose(
        self, found: Candidates, key: bytes, labels: Labels, every_node: bool
    ) -> str | None:
        if every_node and self._agent.node in found.eligible(labels):
            return self._agent.node
        return found.owner(key, labels)

    # At the owner's

    def _serve_start_at(
        self, origin: str, done: Done, name: str, key: bytes, request: bytes
    ) -> None:
        service, node = self._service, self._agent.node
        record: Any = loads(request, allow_pickle=False)
        coordinator = service.known(name)
        if coordinator is None:
            done(True, MOVED)  # this node has not heard of it yet, or runs it no longer
            return
        known = coordinator.desired.wanted(key)
        if known is not None:
            self._exists(coordinator, key, known, record.token, done)
            return
        former = coordinator.desired.get(key)
        if former is not None and former.deleted and record.token and former.token == record.token:
            done(True, ("failed", TERMINATED))  # this very request has been, and was overtaken
            return
        owned = coordinator.running and coordinator.owner_by(key, record) == node
        if not service.settled or not owned or not service.worker_hosts():
            done(True, MOVED)
        elif key in coordinator.observed:  # a former one is still ending
            coordinator.waiters.when_changed(
                key, lambda: self._serve_start_at(origin, done, name, key, request)
            )
        elif record.on_minority == "stop" and service.lease.hindered(not record.every_node):
            done(True, MOVED)  # it may be in a majority soon: the caller has a timeout
        else:
            home = service.life if record.restart == "temporary" else ""
            version = coordinator.desired.next_version(node)
            self._begin(coordinator, key, replace(record, version=version, home=home), done)

    def _begin(self, coordinator: Coordinator, key: bytes, record: Record, done: Done) -> None:
        """Answer when it runs, and another member has the record; or when it does not start."""
        missing = ["start", "record"]
        answer: list[Any] = []

        def have(what: str) -> None:
            if what in missing:
                missing.remove(what)
                if not missing:
                    done(True, answer[0])

        def started(outcome: Outcome) -> None:
            answer.append(outcome)
            if outcome[0] != "started":
                missing[:] = ["start"]  # nothing is kept
            have("start")

        coordinator.waiters.when_started(key, started)
        coordinator.work.start(key, record)
        self._service.replication.write(coordinator.name, key, record, lambda: have("record"))

    def _exists(
        self, coordinator: Coordinator, key: bytes, known: Record, token: str, done: Done
    ) -> None:
        entries = coordinator.observed.get(key, {})
        mine = entries.get(self._agent.node)
        same = known.token == token
        if same and mine is not None and mine.status == STARTING:
            coordinator.waiters.when_started(key, lambda outcome: done(True, outcome))
            return
        for entry in entries.values():
            if entry.status == RUNNING:
                done(True, ("started" if same else "exists", entry.pid))
                return
        busy = (STARTING, HOLDING, MOVING, LEAVING)
        resting = (QUARANTINED, IGNORED)
        if not entries or any(entry.status in busy for entry in entries.values()):
            done(True, MOVED)
        elif any(entry.status in resting for entry in entries.values()):
            done(True, ("exists", None))
        else:
            done(True, MOVED)
