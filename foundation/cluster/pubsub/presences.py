"""The presences of one name in one host: those of its processes, and a view of all.

A host says to its agent what its processes are tracked under; the agent's table is copied to
all hosts, and each makes of the changes of its own copy the diffs for its own subscribers. So
there is nothing to merge and nothing to exchange but the table (``cluster/slices.py``): no
heartbeats, no clocks, and nothing that remains of nodes that have gone.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import TYPE_CHECKING, Any

from foundation.cluster.pubsub.pending import Pending
from foundation.cluster.pubsub.presence import Entry, Key, PresenceView
from foundation.cluster.pubsub.service import PRESENCES
from foundation.cluster.pubsub.values import Meta, PresenceDiff
from foundation.cluster.slices import GONE
from foundation.errors import CodecError
from foundation.kernel.process import Process
from foundation.kernel.reports import Notice
from foundation.kernel.values import Pid

if TYPE_CHECKING:
    from foundation.cluster.host import ClusterHost
    from foundation.cluster.pubsub.service import Alone
    from foundation.kernel.kernel import Kernel

Place = tuple[str, Key]  # topic, key


class Presences:
    """See the module docstring.

    Attributes:
        mine: what the processes of this host are tracked under: ahead of the table.
        view: what all hosts are known to have.
    """

    def __init__(
        self, kernel: Kernel, cluster: ClusterHost | Alone, name: str, dead: Container[Pid]
    ) -> None:
        self.kernel = kernel
        self.name = name
        self.mine: dict[Pid, dict[Place, tuple[bytes, int]]] = {}
        self.view = PresenceView(self._topic_changed, dead)
        self._cluster = cluster
        self._ref = 0
        self._unsaid: dict[Pending, None] = {}  # changes that the agent has not confirmed
        self._subscribers: dict[str, dict[Pid, None]] = {}
        self._changed: dict[str, None] = {}  # topics that subscribers must be told of
        table = cluster.tables[PRESENCES + name]
        for node, key, value in table.items():
            self._entry(node, key, value, GONE)
        table.listeners.append(self._entry)

    def _entry(self, node: str, key: tuple[str, Key, Pid], new: Any, old: Any) -> None:
        topic, name, pid = key
        if new is GONE:
            self.view.unset(topic, name, pid)
        elif pid.host != self.kernel.address or pid in self.kernel.procs:
            self.view.set(topic, name, pid, *new)

    # Processes of this host

    def put(self, pid: Pid, said: Iterable[tuple[Place, bytes]]) -> Pending:
        """Set what *pid* is tracked under; awaited: on all hosts."""
        mine = self.mine.setdefault(pid, {})
        entries = []
        for place, payload in said:
            self._ref += 1
            mine[place] = (payload, self._ref)
            entries.append((*place, pid, payload, self._ref))
        pending = Pending()
        self._say_put(entries, [pending])
        return pending

    def _say_put(self, entries: list[tuple[Any, ...]], waiting: list[Pending]) -> None:
        for pending in waiting:
            self._unsaid[pending] = None

        def done(ok: bool, value: Any) -> None:
            if ok or value != "noconnection":  # else a new agent will ask, see ``again``
                for pending in waiting:
                    self._unsaid.pop(pending, None)
                    pending.finish()

        self._cluster.request("tr_put", (self.name, entries), done)

    def drop(self, pid: Pid, places: list[Place]) -> Pending:
        """Track *pid* no more under *places*; awaited: on no host."""
        mine = self.mine[pid]
        for place in places:
            del mine[place]
        if not mine:
            del self.mine[pid]
        pending = Pending()
        keys = [(*place, pid) for place in places]
        # Should the agent be gone, so is its table.
        self._cluster.request("tr_drop", (self.name, keys), lambda ok, value: pending.finish())
        return pending

    def ended(self, pid: Pid) -> None:
        """A process of this host that is, or was, tracked has ended."""
        places = self.mine.pop(pid, {})
        self.view.died(pid)
        if places:
            self._cluster.say("tr_drop", self.name, [(*place, pid) for place in places])

    def again(self) -> None:
        """The agent asks for all there is to say: it is new, or has lost sight of this host."""
        entries = [
            (*place, pid, *said)
            for pid, places in self.mine.items()
            for place, said in places.items()
        ]
        self._say_put(entries, list(self._unsaid))

    # Diffs

    def subscribe(self, topic: str, process: Process) -> dict[Key, list[Meta]]:
        """Have *process* told of the changes from the state that is returned."""
        self._tell(topic)
        self._subscribers.setdefault(topic, {})[process.pid] = None
        self.view.watch(topic)
        return self.listing(topic)

    def unsubscribe(self, topic: str, pid: Pid) -> bool:
        """Tell *pid* no more; False when it was not told."""
        found = self._subscribers.get(topic, {})
        if pid not in found:
            return False
        del found[pid]
        if not found:
            del self._subscribers[topic]
            self.view.unwatch(topic)
        return True

    def _topic_changed(self, topic: str) -> None:
        if not self._changed:
            self.kernel.driver.call_soon(self._tell_all)
        self._changed[topic] = None

    def _tell_all(self) -> None:
        changed, self._changed = self._changed, {}
        if not self.kernel.closed:
            for topic in changed:
                self._tell(topic)

    def _tell(self, topic: str) -> None:
        joins: dict[Key, list[Meta]] = {}
        leaves: dict[Key, list[Meta]] = {}
        for key, before, now in self.view.diff(topic):
            if before is not None:
                leaves.setdefault(key, []).append(self._meta(before))
            if now is not None:
                joins.setdefault(key, []).append(self._meta(now))
        if joins or leaves:
            diff = PresenceDiff(topic, joins, leaves)
            for pid in list(self._subscribers.get(topic, ())):
                self.kernel.deliver(pid, self.kernel.isolate(diff))

    # Reads

    def listing(self, topic: str) -> dict[Key, list[Meta]]:
        """Return who is present on *topic*."""
        return {key: self._metas(found) for key, found in self.view.entries(topic).items()}

    def get(self, topic: str, key: Key) -> list[Meta]:
        """Return the presences of *key*."""
        return self._metas(self.view.of(topic, key))

    def _metas(self, entries: Iterable[Entry]) -> list[Meta]:
        return [self.kernel.isolate(self._meta(entry)) for entry in entries]

    def _meta(self, entry: Entry) -> Meta:
        try:
            return entry.meta
        except CodecError as error:
            text = f"what is said about {entry.pid!r} in tracker {self.name!r} is no value: {error}"
            self.kernel.driver.report(Notice("warning", text))
            return Meta(entry.pid, None, entry.ref)
