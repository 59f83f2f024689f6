"""What the server ``foundation.channels`` is asked: the functions, as messages.

    await call("foundation.channels", Broadcast("events", message))

It answers what the function of that name returns, or ``Failed(error)``. It performs each request
in a process of its own, in the worker host where it lives: that process is the publisher, and
there handlers run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from foundation.channels import functions, settings
from foundation.channels.delivery import Subscription
from foundation.channels.values import Channel
from foundation.cluster.pubsub import Volume
from foundation.facade import Request
from foundation.kernel.values import Pid


@dataclass(frozen=True)
class Broadcast(Request[int]):
    """``broadcast``; messages that are asked for one after the other are sent in that order."""

    channel: str
    message: Any
    priority: str | None = None
    compress: bool | int | None = None
    include_local: bool = True

    async def perform(self) -> int:
        """Do it."""
        return functions.broadcast(
            self.channel,
            self.message,
            priority=self.priority,
            compress=self.compress,
            include_local=self.include_local,
        )


@dataclass(frozen=True)
class Subscribe(Request[Subscription]):
    """``subscribe``, awaited; *handler* is a pid: of whoever is to get the messages."""

    channel: str
    handler: Pid
    match: Any = None

    async def perform(self) -> Subscription:
        """Do it."""
        made = functions.subscribe(self.channel, self.handler, match=self.match)
        await made
        return made


@dataclass(frozen=True)
class Unsubscribe(Request[bool]):
    """``unsubscribe``, of what ``Subscribe`` was answered."""

    subscription: Subscription

    async def perform(self) -> bool:
        """Do it."""
        return functions.unsubscribe(self.subscription)


@dataclass(frozen=True)
class Route(Request[str]):
    """``route``."""

    message: Any
    channel: str | None = None
    priority: str | None = None

    async def perform(self) -> str:
        """Do it."""
        return functions.route(self.message, channel=self.channel, priority=self.priority)


@dataclass(frozen=True)
class ExplainRoute(Request[str]):
    """``explain_route``."""

    message: Any
    channel: str | None = None
    priority: str | None = None

    async def perform(self) -> str:
        """Do it."""
        return functions.explain_route(self.message, channel=self.channel, priority=self.priority)


@dataclass(frozen=True)
class Declare(Request[None]):
    """``declare``."""

    name: str
    priority: str = "normal"
    bulk: bool | None = None

    async def perform(self) -> None:
        """Do it."""
        await settings.declare(self.name, priority=self.priority, bulk=self.bulk)


@dataclass(frozen=True)
class Use(Request[str]):
    """``use``."""

    middleware: Any
    name: str | None = None
    sides: tuple[str, ...] | None = None
    config: dict[str, Any] = field(default_factory=dict)

    async def perform(self) -> str:
        """Do it."""
        return await settings.use(self.middleware, name=self.name, sides=self.sides, **self.config)


@dataclass(frozen=True)
class Remove(Request[bool]):
    """``remove``."""

    name: str

    async def perform(self) -> bool:
        """Do it."""
        return await settings.remove(self.name)


@dataclass(frozen=True)
class Channels(Request[list[Channel]]):
    """``channels``."""

    async def perform(self) -> list[Channel]:
        """Do it."""
        return settings.channels()


@dataclass(frozen=True)
class Installed(Request[list[str]]):
    """``installed``."""

    async def perform(self) -> list[str]:
        """Do it."""
        return settings.installed()


@dataclass(frozen=True)
class Statistics(Request[dict[str, Volume]]):
    """``statistics``, of the host where the server lives."""

    async def perform(self) -> dict[str, Volume]:
        """Do it."""
        return settings.statistics()
