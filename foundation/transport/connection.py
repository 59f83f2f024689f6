"""One authenticated, bidirectional, framed connection between two processes.

Raw non-blocking sockets with ``add_reader``: sending, dialling and accepting need no coroutine,
so they also work while the loop is not running (a blocking program between two calls).
"""

from __future__ import annotations

import errno
import pickle
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING, Any

from foundation.transport import wire
from foundation.transport.handshake import (
    MAX_PAYLOAD,
    Handshake,
    HandshakeError,
    WrongCookie,
)

if TYPE_CHECKING:
    from foundation.transport.engine import Engine
    from foundation.transport.links import Link

CONNECTING, PROVING, GREETING, OPEN, CLOSED = range(5)
_AGAIN = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR)


class Connection:
    """A socket, its handshake, and what is under way on it.

    Attributes:
        link: the peer; None until an inbound peer has said who it is.
        unacked: entries of messages written (or about to be) and not acknowledged, in order.
        owed: messages handled since our last acknowledgement.
        bye_sent, bye_seen: the two halves of the goodbye.
    """

    __slots__ = (
        "_handshake", "_rest", "_timer", "_watching_write", "bye_seen", "bye_sent", "decoder",
        "dialled", "dirty", "engine", "fd", "last_used", "link", "out", "owed", "paused",
        "peer_name", "sender", "sock", "state", "unacked",
    )  # fmt: skip

    def __init__(self, engine: Engine, sock: socket.socket, link: Link | None) -> None:
        self.engine = engine
        self.sock = sock
        self.fd = sock.fileno()
        self.link = link
        self.dialled = link is not None
        self.sender: Any = None
        self.state = CONNECTING
        self.decoder = wire.Decoder(MAX_PAYLOAD)
        self.out: list[bytes] = []
        self._rest: memoryview | None = None
        self._watching_write = False
        self.unacked: deque[Any] = deque()
        self.owed = 0
        self.dirty = self.paused = self.bye_sent = self.bye_seen = False
        self._handshake = Handshake(engine.config.cookie, dialler=self.dialled)
        self._timer: Any = None
        self.last_used = engine.loop.time()
        self.peer_name = _peer_name(sock) if link is None else ""

    # -- becoming a connection -------------------------------------------------------------

    def connected(self) -> None:
        """The socket is connected: listen to it, and speak first if we dialled."""
        self._set_timer(None)
        self.state = PROVING
        self.engine.loop.add_reader(self.fd, self.on_readable)
        if self.dialled:
            self.write_frame(wire.AUTH, self._handshake.start())
        else:
            self._set_timer(self.engine.config.auth_deadline, "no proof of the cookie in time")

    def await_connect(self) -> None:
        """A TCP connect is in progress."""
        self._set_timer(self.engine.config.connect_timeout, "connecting took too long")
        self.engine.loop.add_writer(self.fd, self._on_connect)

    def _on_connect(self) -> None:
        self.engine.loop.remove_writer(self.fd)
        error = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self.lost(f"cannot connect: {errno.errorcode.get(error, error)}", retry=False)
        else:
            self.connected()

    def _set_timer(self, seconds: float | None, why: str = "") -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if seconds is not None:
            self._timer = self.engine.loop.call_later(seconds, self._too_late, why)

    def _too_late(self, why: str) -> None:
        if self.state == PROVING and not self.dialled:
            self.engine.refused(self.peer_name, why)
        self.lost(why)

    # -- reading -----------------------------------------------------------------------------

    def on_readable(self) -> None:
        """Read once, take what came, hand control to the engine's pump."""
        if self.state == CLOSED:
            return
        try:
            buffer = self.engine.read_buffer
            data = bytes(buffer[: self.sock.recv_into(buffer)])
        except OSError as error:
            if error.errno not in _AGAIN:
                self.lost(f"read failed: {error.strerror}")
            return
        if not data:
            self.lost("closed by the peer")
            return
        self.last_used = self.engine.loop.time()
        try:
            if self.state != OPEN:
                data = self._read_greeting(data)
            if self.state == OPEN:
                self._read_frames(self.decoder.feed(data))
        except (wire.WireError, HandshakeError, struct.error) as error:
            self._protocol_error(error)
        self.engine.after_read()

    def _read_greeting(self, data: bytes) -> bytes:
        """Frames are taken one by one until the connection is open; returns b''."""
        while self.state in (PROVING, GREETING):
            frames = self.decoder.feed(data, at_most=1)
            data = b""
            if not frames:
                break
            kind, acknowledged, payload = frames[0]
            if self.state == PROVING:
                self._prove(kind, acknowledged, payload)
            elif kind == wire.HELLO:
                self._greeted(payload)
            elif kind == wire.REFUSE:
                self.lost("nobody of that incarnation listens there", retry=False)
            else:
                raise wire.WireError(f"kind {kind} before the greeting")
        return data

    def _prove(self, kind: int, acknowledged: int, payload: bytes) -> None:
        if kind == wire.REJECT and self.dialled:
            raise WrongCookie("the peer says that our cookie is wrong")
        if kind != wire.AUTH or acknowledged:
            raise HandshakeError(f"kind {kind} before authentication")
        answer = self._handshake.feed(payload)
        if answer is not None:
            self.write_frame(wire.AUTH, answer)
        if not self._handshake.done:
            return
        self.decoder.limit = self.engine.config.max_frame
        self.state = GREETING
        if self.dialled:
            self._set_timer(None)
            assert self.link is not None
            self._say_hello(self.link.details.port_and_incarnation)
            self.engine.opened_outbound(self)

    def _say_hello(self, wanted: tuple[int, int]) -> None:
        # Authenticated by now, so a pickle is no danger the cookie does not already grant.
        hello = pickle.dumps((self.engine.details, wanted), pickle.HIGHEST_PROTOCOL)
        self.write_frame(wire.HELLO, hello)

    def _greeted(self, payload: bytes) -> None:
        try:
            details, (port, incarnation) = pickle.loads(payload)
        except Exception as error:
            raise wire.WireError(f"unreadable greeting: {error!r}") from None
        own_port, own_incarnation = self.engine.details.port_and_incarnation
        if not self.dialled:
            if port != own_port or (
                incarnation and own_incarnation and incarnation != own_incarnation
            ):
                self.write_frame(wire.REFUSE)
                self.flush()
                self.lost("wants another incarnation", retry=False)
                return
            self._say_hello((0, 0))
        self._set_timer(None)
        self.state = OPEN
        self.engine.opened(self, details)

    def _read_frames(self, frames: list[tuple[int, int, bytes]]) -> None:
        engine = self.engine
        inbox = engine.inbox
        for kind, acknowledged, payload in frames:
            if acknowledged:
                engine.acknowledged(self, acknowledged)
            if kind <= wire.PICKLE:
                inbox.append((self, kind, payload))
                if engine.ack_on_receipt:
                    engine.owe(self)
            elif kind == wire.NAK:
                engine.not_handled(self, wire.COUNT.unpack(payload)[0])
            elif kind == wire.BYE:
                self._on_bye()
            elif kind == wire.REFUSE:
                self.lost("refused", retry=False)
            elif kind != wire.ACK:
                raise wire.WireError(f"kind {kind} on an open connection")

    def _protocol_error(self, error: Exception) -> None:
        if isinstance(error, WrongCookie) and not self.dialled:
            self.write_frame(wire.REJECT)
            self.flush()
        name = self.peer_name or (f"{self.link.details}" if self.link else "?")
        self.engine.refused(name, str(error))
        self.lost(str(error), retry=False)

    # -- writing -----------------------------------------------------------------------------

    def write_frame(self, kind: int, payload: bytes = b"") -> None:
        """Queue a control frame for the next flush."""
        self.out.append(wire.frame(kind, payload))
        self.engine.mark_dirty(self)

    def write_message(self, kind: int, payload: bytes, entry: Any) -> None:
        """Queue a message; *entry* is completed when the peer acknowledges it."""
        self.unacked.append(entry)
        owed = self.owed
        self.owed = 0
        if len(payload) < 2048:
            self.out.append(wire.pack_header(len(payload), owed, kind) + payload)
        else:
            self.out.append(wire.pack_header(len(payload), owed, kind))
            self.out.append(payload)
        if not self.dirty:
            self.engine.mark_dirty(self)

    def flush(self) -> None:
        """Write what has gathered, in one system call if the kernel takes it."""
        self.dirty = False
        if self.owed and self.state != CLOSED:
            self.out.append(wire.pack_header(0, self.owed, wire.ACK))
            self.owed = 0
        if not self._watching_write and self.state != CLOSED:
            self._write()

    def _write(self) -> None:
        while self._rest is not None or self.out:
            if self._rest is None:
                self._rest = memoryview(b"".join(self.out))
                self.out.clear()
            try:
                sent = self.sock.send(self._rest)
            except OSError as error:
                if error.errno not in _AGAIN:
                    # Do not give up reading: answers and acknowledgements of the dying peer may
                    # still be in our receive buffer. The read side reports the loss.
                    self._rest = None
                    self.out.clear()
                    self._watch_write(False)
                    return
                sent = 0
            if sent < len(self._rest):
                self._rest = self._rest[sent:]
                self._watch_write(True)
                return
            self._rest = None
        self.last_used = self.engine.loop.time()
        self._watch_write(False)
        self.engine.after_write()

    def _watch_write(self, wanted: bool) -> None:
        if wanted == self._watching_write or self.state == CLOSED:
            return
        self._watching_write = wanted
        if wanted:
            self.engine.loop.add_writer(self.fd, self._write)
        else:
            self.engine.loop.remove_writer(self.fd)

    def pause(self, paused: bool) -> None:
        """Stop or resume reading: back-pressure."""
        if paused == self.paused or self.state == CLOSED:
            return
        self.paused = paused
        if paused:
            self.engine.loop.remove_reader(self.fd)
        else:
            self.engine.loop.add_reader(self.fd, self.on_readable)

    # -- ending -----------------------------------------------------------------------------

    @property
    def written(self) -> bool:
        """The kernel has everything, and the peer has greeted us."""
        return self.state == OPEN and not self.out and self._rest is None

    @property
    def idle(self) -> bool:
        """Nothing is under way in our direction."""
        return not (self.unacked or self.out or self._rest is not None or self.owed)

    def say_bye(self) -> None:
        """Our half of the goodbye: nothing more will come from us on this connection."""
        if not self.bye_sent and self.state == OPEN:
            self.bye_sent = True
            self.engine.retire(self)
            self.write_frame(wire.BYE)

    def _on_bye(self) -> None:
        self.bye_seen = True
        self.engine.retire(self)
        self.maybe_finish()

    def maybe_finish(self) -> None:
        """The peer has said goodbye: answer once everything of ours is acknowledged.

        The side that hears the second goodbye closes; the other one sees the end of file.
        """
        if not self.bye_seen or self.unacked or self.state != OPEN:
            return
        if self.bye_sent:
            self.lost("goodbye")
        else:
            self.say_bye()

    @property
    def said_goodbye(self) -> bool:
        """The end of this connection is in order."""
        return self.bye_sent and self.bye_seen

    def lost(self, why: str, retry: bool = True) -> None:
        """The connection is over, for whatever reason; tell the engine once."""
        if self.state == CLOSED:
            return
        before, self.state = self.state, CLOSED
        self._set_timer(None)
        loop = self.engine.loop
        if not self.paused:
            loop.remove_reader(self.fd)
        loop.remove_writer(self.fd)
        self.out.clear()
        self._rest = None
        self.sock.close()
        self.engine.closed(self, before, why, retry)

    def abandon(self) -> None:
        """In a forked child: let go of the inherited socket, silently."""
        self.state = CLOSED
        self.sock.close()


def _peer_name(sock: socket.socket) -> str:
    """Who is calling, stable enough to log once per peer."""
    try:
        if sock.family == socket.AF_INET:
            return str(sock.getpeername()[0])
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return f"local user {int.from_bytes(credentials[4:8], 'little')}"
    except OSError:
        return "unknown"
