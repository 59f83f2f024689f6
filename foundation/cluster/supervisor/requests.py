"""What else is asked of the agents: to end and restart children, to plan, explain and drain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from foundation.cluster.host import Done
from foundation.cluster.supervisor import reconcile
from foundation.cluster.supervisor.coordinator import Coordinator
from foundation.cluster.supervisor.ids import id_of
from foundation.cluster.supervisor.placement import explain_none
from foundation.cluster.supervisor.planning import planned, wanted_child
from foundation.cluster.supervisor.service import SupervisorService
from foundation.cluster.supervisor.settings import unknown

LOOK = 0.05  # seconds between two looks while draining, and for a record that is not there yet


class Requests:
    """See the module docstring."""

    def __init__(self, service: SupervisorService) -> None:
        self._service = service
        self._agent = service.agent
        serves = self._agent.serves
        serves["sup_terminate"] = self._of_known(self._serve_terminate)
        serves["sup_restart"] = self._of_known(self._serve_restart)
        serves["sup_restart_at"] = self._of_known(self._serve_restart_at)
        serves["sup_plan"] = self._of_known(self._serve_plan)
        serves["sup_explain"] = self._of_known(self._serve_explain)
        serves["sup_why"] = self._of_known(self._serve_why)
        serves["sup_wanted"] = self._of_known(self._serve_wanted)
        serves["sup_drain"] = self._serve_drain
        serves["sup_drain_at"] = self._serve_drain_at

    def _of_known(self, serve: Callable[..., None]) -> Callable[..., None]:
        """Return *serve*, of a supervisor's coordinator, as a service that is told its name."""

        def served(origin: str, done: Done, name: str, *args: Any) -> None:
            coordinator = self._service.known(name)
            if coordinator is None:
                done(False, unknown(name))
            else:
                serve(coordinator, done, *args)

        return served

    # Ending

    def _serve_terminate(
        self, coordinator: Coordinator, done: Done, key: bytes, timeout: float
    ) -> None:
        service = self._service
        deadline = service.now() + timeout

        def look(again: bool) -> None:
            keys = self._members(coordinator, key)
            if keys:
                self._terminate(coordinator, keys, done)
            elif not service.settled and service.now() < deadline:
                service.later(LOOK, lambda: look(True))
            elif again:  # its record may be under way
                service.later(LOOK, lambda: look(False))
            else:
                done(True, False)

        look(True)

    def _terminate(self, coordinator: Coordinator, keys: list[bytes], done: Done) -> None:
        waiting = dict.fromkeys(keys)

        def one_gone(gone: bytes) -> None:
            waiting.pop(gone, None)
            if not waiting:
                done(True, True)

        for one in keys:
            self._end(coordinator, one, one_gone)

    def _end(self, coordinator: Coordinator, key: bytes, gone: Callable[[bytes], None]) -> None:
        tombstone = coordinator.desired.tombstone(key, self._agent.node, refuse=True)
        if tombstone is None:
            gone(key)
            return

        def look() -> None:
            entries = coordinator.observed.get(key, {})
            if any(entry.version <= tombstone.version for entry in entries.values()):
                coordinator.waiters.when_changed(key, look)
            else:  # what there may be has been started anew
                gone(key)

        self._service.replication.write(coordinator.name, key, tombstone, look)

    def _members(self, coordinator: Coordinator, key: bytes) -> list[bytes]:
        """Return the keys that *key* stands for: itself, or the parts of a partitioned child."""
        desired = coordinator.desired
        if desired.wanted(key) is not None:
            return [key]
        return [k for k in desired.live() if getattr(desired.get(k), "group", b"") == key]

    # Restarting

    def _serve_restart(self, coordinator: Coordinator, done: Done, key: bytes) -> None:
        keys = self._members(coordinator, key)
        nodes = {node: None for one in keys for node in coordinator.observed.get(one, {})}
        if not nodes:
            done(True, bool(keys))
            return
        waiting = dict(nodes)

        def answered(node: str) -> Done:
            def one(ok: bool, value: Any) -> None:
                waiting.pop(node, None)
                if not waiting:
                    done(True, True)

            return one

        for node in nodes:
            self._agent.ask(node, "sup_restart_at", (coordinator.name, keys), answered(node))

    def _serve_restart_at(self, coordinator: Coordinator, done: Done, keys: list[bytes]) -> None:
        for key in keys:
            coordinator.work.restart(key)
        done(True, None)

    # Telling

    def _serve_plan(
        self, coordinator: Coordinator, done: Done, without: list[str], draining: list[str]
    ) -> None:
        found = coordinator.candidates.without((*without, *draining))
        done(True, planned(coordinator.desired, coordinator.observed, found, tuple(without)))

    def _serve_wanted(self, coordinator: Coordinator, done: Done, ending: bool) -> None:
        desired = coordinator.desired
        found = [(key, desired.wanted(key)) for key in desired.live()]
        if ending:
            gone = [key for key in coordinator.observed if desired.wanted(key) is None]
            found += [(key, desired.get(key)) for key in gone]
        done(True, [wanted_child(key, record) for key, record in found if record is not None])

    def _serve_explain(self, coordinator: Coordinator, done: Done, key: bytes) -> None:
        record = coordinator.desired.wanted(key)
        if record is None:
            done(True, "it is not wanted: it was never started, or has been terminated")
            return
        entries = coordinator.observed.get(key, {})
        there = [f"{e.status} on {node!r} (generation {e.generation})" + (f": {e.note}" if e.note
                 else "") for node, e in sorted(entries.items())]  # fmt: skip
        text = "; ".join(there) or "it runs nowhere"
        owner = coordinator.candidates.owner(key, record.labels, record.prefers)
        if owner is None:
            none = explain_none(coordinator.candidates, record.labels, coordinator.name)
            done(True, f"{text}; {none}")
            return

        def answered(ok: bool, why: Any) -> None:
            rest = f"; {why}" if ok and why else ""
            done(True, f"{text}; its owner is {owner!r}{rest}")

        self._agent.ask(min(entries, default=owner), "sup_why", (coordinator.name, key), answered)

    def _serve_why(self, coordinator: Coordinator, done: Done, key: bytes) -> None:
        service = self._service
        case = coordinator.case(key, service.settled, not service.lease.holds())
        action = reconcile.decide(case)
        done(True, f"{action.kind}: {action.why}" if action.why else "")

    # Draining

    def _serve_drain(self, origin: str, done: Done, node: str, on: bool, timeout: float) -> None:
        if node not in self._agent.view:
            done(False, f"there is no node {node!r} in the cluster")
        else:
            self._agent.ask(node, "sup_drain_at", (on, timeout), done)

    def _serve_drain_at(self, origin: str, done: Done, on: bool, timeout: float) -> None:
        service, agent = self._service, self._agent
        deadline = service.now() + timeout
        agent.update(draining=on)

        def look() -> None:
            left = self._left() if on else []
            if not left or service.now() >= deadline:
                done(True, left)
            else:
                service.later(LOOK, look)

        service.later(LOOK, look)

    def _left(self) -> list[tuple[str, Any, str]]:
        """Return ``(supervisor, id, why)`` of all children that are still here."""
        left = []
        for name, coordinator in self._service.coordinators.items():
            for key, local in coordinator.work.locals.items():
                waits = coordinator.why.get(key)
                why = waits.why if waits is not None else local.note or local.status
                record = coordinator.desired.wanted(key)
                if record is not None and coordinator.owner(key, record) is None:
                    why = explain_none(coordinator.candidates, record.labels, name)
                left.append((name, id_of(key), why))
        return left
