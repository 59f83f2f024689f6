"""Discovery by heartbeats in UDP datagrams: multicast, broadcast, or to a list of addresses."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from foundation.cluster.discovery.addresses import check_port
from foundation.cluster.discovery.gossip_endpoint import COUNTERS, Endpoint, Target
from foundation.cluster.discovery.protocol import Advertisement, Found

GROUP = "239.255.45.92"  # of the range for use within one organisation (RFC 2365)
PORT = 45892
MIN_SECRET_BYTES = 16


@dataclass
class UdpGossip:
    """Sends this node's address around, and hears those of others.

    Every datagram is authenticated with the *secret*. A stranger can send a recorded one again;
    it then names an address that was right once, a candidate like any other.

    Args:
        secret: common to the cluster, 16 bytes or more.
        port: to listen on, and to send to where a target names none. Nodes of one host may
            share it; a unicast datagram then reaches only one of them, a multicast all.
        targets: IPv4 addresses, ``"host"`` or ``"host:port"``: multicast groups, broadcast
            addresses or single hosts. For host names use ``Dns``.
        interface: IPv4 address of the network interface to use; by default what the system
            chooses. Broadcasts are received only with the default.
        interval: between heartbeats, in seconds; the first ones come faster.
        ttl: how many networks a multicast may cross; 1 stays in this one.

    Attributes:
        counters: datagrams ``sent`` and ``send_errors``; ``heard`` and, of those, ``stale``, whose
            timestamp is more than a minute off; ignored are ``foreign``, of another cluster,
            ``bad_mac`` and ``malformed_datagrams``.

    Raises:
        ValueError: an argument is wrong.
    """

    secret: str | bytes = field(repr=False)
    port: int = PORT
    targets: Sequence[str] = (GROUP,)
    interface: str = "0.0.0.0"
    interval: float = 2.0
    ttl: int = 1
    counters: dict[str, int] = field(default_factory=dict, init=False, repr=False, compare=False)
    _endpoint: Endpoint | None = field(default=None, init=False, repr=False, compare=False)

    name: ClassVar[str] = "gossip"

    def __post_init__(self) -> None:
        secret = self.secret.encode() if isinstance(self.secret, str) else self.secret
        if not isinstance(secret, bytes) or len(secret) < MIN_SECRET_BYTES:
            raise ValueError(f"UdpGossip.secret must have {MIN_SECRET_BYTES} bytes or more")
        self.secret = secret
        check_port(self.port)
        if isinstance(self.targets, (str, bytes)) or not self.targets:
            raise ValueError(
                f"UdpGossip.targets must be a list such as [{GROUP!r}], got {self.targets!r}"
            )
        self.targets = tuple(self.targets)
        self._parsed_targets()
        _ipv4(self.interface, "interface")
        interval = self.interval
        if isinstance(interval, bool) or not isinstance(interval, (int, float)) or interval <= 0:
            raise ValueError(f"UdpGossip.interval must be seconds above 0, got {interval!r}")
        if type(self.ttl) is not int or not 0 <= self.ttl <= 255:
            raise ValueError(f"UdpGossip.ttl must be an integer from 0 to 255, got {self.ttl!r}")

    async def start(self, me: Advertisement, found: Found) -> None:
        """Open the sockets and begin to send heartbeats.

        Raises:
            OSError: the port is taken, or there is no multicast here.
            ValueError: the name of the cluster is too long for a datagram.
        """
        assert isinstance(self.secret, bytes)
        for name in COUNTERS:
            self.counters.setdefault(name, 0)
        self._endpoint = Endpoint(
            me,
            found,
            secret=self.secret,
            targets=self._parsed_targets(),
            interface=self.interface,
            interval=self.interval,
            ttl=self.ttl,
            counters=self.counters,
        )
        await self._endpoint.open()

    async def discover(self) -> Iterable[str]:
        """Return the addresses heard of lately.

        Raises:
            OSError: nothing was heard, and nothing can be sent.
        """
        if self._endpoint is None:
            raise RuntimeError("this UdpGossip is not started")
        return self._endpoint.heard()

    async def close(self) -> None:
        """Stop, and close the sockets."""
        endpoint, self._endpoint = self._endpoint, None
        if endpoint is not None:
            await endpoint.close()

    def _parsed_targets(self) -> list[Target]:
        return [self._target(text) for text in self.targets]

    def _target(self, text: object) -> Target:
        """Decide where to send for one target, and where to listen for the same of others."""
        host, colon, digits = str(text).partition(":")
        ip = _ipv4(host, "targets")
        if colon and not (digits.isascii() and digits.isdecimal() and len(digits) <= 5):
            raise ValueError(f"UdpGossip.targets: {text!r} has a malformed port")
        port = check_port(int(digits)) if colon else self.port
        if ip.is_multicast:
            # Bound to the group, a socket gets nothing but what is sent to the group.
            return Target(host, port, (host, port), multicast=True)
        return Target(host, port, (self.interface, self.port), multicast=False)


def _ipv4(text: object, argument: str) -> ipaddress.IPv4Address:
    try:
        return ipaddress.IPv4Address(text if isinstance(text, str) else "")
    except ValueError:
        raise ValueError(f"UdpGossip.{argument}: {text!r} is not an IPv4 address") from None
