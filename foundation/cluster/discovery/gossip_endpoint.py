"""The sockets, the heartbeats and the memory of a started ``UdpGossip``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import socket
import struct
import time
from dataclasses import dataclass

from foundation.cluster.discovery.gossip_wire import (
    Heartbeat,
    Malformed,
    NotAuthentic,
    derive_key,
    seal,
    unseal,
)
from foundation.cluster.discovery.protocol import Advertisement, Found

COUNTERS = (
    *("sent", "send_errors", "heard", "stale", "foreign", "bad_mac", "malformed_datagrams"),
)
STALE = 60.0  # seconds between the wall clocks of sender and receiver

_FIRST_INTERVAL = 0.25  # between the first heartbeats; doubles until the usual interval
_REMEMBERED = 10  # intervals; an address that is silent for longer is named no more
_MOST_PEERS = 4096
_MOST_WARNINGS = 64  # one for each peer; the sender of a datagram can be forged

log = logging.getLogger("foundation")


@dataclass(frozen=True, slots=True)
class Target:
    """Where heartbeats go.

    Attributes:
        host, port: IPv4 address to send to.
        listen: IPv4 address and port of the socket that sends to it, and hears from others.
        multicast: whether *host* is a multicast group.
    """

    host: str
    port: int
    listen: tuple[str, int]
    multicast: bool


class Endpoint(asyncio.DatagramProtocol):
    """One protocol that serves all sockets. The arguments are explained at ``UdpGossip``."""

    def __init__(
        self,
        me: Advertisement,
        found: Found,
        *,
        secret: bytes,
        targets: list[Target],
        interface: str,
        interval: float,
        ttl: int,
        counters: dict[str, int],
    ) -> None:
        self._me = me
        self._found = found
        self._key = derive_key(secret)
        self._targets = targets
        self._interface = interface
        self._interval = interval
        self._ttl = ttl
        self._counters = counters
        self._heartbeat()  # a cluster name that is too long is an error now, not later
        self._loop = asyncio.get_running_loop()
        self._transports: dict[tuple[str, int], asyncio.DatagramTransport] = {}
        self._beating: asyncio.Task[None] | None = None
        self._last_heard: dict[str, float] = {}  # by address, the latest at the end
        self._warned: set[str] = set()
        self._send_error: OSError | None = None
        self._open_sockets = 0
        self._all_closed = asyncio.Event()

    async def open(self) -> None:
        """Open the sockets; send heartbeats from now on."""
        for target in self._targets:
            if target.listen in self._transports:
                continue
            sock = self._socket(target)
            try:
                transport, _ = await self._loop.create_datagram_endpoint(lambda: self, sock=sock)
            except BaseException:
                sock.close()
                raise
            self._transports[target.listen] = transport
        self._beating = self._loop.create_task(self._beat(), name="discovery gossip heartbeats")

    async def close(self) -> None:
        """Close the sockets, and wait until they are."""
        for transport in self._transports.values():
            transport.abort()
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.wait([self._beating])
        if self._open_sockets:
            await self._all_closed.wait()

    def heard(self) -> list[str]:
        """Return the addresses heard of lately, the latest last.

        Raises:
            OSError: there are none, and heartbeats cannot be sent.
        """
        horizon = self._loop.time() - max(1.0, _REMEMBERED * self._interval)
        self._last_heard = {a: when for a, when in self._last_heard.items() if when >= horizon}
        if not self._last_heard and self._send_error is not None:
            raise OSError(f"cannot send heartbeats: {self._send_error}")
        return list(self._last_heard)

    def _socket(self, target: Target) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with contextlib.ExitStack() as on_error:
            on_error.callback(sock.close)
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sock.bind(target.listen)
            if target.multicast:
                self._join(sock, target.host)
            on_error.pop_all()
        return sock

    def _join(self, sock: socket.socket, group: str) -> None:
        interface = socket.inet_aton(self._interface)
        member = socket.inet_aton(group) + interface
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface)
        # Other nodes of this host are to hear it too. Some systems want these as single bytes.
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, struct.pack("B", 1))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, struct.pack("B", self._ttl))

    # Sending

    async def _beat(self) -> None:
        pause = min(_FIRST_INTERVAL, self._interval)
        while True:
            self._send_error = None
            datagram = self._heartbeat()
            for target in self._targets:
                self._transports[target.listen].sendto(datagram, (target.host, target.port))
                self._counters["sent"] += 1
            # Nodes that were started together must not send together for ever.
            await asyncio.sleep(pause * random.uniform(0.75, 1.25))
            pause = min(pause * 2, self._interval)

    def _heartbeat(self) -> bytes:
        me = self._me
        return seal(self._key, Heartbeat(me.cluster, me.address, os.urandom(8), time.time()))

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A socket is open."""
        self._open_sockets += 1

    def connection_lost(self, exc: Exception | None) -> None:
        """A socket is closed."""
        self._open_sockets -= 1
        if not self._open_sockets:
            self._all_closed.set()

    def error_received(self, exc: Exception) -> None:
        """A datagram could not be sent, or nobody listens where it went."""
        if isinstance(exc, ConnectionRefusedError):
            return  # the other node is not up yet
        self._counters["send_errors"] += 1
        self._send_error = exc if isinstance(exc, OSError) else OSError(str(exc))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Somebody has sent something."""
        try:
            heartbeat = unseal(self._key, data)
        except Malformed:
            self._counters["malformed_datagrams"] += 1
        except NotAuthentic as error:
            self._counters["bad_mac"] += 1
            self._warn(addr[0], f"discovery by gossip: {addr[0]} sends heartbeats {error}")
        else:
            self._hear(heartbeat)

    def _hear(self, heartbeat: Heartbeat) -> None:
        if heartbeat.cluster != self._me.cluster:
            self._counters["foreign"] += 1
            return
        if heartbeat.address == self._me.address:
            return  # a multicast comes back to its sender
        self._counters["heard"] += 1
        if not abs(time.time() - heartbeat.timestamp) <= STALE:  # "not": it may be nan
            self._counters["stale"] += 1
        self._last_heard.pop(heartbeat.address, None)
        self._last_heard[heartbeat.address] = self._loop.time()
        if len(self._last_heard) > _MOST_PEERS:
            del self._last_heard[next(iter(self._last_heard))]
        self._found([heartbeat.address])

    def _warn(self, peer: str, text: str) -> None:
        if peer not in self._warned and len(self._warned) < _MOST_WARNINGS:
            self._warned.add(peer)
            log.warning("%s", text)
