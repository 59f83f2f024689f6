"""Discovery by a list of addresses that somebody has written down."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from foundation.cluster.discovery.addresses import canonical, check_port
from foundation.cluster.discovery.protocol import Advertisement, Found


@dataclass
class StaticList:
    """Names the same addresses at each poll, whether anybody is there or not.

    Nodes need not be listed everywhere: one that both sides know is enough, since members tell
    each other of members.

    Args:
        addresses: ``"host:port"``, or just ``"host"`` when there is a *port*.
        port: of the addresses that have none.

    Raises:
        ValueError: an address is malformed.
    """

    addresses: Sequence[str]
    port: int | None = None

    name: ClassVar[str] = "static"

    def __post_init__(self) -> None:
        if isinstance(self.addresses, (str, bytes)) or not isinstance(self.addresses, Iterable):
            raise ValueError(
                f"StaticList.addresses must be a list such as ['10.0.0.7:5000'], "
                f"got {self.addresses!r}"
            )
        if self.port is not None:
            check_port(self.port)
        try:
            self.addresses = tuple(canonical(each, self.port) for each in self.addresses)
        except ValueError as error:
            raise ValueError(f"StaticList.addresses: {error}") from None

    async def start(self, me: Advertisement, found: Found) -> None:
        """There is nothing to start."""

    async def discover(self) -> Iterable[str]:
        """Return the list."""
        return self.addresses

    async def close(self) -> None:
        """There is nothing to close."""
