"""Pictures for everybody who watches: one look for all, and none when nobody does.

Invariants:
    F1  However many listen, the cluster is asked once in each interval for each text to match,
        of which there are at most ``MATCHES``.
    F2  A listener that is slow misses pictures; none waits for it, and nothing piles up.
    F3  When the asked node does not answer, another one is asked at once, whoever wants to know;
        when none does, listeners are told, and each later look tries again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol, TypeVar

from foundation.errors import NodeError
from foundation.observer.history import History

Raw = dict[str, Any]
T = TypeVar("T")

MATCHES = 8  # different texts to match at a time
SILENCE = 10.0  # seconds after which a listener is told that the connection lives


class Looks(Protocol):
    """What is watched: a ``Watch``."""

    async def look(self, match: str = "") -> Raw:
        """Return the picture of now."""

    async def metrics(self) -> str:
        """Return Prometheus text, or ``""``."""

    async def move_on(self) -> None:
        """Ask another node from now on: the first of all known ones that answers."""


class TooMany(Exception):
    """There are too many different texts to match."""


class _Topic:
    """What those who have one text to match are shown."""

    def __init__(self) -> None:
        self.listeners = 0
        self.number = 0  # of the latest event
        self.event = ""
        self.history = History()


class Feed:
    """See the module docstring.

    Args:
        watch: looks.
        interval: seconds between looks.
        now: the time, for rates.
    """

    def __init__(
        self, watch: Looks, interval: float = 1.0, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._watch = watch
        self._interval = interval
        self._now = now
        self._topics: dict[str, _Topic] = {}
        self._news = asyncio.Condition()
        self._wanted = asyncio.Event()
        self._looking = asyncio.Lock()
        self._closed = False

    async def run(self) -> None:
        """Look while somebody listens; until cancelled."""
        while True:
            await self._wanted.wait()
            began = self._now()
            for match, topic in list(self._topics.items()):
                await self._look(match, topic)
            if not self._topics:
                self._wanted.clear()
            await asyncio.sleep(max(0.05, self._interval - (self._now() - began)))

    async def _look(self, match: str, topic: _Topic) -> None:
        try:
            picture = topic.history.add(await self.look(match), self._now())
        except NodeError as error:
            await self._say(topic, "trouble", {"text": str(error)})
        else:
            await self._say(topic, "picture", picture)

    async def look(self, match: str = "") -> Raw:
        """Return a picture of now, for one who does not listen.

        Raises:
            NodeError: as ``Watch.look``, of all nodes.
        """
        return await self._asked(lambda: self._watch.look(match))

    async def metrics(self) -> str:
        """Return Prometheus text, or ``""``.

        Raises:
            NodeError: as ``Watch.look``, of all nodes.
        """
        return await self._asked(self._watch.metrics)

    async def _asked(self, what: Callable[[], Awaitable[T]]) -> T:
        """Do *what*, of another node if the one that is asked does not answer (F3)."""
        async with self._looking:  # one at a time
            try:
                return await what()
            except NodeError as error:
                with contextlib.suppress(NodeError):
                    await self._watch.move_on()
                    return await what()
                raise error

    async def _say(self, topic: _Topic, kind: str, value: Raw) -> None:
        topic.number += 1
        topic.event = event(kind, value)
        async with self._news:
            self._news.notify_all()

    async def listen(self, match: str = "") -> AsyncIterator[str]:
        """Yield server-sent events: the newest at once if there is one, then each new one.

        Raises:
            TooMany: others match ``MATCHES`` other texts.
        """
        topic = self._topics.get(match)
        if topic is None:
            if len(self._topics) >= MATCHES:
                raise TooMany(match)
            topic = self._topics[match] = _Topic()
        topic.listeners += 1
        self._wanted.set()
        try:
            yield "retry: 1000\n\n"
            async for text in self._events(topic):
                yield text
        finally:
            topic.listeners -= 1
            if not topic.listeners and self._topics.get(match) is topic:
                del self._topics[match]

    async def _events(self, topic: _Topic) -> AsyncIterator[str]:
        seen = 0
        while not self._closed:
            if topic.number > seen:
                seen = topic.number
                yield topic.event
                continue
            try:
                async with asyncio.timeout(SILENCE), self._news:
                    await self._news.wait_for(
                        lambda: topic.number > seen or self._closed  # noqa: B023
                    )
            except TimeoutError:
                yield ": still here\n\n"

    async def close(self) -> None:
        """End all that listen."""
        self._closed = True
        async with self._news:
            self._news.notify_all()


def event(kind: str, value: Raw) -> str:
    """Return a server-sent event; JSON has no line breaks of its own."""
    return f"event: {kind}\ndata: {json.dumps(value)}\n\n"
