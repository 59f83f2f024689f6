"""Publish and subscribe, from inside processes.

    await subscribe("orders")                 # or subscribe(pattern="orders.*")
    broadcast("orders", Placed(7))            # arrives as handle_info(Placed(7))

Topics are strings that need not be made: they exist while somebody subscribes. *name* tells
apart uses that have nothing to do with each other; nothing has to be started for it.

Delivery is at most once, in the order in which one process broadcasts on one topic. What is
under way when a connection breaks is lost, nothing is repeated, and nothing is kept for later
subscribers. Only hosts with subscribers of a topic are sent what is said on it.

Nobody waits for a subscriber: each has its own mailbox, which is not bounded. One that is too
slow shows as a growing ``process_info(pid)["mailbox"]``.

What is large and may wait is sent by ``publish(topic, message, bulk=True)``: it goes over lanes
(``foundation.cluster.lanes``) and never delays what is broadcast. What a host has yet to send is
bounded, for each receiving host: beyond that a message is dropped for that host, counted
(``lanes()``), and the log says so once. ``await drained()`` keeps a sender from that.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from foundation.cluster.lanes.host import TABLE as LANES
from foundation.cluster.lanes.values import LaneState
from foundation.cluster.pubsub.exchange import Exchange, Interest, Sending, Volume
from foundation.cluster.pubsub.host import PubSubHost, pubsub_of
from foundation.cluster.pubsub.pending import nothing_to_start
from foundation.cluster.pubsub.subscription import Subscription, end_subscription
from foundation.cluster.pubsub.topics import PATTERN, TOPIC
from foundation.cluster.pubsub.values import Filter
from foundation.errors import NoConnection, NoProc
from foundation.kernel.ops import current
from foundation.kernel.process import Process
from foundation.kernel.values import Pid
from foundation.otp.child_spec import ChildSpec

if TYPE_CHECKING:
    from foundation.cluster.lanes import Lanes

NAME = "pubsub"


class PubSub:
    """Stands in supervision trees for the topics of a name, as ``Phoenix.PubSub`` does."""

    @staticmethod
    def spec(name: str = NAME) -> ChildSpec:
        """Return a child specification that starts nothing: topics need no process.

        Raises:
            TypeError, ValueError: *name* is no name.
        """
        check_text("name", name)
        return ChildSpec(id=("pubsub", name), start=(nothing_to_start, (), {}))


def subscribe(
    topic: str | None = None,
    *,
    pattern: str | None = None,
    tagged: bool = False,
    through: Filter | None = None,
    pid: Pid | None = None,
    name: str = NAME,
) -> Subscription:
    """Let this process have what is broadcast on *topic*, or on topics that match *pattern*.

    Awaited, it returns when everything that is broadcast afterwards on any node that can be
    reached will arrive; a node that has fallen silent delays that until it counts as down. Not
    awaited, as in a plain ``def`` callback, it begins in this host at once and elsewhere soon.

    A process gets a message once, also when it subscribes twice, or by a topic and patterns:
    other than in Phoenix, where a second copy is a common mistake and ``unsubscribe`` cannot
    end one of two. To subscribe again changes *tagged*. It ends with the process.

    Args:
        topic: any string.
        pattern: a shell glob over whole topics: ``*`` is any text, ``?`` one character,
            ``[ab]`` one of these.
        tagged: deliver ``Published(topic, message, publisher)`` rather than the message. Where
            several subscriptions match, that of the topic decides, then the oldest pattern.
        through: a function of the ``Published`` that returns what to deliver, or ``DROP``. It
            runs in this host for each message, not in the process; an error in it is logged,
            and the message dropped.
        pid: the process that gets the messages, of this host; by default the one that calls.
        name: of the topics.

    Raises:
        TypeError, ValueError: not one of *topic* and *pattern*, or no string; *tagged* and
            *through* together.
        NoProc: *pid* is no process of this host.
        NotInProcess: it was called outside a process.
        NotInCluster: this node has several hosts and no cluster.
    """
    process, host, interest = _subscription(topic, pattern, name)
    if through is not None and (tagged or not callable(through)):
        raise TypeError(f"through must be a function, and tagged False with it; got {through!r}")
    if pid is not None and pid != process.pid:
        subscriber = process.kernel.procs.get(pid)
        if subscriber is None:
            raise NoProc("noproc", pid, "a subscription of a process of this host")
        process = subscriber
    pending = host.exchange(name).join(interest, process, through or bool(tagged))
    host.subscribed(process, name, interest)
    return Subscription(process.pid, interest, name, pending)


def unsubscribe(
    topic: str | None = None,
    *,
    pattern: str | None = None,
    pid: Pid | None = None,
    name: str = NAME,
) -> bool:
    """End a subscription of this process, or of *pid*; False when there is none.

    What is in the mailbox already stays there.

    Raises:
        as ``subscribe``.
    """
    process, _, interest = _subscription(topic, pattern, name)
    return end_subscription(pid or process.pid, interest, name)


def broadcast(topic: str, message: Any, *, name: str = NAME) -> int:
    """Send *message* to all subscribers of *topic* on all nodes. Never waits.

    Returns:
        How many processes of this host have got it; how many others do is not known.

    Raises:
        Unsendable: *message* cannot be copied; nobody has got it. Also when nobody subscribes.
        TypeError, ValueError: *topic* is not a string, or empty.
        NotInProcess, NotInCluster: as ``subscribe``.
    """
    process = current()
    return _exchange(process, topic, name).publish(topic, message, process.pid, None, None)


def publish(
    topic: str,
    message: Any,
    *,
    bulk: bool = False,
    compress: int | None = None,
    metadata: dict[str, Any] | None = None,
    others: bool = False,
    name: str = NAME,
) -> int:
    """Like ``broadcast``, in another way. Never waits.

    Args:
        topic: as ``broadcast``, and *message* too.
        bulk: it may be large, and may wait for others; see the module docstring. The bulk of one
            process on one topic arrives in order; what it sends otherwise may overtake it.
        compress: what is longer than so many bytes, encoded, is compressed (zlib) on its way to
            other hosts. Subscribers never see that. Bulk is compressed in pieces, between which
            others get turns; anything else at once: some 10 ms per megabyte.
        metadata: goes with the message; those who subscribed with *tagged* get it.
        others: not to the subscribers on this node.
        name: of the topics.

    Returns:
        How many processes of this host have got it.

    Raises:
        TypeError, ValueError: *compress* is no length, or *metadata* no dict.
        as ``broadcast``.
    """
    process = current()
    if compress is not None and (type(compress) is not int or compress < 0):
        raise ValueError(f"compress must be None or bytes of 0 or more, got {compress!r}")
    if metadata is not None and type(metadata) is not dict:
        raise TypeError(f"metadata must be None or a dict, got {metadata!r}")
    sending = Sending(bool(bulk), compress, metadata, bool(others))
    return _exchange(process, topic, name).publish_so(topic, message, process.pid, sending)


async def drained(*, below: int = 1024 * 1024, timeout: float | None = None) -> bool:
    """Wait until less than *below* bytes of bulk wait in this host for any one host.

    Awaited after each bulk message, the sender is as fast as the slowest host, and nothing is
    dropped. A host that has gone is not waited for.

    Args:
        below: bytes, 1 or more; 1 waits until nothing waits.
        timeout: seconds; None waits as long as it takes.

    Returns:
        False when the time passed first.

    Raises:
        TypeError, ValueError: an argument is no such number.
        NotInProcess: it was called outside a process.
    """
    _check_draining(below, timeout)
    kernel = current().kernel
    future = kernel.driver.new_future()

    def settle(value: bool) -> None:
        if not future.done():
            future.set_result(value)

    def go_on() -> None:  # never at once: others get a turn, whatever a loop around this does
        kernel.driver.call_soon(partial(settle, True))

    lanes: Lanes | None = kernel.tables.get(LANES)
    forget = None
    if lanes is None:  # a single host
        go_on()
    else:
        forget = lanes.when_below(below, go_on)
    handle = None
    if timeout is not None:
        handle = kernel.driver.call_later(timeout, partial(settle, False))
    try:
        return bool(await future)
    finally:
        if forget is not None:
            forget()
        if handle is not None:
            handle.cancel()


def _check_draining(below: Any, timeout: Any) -> None:
    if type(below) is not int:
        raise TypeError(f"below must be bytes, an int, got {below!r}")
    if below < 1:
        raise ValueError(
            f"below must be 1 or more, got {below}: less than {below} bytes never wait; below=1 "
            "waits until nothing waits"
        )
    if timeout is None:
        return
    if not isinstance(timeout, (int, float)) or isinstance(timeout, bool):
        raise TypeError(f"timeout must be None or seconds, a number, got {timeout!r}")
    if not 0 <= timeout < math.inf:
        raise ValueError(f"timeout must be None or seconds of 0 or more, got {timeout}")


def lanes() -> list[LaneState]:
    """Describe the lanes of this host: what waits, what has been dropped."""
    found: Lanes | None = current().kernel.tables.get(LANES)
    return [] if found is None else found.states()


def broadcast_from(topic: str, message: Any, *, from_: Pid | None = None, name: str = NAME) -> int:
    """Like ``broadcast``, but not to the process *from_*, on whichever node (default: this)."""
    process = current()
    skip = process.pid if from_ is None else from_
    if type(skip) is not Pid:
        raise TypeError(f"broadcast_from() takes a pid as from_, got {from_!r}")
    return _exchange(process, topic, name).publish(topic, message, process.pid, skip, None)


def local_broadcast(topic: str, message: Any, *, name: str = NAME) -> int:
    """Like ``broadcast``, to the subscribers on this node only, in all its hosts."""
    process = current()
    exchange = _exchange(process, topic, name)
    return exchange.publish(topic, message, process.pid, None, exchange.node)


def direct_broadcast(node: str, topic: str, message: Any, *, name: str = NAME) -> int:
    """Like ``broadcast``, to the subscribers on *node* only.

    Raises:
        NoConnection: *node* is not in the cluster, or is not up; nothing was sent.
        as ``broadcast``.
    """
    process = current()
    exchange = _exchange(process, topic, name)
    check_text("node", node)
    if node != exchange.node and node not in pubsub_of(process).cluster.ready:
        error = NoConnection("noconnection", node, topic)
        error.definite = True  # it was not sent
        raise error
    return exchange.publish(topic, message, process.pid, None, node)


def volume(topic: str, *, name: str = NAME) -> Volume:
    """Return how much was said on *topic* in this host since this was first called for it."""
    return replace(_exchange(current(), topic, name).count(topic))


def subscribers(topic: str, *, name: str = NAME) -> list[Pid]:
    """Return the processes of this host that get what is broadcast on *topic*."""
    route = _exchange(current(), topic, name).route(topic)
    return [process.pid for process in route.processes()]


def topics(*, name: str = NAME) -> list[str]:
    """Return the topics that have subscribers anywhere, sorted; those of patterns not counted."""
    return _texts(TOPIC, name)


def patterns(*, name: str = NAME) -> list[str]:
    """Return the patterns that have subscribers anywhere, sorted."""
    return _texts(PATTERN, name)


def nodes_interested(topic: str, *, name: str = NAME) -> list[str]:
    """Return the nodes with subscribers that get what is broadcast on *topic*, sorted."""
    exchange = _exchange(current(), topic, name)
    route = exchange.route(topic)
    nodes = dict.fromkeys(host.partition("/")[0] for host in route.hosts)
    if route.plain or route.special:
        nodes[exchange.node] = None
    return sorted(nodes)


def check_text(what: str, value: Any) -> None:
    """Raise TypeError or ValueError unless *value* is a string that is not empty."""
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a string, got {value!r}")
    if not value:
        raise ValueError(f"{what} must not be empty")


def _exchange(process: Process, topic: Any, name: Any) -> Exchange:
    if type(topic) is not str or not topic:
        check_text("topic", topic)
    if type(name) is not str or not name:
        check_text("name", name)
    return pubsub_of(process).exchange(name)


def _texts(kind: int, name: str) -> list[str]:
    check_text("name", name)
    exchange = pubsub_of(current()).exchange(name)
    return sorted(dict.fromkeys((*exchange.local.texts(kind), *exchange.remote.texts(kind))))


def _subscription(
    topic: str | None, pattern: str | None, name: str
) -> tuple[Process, PubSubHost, Interest]:
    process = current()
    if (topic is None) == (pattern is None):
        raise ValueError(
            f"give a topic or a pattern=, not both or none; got {topic!r}, pattern={pattern!r}"
        )
    check_text("name", name)
    if pattern is not None:
        check_text("pattern", pattern)
        return process, pubsub_of(process), (PATTERN, pattern)
    check_text("topic", topic)
    assert topic is not None
    return process, pubsub_of(process), (TOPIC, topic)
