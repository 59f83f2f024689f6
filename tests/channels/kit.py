"""What the tests of channels run on the nodes of a cluster."""

from __future__ import annotations

from typing import Any

from foundation import channels
from foundation.channels import Envelope, Next
from foundation.otp import Supervisor, receive
from foundation.testing.cluster_sim import ClusterSimulation


class App(Supervisor):
    """What ``foundation.start`` does for the facade."""

    def init(self) -> Any:
        """Return the parts."""
        return channels.specs()


class Ear:
    """A process that subscribes to a channel and keeps what it gets."""

    def __init__(
        self,
        cluster: ClusterSimulation,
        node: str,
        channel: str,
        host: str = "w1",
        handler: Any = None,
        match: Any = None,
    ) -> None:
        self.got: list[Any] = []
        self.subscription: Any = None
        self._args = (channel, handler, match)
        self.body = cluster.spawn(node, self._listen, host=host)
        cluster.until(lambda: self.subscription is not None)

    async def _listen(self) -> None:
        channel, handler, match = self._args
        self.subscription = await channels.subscribe(channel, handler, match=match)
        while True:
            self.got.append(await receive())


def stamp(envelope: Envelope, next: Next, mark: str = "stamp") -> Envelope | None:
    """Middleware that adds a mark, on both sides, to messages that are lists."""
    if not isinstance(envelope.message, list):
        return next(envelope)
    return next(envelope.replace(message=[*envelope.message, (mark, envelope.side)]))


def refuse_secrets(envelope: Envelope, next: Next) -> Envelope | None:
    """Middleware that drops some messages."""
    return None if envelope.message == "secret" else next(envelope)


def fail(envelope: Envelope, next: Next) -> Envelope | None:
    """Middleware that fails for some messages."""
    if envelope.message == "bad":
        raise LookupError("no good")
    return next(envelope)


def answer_nonsense(envelope: Envelope, next: Next) -> Any:
    """Middleware that does not do what middleware does."""
    return "nonsense"


def lower(envelope: Envelope, next: Next) -> Envelope | None:
    """Middleware that has everything sent as bulk."""
    return next(envelope.replace(priority="low"))


async def in_time(envelope: Envelope, next: Next) -> Envelope | None:
    """What would be middleware, were it not ``async``."""
    return next(envelope)


class InTime:
    """The same as a class."""

    async def __call__(self, envelope: Envelope, next: Next) -> Envelope | None:
        """Do nothing."""
        return next(envelope)


class Twice:
    """Middleware with a setting, on one side only."""

    sides = ("publish",)

    def __init__(self, times: int = 2) -> None:
        self.times = times

    def __call__(self, envelope: Envelope, next: Next) -> Envelope | None:
        """Send it several times."""
        for _ in range(self.times - 1):
            next(envelope)
        return next(envelope)
