"""The subscriber's side: what stands between a topic and a process or a handler."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from foundation.channels.middleware import TRACE, run, trace_of
from foundation.channels.state import ChannelsHost
from foundation.channels.values import Envelope
from foundation.cluster.pubsub.ops import subscribe, unsubscribe
from foundation.cluster.pubsub.subscription import Subscription as TopicSubscription
from foundation.cluster.pubsub.values import DROP, Published
from foundation.facade import note, send_through, watching
from foundation.kernel.ops import current, exit, receive, send, spawn
from foundation.kernel.process import FunctionProcess, Process
from foundation.kernel.reports import Notice
from foundation.kernel.values import Down, Pid
from foundation.otp.registry_match import ANY, matches


class Inlet:
    """Passes what is published through the node's middleware, and lets through what matches.

    Args:
        host: of the subscriber.
        channel: its name.
        match: a pattern, see ``foundation.otp.registry_match``; ``ANY`` matches everything.
    """

    __slots__ = ("_channel", "_host", "_match")

    def __init__(self, host: ChannelsHost, channel: str, match: Any) -> None:
        self._host = host
        self._channel = channel
        self._match = match

    @property
    def idle(self) -> bool:
        """Whether everything passes as it is."""
        return self._match is ANY and not self._host.chain("deliver")

    def opened(self, published: Published) -> Envelope | None:
        """Return what the subscriber is to get; None when it is to get nothing."""
        envelope = Envelope(
            *(self._channel, published.message, published.publisher, "deliver"),
            metadata=published.metadata or {},
        )
        found = run(self._host.chain("deliver"), envelope, lambda passed: passed)
        return found if found is not None and matches(self._match, found.message) else None

    def __call__(self, published: Published) -> Any:
        """Return what goes into the mailbox."""
        found = self.opened(published)
        return DROP if found is None else found.message

    def __repr__(self) -> str:
        return f"<Inlet of {self._channel!r}>"


class Subscription(TopicSubscription):
    """A subscription to a channel; as that to its topic, and for handlers too.

    Attributes:
        channel: its name.
        handled: whether *pid* is a process that was made for a handler, or to pass messages on.
    """

    __slots__ = ("channel", "handled")

    def __init__(self, topic: TopicSubscription, channel: str, handled: bool) -> None:
        super().__init__(topic.pid, topic.interest, topic.name, topic._pending)
        self.channel = channel
        self.handled = handled

    def cancel(self) -> bool:
        """End it, and the process of the handler; False when it has ended.

        Raises:
            NoProc: the subscriber is in another host; cancel it in a process of that host.
            NotInProcess: it was called outside a process.
        """
        here = not self.handled or self.pid.host == current().kernel.address
        found = here and send_through(unsubscribe, self.topic, pid=self.pid)
        if self.handled:
            send_through(exit, self.pid, "shutdown")
        return found or not here

    def __reduce__(self) -> Any:
        topic = TopicSubscription(self.pid, self.interest, self.name, None)
        return type(self), (topic, self.channel, self.handled)


def start_handler(process: Process, inlet: Inlet, topic: str, handler: Any) -> TopicSubscription:
    """Start a process that calls *handler*, or sends to it where it is a pid; subscribe it.

    It is not copied: what a handler shares with others it shares.
    """
    passes_on = type(handler) is Pid
    function: Any = _pass_on if passes_on else _handle
    kernel = process.kernel
    made = kernel.spawn(FunctionProcess, (function, (inlet, handler), {}), parent=process)
    kernel.signals.monitor(made, handler if passes_on else process.pid)  # at once: none is missed
    if watching.plans:
        note(spawn, function, inlet, handler)
    return send_through(subscribe, topic, tagged=True, pid=made.pid)


async def _handle(inlet: Inlet, handler: Callable[[Any], Any]) -> None:
    """Call *handler* for each message, until its owner has ended otherwise than normally."""
    while True:
        item = await receive()
        if type(item) is Down and item.reason != "normal":
            return
        if type(item) is Published:
            await _guarded(inlet, item, lambda envelope: _call(handler, envelope))


async def _call(handler: Callable[[Any], Any], envelope: Envelope) -> None:
    token = TRACE.set(trace_of(envelope.metadata))
    try:
        result = handler(envelope.message)
        if inspect.isawaitable(result):
            await result
    finally:
        TRACE.reset(token)


async def _pass_on(inlet: Inlet, target: Pid) -> None:
    """Send each message to *target*, in another host, until that has ended."""
    while True:
        item = await receive()
        if type(item) is Down:
            return
        if type(item) is Published:
            await _guarded(inlet, item, lambda envelope: _send(target, envelope))


async def _send(target: Pid, envelope: Envelope) -> None:
    send(target, envelope.message)


async def _guarded(inlet: Inlet, item: Published, then: Callable[[Envelope], Any]) -> None:
    """Do *then* with what passes; an error concerns this message only."""
    try:
        envelope = inlet.opened(item)
        if envelope is not None:
            await then(envelope)
    except Exception as error:
        text = f"a handler of {item.topic!r} failed for {item.message!r:.200}: {error!r}"
        current().kernel.driver.report(Notice("error", text))
