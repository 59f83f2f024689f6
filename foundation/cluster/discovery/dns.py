"""Discovery by the domain name system: address records, or service records with ports."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from foundation.cluster.discovery.addresses import check_port, format_address, parse_address
from foundation.cluster.discovery.protocol import Advertisement, Found

# (name, "A" | "AAAA" | "SRV") to (host, port) pairs; the port of address records is None.
Resolver = Callable[[str, str], Awaitable[Iterable[tuple[str, int | None]]]]

RECORDS = ("A", "AAAA", "SRV", "auto")
_DNS_PORT = 53
_FAMILIES = {"A": socket.AF_INET, "AAAA": socket.AF_INET6, "any": socket.AF_UNSPEC}


@dataclass
class Dns:
    """Looks up one name at each poll.

    A name that does not exist, or a server that does not answer, is an error: what was found
    before stays.

    Args:
        query: the name. A final dot keeps the system from trying its search domains.
        port: of the nodes; service records bring their own.
        record: ``"A"``, ``"AAAA"``, ``"SRV"``, or ``"auto"``: SRV for a name that begins with an
            underscore, as in ``_foundation._tcp.example.com``, else A and AAAA.
        resolver: asks instead of the system; a function of a module, so that it can be pickled.
        nameservers: ``"host"`` or ``"host:port"`` of the servers to ask instead of the system's;
            needs the ``dns`` extra.

    Raises:
        ValueError: an argument is wrong.
        ModuleNotFoundError: it needs the ``dns`` extra, which is not installed.
    """

    query: str
    port: int | None = None
    record: str = "auto"
    resolver: Resolver | None = None
    nameservers: Sequence[str] = ()
    _lookup: Resolver | None = field(default=None, init=False, repr=False, compare=False)

    name: ClassVar[str] = "dns"

    def __post_init__(self) -> None:
        if self.record not in RECORDS:
            allowed = ", ".join(map(repr, RECORDS))
            raise ValueError(f"Dns.record must be one of {allowed}, got {self.record!r}")
        if not isinstance(self.query, str) or ":" in self.query:
            raise ValueError(f"Dns.query must be a name without a port, got {self.query!r}")
        try:
            parse_address(self.query, 1)
        except ValueError as error:
            raise ValueError(f"Dns.query: {error}") from None
        if self.port is not None:
            check_port(self.port)
        elif not self._is_srv():
            raise ValueError(f"Dns needs a port, since address records of {self.query} have none")
        if self.resolver is not None and not callable(self.resolver):
            raise ValueError(f"Dns.resolver must be None or a function, got {self.resolver!r}")
        self.nameservers = _checked_servers(self.nameservers)
        if self._needs_dnspython() and importlib.util.find_spec("dns") is None:
            raise ModuleNotFoundError(
                f"to look up {self.query} (SRV records, or own nameservers) Foundation needs "
                'dnspython: pip install "foundation-otp[dns]"'
            )

    async def start(self, me: Advertisement, found: Found) -> None:
        """Prepare to ask. Nobody is told of this node: the records are somebody else's work."""
        if self.resolver is not None:
            self._lookup = self.resolver
        elif self._needs_dnspython():
            self._lookup = await asyncio.to_thread(_dnspython, self.nameservers)
        else:
            self._lookup = _system

    async def discover(self) -> Iterable[str]:
        """Look up the name.

        Raises:
            OSError: the name does not exist, or nobody answers.
        """
        if self._lookup is None:
            raise RuntimeError("this Dns is not started")
        addresses = []
        for host, port in await self._records(self._lookup):
            port = self.port if port is None else port
            # One without a port is left for the runner to reject; it does not spoil the others.
            addresses.append(host if port is None else format_address(host, port))
        return addresses

    async def close(self) -> None:
        """Ask no more."""
        self._lookup = None

    async def _records(self, lookup: Resolver) -> Sequence[tuple[str, int | None]]:
        if self._is_srv():
            return list(await lookup(self.query, "SRV"))
        if self.record != "auto":
            return list(await lookup(self.query, self.record))
        if lookup is _system:
            return list(await _system(self.query, "any"))
        return await _both(lookup, self.query)

    def _is_srv(self) -> bool:
        return self.record == "SRV" or (self.record == "auto" and self.query.startswith("_"))

    def _needs_dnspython(self) -> bool:
        return self.resolver is None and (self._is_srv() or bool(self.nameservers))


def _checked_servers(servers: object) -> tuple[str, ...]:
    if isinstance(servers, (str, bytes)) or not isinstance(servers, Iterable):
        raise ValueError(f"Dns.nameservers must be a list such as ['10.0.0.1'], got {servers!r}")
    found = tuple(servers)
    try:
        for server in found:
            parse_address(server, _DNS_PORT)
    except ValueError as error:
        raise ValueError(f"Dns.nameservers: {error}") from None
    return found


async def _both(lookup: Resolver, query: str) -> Sequence[tuple[str, int | None]]:
    """Look up A and AAAA; one of them is enough, since few names have both."""
    answers = await asyncio.gather(
        lookup(query, "A"), lookup(query, "AAAA"), return_exceptions=True
    )
    found: list[tuple[str, int | None]] = []
    for answer in answers:
        if not isinstance(answer, BaseException):
            found.extend(answer)
    failed = [answer for answer in answers if isinstance(answer, BaseException)]
    if failed and not found:
        raise failed[0]
    return found


async def _system(query: str, record: str) -> Iterable[tuple[str, int | None]]:
    """Ask the system, which also knows ``/etc/hosts``; it blocks, so in a thread of the loop."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(
            query, None, family=_FAMILIES[record], type=socket.SOCK_STREAM
        )
    except OSError as error:
        raise OSError(f"cannot look up {query}: {error.strerror or error}") from error
    return [(str(address[0]), None) for *_, address in found]


def _dnspython(nameservers: Sequence[str]) -> Resolver:
    """Return a resolver that asks by dnspython. Blocks: it imports, and reads resolv.conf."""
    import dns.asyncresolver
    import dns.exception
    import dns.nameserver

    resolver = dns.asyncresolver.Resolver(configure=not nameservers)
    if nameservers:
        parsed = (parse_address(server, _DNS_PORT) for server in nameservers)
        resolver.nameservers = [dns.nameserver.Do53Nameserver(*server) for server in parsed]

    async def lookup(query: str, record: str) -> Iterable[tuple[str, int | None]]:
        try:
            answer = await resolver.resolve(query, record)
        except dns.exception.DNSException as error:
            raise OSError(f"cannot look up {query}: {error}") from error
        if record != "SRV":
            return sorted((each.address, None) for each in answer)
        ranked = sorted((r.priority, -r.weight, str(r.target), r.port) for r in answer)
        return [(target, port) for _, _, target, port in ranked]

    return lookup
