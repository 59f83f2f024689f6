"""Listening sockets, and the options every connection gets."""

from __future__ import annotations

import contextlib
import socket
import sys

from foundation.transport.addresses import EndpointAddress, unix_name
from foundation.transport.config import TransportConfig

LISTEN_DEPTH = 1024
GIVE_UP_MS = 20_000  # what is not acknowledged for so long was lost, and so is the connection
# Options by number, as Python does not name all of them; a kernel that lacks one goes without.
LINUX_OPTIONS = (
    (18, GIVE_UP_MS),  # TCP_USER_TIMEOUT; without, it is a quarter of an hour
    # Once a cut link heals, the next repetition must not be long off, as by exponential back-off:
    (16, 1),  # TCP_THIN_LINEAR_TIMEOUTS
    (44, 1000),  # TCP_RTO_MAX_MS, since Linux 6.15
)


def open_listeners(config: TransportConfig, details: EndpointAddress) -> list[socket.socket]:
    """Listen at *details*, whose port 0 is replaced by the one that was given.

    Raises:
        OSError: the port is taken.
    """
    host, port = details.sockname
    tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind((config.bind_host, port))
        tcp.listen(LISTEN_DEPTH)
    except OSError:
        tcp.close()
        raise
    tcp.setblocking(False)
    port = tcp.getsockname()[1]
    details.sockname = details.bindname = (host, port)
    unix = _listen_unix(host, port) if config.use_unix else None
    return [tcp] if unix is None else [tcp, unix]


def _listen_unix(host: str, port: int) -> socket.socket | None:
    unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        unix.bind(unix_name(host, port))
        unix.listen(LISTEN_DEPTH)
    except OSError:
        unix.close()  # the name is taken (same port, other interface): TCP serves as well
        return None
    unix.setblocking(False)
    return unix


def tune(sock: socket.socket) -> None:
    """Options of a TCP connection; nothing for unix sockets."""
    if sock.family != socket.AF_INET:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # A machine that vanished is noticed in about 20 s even when nobody sends.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 2)):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    if sys.platform == "linux":
        for option, value in LINUX_OPTIONS:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
