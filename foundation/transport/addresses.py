"""Where a process listens, and which life of that port is meant.

Ports are reused by the kernel. Each process therefore draws a random *incarnation*; it is
part of its address and is named by every dialler, so a message for a dead actor never reaches
its successor on the same port. Incarnation 0 means "whoever listens there".
"""

from __future__ import annotations

import errno
import secrets
import socket
from typing import Any

from thespian.actors import ActorAddress
from thespian.system.transport.IPBase import IPActorAddress, TCPv4ActorAddress, thisSystem

DEFAULT_PORT = 1900
Key = tuple[str, int, int]


def new_incarnation() -> int:
    """A number no other process will draw (63 random bits, never 0)."""
    return secrets.randbits(63) | 1


class EndpointAddress(TCPv4ActorAddress):  # type: ignore[misc]
    """Address details: host, port, incarnation.

    A subclass of Thespian's own class, so that its comparisons and `str` stay the same, with a
    constructor that resolves nothing.

    Attributes:
        link: cache of the sending side for this address in this process; not pickled.
    """

    def __init__(self, host: str | None, port: int, incarnation: int = 0) -> None:
        self.af, self.socktype = socket.AF_INET, socket.SOCK_STREAM
        self.proto = socket.IPPROTO_TCP
        self.sockname = self.bindname = (_numeric(host), int(port))
        self.incarnation = incarnation
        self.link: Any = None

    @property
    def key(self) -> Key:
        """Host, port and incarnation, hashable."""
        return (*self.sockname, self.incarnation)

    @property
    def port_and_incarnation(self) -> tuple[int, int]:
        """What a dialler asks for; the host is left out, as a machine has many names."""
        return self.sockname[1], self.incarnation

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, IPActorAddress):
            return False
        if self.sockname[1] != other.sockname[1]:
            return False
        mine, theirs = self.incarnation, getattr(other, "incarnation", 0)
        if mine and theirs:
            return bool(mine == theirs)
        return bool(
            self.sockname[0] == other.sockname[0]
            or thisSystem.isSameSystem(self.sockname, other.sockname)
        )

    def __ne__(self, other: object) -> bool:
        return not self.__eq__(other)

    def __hash__(self) -> int:
        return hash(self.sockname[1])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (*self.sockname, self.incarnation)


class RoutedEndpointAddress(EndpointAddress):
    """An actor behind "Admin Routing": other machines reach it through its admin."""

    def __init__(
        self,
        host: str | None,
        port: int,
        incarnation: int = 0,
        routing: list[Any] | None = None,
    ) -> None:
        super().__init__(host, port, incarnation)
        self.routing = routing or []

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (*self.sockname, self.incarnation, self.routing)


class TXOnlyAdminAddress(EndpointAddress):
    """The admin of a system that may only dial out: wait for it to connect."""


def actor_address(host: str | None, port: int, incarnation: int = 0) -> Any:
    """An `ActorAddress` of this transport."""
    return ActorAddress(EndpointAddress(host, port, incarnation))


def parse_address(spec: str | tuple[Any, ...], routed: bool = False) -> Any:
    """An address from ``"host:port"``, ``"host"`` or ``(host, port)``; any incarnation."""
    parts = list(spec) if isinstance(spec, tuple) else str(spec).split(":")
    port = int(parts[1]) if parts[1:] and parts[1] else DEFAULT_PORT
    kind = RoutedEndpointAddress if routed else EndpointAddress
    return ActorAddress(kind(parts[0], port))


def is_this_machine(host: str, own_host: str) -> bool:
    """True when *host* is surely on this machine (so a unix socket may reach it)."""
    return host == own_host or host.startswith("127.")


def unix_name(host: str, port: int) -> str:
    """The abstract unix-domain name of the listener of *port*."""
    return f"\0foundation/{host}/{port}"


def port_is_taken(host: str, port: int) -> bool:
    """True when a process listens on *port* of *host*."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def _numeric(host: str | None) -> str:
    if host in ("", None, "localhost"):
        return "127.0.0.1"
    assert host is not None
    try:
        socket.inet_aton(host)
    except OSError:
        return socket.gethostbyname(host)
    return host
