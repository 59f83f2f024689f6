"""Discovery on the local network by multicast DNS (Bonjour, Avahi), without configuration."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from foundation.cluster.discovery.addresses import parse_address
from foundation.cluster.discovery.protocol import Advertisement, Found

if TYPE_CHECKING:
    from zeroconf import ServiceInfo, ServiceStateChange, Zeroconf
    from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

SERVICE_TYPE = "_foundation._tcp.local."
_TYPE = re.compile(r"_[A-Za-z0-9]([A-Za-z0-9-]{0,13}[A-Za-z0-9])?\._(tcp|udp)\.local\.")
_ASK_FOR = 3000  # milliseconds in which a node that was seen must tell its address
_LONGEST_TEXT = 255  # bytes of an entry of a TXT record
_LONGEST_NODE = 40  # of the 63 bytes of an instance's name
_LIFETIME = 120  # seconds until a node that crashed is no longer named; usual is over an hour
_MOST_INSTANCES = 4096  # remembered; anybody in the network can announce


@dataclass
class MulticastDNS:
    """Announces this node, and browses for others of its cluster, on the local network.

    Nothing here is secret or authenticated: whoever is found must still prove that it knows the
    cookie. Many containers, clouds and virtual private networks have no multicast.

    Args:
        interfaces: IP addresses of the network interfaces to use; None for all.
        service_type: for a service apart from other users of Foundation in the network.

    Raises:
        ValueError: an argument is wrong.
    """

    interfaces: Sequence[str] | None = None
    service_type: str = SERVICE_TYPE
    _browser: _Browser | None = field(default=None, init=False, repr=False, compare=False)

    name: ClassVar[str] = "mdns"

    def __post_init__(self) -> None:
        if self.interfaces is not None:
            if isinstance(self.interfaces, (str, bytes)) or not self.interfaces:
                raise ValueError(
                    "MulticastDNS.interfaces must be a list such as ['192.168.1.7'], or None for "
                    f"all, got {self.interfaces!r}"
                )
            self.interfaces = tuple(self.interfaces)
            for each in self.interfaces:
                try:
                    ipaddress.ip_address(each if isinstance(each, str) else "")
                except ValueError:
                    raise ValueError(
                        f"MulticastDNS.interfaces: {each!r} is not an IP address"
                    ) from None
        if not isinstance(self.service_type, str) or not _TYPE.fullmatch(self.service_type):
            raise ValueError(
                f"MulticastDNS.service_type must be like {SERVICE_TYPE!r} with up to 15 letters, "
                f"digits and '-', got {self.service_type!r}"
            )

    async def start(self, me: Advertisement, found: Found) -> None:
        """Announce this node and begin to browse.

        Raises:
            OSError: there is no such interface or no multicast.
            ValueError: the name of the cluster or of the node is too long for a record.
        """
        await asyncio.to_thread(_import)
        self._browser = _Browser(me, found, self.service_type)
        await self._browser.open(self.interfaces)

    async def discover(self) -> Iterable[str]:
        """Return the addresses of the nodes that are announced, sorted."""
        if self._browser is None:
            raise RuntimeError("this MulticastDNS is not started")
        return self._browser.discover()

    async def close(self) -> None:
        """Say goodbye, and close the sockets."""
        browser, self._browser = self._browser, None
        if browser is not None:
            await browser.close()


def _import() -> None:
    import zeroconf.asyncio  # noqa: F401  # takes long enough to be worth a thread


class _Browser:
    """A started ``MulticastDNS``."""

    def __init__(self, me: Advertisement, found: Found, service_type: str) -> None:
        self._me = me
        self._found = found
        self._type = service_type
        self._info = self._announcement()
        self._zeroconf: AsyncZeroconf | None = None
        self._browsing: AsyncServiceBrowser | None = None
        self._announcing: asyncio.Future[Any] | None = None
        self._seen: dict[str, str | None] = {}  # instance name to address; None: not told yet
        self._asking: dict[str, asyncio.Task[None]] = {}

    async def open(self, interfaces: Sequence[str] | None) -> None:
        """Open the sockets, announce, browse."""
        from zeroconf import InterfaceChoice
        from zeroconf.asyncio import AsyncServiceBrowser, AsyncZeroconf

        chosen = InterfaceChoice.All if interfaces is None else list(interfaces)
        self._zeroconf = AsyncZeroconf(interfaces=chosen)
        # Its name is unique, so there is no need to ask around for a second whether it is.
        announcing = await self._zeroconf.async_register_service(
            self._info, cooperating_responders=True
        )
        self._announcing = asyncio.ensure_future(announcing)
        zeroconf = self._zeroconf.zeroconf
        self._browsing = AsyncServiceBrowser(zeroconf, self._type, handlers=[self._changed])

    def discover(self) -> list[str]:
        """Return what is known; ask again those that have not told their address."""
        if self._zeroconf is not None:
            for name in [name for name, address in self._seen.items() if address is None]:
                self._ask(self._zeroconf.zeroconf, name)
        return sorted(address for address in self._seen.values() if address is not None)

    async def close(self) -> None:
        """Withdraw."""
        ending: list[asyncio.Future[Any]] = list(self._asking.values())
        if self._announcing is not None:
            ending.append(self._announcing)
        for each in ending:
            each.cancel()
        if ending:
            await asyncio.wait(ending)
        zeroconf, self._zeroconf = self._zeroconf, None
        if self._browsing is not None:
            await self._browsing.async_cancel()
        if zeroconf is not None:
            await zeroconf.async_close()

    def _announcement(self) -> ServiceInfo:
        from zeroconf import ServiceInfo

        me = self._me
        texts = {"cluster": me.cluster, "node": me.node, "address": me.address}
        for key, value in texts.items():
            if len(f"{key}={value}".encode()) > _LONGEST_TEXT:
                raise ValueError(f"the {key} {value[:40]!r}... is too long to be announced by mDNS")
        host, port = parse_address(me.address)
        label = f"{_shortened(me.node)}-{secrets.token_hex(6)}"
        return ServiceInfo(
            self._type,
            f"{label}.{self._type}",
            port=port,
            host_ttl=_LIFETIME,
            other_ttl=_LIFETIME,
            properties=texts,
            server=f"foundation-{secrets.token_hex(6)}.local.",
            parsed_addresses=[host] if _is_ip(host) else [],
        )

    def _changed(
        self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        """Something has appeared, changed or disappeared; called on the event loop."""
        if state_change.name == "Removed":
            self._seen.pop(name, None)
        elif name != self._info.name and len(self._seen) < _MOST_INSTANCES:
            self._seen.setdefault(name, None)
            self._ask(zeroconf, name)

    def _ask(self, zeroconf: Zeroconf, name: str) -> None:
        from zeroconf.asyncio import AsyncServiceInfo

        try:
            info = AsyncServiceInfo(self._type, name)
        except Exception:  # a stranger's malformed name
            self._seen.pop(name, None)
            return
        # The records usually came together. Without address records they are never complete,
        # but what counts is in the text.
        info.load_from_cache(zeroconf)
        if not self._take(info, name) and name not in self._asking:
            task = asyncio.get_running_loop().create_task(self._request(zeroconf, info, name))
            self._asking[name] = task
            task.add_done_callback(lambda task: self._asked(task, name))

    def _asked(self, task: asyncio.Task[None], name: str) -> None:
        self._asking.pop(name, None)
        if not task.cancelled():
            task.exception()  # is no harm: ``discover`` asks again

    async def _request(self, zeroconf: Zeroconf, info: AsyncServiceInfo, name: str) -> None:
        await info.async_request(zeroconf, _ASK_FOR)
        self._take(info, name)

    def _take(self, info: AsyncServiceInfo, name: str) -> bool:
        """Read the address of a node; return whether it has told what it is."""
        cluster, address = _text(info, b"cluster"), _text(info, b"address")
        if not cluster or not address:
            return False
        if cluster != self._me.cluster:
            self._seen.pop(name, None)
        elif name in self._seen:
            self._seen[name] = address
            self._found([address])
        return True


def _text(info: AsyncServiceInfo, key: bytes) -> str:
    return (info.properties.get(key) or b"").decode(errors="replace")


def _shortened(node: str) -> str:
    """Return a node's name as the first part of an instance's name."""
    printable = "".join(each if each.isprintable() else "?" for each in node)
    return printable.encode()[:_LONGEST_NODE].decode(errors="ignore")


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
