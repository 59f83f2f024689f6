"""The transport itself, without Thespian's calling conventions: listen, dial, send, receive.

One engine belongs to one event loop. It is driven by the loop's callbacks only; a subclass
decides who consumes the inbox (`pump`).
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import pickle
import socket
import weakref
from collections import deque
from typing import Any

from thespian.actors import ActorAddress
from thespian.system.transport import SendStatus

from foundation.errors import TransportError
from foundation.transport import wire
from foundation.transport.addresses import (
    EndpointAddress,
    Key,
    TXOnlyAdminAddress,
    is_this_machine,
    unix_name,
)
from foundation.transport.config import TransportConfig
from foundation.transport.connection import GREETING, OPEN, PROVING, Connection
from foundation.transport.links import Link
from foundation.transport.sockets import open_listeners, tune

MAX_UNPROVEN = 512
READ_SIZE = 256 * 1024
DIAL_ATTEMPTS = 5
_engines: weakref.WeakSet[Engine] = weakref.WeakSet()
_log = logging.getLogger("foundation.transport")

# Inbox kinds beyond the wire's own.
OBJECT = 100  # (sender address, OBJECT, message): from this very process
ENVELOPE = 101  # (None, ENVELOPE, envelope)


class Engine:
    """Listener, links and inbox of one process.

    Args:
        config: settings of the node.
        loop: the event loop to live on; it need not be running.
        details: host, port (0: any) and incarnation to listen as.

    Attributes:
        address: the `ActorAddress` of this engine.
        inbox: what arrived and is not handled: ``(connection, kind, payload)``.
        pending: messages sent and not completed.
        ack_on_receipt: acknowledge what arrives at once; otherwise when it is handled.
        lost_callbacks: called with the address of each peer whose connection broke.
        refused_peers: how often each peer failed to authenticate.
    """

    def __init__(
        self, config: TransportConfig, loop: asyncio.AbstractEventLoop, details: EndpointAddress
    ) -> None:
        self.config = config
        self.loop = loop
        self.inbox: deque[tuple[Any, int, Any]] = deque()
        self.pending = 0
        self.ack_on_receipt = False
        self.lost_callbacks: list[Any] = []
        self.refused_peers: dict[str, int] = {}
        self.links: dict[Key, Link] = {}
        self._unproven: dict[Connection, None] = {}
        self._greeting: set[Connection] = set()
        self._dirty: list[Connection] = []
        self._owing: list[Connection] = []
        self._flush_handle: Any = None
        self._paused = False
        self._closed = False
        self._sweeper: Any = None
        self._pid = os.getpid()
        # All connections read into this and copy from it: for a bytes object of READ_SIZE each
        # read would map memory and give it back.
        self.read_buffer = memoryview(bytearray(READ_SIZE))
        self._listeners: list[socket.socket] = []
        self.details = details
        self._listen()
        self.address: Any = ActorAddress(self.details)
        _engines.add(self)

    # -- listening ---------------------------------------------------------------------------

    def _listen(self) -> None:
        self._listeners = open_listeners(self.config, self.details)
        for sock in self._listeners:
            self.loop.add_reader(sock.fileno(), self._accept, sock)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(64):
            try:
                sock, _peer = listener.accept()
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    self._rest_listener(listener)
                return
            sock.setblocking(False)
            tune(sock)
            if len(self._unproven) >= MAX_UNPROVEN:
                next(iter(self._unproven)).lost("too many unproven connections")
            conn = Connection(self, sock, None)
            self._unproven[conn] = None
            conn.connected()

    def _rest_listener(self, listener: socket.socket) -> None:
        """No descriptors left: the kernel keeps the callers, we look again a little later."""
        self.loop.remove_reader(listener.fileno())
        self.loop.call_later(0.1, self._wake_listener, listener)

    def _wake_listener(self, listener: socket.socket) -> None:
        if not self._closed:
            self.loop.add_reader(listener.fileno(), self._accept, listener)

    def refused(self, peer: str, why: str) -> None:
        """Count a peer that failed to authenticate; log the first time only."""
        if peer not in self.refused_peers:
            if len(self.refused_peers) > 1000:
                self.refused_peers.clear()
            _log.warning("refused a connection from %s: %s", peer, why)
        self.refused_peers[peer] = self.refused_peers.get(peer, 0) + 1

    # -- dialling ----------------------------------------------------------------------------

    def link_to(self, details: Any) -> Link:
        """The link to the peer at *details*, made when missing."""
        link = details.link if isinstance(details, EndpointAddress) else None
        if link is not None and link.engine is self:
            return link  # type: ignore[no-any-return]
        if not isinstance(details, EndpointAddress):
            host, port = details.sockname[:2]
            details = EndpointAddress(host, port)
        link = self.links.get(details.key)
        if link is None:
            link = self.links[details.key] = Link(self, details)
            self._start_sweeper()
        details.link = link
        return link

    def _need_dial(self, link: Link) -> None:
        # Never from within send(): failures must not be reported inside scheduleTransmit, and a
        # handler that goes on computing must not leave a half-finished handshake behind.
        if not link.scheduled and link.dialling is None:
            link.scheduled = True
            self.loop.call_soon(self._dial, link)

    def _dial(self, link: Link) -> None:
        link.scheduled = False
        if self._closed or link.conn or link.dialling or link.retiring or not link.queue:
            return
        if isinstance(link.details, TXOnlyAdminAddress) and not self.may_dial(link.details):
            return  # it connects to us, or never
        host, port = link.details.sockname
        if not port:
            self._dial_failed(link)
            return
        if self.config.use_unix and is_this_machine(host, self.details.sockname[0]):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            if sock.connect_ex(unix_name(host, port)) == 0:
                link.dialling = Connection(self, sock, link)
                link.dialling.connected()
                return
            sock.close()
        self._dial_tcp(link, host, port)

    def _dial_tcp(self, link: Link, host: str, port: int) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        tune(sock)
        error = sock.connect_ex((host, port))
        link.dialling = Connection(self, sock, link)
        if error == 0:
            link.dialling.connected()
        elif error == errno.EINPROGRESS:
            link.dialling.await_connect()
        else:
            link.dialling.lost(f"cannot connect: {os.strerror(error)}", retry=False)

    def may_dial(self, details: EndpointAddress) -> bool:
        """Whether a TX-only admin is our own one (hook of the subclass)."""
        return False

    def opened_outbound(self, conn: Connection) -> None:
        """Our dial is authenticated: messages may follow the greeting at once."""
        link = conn.link
        assert link is not None
        link.attempts = 0
        link.dialling = None
        self._greeting.add(conn)
        link.conns.append(conn)
        if link.conn is None and link.retiring is None:
            link.use(conn)

    def opened(self, conn: Connection, details: EndpointAddress) -> None:
        """The peer has said who it is."""
        self._unproven.pop(conn, None)
        self._greeting.discard(conn)
        link = conn.link
        if link is None:  # inbound: adopt it as our way back
            link = conn.link = self.link_to(details)
            link.conns.append(conn)
            if link.conn is None and link.retiring is None:
                link.use(conn)
        elif details.key not in self.links:
            self.links[details.key] = link  # dialled without knowing its incarnation
        conn.sender = ActorAddress(details)
        details.link = link

    def closed(self, conn: Connection, before: int, why: str, retry: bool) -> None:
        """A connection has ended; complete what it carried."""
        self._unproven.pop(conn, None)
        self._greeting.discard(conn)
        link = conn.link
        if link is None or self._closed:
            return
        if conn in link.conns:
            link.conns.remove(conn)
        dialling = link.dialling is conn
        if dialling:
            link.dialling = None
        if link.conn is conn:
            link.conn = None
        if link.retiring is conn:
            link.retiring = None
        entries, conn.unacked = conn.unacked, deque()
        if dialling and before == PROVING and retry and link.attempts < DIAL_ATTEMPTS:
            # Nothing was sent yet, e.g. we were too busy to answer before the deadline.
            link.attempts += 1
            self.loop.call_later(0.02 * 2**link.attempts, self._dial, link)
            return
        # Entries complete after this callback: completing may schedule further messages.
        for entry in entries:
            self.loop.call_soon(self.complete, entry, SendStatus.DeadTarget)
        if dialling or before in (PROVING, GREETING):
            self._dial_failed(link)
        else:
            self._after_close(link, conn)

    def _dial_failed(self, link: Link) -> None:
        link.attempts = 0
        queue, link.queue = link.queue, deque()
        for _kind, _payload, entry in queue:
            self.loop.call_soon(self.complete, entry, SendStatus.DeadTarget)
        self._peer_gone(link)

    def _after_close(self, link: Link, conn: Connection) -> None:
        replacement = link.replacement()
        if link.conn is None and replacement is not None and link.retiring is None:
            link.use(replacement)
        elif link.queue and link.conn is None:
            self._need_dial(link)
        if not conn.said_goodbye:
            self._peer_gone(link)

    def _peer_gone(self, link: Link) -> None:
        if not link.conns and link.dialling is None:
            for callback in list(self.lost_callbacks):
                self.loop.call_soon(callback, link.address)
            self._forget(link)

    def _forget(self, link: Link) -> None:
        if link.idle and not link.scheduled:
            for key in [key for key, value in self.links.items() if value is link]:
                del self.links[key]
            link.details.link = None
            link.engine = None  # copies of the address that cache this link look it up again

    def retire(self, conn: Connection) -> None:
        """*conn* is in its goodbye: later messages wait for its end."""
        link = conn.link
        if link is not None and link.conn is conn:
            link.conn = None
            link.retiring = conn

    # -- sending -----------------------------------------------------------------------------

    def encode(self, message: Any) -> tuple[int, bytes]:
        """Serialise *message*; raises what its pickling raises."""
        if type(message) is bytes:
            kind, payload = wire.BYTES, message
        else:
            kind, payload = wire.PICKLE, pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        if len(payload) > self.config.max_frame:
            raise TransportError(
                f"a message of {len(payload)} bytes exceeds max_frame={self.config.max_frame}"
            )
        return kind, payload

    def send(self, link: Link, kind: int, payload: bytes, entry: Any) -> None:
        """Send an encoded message; *entry* completes when its fate is known."""
        self.pending += 1
        conn = link.conn
        if conn is not None:
            if len(conn.unacked) >= self.config.max_unsent:
                self.loop.call_soon(self.complete, entry, SendStatus.DeadTarget)
                return
            conn.write_message(kind, payload, entry)
            return
        if len(link.queue) >= self.config.max_unsent:
            self.loop.call_soon(self.complete, entry, SendStatus.DeadTarget)
            return
        link.queue.append((kind, payload, entry))
        if link.retiring is None:
            self._need_dial(link)

    def complete(self, entry: Any, status: Any) -> None:
        """One message's fate is known."""
        self.pending -= 1
        if type(entry) is tuple:
            if status is SendStatus.DeadTarget:
                entry[0](entry[1], entry[2])
        elif entry is not None:
            entry.tx_done(status)
        self.after_completion()

    def after_completion(self) -> None:
        """A message was completed (hook of the subclass)."""

    def after_write(self) -> None:
        """A connection has nothing left to write (hook of the subclass)."""

    def unwritten(self) -> int:
        """Messages that are not completed and not in the kernel's hands either."""
        return self.pending - sum(len(c.unacked) for c in self.connections() if c.written)

    def acknowledged(self, conn: Connection, count: int) -> None:
        """The peer has handled *count* further messages."""
        unacked = conn.unacked
        if count > len(unacked):
            raise wire.WireError(f"{count} acknowledged, {len(unacked)} outstanding")
        self.pending -= count
        for _ in range(count):
            entry = unacked.popleft()
            if type(entry) is not tuple and entry is not None:
                entry.tx_done(SendStatus.Sent)
        if conn.bye_seen:
            conn.maybe_finish()
        self.after_completion()

    def not_handled(self, conn: Connection, count: int) -> None:
        """The peer is ending and will not handle the next *count* messages."""
        for _ in range(min(count, len(conn.unacked))):
            self.loop.call_soon(self.complete, conn.unacked.popleft(), SendStatus.DeadTarget)

    def mark_dirty(self, conn: Connection) -> None:
        """*conn* has something to write in the next flush."""
        if not conn.dirty:
            conn.dirty = True
            self._dirty.append(conn)
            self._flush_soon()

    def _flush_soon(self) -> None:
        if self._flush_handle is None:
            self._flush_handle = self.loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write every connection that has something to write.

        In the order of their first message, mere acknowledgements last: what an actor sent first
        leaves first, although to different peers nothing is promised.
        """
        if self._flush_handle is not None:
            self._flush_handle.cancel()
            self._flush_handle = None
        dirty, self._dirty = self._dirty, []
        owing, self._owing = self._owing, []
        for conn in dirty:
            conn.flush()
        for conn in owing:
            if conn.owed:
                conn.flush()

    # -- receiving ---------------------------------------------------------------------------

    def owe(self, conn: Connection) -> None:
        """One message of *conn* is handled; acknowledge it with the next write."""
        if not conn.owed:
            self._owing.append(conn)
            if self._flush_handle is None:
                self._flush_soon()
        conn.owed += 1

    def refuse_inbox(self) -> None:
        """This process is ending: tell the peers that their messages will not be handled."""
        counts: dict[Connection, int] = {}
        for conn, kind, _payload in self.inbox:
            if kind <= wire.PICKLE:
                counts[conn] = counts.get(conn, 0) + 1
        self.inbox.clear()
        for conn, count in counts.items():
            if conn.owed:
                conn.out.append(wire.frame(wire.ACK, acknowledged=conn.owed))
                conn.owed = 0
            conn.write_frame(wire.NAK, wire.COUNT.pack(count))

    def after_read(self) -> None:
        """Something may have arrived: let it be handled, and mind the queue's length."""
        self.pump()
        if not self._paused and len(self.inbox) > self.config.inbox_high:
            self._pause_all(True)

    def relieve(self) -> None:
        """The inbox got shorter: read again when it is short enough."""
        if self._paused and len(self.inbox) < self.config.inbox_high // 4:
            self._pause_all(False)

    def _pause_all(self, paused: bool) -> None:
        self._paused = paused
        for link in set(self.links.values()):
            for conn in link.conns:
                conn.pause(paused)

    def pump(self) -> None:
        """Consume the inbox (the subclass's business)."""
        raise NotImplementedError

    # -- housekeeping ------------------------------------------------------------------------

    def _start_sweeper(self) -> None:
        if self._sweeper is None and self.config.idle_close is not None and not self._closed:
            period = max(0.05, min(30.0, self.config.idle_close / 4))
            self._sweeper = self.loop.call_later(period, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        idle = self.config.idle_close  # None: since the sweep was set
        limit = float("-inf") if idle is None else self.loop.time() - idle
        for link in list(self.links.values()):
            for conn in list(link.conns):
                if conn.state == OPEN and conn.idle and conn.last_used < limit:
                    conn.say_bye()
            self._forget(link)
        if self.links:
            self._start_sweeper()

    def connections(self) -> list[Connection]:
        """Every living connection."""
        links = set(self.links.values())
        found = {conn for link in links for conn in (*link.conns, link.dialling) if conn}
        return [*found, *self._unproven, *(self._greeting - found)]

    def drop(self, address: Any) -> None:
        """Give up the connections with *address*: what is sent next dials anew."""
        link = self.links.get(address.addressDetails.key)
        if link is not None:
            link.drop()

    def shut(self) -> None:
        """Release everything; what is pending becomes Failed. Idempotent."""
        if self._closed:
            return
        _engines.discard(self)
        self.flush()
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._flush_handle is not None:
            self._flush_handle.cancel()
        for listener in self._listeners:
            self.loop.remove_reader(listener.fileno())
            listener.close()
        entries: list[Any] = []
        for conn in self.connections():
            entries.extend(conn.unacked)
            conn.unacked.clear()
            conn.lost("we are closing")
        for link in set(self.links.values()):
            entries.extend(entry for _kind, _payload, entry in link.queue)
            link.details.link = None
        self.links.clear()
        for entry in entries:
            self.complete(entry, SendStatus.Failed)

    def abandon(self) -> None:
        """In a forked child: close the inherited descriptors, leaving the parent's alone."""
        self._closed = True
        for listener in self._listeners:
            listener.close()
        for conn in self.connections():
            conn.abandon()
        self.links.clear()


def _after_fork_in_child() -> None:
    for engine in list(_engines):
        _engines.discard(engine)
        engine.abandon()


os.register_at_fork(after_in_child=_after_fork_in_child)
