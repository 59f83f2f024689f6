"""A tool's connection to a running node: it asks the control host, and is no part of the node."""

from __future__ import annotations

import asyncio
from typing import Any

from thespian.actors import ActorAddress

from foundation.errors import NodeError, TransportError
from foundation.runtime.directory import Entry
from foundation.transport import Outside, TransportConfig, load_cookie
from foundation.transport.addresses import EndpointAddress

LOOK_SECONDS = 4.0  # the tool waits for the control host


class Attached:
    """Asks the control host of one node, for as long as it is open.

    ::

        async with Attached(directory.find("shop")) as node:
            found = await node.ask(Look())

    Args:
        entry: from ``directory.find``.
        cookie: the node's shared secret; None is this user's.
    """

    def __init__(self, entry: Entry, cookie: bytes | None = None) -> None:
        secret, explicit = load_cookie(cookie)
        self.entry = entry
        self._config = TransportConfig(cookie=secret, explicit_cookie=explicit)
        self._address = ActorAddress(EndpointAddress(entry.host, entry.port, entry.incarnation))
        self._outside: Outside | None = None

    async def ask(self, message: Any, seconds: float = LOOK_SECONDS) -> Any:
        """Send *message* to the control host and return its answer; one at a time.

        What Thespian actors take: an ``Inspect``, or an ``Envelope`` for any server.

        Args:
            message: to send.
            seconds: to wait.

        Raises:
            NodeError: the node has another cookie, or does not answer.
        """
        outside = self._outside
        if outside is None:
            outside = self._outside = await Outside(self._config).open()
        try:
            return await outside.ask(self._address, message, seconds)
        except (TransportError, TimeoutError):
            refused = outside.refusals
            await self.close()  # a late answer must not be taken for that to the next question
            raise self._failed(refused, seconds) from None
        except asyncio.CancelledError:
            await self.close()  # for the same reason
            raise

    def _failed(self, refused: int, seconds: float) -> NodeError:
        node = f"node {self.entry.name!r} (program {self.entry.os_pid})"
        if refused:
            return NodeError(
                f"{node} refused the connection: it was started with another cookie; name "
                "its file with --cookie-file FILE or set $FOUNDATION_COOKIE"
            )
        return NodeError(
            f"{node} did not answer in {seconds} s; it is ending, stopped, or its "
            "control host is busy"
        )

    async def close(self) -> None:
        """End the connection; ``ask`` opens another."""
        outside, self._outside = self._outside, None
        if outside is not None:
            await outside.close()

    async def __aenter__(self) -> Attached:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()
