"""Tells the subscribers of a node which services come and go. One in each node's control host.

It follows the registry as this node sees it, and announces on this node only: each subscriber,
wherever it is, hears of each change once, from its own node, and when it hears of it discovery
in its host shows it. So nobody has to be chosen to speak for a node that is gone, and after a
split has healed those hear that an instance is up who have heard that it was down.

(The agent holds back what changes for some milliseconds; the announcer asks it to have all hosts
of the node told before it speaks.)

What it has announced is kept by its host, not by this process: after a restart it goes on there.
While the registry of the node is being started anew the node sees no services: its subscribers
hear ``ServiceDown`` of all, then ``ServiceUp`` of those that are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from foundation.cluster import pubsub
from foundation.cluster import registry as reg
from foundation.cluster.registry.via import registry_host
from foundation.errors import UnknownDistributedRegistry
from foundation.kernel import ops
from foundation.kernel.values import Pid
from foundation.otp import GenServer
from foundation.otp.registry_write import wait
from foundation.service_mesh.values import (
    EVENTS,
    REGISTRY,
    ServiceDown,
    ServiceHealthChanged,
    ServiceInfo,
    ServiceUp,
    is_service,
)

TABLE = "service mesh announced"  # where a kernel keeps what has been announced

AGAIN = 0.1  # seconds from one look for the registry, which is being started, to the next

_BEGIN, _FLUSH = "begin", "flush"

Slot = tuple[str, Pid]
Event = ServiceUp | ServiceDown | ServiceHealthChanged


def changes(before: Sequence[ServiceInfo], after: Sequence[ServiceInfo]) -> list[Event]:
    """Return what there is to say when the entries *before* of a process are now *after*."""
    old = {(info.instance, info.order): info for info in before}
    new = {(info.instance, info.order): info for info in after}
    events: list[Event] = [ServiceDown(info) for id, info in old.items() if id not in new]
    for id, info in new.items():
        if id not in old:
            events.append(ServiceUp(info))
        elif old[id].healthy != info.healthy:
            events.append(ServiceHealthChanged(info))
    return events


class Announced:
    """What a host has announced, and what it is about to."""

    def __init__(self) -> None:
        self.known: dict[Slot, list[ServiceInfo]] = {}
        self.pending: list[Event] = []


class Announcer(GenServer):
    """See the module docstring."""

    def init(self) -> None:
        """Announce what has changed since this host last did."""
        tables = ops.current().kernel.tables
        self.state: Announced = tables.setdefault(TABLE, Announced())
        self._begin()

    def _begin(self) -> None:
        """Follow the registry from now on, or as soon as it runs."""
        try:
            reg.subscribe(REGISTRY)
        except UnknownDistributedRegistry:
            ops.send_after(AGAIN, ops.me(), _BEGIN)
            return
        now = _all()
        for slot in [*self.state.known, *now]:
            self._now(slot, now.get(slot, []))
        ops.send(ops.me(), _FLUSH)

    def handle_info(self, message: Any) -> Any:
        """The registry has changed."""
        if message == _FLUSH:
            return self._flush()
        if message == _BEGIN:
            return self._begin()
        first = not self.state.pending
        self._take(message)
        if first and self.state.pending:
            ops.send(ops.me(), _FLUSH)
        return None

    def _take(self, message: Any) -> None:
        match message:
            case reg.Registered(key=str(name), pid=pid, value=value) if is_service(value):
                slot = (name, pid)
                before = self.state.known.get(slot, ())
                self._now(slot, [*before, ServiceInfo.of(name, pid, value)])
            case reg.Updated(key=str(name), pid=pid, value=value):
                infos = [ServiceInfo.of(name, pid, value)] if is_service(value) else []
                self._changed((name, pid), infos)
            case reg.Unregistered(key=str(name), pid=pid):
                self._changed((name, pid), [])

    def _changed(self, slot: Slot, infos: list[ServiceInfo]) -> None:
        """The entry of *slot* is now *infos*; one of several: see which are left."""
        several = len(self.state.known.get(slot, ())) > 1
        self._now(slot, _all(slot[0]).get(slot, []) if several else infos)

    def _now(self, slot: Slot, infos: list[ServiceInfo]) -> None:
        before = self.state.known.pop(slot, [])
        if infos:
            self.state.known[slot] = infos
        self.state.pending += changes(before, infos)

    async def _flush(self) -> None:
        """Announce, once all hosts of this node show what is announced."""
        events = list(self.state.pending)
        if not events:
            return
        process = ops.current()
        agent = registry_host(process.kernel, REGISTRY).agent
        if agent is not None:
            await wait(process, lambda done: agent.all_hosts(lambda: done(None)))
        del self.state.pending[: len(events)]
        for event in events:
            pubsub.local_broadcast(EVENTS, event)
        if self.state.pending:
            ops.send(ops.me(), _FLUSH)


def _all(name: Any = reg.ANY) -> dict[Slot, list[ServiceInfo]]:
    found: dict[Slot, list[ServiceInfo]] = {}
    try:
        rows = reg.select(REGISTRY, key=name, value=is_service)
    except UnknownDistributedRegistry:  # it has ended, and all its entries with it
        rows = []
    for key, pid, value in rows:
        if type(key) is str:
            found.setdefault((key, pid), []).append(ServiceInfo.of(key, pid, value))
    return found
