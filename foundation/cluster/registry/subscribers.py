"""Who in one host is told of changes of distributed registries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foundation.cluster.audience import Audience, Topic
from foundation.cluster.registry.index import Index
from foundation.cluster.registry.record import Change, Record
from foundation.cluster.registry.values import Registered, Unregistered, Updated
from foundation.kernel.values import Pid
from foundation.otp.registry_match import ANY
from foundation.otp.registry_table import normal_key

if TYPE_CHECKING:
    from foundation.kernel.kernel import Kernel
    from foundation.kernel.process import Process

class Subscribers(Audience):
    """See the module docstring."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__()
        self._kernel = kernel

    def add(self, process: Process, registry: str, key: Any) -> None:
        """Tell *process* of changes of *key* (or ``ANY``) of *registry*; idempotent."""
        self.join(process, _topic(registry, key))

    def remove(self, pid: Pid, registry: str, key: Any) -> None:
        """Undo ``add``."""
        self.leave(pid, _topic(registry, key))

    def tell(self, index: Index, change: Change) -> None:
        """Tell those concerned of *change*: what was first goes, then comes what is."""
        if not self:
            return
        filed = (change.new or change.old).filed  # type: ignore[union-attr]
        pids = self.of((index.name, filed), (index.name, ANY))
        if pids:
            for event in _events(index, *change):
                for pid in pids:
                    self._kernel.deliver(pid, self._kernel.isolate(event))


def _topic(registry: str, key: Any) -> Topic:
    return (registry, ANY if key is ANY else normal_key(key))


def _events(index: Index, old: Record | None, new: Record | None) -> list[Any]:
    name = index.name
    if old is not None and new is not None and old.rank == new.rank:
        if not old.revalued(new):
            return []
        value = index.entry(new).value
        return [Updated(name, new.key, new.pid, value, new.node)]
    events: list[Any] = []
    if old is not None:
        beaten = new is not None and new.node != old.node and new.rank > old.rank
        reason = "conflict" if beaten else "gone"
        events.append(Unregistered(name, old.key, old.pid, old.node, reason))
    if new is not None:
        value = index.entry(new).value
        events.append(Registered(name, new.key, new.pid, value, new.node))
    return events
