"""How one node's transport is set up; the object travels to every process of the node."""

from __future__ import annotations

import ipaddress
import sys
from dataclasses import dataclass, field

from foundation.errors import CookieError, TransportError
from foundation.transport.busy_wait import BUSY_WAIT, check_busy_wait


@dataclass(frozen=True)
class TransportConfig:
    """Settings of the transport of one node.

    The cookie travels inside endpoints (arguments of a starting process), never inside
    capabilities, because Thespian publishes those to other systems.

    Attributes:
        cookie: the shared secret; peers that cannot prove they know it are refused.
        explicit_cookie: True when the user chose the cookie. A cookie that was generated
            for this user is good for loopback only.
        bind_host: the IPv4 address every listener of the node binds.
        advertise_host: the address peers are told to dial; defaults to *bind_host*.
        unix: use abstract unix-domain sockets between processes of one machine (Linux).
        max_frame: bytes; a longer message is refused by sender and receiver.
        auth_deadline: seconds a new connection has for proving that it knows the cookie.
        connect_timeout: seconds until a TCP connection attempt counts as failed.
        idle_close: seconds without traffic after which a connection says goodbye; None: never.
        inbox_high: queued messages at which a process stops reading its sockets.
        max_unsent: messages one peer may leave unacknowledged before further ones are
            returned as dead letters.
        uvloop: run the loops of the node's processes on uvloop.
        busy_wait: seconds that an idle process of the node looks for messages before it sleeps;
            0 to 0.01. Not on uvloop.
        die_with_parent: every process of the node ends when the process that started it ends.
    """

    cookie: bytes = field(repr=False)
    explicit_cookie: bool = True
    bind_host: str = "127.0.0.1"
    advertise_host: str | None = None
    unix: bool = True
    max_frame: int = 256 * 1024 * 1024
    auth_deadline: float = 4.0
    connect_timeout: float = 10.0
    idle_close: float | None = 300.0
    inbox_high: int = 4000
    max_unsent: int = 500_000
    uvloop: bool = False
    busy_wait: float = BUSY_WAIT
    die_with_parent: bool = True

    def __post_init__(self) -> None:
        if len(self.cookie) < 16:
            raise CookieError(
                f"the cookie has {len(self.cookie)} bytes; use at least 16, "
                "for instance the output of `openssl rand -hex 32`"
            )
        check_busy_wait(self.busy_wait)
        if not self.explicit_cookie and not is_loopback(self.bind_host):
            raise CookieError(
                f"refusing to listen on {self.bind_host} with a generated cookie: set the same "
                "explicit cookie on all nodes (FOUNDATION_COOKIE or cookie=), or bind loopback"
            )

        if self.host in ("", "0.0.0.0"):
            raise TransportError(
                "bind_host='0.0.0.0' needs advertise_host: the address that other machines dial"
            )

    @property
    def host(self) -> str:
        """The address that peers dial."""
        return self.advertise_host or self.bind_host

    @property
    def use_unix(self) -> bool:
        """Abstract unix sockets exist on Linux only."""
        return self.unix and sys.platform == "linux"


def is_loopback(host: str) -> bool:
    """True when *host* can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
