"""Acknowledgements that wait for a message to travel with."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foundation.transport.connection import Connection

ACK_DELAY = 0.005  # seconds that an acknowledgement may wait
ACK_AT_ONCE = 1000  # so many do not wait


class LateAcks:
    """The connections of one engine whose acknowledgements wait.

    A frame for the acknowledgement alone would wake the peer, which costs both sides more than
    the message did.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._late: list[Connection] = []
        self._timer: Any = None

    def owe(self, conn: Connection) -> None:
        """One message of *conn* is handled; acknowledge it a little later."""
        conn.owed += 1
        if conn.owed == 1:
            self._late.append(conn)
            if self._timer is None:
                self._timer = self._loop.call_later(ACK_DELAY, self.settle)
        elif conn.owed == ACK_AT_ONCE:
            conn.flush()

    def settle(self) -> None:
        """Acknowledge what has waited."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        late, self._late = self._late, []
        for conn in late:
            if conn.owed:
                conn.flush()
