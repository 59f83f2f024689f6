"""What the tests with real nodes run in their worker hosts."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from foundation import channels
from foundation.cluster.lanes import lanes_of
from foundation.cluster.pubsub import lanes
from foundation.kernel.ops import current
from foundation.otp import GenServer

BLOCK = 1_000_000


class Ear(GenServer):
    """Keeps what it gets: of large messages, number and length."""

    async def init(self, *names: str) -> None:
        """Subscribe."""
        self.got: list[Any] = []
        for name in names:
            await channels.subscribe(name)

    def handle_info(self, message: Any) -> None:
        """Keep it, with the time."""
        if type(message) is tuple:
            message = (message[0], len(message[1]))
        self.got.append((time.monotonic(), message))

    def handle_call(self, request: Any, caller: Any) -> Any:
        """Return what came; or the process of this host."""
        return os.getpid() if request == "pid" else self.got


class Mouth(GenServer):
    """Sends."""

    async def handle_call(self, request: Any, caller: Any) -> Any:
        """Serve ``(what, *arguments)``."""
        return await getattr(self, request[0])(*request[1:])

    async def stream(self, count: int, breaks: int = 0) -> Any:
        """Send *count* blocks; break the connections of the lanes that often meanwhile."""
        for number in range(count):
            channels.broadcast("data", (number, bytes(BLOCK)))
            if breaks and number % (count // breaks) == 1:
                engine: Any = lanes_of(current().kernel)._wire._outside._engine  # type: ignore[union-attr]
                for connection in engine.connections():
                    connection.lost("by the test")
            await channels.drained()
        await channels.drained(below=1)
        return lanes()

    async def both(self, count: int) -> float:
        """Queue *count* blocks, then say something urgent; return when."""
        for number in range(count):
            channels.broadcast("data", (number, bytes(BLOCK)))
        now = time.monotonic()
        channels.broadcast("control", "now")
        return now

    async def say(self, *args: Any) -> Any:
        """Broadcast."""
        return channels.broadcast(*args)

    async def lanes(self) -> Any:
        """Describe the lanes of this host."""
        return lanes()

    async def until_known(self, channel: str) -> None:
        """Wait until a channel is declared."""
        while channel not in [each.name for each in channels.channels()]:
            await asyncio.sleep(0.01)
