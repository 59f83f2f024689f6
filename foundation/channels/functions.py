"""Sending and subscribing. The functions run in the process that calls them.

``settings.py`` has the others: those that declare, install and count.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from foundation.channels.delivery import Inlet, Subscription, start_handler
from foundation.channels.middleware import run
from foundation.channels.routing import choose
from foundation.channels.state import TABLE, ChannelsHost, channels_of
from foundation.channels.values import PRIORITIES, Channel, Envelope
from foundation.cluster import pubsub
from foundation.facade import send_through, watching
from foundation.kernel.ops import current
from foundation.kernel.process import CURRENT, Process
from foundation.kernel.values import Pid
from foundation.otp.registry_match import ANY


def broadcast(
    channel: str,
    message: Any,
    *,
    priority: str | None = None,
    compress: bool | int | None = None,
    include_local: bool = True,
) -> int:
    """Send *message* to all subscribers of *channel* on all nodes. Never waits.

    At most once, and in the order in which one process broadcasts on one channel (with one
    priority). What is under way when a connection breaks is lost, and nothing is kept for later
    subscribers.

    Args:
        channel: ``"control"``, ``"events"``, ``"telemetry"``, ``"data"``, or a declared one.
        message: anything that can be copied.
        priority: ``"high"``: never as bulk; ``"low"``: as bulk, so it delays nothing else;
            ``"normal"`` or None: as the channel is.
        compress: True, or a length in bytes: what is longer, encoded, is compressed between
            hosts. False: never. None: as the middleware of this node says, if any.
        include_local: False: not to the subscribers on this node.

    Returns:
        How many processes of this host have got it; how many others do is not known.

    Raises:
        UnknownChannel: there is no such channel.
        Unsendable: *message* cannot be copied; nobody has got it.
        TypeError, ValueError: another argument is wrong.
        NotInProcess, NotInCluster: as ``pubsub.broadcast``.
        whatever a middleware of this node raises.

    What this does:
        Broadcasts on the topic ``foundation:<channel>``, by the primitive itself: who
        subscribed to that topic gets the message, and who broadcasts there reaches the
        subscribers of the channel. Where the channel, an argument or middleware says so, it is
        ``pubsub.publish`` instead: bulk goes over lanes of its own, in chunks with credit, so
        that a megabyte on ``data`` does not delay what is said on ``control``. What a host has
        yet to send as bulk is bounded, 64 MiB for each receiving host; beyond that a message is
        dropped for that host, and counted (``statistics``, ``lanes``). ``drained`` waits.

    Equivalent direct messages::

        from foundation.channels import BUILT_IN
        from foundation.cluster.pubsub import broadcast, publish

        topic = "foundation:" + channel
        bulk = BUILT_IN[channel].is_bulk(priority)
        compressed = None if not compress else 0 if compress is True else compress
        if bulk or compressed is not None or not include_local:
            got = publish(
                topic, message, bulk=bulk, compress=compressed, others=not include_local
            )
        else:
            got = broadcast(topic, message)
        got

    When to bypass:
        For topics of your own, made by the thousand (``"room:17"``); for ``broadcast_from``,
        ``local_broadcast`` and ``direct_broadcast`` to one node; to give metadata of your own.
    """
    process = CURRENT.get() or current()
    host: ChannelsHost | None = process.kernel.tables.get(TABLE)
    if (
        host is not None
        and priority is None
        and compress is None
        and include_local is True
        and not watching.plans
        and type(channel) is str
    ):
        topic = host.express.get(channel)
        if topic is not None:  # this is pubsub.broadcast, without its checks
            return host.publish(topic, message, process.pid, None, None)
    return _broadcast(process, channel, message, priority, compress, include_local)


def _broadcast(
    process: Process,
    channel: str,
    message: Any,
    priority: str | None,
    compress: bool | int | None,
    include_local: bool,
) -> int:
    host = channels_of(process)
    found = host.channel(channel)
    _check_sending(priority, compress, include_local)
    envelope = Envelope(
        channel, message, process.pid, "publish", priority=priority, compress=compress
    )
    counts: list[int] = []

    def send(passed: Envelope) -> Envelope:
        counts.append(_send(found, passed, not include_local))
        return passed

    run(host.chain("publish"), envelope, send)
    return sum(counts)


def _send(channel: Channel, envelope: Envelope, others: bool) -> int:
    compress = envelope.compress
    options = {
        "bulk": channel.is_bulk(envelope.priority),
        "compress": 0 if compress is True else None if compress is False else compress,
        "metadata": envelope.metadata or None,
        "others": others,
    }
    chosen: dict[str, Any] = {
        key: value for key, value in options.items() if value is not None and value is not False
    }
    if chosen:
        return send_through(pubsub.publish, channel.topic, envelope.message, **chosen)
    return send_through(pubsub.broadcast, channel.topic, envelope.message)


def _check_sending(priority: Any, compress: Any, include_local: Any) -> None:
    if priority not in (None, *PRIORITIES):
        raise ValueError(f"priority must be None or one of {PRIORITIES}, got {priority!r}")
    if compress is not None and (not isinstance(compress, int) or compress < 0):
        raise ValueError(f"compress must be None, a bool or bytes of 0 or more, got {compress!r}")
    if type(include_local) is not bool:
        raise TypeError(f"include_local must be True or False, got {include_local!r}")


def subscribe(
    channel: str, handler: Pid | Callable[[Any], Any] | None = None, *, match: Any = None
) -> Subscription:
    """Let *handler* have what is broadcast on *channel*.

    Args:
        channel: as ``broadcast``.
        handler: None: this process gets the messages, by ``handle_info`` or ``receive``. A pid:
            that process gets them. A function, ``def`` or ``async def``: it is called with one
            message after the other, in a process of its own in this host; an error in it is
            logged, and the next message follows. That process ends with the subscription, and
            when this process ends other than normally.
        match: only what has this form: a function that says so, a class, or a pattern such as
            ``("order", ANY)``; see ``foundation.otp.registry_match.matches``. None: everything.

    Returns:
        The subscription, which has begun in this host. ``await`` it to wait until every node that
        can be reached knows. ``cancel()`` ends it; so does the end of its ``with`` block, and of
        the process that gets the messages.

    Raises:
        UnknownChannel: there is no such channel.
        NoProc: *handler* is a pid of this host that has ended.
        TypeError: *handler* is none of these.
        NotInProcess, NotInCluster: as ``pubsub.subscribe``.

    What this does:
        Subscribes the process to the topic ``foundation:<channel>``. What matches, and the
        middleware of this node, is looked at in this host before a message gets into the mailbox
        (``through=``), and costs nothing where there is neither. A function gets a process of its
        own (``spawn``) that is subscribed, with ``tagged=True``, as it looks at that itself, for
        the trace of the message; and so does a pid of another host, to pass messages on to it. As
        with the primitive, a process has one subscription to a topic: another one replaces what
        matches.

    Equivalent direct messages::

        from foundation.cluster.pubsub import DROP, subscribe
        from foundation.otp import Down, me, monitor, receive, spawn
        from foundation.otp.registry_match import ANY, matches

        form = ANY if match is None else match
        through = lambda said: said.message if matches(form, said.message) else DROP
        topic, owner = "foundation:" + channel, me()

        async def handle():
            monitor(owner)
            while True:
                item = await receive()
                if type(item) is Down and item.reason != "normal":
                    return
                result = handler(item)
                if hasattr(result, "__await__"):
                    await result

        pid = spawn(handle) if callable(handler) else handler
        subscribe(topic, through=None if match is None else through, pid=pid)

    When to bypass:
        To subscribe to many topics by a pattern; to have the publisher and the metadata of each
        message (``tagged=True``); to get messages without the middleware of this node.
    """
    process = current()
    host = channels_of(process)
    found = host.channel(channel)
    inlet = Inlet(host, channel, ANY if match is None else match)
    if handler is None or (type(handler) is Pid and handler.host == process.kernel.address):
        options = {} if handler is None else {"pid": handler}
        topic = send_through(pubsub.subscribe, found.topic, through=inlet, **options)
        return Subscription(topic, channel, handled=False)
    if type(handler) is not Pid and not callable(handler):
        raise TypeError(f"handler must be None, a pid or a function of a message, got {handler!r}")
    topic = start_handler(process, inlet, found.topic, handler)
    return Subscription(topic, channel, handled=True)


def unsubscribe(subscription: Subscription | str) -> bool:
    """End a subscription; False when it has ended.

    Args:
        subscription: what ``subscribe`` returned; or the name of a channel, to which this process
            is subscribed itself.

    Raises:
        UnknownChannel: there is no such channel.
        NoProc: the subscriber is in another host; end it in a process of that host.
        TypeError: it is neither.
        NotInProcess, NotInCluster: as ``pubsub.unsubscribe``.

    What this does:
        Ends the subscription of the process to the topic, and ends the process if it was made
        for a handler. What is in a mailbox already stays there.

    Equivalent direct messages::

        from foundation.cluster.pubsub import unsubscribe
        from foundation.otp import exit

        if isinstance(subscription, str):
            ended = unsubscribe("foundation:" + subscription)
        else:
            ended = unsubscribe(subscription.topic, pid=subscription.pid)
            if subscription.handled:
                exit(subscription.pid, "shutdown")
        ended

    When to bypass:
        Not needed: ``subscription.cancel()`` is the same.
    """
    if isinstance(subscription, pubsub.Subscription):
        return subscription.cancel()
    if not isinstance(subscription, str):
        raise TypeError(
            f"unsubscribe() takes a Subscription or the name of a channel, got {subscription!r}"
        )
    found = channels_of(current()).channel(subscription)
    return send_through(pubsub.unsubscribe, found.topic)


def route(message: Any, *, channel: str | None = None, priority: str | None = None) -> str:
    """Broadcast *message* on the channel where it belongs; return that channel's name.

    Args:
        message: as ``broadcast``.
        channel: None, or the channel, whatever the rules say.
        priority: as ``broadcast``; ``"high"`` belongs on ``control``.

    Raises:
        UnknownChannel, Unsendable, TypeError, ValueError, NotInProcess: as ``broadcast``.

    What this does:
        Applies, in this order: *channel* as given; priority ``"high"`` is ``control``; what takes
        more than 10,240 bytes is ``data``; ``("telemetry", ...)``, or a dict whose ``"type"`` is
        ``"metric"`` or ``"measurement"``, is ``telemetry``; everything else is ``events``. To know
        its length the message is encoded once more than a broadcast needs.

    Equivalent direct messages::

        from foundation.channels import BUILT_IN
        from foundation.cluster.pubsub import broadcast, publish
        from foundation.kernel.codec import dumps

        chosen = channel
        if chosen is None:
            kind = message.get("type") if isinstance(message, dict) else None
            first = message[:1] if isinstance(message, tuple) else None
            measured = kind in ("metric", "measurement") or first == ("telemetry",)
            chosen = "telemetry" if measured else "events"
            chosen = "data" if len(dumps(message)) > 10_240 else chosen
            chosen = "control" if priority == "high" else chosen
        if BUILT_IN[chosen].is_bulk(priority):
            publish("foundation:" + chosen, message, bulk=True)
        else:
            broadcast("foundation:" + chosen, message)
        chosen

    When to bypass:
        Where the code that sends knows the channel: ``broadcast`` says it, and encodes once.
    """
    chosen, _ = _chosen(message, channel, priority)
    broadcast(chosen, message, priority=priority)
    return chosen


def explain_route(message: Any, *, channel: str | None = None, priority: str | None = None) -> str:
    """Say on which channel ``route`` would broadcast *message*, and why. Sends nothing.

    Args:
        message: as ``route``, and *channel*, *priority* too.

    Raises:
        as ``route``.

    What this does:
        Looks at the rules in the order in which ``route`` applies them, and stops at the first.

    Equivalent direct messages::

        from foundation.channels.routing import choose

        chosen, why = choose(message, channel, priority)
        f"{chosen}: {why}"

    When to bypass:
        Never: no message is sent.
    """
    chosen, why = _chosen(message, channel, priority)
    return f"{chosen}: {why}"


def _chosen(message: Any, channel: str | None, priority: str | None) -> tuple[str, str]:
    _check_sending(priority, None, True)
    if channel is not None:
        channels_of(current()).channel(channel)
    return choose(message, channel, priority)
