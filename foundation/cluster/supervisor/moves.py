"""Moving a child to a node of the caller's choice.

The record of the child is written anew with the node that it *prefers*; what follows is an
ordinary move. All moves of a child are written by one node at a time, which rendezvous hashing
chooses, so that of two moves the later one holds, and one that was answered is known to the next.

    caller's agent ── sup_move_at ──▶ the node that writes ── record ──▶ all
                   ◀── where it runs ──      ▲
                                             └── sup_move_undo ── a node that finds it impossible
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from foundation.cluster.host import Done
from foundation.cluster.supervisor.coordinator import Coordinator
from foundation.cluster.supervisor.placement import explain_none
from foundation.cluster.supervisor.records import ALIVE, HOW, QUARANTINED, RUNNING, Record
from foundation.cluster.supervisor.service import SupervisorService
from foundation.cluster.supervisor.settings import unknown

LOOK = 0.05  # seconds between two looks, until the members agree or a record has come
MOST_WHY = 1000  # characters of a reason in a record
LOOKS = 3  # for a record that is not there
LATE = ("late",)  # nobody waits any more; the question must be answered all the same
AGAIN = ("again",)  # this node does not write the moves of that child (any more)


class Moves:
    """Serves ``sup_move`` and ``sup_move_at``."""

    def __init__(self, service: SupervisorService) -> None:
        self._service = service
        self._agent = service.agent
        self._agent.serves["sup_move"] = self._serve
        self._agent.serves["sup_move_at"] = self._serve_at
        self._agent.serves["sup_move_undo"] = self._serve_undo

    # In the caller's agent

    def _serve(
        self, origin: str, done: Done, name: str, key: bytes, to: str, timeout: float
    ) -> None:
        """Answer ``("moved", pid)``, ``("refused", why)`` or ``("unknown",)``."""
        service = self._service
        deadline = service.now() + timeout

        def attempt() -> None:
            coordinator, left = service.known(name), deadline - service.now()
            if left <= 0:
                done(True, LATE)
            elif coordinator is None:
                done(False, unknown(name))
            elif not service.settled:
                service.later(LOOK, attempt)
            elif (writer := coordinator.writer(key)) is None:
                done(True, ("refused", explain_none(coordinator.candidates, (), name)))
            else:
                self._agent.ask(writer, "sup_move_at", (name, key, to, left), answered)

        def answered(ok: bool, value: Any) -> None:
            if (ok and tuple(value) == AGAIN) or (not ok and value == "noconnection"):
                service.later(LOOK, attempt)
            else:
                done(ok, value)

        attempt()

    # In the agent that writes

    def _serve_at(
        self, origin: str, done: Done, name: str, key: bytes, to: str, left: float
    ) -> None:
        service = self._service
        deadline = service.now() + left

        def look(looks: int) -> None:
            coordinator = service.known(name)
            if coordinator is None or not service.settled:
                done(True, AGAIN)
                return
            record = coordinator.desired.wanted(key)
            if coordinator.writer(key) != self._agent.node:
                done(True, AGAIN)
            elif record is not None:
                self._move(coordinator, key, record, to, deadline, done)
            elif looks > 1:  # it may be under way
                service.later(LOOK, lambda: look(looks - 1))
            else:
                done(True, ("unknown",))

        look(LOOKS)

    def _serve_undo(
        self, origin: str, done: Done, name: str, key: bytes, version: Any, why: str
    ) -> None:
        """Undo the move of that version, unless something newer has been written."""
        service, coordinator = self._service, self._service.known(name)
        record = None if coordinator is None else coordinator.desired.wanted(key)
        if (
            coordinator is None
            or record is None
            or not record.target
            or record.version != tuple(version)
            or coordinator.writer(key) != self._agent.node
            or not service.settled
        ):
            done(True, False)
        else:
            news = coordinator.desired.next_version(self._agent.node)
            back = record.undone(news, str(why)[:MOST_WHY])
            service.replication.write(name, key, back, lambda: done(True, True))

    def _move(
        self,
        coordinator: Coordinator,
        key: bytes,
        record: Record,
        to: str,
        deadline: float,
        done: Done,
    ) -> None:
        refusal = _refusal(coordinator, record, to)
        if refusal:
            done(True, ("refused", refusal))
            return
        version = coordinator.desired.next_version(self._agent.node)
        target = to or coordinator.owner(key, record) or ""
        wanted = record.moved(version, to, target, _undo(coordinator, key, record, target))
        watch = _Watch(coordinator, key, wanted, done)
        self._service.later(max(0.0, deadline - self._service.now()), watch.late)
        self._service.replication.write(coordinator.name, key, wanted, watch.look)


def _undo(coordinator: Coordinator, key: bytes, record: Record, target: str) -> str:
    """Return what the child is to prefer when it cannot go to *target*: where it was, in effect."""
    entries = coordinator.observed.get(key, {})
    there = entries.get(record.target)
    wishes = [record.prefers, "", *coordinator.candidates.eligible(record.labels)]
    if record.target and (there is None or there.status != RUNNING):
        wishes.insert(0, record.undo)  # it has not arrived yet where it was moved before
    elif coordinator.place(key, record) == target:  # it has yet to go where it belongs
        wishes[:0] = [node for node, entry in entries.items() if entry.status in ALIVE]
    places = ((wish, coordinator.place(key, replace(record, prefers=wish))) for wish in wishes)
    return next((wish for wish, place in places if place not in (target, None)), "")


def _refusal(coordinator: Coordinator, record: Record, to: str) -> str:
    if record.every_node:
        return "it runs on every node"
    if record.restart == "temporary":
        return "temporary children do not move"
    found = coordinator.candidates
    if not to or to in found.eligible(record.labels):
        return ""
    if to in found.draining:
        return f"node {to!r} drains"
    if to not in [member.name for member in found.members]:
        return f"node {to!r} does not run the distributed supervisor {coordinator.name!r}"
    wanted = ", ".join(f"{label}={value}" for label, value in record.labels)
    return f"node {to!r} does not have the labels {wanted}"


class _Watch:
    """Waits until the child runs where it was moved to."""

    def __init__(
        self, coordinator: Coordinator, key: bytes, record: Record, done: Done
    ) -> None:
        self._coordinator = coordinator
        self._key = key
        self._record = record
        self._done: Done | None = done

    def look(self) -> None:
        """Answer if there is something to answer; else look again after the next change."""
        if self._done is None:
            return
        outcome = self._outcome()
        if outcome:
            self._answer(outcome)
        else:
            self._coordinator.waiters.when_changed(self._key, self.look)

    def late(self) -> None:
        """The caller does not wait any longer."""
        self._answer(LATE)

    def _answer(self, outcome: tuple[Any, ...]) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(True, outcome)

    def _outcome(self) -> tuple[Any, ...]:
        coordinator, key = self._coordinator, self._key
        record = coordinator.desired.wanted(key)
        if record is None or record.instance != self._record.instance:
            return ("unknown",)
        if record.failed:
            return self._undone(record)
        wanted = self._record.prefers
        if record.prefers != wanted:
            return ("refused", f"it was moved again, to {record.prefers or 'its place'!r}")
        if wanted and not coordinator.prefers(record):
            return ("refused", f"node {wanted!r} has left, or may not run it any more")
        entries = coordinator.observed.get(key, {})
        entry = entries.get(coordinator.place(key, record) or "")
        if entry is None or len(entries) > 1:
            return ()
        if entry.status == RUNNING:
            return ("moved", entry.pid)
        if entry.status == QUARANTINED:
            return ("refused", f"it failed there too often, and is in quarantine: {entry.note}")
        return ()

    def _undone(self, record: Record) -> tuple[Any, ...]:
        """Say what has become of a child that could not be moved, once that is known."""
        coordinator, key = self._coordinator, self._key
        node = coordinator.place(key, record)
        if node is None:
            return ("refused", f"{record.failed}; no node may run it")
        entries = coordinator.observed.get(key, {})
        entry = entries.get(node)
        if entry is None or len(entries) > 1:
            return ()
        if entry.status == RUNNING:
            how = f", {entry.note}" if entry.note.startswith(HOW) else ""
            return ("refused", f"{record.failed}; it goes on on {node!r}{how}")
        if entry.status == QUARANTINED:
            text = (
                f"{record.failed}; on {node!r} it failed as well, and stopped there, without its "
                f"state, which is lost ({entry.note}); move it to a node that can run it"
            )
            return ("refused", text)
        return ()
