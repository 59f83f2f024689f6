"""What one node has of one supervisor's children: its slice of their table, and its runners.

Invariants:
    O1  A child has an entry in this node's slice from before its process starts until after it
        has ended.
    O2  An entry that is passed on is removed only when the other node has one.
    O3  What runners report of a generation that is over is ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from foundation.cluster.supervisor import reconcile
from foundation.cluster.supervisor.desired import Desired
from foundation.cluster.supervisor.events import ChildQuarantined
from foundation.cluster.supervisor.ids import id_of
from foundation.cluster.supervisor.local import Local
from foundation.cluster.supervisor.records import (
    HOLDING,
    IGNORED,
    LEAVING,
    MOVING,
    QUARANTINED,
    RUNNING,
    SETTLED,
    STARTING,
    STOPPING,
    TOKENS,
    Record,
    next_generation,
    table_of,
)
from foundation.cluster.supervisor.waiters import Waiters
from foundation.kernel.codec import dumps
from foundation.kernel.peer import pack_reason
from foundation.kernel.values import Pid

if TYPE_CHECKING:
    from foundation.cluster.supervisor.service import SupervisorService


TERMINATED = pack_reason("terminated")  # why a start fails that was overtaken


class Work:
    """See the module docstring.

    Args:
        service: of this agent.
        name: of the supervisor.
        desired: what is wanted.
        waiters: who waits for starts.

    Attributes:
        locals: what this node has, by key.
        moving: the keys of what is on its way to other nodes.
    """

    def __init__(
        self, service: SupervisorService, name: str, desired: Desired, waiters: Waiters
    ) -> None:
        self._service = service
        self._agent = service.agent
        self._name = name
        self._table = table_of(name)
        self._desired = desired
        self._waiters = waiters
        self._load: dict[str, int] = {}  # children by host
        self.locals: dict[bytes, Local] = {}
        self.moving: dict[bytes, None] = {}

    # Entries

    def _set(self, key: bytes, local: Local, status: str, note: str = "") -> None:
        local.status, local.note = status, note
        if status in (LEAVING, MOVING):
            self.moving[key] = None
        else:
            self.moving.pop(key, None)
        self._agent.put(self._table, key, local.entry)

    def _rest(self, key: bytes, local: Local, status: str, note: str) -> None:
        """It has no process (any more)."""
        local.pid = None
        self._place(local, None)
        self._set(key, local, status, note)

    def _place(self, local: Local, host: str | None) -> None:
        if local.host is not None:
            self._load[local.host] = self._load.get(local.host, 1) - 1
        local.host = host
        if host is not None:
            self._load[host] = self._load.get(host, 0) + 1

    def remove(self, key: bytes) -> None:
        """This node has nothing of the child any more."""
        local = self.locals.pop(key, None)
        if local is not None:
            self._place(local, None)
            self.moving.pop(key, None)
            self._agent.delete(self._table, key)
            known = self._desired.get(key)
            if known is not None and known.deleted:
                self._waiters.failed(key, TERMINATED)
            else:
                self._waiters.moved(key)
            self._service.look_soon()

    def _say(self, local: Local, what: str, *args: Any) -> None:
        if local.host is not None:
            self._agent.kernel.remote.op(local.host, ("sup_do", self._name, what, args))

    # Starting and ending

    def start(self, key: bytes, record: Record) -> bool:
        """Have a runner start the child; False when there is no host for it just now."""
        host = reconcile.fewest(self._service.worker_hosts(), self._load)
        if host is None:
            return False
        local = self.locals.get(key)
        if local is None:
            local = self.locals[key] = Local(STARTING, 0, record.instance)
        local.version = record.instance
        known = max(local.generation, self._desired.generation(key))
        local.generation = next_generation(known, self._agent.swim.generation)
        local.pid = None
        local.tried = record.version
        local.arrives = local.taken and record.target == self._agent.node
        self._place(local, host)
        self._set(key, local, STARTING)  # O1
        leased = record.on_minority == "stop"
        if leased:
            self._say(local, "lease", self._service.lease.until())
        first = self._waiters.starting(key)
        how = (record.limits, local.state, first, local.arrives, leased, record.shipped)
        self._say(local, "start", key, local.generation, record.spec, *how)
        return True

    def stop(self, key: bytes, why: str, how: str = "shutdown") -> None:
        """Have a runner end the child.

        *how* is ``"shutdown"``; ``"kill"``; ``"export"``: it goes on elsewhere, with its state if
        possible; ``"move"``: it goes on elsewhere if its state can be exported, else here.
        """
        local, record = self.locals[key], self._desired.get(key)
        if local.status == STOPPING and how != "kill":
            return
        if record is not None:
            local.tried = record.version
        self._set(key, local, LEAVING if how in ("export", "move") else STOPPING, why)
        self._say(local, "stop", key, local.generation, how)

    def kill_all(self) -> None:
        """End all children here at once."""
        for key, local in list(self.locals.items()):
            if local.alive:
                self.stop(key, "the supervisor ends", "kill")
            else:
                self.remove(key)

    def forget(self, key: bytes) -> None:
        """Want the child no longer, anywhere."""
        tombstone = self._desired.tombstone(key, self._agent.node)
        if tombstone is not None:
            self._service.replication.write(self._name, key, tombstone, lambda: None)

    def retry(self, key: bytes) -> bool:
        """Start a child again that rests here; False when there is none."""
        local = self.locals.get(key)
        if local is None or local.status not in (QUARANTINED, IGNORED):
            return False
        self._set(key, local, HOLDING, local.note)
        return True

    def retry_due(self, now: float) -> None:
        """Start the quarantined children again whose time has come."""
        for key, local in list(self.locals.items()):
            if local.status == QUARANTINED and now >= local.retry_at:
                self.retry(key)

    def restart(self, key: bytes) -> None:
        """Stop a child that runs here, so that it starts again; one that rests starts."""
        local = self.locals.get(key)
        if local is not None and local.alive:
            self.stop(key, "restart_child")
        else:
            self.retry(key)

    # Moving

    def offer(self, key: bytes, to: str, refused: Callable[[], None]) -> None:
        """Pass on what has ended here, with its state. Until the answer it is not started here."""
        local, record = self.locals[key], self._desired.get(key)
        if local.offered:
            return
        local.offered = True

        def answered(ok: bool, taken: Any) -> None:
            if self.locals.get(key) is not local:
                return
            local.offered = False
            if ok and taken and local.status in TOKENS:
                self.remove(key)  # O2
                return
            if ok:
                refused()
            else:
                self._service.coordinator(self._name).dirty(key)

        # It may not have heard yet why the child is to go there.
        self._agent.tell(to, "sup_put", self._name, key, dumps(record), local.generation)
        args = (self._name, key, local.generation, local.version, local.state)
        self._agent.ask(to, "sup_take", args, answered)

    def take(self, key: bytes, record: Record, generation: int, state: bytes | None) -> None:
        """Another node passes a child on."""
        if key not in self.locals:  # else it is here already
            local = self.locals[key] = Local(HOLDING, generation, record.instance)
            local.state, local.taken = state, True
            self._set(key, local, HOLDING)

    def _cannot_arrive(self, key: bytes, local: Local, why: str) -> None:
        """It does not start where a request moved it: its entry, with its state, goes back."""
        self._rest(key, local, HOLDING, why)
        local.arrives = False
        local.failed = (local.tried, f"it did not start on {self._agent.node!r}: {why}")

    # What runners report

    def reported(self, origin: str, kind: str, key: bytes, generation: int, *info: Any) -> None:
        """The runner in *origin* says what became of a child."""
        local = self.locals.get(key)
        if local is None or local.host != origin or generation < local.generation:
            return  # O3
        local.generation = generation
        getattr(self, f"_on_{kind}")(key, local, *info)

    def _on_started(self, key: bytes, local: Local, pid: Pid, note: str = "") -> None:
        local.pid, local.state = pid, None
        local.taken = local.arrives = False
        if local.status == STARTING:
            self._set(key, local, RUNNING, note)
            self._waiters.started(key, pid)
        else:
            self._set(key, local, local.status, local.note)

    def _on_restarting(self, key: bytes, local: Local, reason: str) -> None:
        local.pid = local.state = None
        local.taken = False
        if local.status in SETTLED:
            self._set(key, local, STARTING, f"restarted after: {reason}")
        else:  # it was told to end meanwhile, in its former life
            self._set(key, local, local.status, local.note)
            self._say(local, "stop", key, local.generation, "shutdown")

    def _on_kept(self, key: bytes, local: Local, why: str) -> None:
        """It was to go on elsewhere, and could not."""
        if local.status == LEAVING:
            local.failed = (local.tried, f"its state could not be exported: {why}")
            self._set(key, local, RUNNING)
        else:  # it was told to end meanwhile
            self._set(key, local, local.status, local.note)
            self._say(local, "stop", key, local.generation, "shutdown")

    def _on_failed(self, key: bytes, local: Local, reason: bytes, text: str) -> None:
        if local.arrives and local.status == STARTING:
            self._cannot_arrive(key, local, text)
        elif self._waiters.failed(key, reason):
            self.remove(key)
            self.forget(key)
        else:
            self._on_exceeded(key, local, text)

    def _on_ignored(self, key: bytes, local: Local) -> None:
        if local.arrives and local.status == STARTING:
            self._cannot_arrive(key, local, "its init returned Ignore()")
        elif self._waiters.ignored(key):
            self.remove(key)
            self.forget(key)
        else:
            self._rest(key, local, IGNORED, "its init returned Ignore()")

    def _on_ended(self, key: bytes, local: Local, reason: str) -> None:
        """It has ended for good: it is temporary, or transient and ended cleanly."""
        record = self._desired.wanted(key)
        if record is not None and record.every_node and local.status == RUNNING:
            self._rest(key, local, IGNORED, f"it has ended: {reason}")
            return
        self.remove(key)
        if record is not None and local.version == record.instance:
            self.forget(key)

    def _on_exceeded(self, key: bytes, local: Local, reason: str) -> None:
        if local.status not in SETTLED:
            self._on_gone(key, local, None)
            return
        if local.arrives:
            self._cannot_arrive(key, local, reason)
            return
        delay = local.quarantine(self._service.now())
        self._rest(key, local, QUARANTINED, reason)
        told = ChildQuarantined(self._name, id_of(key), self._agent.node, reason, delay)
        self._service.event(told)

    def _on_gone(self, key: bytes, local: Local, state: bytes | None) -> None:
        if local.status == LEAVING:
            local.state = local.state if state is None else state
            self._rest(key, local, MOVING, local.note)
        else:
            self.remove(key)

    # Hosts and the lease

    def host_down(self, host: str) -> None:
        """A worker host has died, with all children in it: they start again in another."""
        for key, local in [(k, v) for k, v in self.locals.items() if v.host == host]:
            record = self._desired.wanted(key)
            if local.status == LEAVING:
                self._rest(key, local, MOVING, local.note)
            elif local.status not in SETTLED:
                self.remove(key)
            elif record is not None and record.restart == "temporary":
                self._waiters.failed(key, pack_reason("killed"))
                self.remove(key)
                self.forget(key)
            else:
                self._host_lost(key, local)
        self._load.pop(host, None)

    def _host_lost(self, key: bytes, local: Local) -> None:
        why = "its worker host has died"
        local.lost = local.lost.record(self._service.now())
        if local.lost.exceeded:  # it may be what kills them
            self._on_exceeded(key, local, f"{why} too often")
        else:
            self._rest(key, local, HOLDING, why)

    def lease_until(self, until: float) -> None:
        """Tell the runners of leased children how long these may run."""
        hosts: dict[str, None] = {}
        for key, local in self.locals.items():
            record = self._desired.get(key)
            if local.host is not None and record is not None and record.on_minority == "stop":
                hosts[local.host] = None
        for host in hosts:
            self._agent.kernel.remote.op(host, ("sup_do", self._name, "lease", (until,)))
