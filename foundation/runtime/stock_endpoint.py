"""The endpoint of the embedding program on a stock Thespian base.

Stock offers nothing awaitable, so one thread listens in a private context of the system and
another sends from its own. Same surface as ``transport.Outside``.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from thespian.system.transport import ReceiveEnvelope

from foundation.runtime.logs import log

LISTEN_SECONDS = 0.25  # how long closing may have to wait for the listening thread


class StockEndpoint:
    """Messages to and from actors by two threads.

    Args:
        system: a Thespian ``ActorSystem`` on a stock base.
    """

    def __init__(self, system: Any) -> None:
        self._system = system
        self._loop: asyncio.AbstractEventLoop | None = None
        self._outgoing: queue.SimpleQueue[tuple[Any, Any] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._closing = threading.Event()
        self.on_message: Callable[[Any, Any], None] | None = None
        self.on_lost: Callable[[Any], None] | None = None
        self.address: Any = None
        self._context: Any = None
        self._transport: Any = None

    async def open(self) -> StockEndpoint:
        """Start the threads."""
        self._loop = asyncio.get_running_loop()
        self._context = self._system.private()
        self._transport = self._context.__enter__()._systemBase.transport
        self.address = self._transport.myAddress
        for target in (self._listen, self._send):
            thread = threading.Thread(target=target, daemon=True, name="foundation-stock")
            thread.start()
            self._threads.append(thread)
        return self

    async def create_actor(self, actor_class: Any) -> Any:
        """Have the admin start an actor."""
        # Not from the system's own endpoint, which the thread of its user may be using.
        with self._system.private() as context:
            return context.createActor(actor_class)

    def tell(self, address: Any, message: Any) -> None:
        """Queue *message* for the sending thread."""
        self._outgoing.put((address, message))

    def flush(self) -> None:
        """The sending thread does not wait."""

    def _send(self) -> None:
        with self._system.private() as context:
            while (item := self._outgoing.get()) is not None:
                try:
                    context.tell(*item)
                except Exception as error:
                    log.warning("a message to %s was not sent: %s", item[0], error)

    def _listen(self) -> None:
        while not self._closing.is_set():
            envelope = self._transport.run(None, _seconds(LISTEN_SECONDS))
            if isinstance(envelope, ReceiveEnvelope) and self._loop is not None:
                try:
                    self._loop.call_soon_threadsafe(
                        self._received, envelope.message, envelope.sender
                    )
                except RuntimeError:
                    return

    def _received(self, message: Any, sender: Any) -> None:
        if self.on_message is not None and not self._closing.is_set():
            self.on_message(message, sender)

    async def close(self) -> None:
        """Stop the threads; waits for at most the listening period."""
        self._closing.set()
        self._outgoing.put(None)
        for thread in self._threads:
            thread.join()
        self._context.__exit__(None, None, None)


def _seconds(value: float) -> Any:
    return timedelta(seconds=value)
