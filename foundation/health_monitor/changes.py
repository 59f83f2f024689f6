"""Counting what changes in the tables that hosts have copies of: names, children.

Only changes in this node's own slices are counted, so that the counts of all nodes can be added
up. Nothing is called for a message: listeners are told of entries that come, change and go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from foundation.cluster.host import SERVICES, ClusterHost
from foundation.cluster.registry.tables import DECLARED
from foundation.cluster.registry.tables import table_of as registry_table
from foundation.cluster.slices import GONE, Listener
from foundation.cluster.supervisor.records import (
    HOLDING,
    QUARANTINED,
    RUNNING,
    SETTLED,
    STARTING,
    STOPPING,
)
from foundation.cluster.supervisor.records import table_of as children_table
from foundation.health_monitor.settings import REGISTRY

CHILDREN = "sup:"  # keys in the table of services, and names of tables, begin so
NAMES = "reg:"
REMEMBERED = 20_000  # children whose last node is remembered

Note = Callable[[str], None]


class ChildEvents:
    """Tells starts, failures and migrations of distributed children from their entries. Pure.

    started    an entry of this node says that it runs, as another process than before
    failed     it is being restarted here, is in quarantine, or its worker host died
    migrated   it was started here, and ran on another node last, which has it no more

    Args:
        node: this one.
        note: told ``"started"``, ``"failed"``, ``"migrated"``.
        elsewhere: ``(key, node)``: whether the other node has an entry of the child that runs.
        replicated: whether one of the child runs on each node: it does not migrate.
    """

    def __init__(
        self,
        node: str,
        note: Note,
        elsewhere: Callable[[bytes, str], bool],
        replicated: Callable[[bytes], bool],
    ) -> None:
        self._node = node
        self._note = note
        self._elsewhere = elsewhere
        self._replicated = replicated
        self._last: dict[bytes, str] = {}  # child -> where it ran last

    def entry(self, node: str, key: bytes, new: Any, old: Any) -> None:
        """An entry has changed."""
        if new is GONE:
            if old.status == STOPPING:  # it was terminated: what starts later is another one
                self._last.pop(key, None)
            return
        if node == self._node:
            self._mine(key, new, old)
        if new.status == RUNNING:
            self._last.pop(key, None)
            self._last[key] = node
            if len(self._last) > REMEMBERED:
                del self._last[next(iter(self._last))]

    def _mine(self, key: bytes, new: Any, old: Any) -> None:
        before = None if old is GONE else old.status
        if new.status == RUNNING:
            if before != RUNNING or old.pid != new.pid:
                self._note("started")
                last = self._last.get(key, self._node)
                moved = last != self._node and not self._elsewhere(key, last)
                if moved and not self._replicated(key):
                    self._note("migrated")
            return
        restarted = new.status == STARTING and before in SETTLED and new.generation > old.generation
        gave_up = new.status == QUARANTINED and before != QUARANTINED
        lost_host = new.status == HOLDING and before in SETTLED
        if restarted or gave_up or lost_host:
            self._note("failed")


class TableWatch:
    """Listens to the tables of one host; ``close`` ends it.

    Args:
        cluster: of the host.
        note: told ``"registry_changes"`` and what ``ChildEvents`` tells.

    Attributes:
        replicated: by supervisor, keys of children of which one runs on each node.
    """

    def __init__(self, cluster: ClusterHost, note: Note) -> None:
        self._cluster = cluster
        self._note = note
        self._listening: dict[str, Listener] = {}
        self.replicated: dict[str, dict[bytes, None]] = {}
        self._listen(DECLARED, self._declared)
        self._listen(SERVICES, self._service)
        for name, told in ((DECLARED, self._declared), (SERVICES, self._service)):
            for node, key, value in list(cluster.tables[name].items()):
                told(node, key, value, GONE)
        for table in cluster.tables:
            self._follow(table.name)

    def _declared(self, node: str, registry: str, new: Any, old: Any) -> None:
        self._follow(registry_table(registry))

    def _service(self, node: str, key: Any, new: Any, old: Any) -> None:
        if isinstance(key, str) and key.startswith(CHILDREN):
            self._follow(children_table(key[len(CHILDREN) :]))

    def _follow(self, name: str) -> None:
        if name in self._listening or name == registry_table(REGISTRY):
            return  # of probe entries no account is kept
        if name.startswith(NAMES):
            self._listen(name, self._name_changed)
        elif name.startswith(CHILDREN):
            self._listen(name, self._child_events(name).entry)

    def _listen(self, name: str, listener: Listener) -> None:
        self._listening[name] = listener
        self._cluster.tables[name].listeners.append(listener)

    def _name_changed(self, node: str, key: Any, new: Any, old: Any) -> None:
        if node == self._cluster.node:
            self._note("registry_changes")

    def _child_events(self, name: str) -> ChildEvents:
        table = self._cluster.tables[name]
        supervisor = name[len(CHILDREN) :]

        def elsewhere(key: bytes, node: str) -> bool:
            entry = table.get(node, key)
            return entry is not GONE and entry.status == RUNNING

        def replicated(key: bytes) -> bool:
            return key in self.replicated.get(supervisor, {})

        return ChildEvents(self._cluster.node, self._note, elsewhere, replicated)

    def supervisors(self) -> list[str]:
        """Return the distributed supervisors that there are or were, sorted."""
        names = [n[len(CHILDREN) :] for n in self._listening if n.startswith(CHILDREN)]
        return sorted(names)

    def close(self) -> None:
        """Listen no more."""
        for name, listener in self._listening.items():
            listeners = self._cluster.tables[name].listeners
            if listener in listeners:
                listeners.remove(listener)
        self._listening.clear()
