"""A link: everything this process has under way with one peer."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from thespian.actors import ActorAddress

from foundation.transport.addresses import EndpointAddress

if TYPE_CHECKING:
    from foundation.transport.connection import Connection
    from foundation.transport.engine import Engine


class Link:
    """One peer, by address.

    Attributes:
        engine: whose link this is, None when forgotten; addresses cache their link.
        conn: the open connection messages are written to; None: they wait in *queue*.
        dialling: a connection of ours that is not open yet.
        retiring: a connection in its goodbye; new messages wait until it is closed, so that
            they cannot overtake older ones.
        conns: all living connections with this peer that have been greeted.
        queue: ``(kind, payload, entry)`` waiting for a connection.
        attempts: dials in a row that ended during the handshake.
    """

    __slots__ = (
        "address", "attempts", "conn", "conns", "details", "dialling", "engine", "queue",
        "retiring", "scheduled",
    )  # fmt: skip

    def __init__(self, engine: Engine, details: EndpointAddress) -> None:
        self.engine: Engine | None = engine
        self.details = details
        self.address: Any = ActorAddress(details)
        self.conn: Connection | None = None
        self.dialling: Connection | None = None
        self.retiring: Connection | None = None
        self.conns: list[Connection] = []
        self.queue: deque[tuple[int, bytes, Any]] = deque()
        self.attempts = 0
        self.scheduled = False

    @property
    def unsent(self) -> int:
        """Messages of ours that the peer has not acknowledged."""
        return len(self.queue) + (len(self.conn.unacked) if self.conn else 0)

    @property
    def idle(self) -> bool:
        """Nothing keeps this link in memory."""
        return not (self.queue or self.conns or self.dialling)

    def use(self, conn: Connection) -> None:
        """Write to *conn* from now on, beginning with what has waited."""
        self.conn = conn
        queue = self.queue
        while queue:
            conn.write_message(*queue.popleft())

    def drop(self) -> None:
        """Give up every connection with a peer that is not expected to answer."""
        for conn in [*self.conns, self.dialling]:
            if conn is not None:
                conn.lost("given up", retry=False)

    def replacement(self) -> Connection | None:
        """Another open connection with this peer, if there is one."""
        for conn in self.conns:
            if not (conn.bye_sent or conn.bye_seen):
                return conn
        return None
