"""The topics of one name as one host sees them: who subscribes here, where to send.

    publisher's host                         a subscriber's host
      routes: topic -> processes, hosts
      broadcast ── ("ps", name, topic, message encoded once, …) ──▶ its processes
                   to hosts with subscribers only

Hosts tell their agent when their interest in a topic begins and ends; the agent's table of
interests is copied to all hosts, and is where ``remote`` comes from.

Invariants:
    X1  A process gets a message once, however many of its subscriptions match.
    X2  What one process broadcasts on one topic arrives at each subscriber in that order: from
        one host to another operations are applied in order (R1), and here at once.
    X3  Nothing is sent to a host that has no subscriber of the topic.
    X4  After an awaited ``join`` every host that can reach this one has the interest.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from foundation.cluster.pubsub.pending import Pending
from foundation.cluster.pubsub.service import TOPICS
from foundation.cluster.pubsub.topics import TOPIC, Interests
from foundation.cluster.pubsub.values import Published
from foundation.cluster.slices import GONE
from foundation.kernel.codec import dumps, loads
from foundation.kernel.peer import bounded
from foundation.kernel.process import INFO, Process
from foundation.kernel.values import Pid

if TYPE_CHECKING:
    from foundation.cluster.host import ClusterHost
    from foundation.cluster.pubsub.service import Alone
    from foundation.kernel.kernel import Kernel

MAX_ROUTES = 10_000  # topics whose receivers are remembered

Interest = tuple[int, str]  # kind, and topic or pattern


class Route:
    """Who gets what is said on one topic.

    Attributes:
        plain: processes of this host that get messages as they are.
        tagged: those that get ``Published``.
        hosts: other hosts.
    """

    __slots__ = ("hosts", "plain", "tagged")

    def __init__(self, local: dict[Process, bool], hosts: list[str]) -> None:
        self.plain = [process for process, tagged in local.items() if not tagged]
        self.tagged = [process for process, tagged in local.items() if tagged]
        self.hosts = hosts


class Exchange:
    """See the module docstring."""

    def __init__(self, kernel: Kernel, cluster: ClusterHost | Alone, name: str) -> None:
        self.kernel = kernel
        self.name = name
        self.node = cluster.node
        self.local: Interests[Process, bool] = Interests()
        self.remote: Interests[str, None] = Interests()
        self._cluster = cluster
        self._joins: dict[Interest, Pending] = {}
        self._routes: dict[str, Route] = {}
        table = cluster.tables[TOPICS + name]
        for node, key, value in table.items():
            self._interest(node, key, value, GONE)
        table.listeners.append(self._interest)

    # Routes

    def _interest(self, node: str, key: tuple[str, int, str], new: Any, old: Any) -> None:
        host, kind, text = key
        if host == self.kernel.address:
            return
        if new is GONE:
            self.remote.remove(kind, text, host)
        else:
            self.remote.add(kind, text, host, None)
        self._changed(kind, text)

    def _changed(self, kind: int, text: str) -> None:
        if kind == TOPIC:
            self._routes.pop(text, None)
        else:
            self._routes.clear()

    def route(self, topic: str) -> Route:
        """Return who gets what is said on *topic*."""
        route = self._routes.get(topic)
        if route is None:
            if len(self._routes) >= MAX_ROUTES:
                self._routes.clear()
            hosts = list(self.remote.match(topic))
            route = self._routes[topic] = Route(self.local.match(topic), hosts)
        return route

    # Subscribers of this host

    def join(self, interest: Interest, process: Process, tagged: bool) -> Pending:
        """Let *process* have what is said; awaited: on any host (X4)."""
        self.local.add(*interest, process, tagged)
        self._changed(*interest)
        pending = self._joins.get(interest)
        if pending is None:
            pending = self._joins[interest] = Pending()
            self._say_join(interest, pending)
        return pending

    def _say_join(self, interest: Interest, pending: Pending) -> None:
        def done(ok: bool, value: Any) -> None:
            if ok or value != "noconnection":  # else a new agent will ask, see ``again``
                pending.finish()

        self._cluster.request("ps_join", (self.name, *interest), done)

    def leave(self, interest: Interest, process: Process) -> bool:
        """Let *process* have it no more; False when it does not subscribe to it."""
        if not self.local.remove(*interest, process):
            return False
        self._changed(*interest)
        if not self.local.of(*interest):
            self._joins.pop(interest).finish()
            self._cluster.say("ps_leave", self.name, *interest)
        return True

    def again(self) -> None:
        """The agent asks for all there is to say: it is new, or has lost sight of this host."""
        for interest, pending in self._joins.items():
            pending.begin_anew()
            self._say_join(interest, pending)

    # Messages

    def publish(
        self, topic: str, message: Any, publisher: Pid, skip: Pid | None, node: str | None
    ) -> int:
        """Send *message* to all subscribers of *topic*, or to those on *node*; but not to *skip*.

        Returns:
            How many processes of this host have got it.

        Raises:
            Unsendable: it cannot be copied; nobody has got it.
        """
        route = self._routes.get(topic) or self.route(topic)
        here = node is None or node == self.node
        local = here and (route.plain or route.tagged)
        copy = self.kernel.isolate(message) if local else None
        if route.hosts:
            hosts: Iterable[str] = route.hosts
            if node is not None:
                hosts = [host for host in hosts if host.partition("/")[0] == node]
            sent = self._send(hosts, topic, message, publisher, skip)
        else:
            sent = False
        if local:
            return self._deliver(route, topic, message, copy, publisher, skip)
        if not sent:
            self.kernel.isolate(message)  # what cannot be sent is refused also when nobody is there
        return 0

    def _send(
        self, hosts: Iterable[str], topic: str, message: Any, publisher: Pid, skip: Pid | None
    ) -> bool:
        """Send *message* to *hosts*; False when there are none."""
        operation: tuple[Any, ...] | None = None
        op = self.kernel.remote.op
        for host in hosts:
            if operation is None:
                payload = bounded(dumps(message))
                operation = ("ps", self.name, topic, payload, publisher.serial, skip)
            op(host, operation)
        return operation is not None

    def receive(self, topic: str, payload: bytes, publisher: Pid, skip: Pid | None) -> None:
        """Deliver what *publisher*, in another host, has broadcast."""
        route = self._routes.get(topic) or self.route(topic)
        if route.plain or route.tagged:
            message: Any = loads(payload)
            copy = self.kernel.isolate(message)
            self._deliver(route, topic, message, copy, publisher, skip)

    def _deliver(
        self, route: Route, topic: str, message: Any, copy: Any, publisher: Pid, skip: Pid | None
    ) -> int:
        """Give *message* to the processes of *route*; *copy* is its first isolated copy."""
        if copy is message and skip is None and not route.tagged:
            ready, item = self.kernel.ready, (INFO, message)
            for process in route.plain:
                process.mailbox.append(item)
                if process.idle:
                    ready(process)
                elif process.waiting is not None:
                    process.parked_message()
            return len(route.plain)
        isolate = self.kernel.isolate
        count = 0
        for tagged, processes in ((False, route.plain), (True, route.tagged)):
            for process in processes:
                if process.pid == skip:
                    continue
                count += 1
                wrapped = Published(topic, copy, publisher) if tagged else copy
                self.kernel.deliver(process.pid, wrapped)
                if copy is not message:
                    copy = isolate(message)
        return count
