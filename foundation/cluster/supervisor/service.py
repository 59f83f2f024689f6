"""The distributed supervisors of one node, in its agent: time, epochs, leases, records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from foundation.cluster.agent import Agent
from foundation.cluster.host import SERVICES
from foundation.cluster.supervisor.checks import is_name
from foundation.cluster.supervisor.coordinator import Coordinator
from foundation.cluster.supervisor.desired import Desired
from foundation.cluster.supervisor.lease_keeper import LeaseKeeper
from foundation.cluster.supervisor.records import Record, Version
from foundation.cluster.supervisor.replication import Replication
from foundation.cluster.supervisor.settings import declared, service_key
from foundation.runtime.placement import is_worker

TICK = 1.0  # seconds between two looks at everything
HOME_SECONDS = 60.0  # until the temporary children of a node that went silent are given up
ADOPT_SECONDS = 5.0  # that children wait for their supervisor to be started again


class SupervisorService:
    """See the module docstring.

    Attributes:
        agent: of this node.
        life: ``"name/generation"`` of this node.
        coordinators: by name of the supervisor.
        replication: of what is wanted.
        lease: of this node.
    """

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.life = f"{agent.node}/{agent.swim.generation}"
        self.coordinators: dict[str, Coordinator] = {}
        self._held = False
        self._scheduled = False
        self._declared: dict[str, list[tuple[bytes, Record]]] = {}
        self._look_at_declared = False
        self._ends: dict[str, Callable[[], None]] = {}
        self._born = self.now()
        self._down: dict[str, float] = {}  # when nodes went silent; 0: they are known to be dead
        self.replication = Replication(agent, self, self._all_dirty)
        agent.serves["sup_report"] = self._serve_report
        agent.serves["sup_take"] = self._serve_take
        agent.hears["sup_event"] = lambda node, event: agent.event(event)
        agent.tables[SERVICES].listeners.append(lambda *entry: self._epoch_changed())
        agent.on_view.append(lambda view: self._epoch_changed())
        agent.on_settled.append(self._all_dirty)
        agent.on_node.append(self._node_changed)
        agent.on_own_host.append(self._host_changed)
        self.later(TICK, self._tick)
        self.lease = LeaseKeeper(agent, self.later, self._lease_changed)

    # What coordinators ask

    def now(self) -> float:
        """Return seconds."""
        return self.agent.kernel.driver.now()

    @property
    def settled(self) -> bool:
        """Whether the members agree, and all that they want is known here."""
        return self.agent.settled and self.replication.complete

    def runs_on(self, name: str) -> list[str]:
        """Return the nodes that run the supervisor *name*."""
        table, key = self.agent.tables[SERVICES], service_key(name)
        return [node for node in self.agent.view.names if key in table.of(node)]

    def worker_hosts(self) -> list[str]:
        """Return the hosts of this node that may run children."""
        return [host for host in self.agent.kernel.remote.neighbours if is_worker(host)]

    def event(self, event: Any) -> None:
        """Tell the subscribers on all nodes."""
        self.agent.event(event)
        for node in self.agent.peers:
            self.agent.tell(node, "sup_event", event)

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Run *action* after *seconds*, in a turn of the kernel."""
        self.agent.kernel.later(seconds, action)

    def look_soon(self) -> None:
        """Have the coordinators look at what has changed."""
        if not self._scheduled:
            self._scheduled = True
            self.agent.kernel.driver.call_soon(self._look)

    def _look(self) -> None:
        self._scheduled = False
        if not self.agent.kernel.closed:
            self.agent.kernel.turn(self._look_now)

    def _look_now(self) -> None:
        if self._look_at_declared and self.settled:
            self._look_at_declared = False
            self._declare_moved()
        for name, coordinator in list(self.coordinators.items()):
            self._guarded(name, coordinator.look)
        for name in list(self._ends):
            self._guarded(name, lambda name=name: self._look_at_end(name))  # type: ignore[misc]

    def _guarded(self, name: str, action: Callable[[], None]) -> None:
        """Run *action*; what fails for one supervisor must not stop the others."""
        try:
            action()
        except Exception as error:
            self.agent.notice("error", f"distributed supervisor {name!r} failed: {error!r}")

    # The records' store

    def known(self, name: Any) -> Coordinator | None:
        """Return the coordinator of *name*; None when there is no supervisor of that name."""
        if not is_name(name):
            return None
        found = self.coordinators.get(name)
        return self.coordinator(name) if found is None and declared(self.agent, name) else found

    def coordinator(self, name: str) -> Coordinator:
        """Return the coordinator of *name*, a supervisor that some node has, made if need be."""
        found = self.coordinators.get(name)
        if found is None:
            found = self.coordinators[name] = Coordinator(self, name)
        return found

    def desired(self, name: str) -> Desired:
        """Return what is wanted of the supervisor *name*."""
        return self.coordinator(name).desired

    def names(self) -> list[str]:
        """Return the known supervisors, sorted."""
        return sorted(self.coordinators)

    def changed(self, name: str, key: bytes) -> None:
        """A record has changed."""
        self.coordinator(name).record_changed(key)

    # Supervisors of this node

    @property
    def _born_as(self) -> Version:
        """The version of what this node declares: above those of nodes that began before."""
        return (0, f"{self.agent.swim.generation:016d}")

    def adopt(
        self,
        name: str,
        declared: list[tuple[bytes, Record]],
        settings: tuple[int, float, str],
        max_moves: int,
    ) -> None:
        """The supervisor *name* has started on this node."""
        coordinator = self.coordinator(name)
        coordinator.running, coordinator.leaving = True, False
        coordinator.max_moves = max_moves
        self._ends.pop(name, None)
        for key, record in declared:
            mine = replace(record, version=self._born_as)
            known = coordinator.desired.wanted(key)
            if known is None or known.instance != mine.instance:
                self.replication.write(name, key, mine, lambda: None)
        self._declared[name] = declared
        self._look_at_declared = True
        self.agent.put(SERVICES, service_key(name), settings)
        coordinator.all_dirty()

    def _declare_moved(self) -> None:
        """Declare again what was moved in a declaration of before, now that all records are known.

        The record of a child that was moved holds over any that is only declared. It says in
        ``born`` which declaration that was, so of several nodes the one that began last holds.
        """
        for name, children in self._declared.items():
            desired = self.desired(name)
            for key, record in children:
                known = desired.wanted(key)
                if known is None or known.born is None or known.token:
                    continue
                if known.born < self._born_as and known.instance != record.instance:
                    news = replace(
                        record,
                        version=desired.next_version(self.agent.node),
                        prefers=known.prefers,
                        born=self._born_as,
                    )
                    self.replication.write(name, key, news, lambda: None)

    def release(self, name: str, done: Callable[[], None]) -> None:
        """The supervisor *name* ends on this node: give its children away; *done* when gone.

        What has not gone after ``drain_seconds`` is killed.
        """
        coordinator = self.coordinator(name)
        coordinator.leaving = True
        self._declared.pop(name, None)
        self._ends[name] = done
        self.agent.delete(SERVICES, service_key(name))
        coordinator.all_dirty()

        def late() -> None:
            if self._ends.get(name) is done:
                coordinator.work.kill_all()
                self.look_soon()

        self.later(self.agent.config.drain_seconds, late)
        self.look_soon()

    def _look_at_end(self, name: str) -> None:
        coordinator = self.coordinators[name]
        stuck = self.settled and not coordinator.candidates.members
        if stuck:
            coordinator.work.kill_all()  # nobody is there to take them
        if not coordinator.work.locals:
            coordinator.running = False
            self._ends.pop(name)()

    def abandoned(self, name: str) -> None:
        """The supervisor was killed: its children wait for it to be started again."""
        coordinator = self.coordinator(name)
        if not coordinator.running or coordinator.leaving:
            return
        coordinator.running = False

        def late() -> None:
            if not coordinator.running and not coordinator.leaving:
                self.release(name, lambda: None)

        self.later(ADOPT_SECONDS, late)

    # What happens around

    def _all_dirty(self) -> None:
        self._look_at_declared = True
        for coordinator in self.coordinators.values():
            coordinator.all_dirty()

    def _epoch_changed(self) -> None:
        for coordinator in self.coordinators.values():
            coordinator.epoch_changed()
        self._all_dirty()

    def _node_changed(self, node: str, up: bool, reason: str) -> None:
        if up:
            self._down.pop(node, None)
        elif reason == "silent":
            self._down[node] = self.now()
        else:
            self._down[node] = 0.0

    def _forget_dead(self, now: float) -> None:
        """Forget when nodes went down, once ``home_gone`` says the same without."""
        if self._down and now - self._born >= HOME_SECONDS:
            self._down = {n: at for n, at in self._down.items() if now - at < HOME_SECONDS}

    def home_gone(self, home: str) -> bool:
        """Whether the life *home* of a node (``"name/generation"``) is over."""
        node, _, generation = home.rpartition("/")
        member = self.agent.view.member(node)
        if member is not None:
            return str(member.generation) != generation
        return self.now() - self._down.get(node, self._born) >= HOME_SECONDS

    def _host_changed(self, host: str, up: bool) -> None:
        for coordinator in self.coordinators.values():
            if not up:
                coordinator.work.host_down(host)
            coordinator.all_dirty()

    def _serve_report(self, origin: str, done: Any, name: str, *report: Any) -> None:
        coordinator = self.known(name)
        if coordinator is not None:
            coordinator.work.reported(origin, *report)

    def _serve_take(self, origin: str, done: Any, name: str, *args: Any) -> None:
        coordinator, key = self.known(name), args[0]
        taken = coordinator is not None and coordinator.take(origin, *args)
        record = None if coordinator is None else coordinator.desired.wanted(key)
        if not taken or coordinator is None or record is None:
            done(True, False)
        elif coordinator.owner(key, record) == self.agent.node:
            done(True, True)
        else:  # the owner must have seen it before the other node's entry goes
            self.agent.barriers.all(lambda: done(True, True))

    def _tick(self) -> None:
        now = self.now()
        try:
            self._forget_dead(now)
            for name, coordinator in list(self.coordinators.items()):
                self._guarded(name, lambda one=coordinator: one.tick(now))  # type: ignore[misc]
            self._guarded("all", lambda: self.replication.tick(now))
        finally:
            self.later(TICK, self._tick)

    # The lease

    def _lease_changed(self) -> None:
        held = self.lease.holds()
        for coordinator in self.coordinators.values():
            if held and coordinator.any_leased:
                coordinator.work.lease_until(self.lease.until())
                coordinator.waiting_dirty()
            if held != self._held:
                coordinator.all_dirty()
        self._held = held
