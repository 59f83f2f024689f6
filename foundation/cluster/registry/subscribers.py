"""Who in one host is told of changes of distributed registries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foundation.cluster.registry.index import Index
from foundation.cluster.registry.record import Change, Record
from foundation.cluster.registry.values import Registered, Unregistered, Updated
from foundation.kernel.values import Pid
from foundation.otp.registry_match import ANY
from foundation.otp.registry_table import normal_key

if TYPE_CHECKING:
    from foundation.kernel.kernel import Kernel
    from foundation.kernel.process import Process

Topic = tuple[str, Any]  # (registry, normalised key or ANY)


class Subscribers:
    """See the module docstring."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._by_topic: dict[Topic, dict[Pid, None]] = {}
        self._by_pid: dict[Pid, dict[Topic, None]] = {}

    def add(self, process: Process, registry: str, key: Any) -> None:
        """Tell *process* of changes of *key* (or ``ANY``) of *registry*; idempotent."""
        topic = _topic(registry, key)
        mine = self._by_pid.get(process.pid)
        if mine is None:
            mine = self._by_pid[process.pid] = {}
            process.add_exit_hook(self._ends)
        mine[topic] = None
        self._by_topic.setdefault(topic, {})[process.pid] = None

    def remove(self, pid: Pid, registry: str, key: Any) -> None:
        """Undo ``add``."""
        self._remove(pid, _topic(registry, key))

    def _remove(self, pid: Pid, topic: Topic) -> None:
        found = self._by_topic.get(topic, {})
        found.pop(pid, None)
        if not found:
            self._by_topic.pop(topic, None)
        self._by_pid.get(pid, {}).pop(topic, None)

    def _ends(self, process: Process, reason: Any) -> None:
        for topic in list(self._by_pid.get(process.pid, ())):
            self._remove(process.pid, topic)
        self._by_pid.pop(process.pid, None)

    def tell(self, index: Index, change: Change) -> None:
        """Tell those concerned of *change*: what was first goes, then comes what is."""
        if not self._by_topic:
            return
        filed = (change.new or change.old).filed  # type: ignore[union-attr]
        topics = ((index.name, filed), (index.name, ANY))
        pids = {pid: None for topic in topics for pid in self._by_topic.get(topic, ())}
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
