"""The topics of one name as one host sees them: who subscribes here, where to send.

    publisher's host                         a subscriber's host
      routes: topic -> processes, hosts
      broadcast ── ("ps", name, topic, message encoded once, …) ──▶ its processes
                   to hosts with subscribers only

What is more than a message goes as ("psx", name, topic, message, …, what it is); bulk goes over
lanes (``foundation.cluster.lanes``), with the same fields as its head.

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

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from foundation.cluster.lanes import Payload, lanes_of
from foundation.cluster.lanes.machine import inflate
from foundation.cluster.pubsub.mailboxes import Mailboxes
from foundation.cluster.pubsub.pending import Pending
from foundation.cluster.pubsub.service import TOPICS
from foundation.cluster.pubsub.topics import TOPIC, Interests
from foundation.cluster.pubsub.values import DROP, Filter, Published
from foundation.cluster.slices import GONE
from foundation.kernel.codec import dumps, loads
from foundation.kernel.peer import MAX_PAYLOAD, bounded
from foundation.kernel.process import INFO, Process
from foundation.kernel.reports import Notice
from foundation.kernel.values import Pid

if TYPE_CHECKING:
    from foundation.cluster.host import ClusterHost
    from foundation.cluster.pubsub.service import Alone
    from foundation.kernel.kernel import Kernel

MAX_ROUTES = 10_000  # topics whose receivers are remembered
COUNTED = 500  # topics that are counted each by itself, without being asked for

Interest = tuple[int, str]  # kind, and topic or pattern
How = Any  # False: as it is; True: tagged; else a ``Filter``


@dataclass(slots=True)
class Volume:
    """How much was said on a topic in one host.

    Attributes:
        published: messages broadcast by its processes.
        received: messages that came from other hosts.
        overrun: bulk messages that a subscriber was too slow for, see ``mailboxes.py``.
    """

    published: int = 0
    received: int = 0
    overrun: int = 0


@dataclass(frozen=True, slots=True)
class Sending:
    """How to send a message, other than ``broadcast`` does; see ``ops.publish``."""

    bulk: bool = False
    compress: int | None = None
    metadata: dict[str, Any] | None = None
    others: bool = False  # to other nodes only


class Route:
    """Who gets what is said on one topic.

    Attributes:
        plain: processes of this host that get messages as they are.
        special: the others, with how they get them: by what stands between, or None for tagged.
        hosts: other hosts.
        volume: counts what is said.
    """

    __slots__ = ("hosts", "plain", "special", "volume")

    def __init__(self, local: dict[Process, How], hosts: list[str], volume: Volume | None) -> None:
        self.plain = [process for process, how in local.items() if _is_plain(how)]
        self.special = [
            (process, None if how is True else how)
            for process, how in local.items()
            if not _is_plain(how)
        ]
        self.hosts = hosts
        self.volume = volume or Volume()

    def without(self, left_out: list[Process]) -> Route:
        """Return this route without some processes."""
        route = Route({}, self.hosts, self.volume)
        route.plain = [each for each in self.plain if each not in left_out]
        route.special = [(each, how) for each, how in self.special if each not in left_out]
        return route

    def processes(self) -> list[Process]:
        """Return the processes of this host."""
        return [*self.plain, *(process for process, _ in self.special)]


def _is_plain(how: How) -> bool:
    return how is False or (how is not True and getattr(how, "idle", False))


class Exchange:
    """See the module docstring."""

    def __init__(self, kernel: Kernel, cluster: ClusterHost | Alone, name: str) -> None:
        self.kernel = kernel
        self.name = name
        self.node = cluster.node
        self.mailboxes = Mailboxes(kernel)
        self.local: Interests[Process, How] = Interests()
        self.volumes: dict[str, Volume] = {}  # of the topics that are counted by themselves
        self.rest = Volume()  # of all others together
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
            local = self.local.match(topic)
            volume = self.volumes.get(topic)
            if volume is None and (local or hosts):
                volume = self._volume(topic)
            route = self._routes[topic] = Route(local, hosts, volume)
        return route

    def _volume(self, topic: str) -> Volume:
        """Return what counts a topic that somebody hears, by its name or by a pattern."""
        if len(self.volumes) >= COUNTED:
            return self.rest
        volume = self.volumes[topic] = Volume()
        return volume

    def count(self, topic: str) -> Volume:
        """Count what is said on *topic* from now on; return the counters."""
        volume = self.volumes.get(topic)
        if volume is None:
            volume = self.volumes[topic] = Volume()
            self._routes.pop(topic, None)
        return volume

    def refresh(self) -> None:
        """What stands between topics and subscribers has become idle, or is no longer."""
        self._routes.clear()

    # Subscribers of this host

    def join(self, interest: Interest, process: Process, how: How) -> Pending:
        """Let *process* have what is said; awaited: on any host (X4)."""
        self.local.add(*interest, process, how)
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
        route.volume.published += 1
        here = node is None or node == self.node
        local = here and (route.plain or route.special)
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

    def publish_so(self, topic: str, message: Any, publisher: Pid, sending: Sending) -> int:
        """Like ``publish``, to all, or to all other nodes, in the way *sending* says."""
        route = self.route(topic)
        route.volume.published += 1
        metadata = sending.metadata
        local = not sending.others and (route.plain or route.special)
        copy = self.kernel.isolate(message)
        hosts = route.hosts
        if sending.others:
            hosts = [host for host in hosts if host.partition("/")[0] != self.node]
        if hosts:
            payload = bounded(dumps(message))
            if sending.bulk:
                self._send_bulk(hosts, topic, payload, publisher, sending)
            else:
                self._send_more(hosts, topic, payload, publisher, sending)
        if not local:
            return 0
        return self._deliver(route, topic, message, copy, publisher, None, metadata)

    def _send_more(
        self, hosts: list[str], topic: str, payload: bytes, publisher: Pid, sending: Sending
    ) -> None:
        deflated = False
        if sending.compress is not None and len(payload) > sending.compress:
            small = zlib.compress(payload, 1)
            deflated = len(small) < len(payload)
            payload = small if deflated else payload
        operation: tuple[Any, ...] = ("ps", self.name, topic, payload, publisher.serial, None)
        if deflated or sending.metadata is not None:
            more = [deflated, None if sending.metadata is None else dumps(sending.metadata)]
            operation = ("psx", self.name, topic, payload, publisher.serial, more)
        for host in hosts:
            self.kernel.remote.op(host, operation)

    def _send_bulk(
        self, hosts: list[str], topic: str, payload: bytes, publisher: Pid, sending: Sending
    ) -> None:
        deflate = sending.compress is not None and len(payload) > sending.compress
        shared = Payload(payload, deflate)
        metadata = None if sending.metadata is None else dumps(sending.metadata)
        head = dumps([self.name, topic, publisher.serial, metadata])
        lanes = lanes_of(self.kernel)
        for host in hosts:
            lanes.send(host, (self.name, topic), head, shared)

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
        route.volume.received += 1
        if route.plain or route.special:
            message: Any = loads(payload)
            copy = self.kernel.isolate(message)
            self._deliver(route, topic, message, copy, publisher, skip)

    def receive_more(self, topic: str, payload: bytes, publisher: Pid, more: list[Any]) -> None:
        """Like ``receive``, for what was sent by ``_send_more``."""
        deflated, metadata = more
        route = self.route(topic)
        route.volume.received += 1
        if route.plain or route.special:
            message: Any = loads(inflate(payload, MAX_PAYLOAD) if deflated else payload)
            copy = self.kernel.isolate(message)
            said: Any = None if metadata is None else loads(metadata)
            self._deliver(route, topic, message, copy, publisher, None, said)

    def receive_bulk(
        self, topic: str, parts: list[bytes], publisher: Pid, metadata: bytes | None
    ) -> None:
        """Like ``receive``, for what came over a lane; not for those who are too slow for it."""
        whole = self.route(topic)
        whole.volume.received += 1
        size = sum(map(len, parts))
        route, left_out = self.mailboxes.those_with_room(whole, size)
        whole.volume.overrun += left_out
        if route.plain or route.special:
            message: Any = loads(parts[0] if len(parts) == 1 else b"".join(parts))
            copy = self.kernel.isolate(message)
            said: Any = None if metadata is None else loads(metadata)
            self._deliver(route, topic, message, copy, publisher, None, said, size)

    def _deliver(
        self,
        route: Route,
        topic: str,
        message: Any,
        copy: Any,
        publisher: Pid,
        skip: Pid | None,
        metadata: dict[str, Any] | None = None,
        size: int = 0,
    ) -> int:
        """Give *message* to the processes of *route*; *copy* is its first isolated copy."""
        if copy is message and skip is None and not route.special and not size:
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
        for process, how in [*((each, _AS_IT_IS) for each in route.plain), *route.special]:
            if process.pid == skip:
                continue
            given = copy
            if how is not _AS_IT_IS:
                given = self._given(how, Published(topic, copy, publisher, isolate(metadata)))
                if given is DROP:
                    continue
            count += 1
            if size:
                self.mailboxes.put(process, given, size)
            else:
                self.kernel.deliver(process.pid, given)
            if copy is not message:
                copy = isolate(message)
        return count

    def _given(self, how: Filter | None, published: Published) -> Any:
        """Return what a subscriber that is not plain gets."""
        if how is None:
            return published
        try:
            return how(published)
        except Exception as error:  # the other subscribers are no worse for it
            text = f"what stands between {published.topic!r} and a subscriber failed: {error!r}"
            self.kernel.driver.report(Notice("error", text))
            return DROP


_AS_IT_IS: Any = object()
