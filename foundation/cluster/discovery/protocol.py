"""What a discovery strategy is. ``foundation.testing.discovery_suite`` checks one of your own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from foundation.cluster.discovery.addresses import parse_address

Found = Callable[[Iterable[str]], None]


@dataclass(frozen=True, slots=True)
class Advertisement:
    """What a node tells others about itself.

    Attributes:
        cluster: name of the cluster; nodes of other clusters are not candidates.
        node: name of this node.
        address: ``"host:port"`` of this node's cluster endpoint, as others can reach it.
    """

    cluster: str
    node: str
    address: str

    def __post_init__(self) -> None:
        for field in ("cluster", "node"):
            value = getattr(self, field)
            if not isinstance(value, str) or not value:
                raise ValueError(f"Advertisement.{field} must be a name, got {value!r}")
        try:
            parse_address(self.address)
        except ValueError as error:
            raise ValueError(f"Advertisement.address: {error}") from None


@runtime_checkable
class Strategy(Protocol):
    """A strategy only ever names candidates: addresses where a node might be.

    What it names no longer is not gone, and what it names need not be there; who is a member is
    decided elsewhere. Naming this node itself does no harm. Until ``start`` a strategy is plain
    configuration that can be pickled, since it runs in another process than the one that made
    it. All calls come from one event loop, which must not be blocked; no two at a time, but for
    ``close``, which may come at any time.

    A strategy may have ``counters``, a ``dict[str, int]`` of its own; the runner shows them too.
    """

    @property
    def name(self) -> str:
        """Short, for logs and counters."""

    async def start(self, me: Advertisement, found: Found) -> None:
        """Begin to announce this node, if the strategy does that.

        When this raises, or takes too long, ``close`` is called, and later ``start`` again.

        Args:
            me: this node.
            found: call it with addresses whenever some turn up, on the same event loop. It
                never raises. Strategies that only answer ``discover`` need not.
        """

    async def discover(self) -> Iterable[str]:
        """Look now, and return candidates as ``"host:port"``.

        May raise anything: that means "I do not know", is logged and counted, and tried again
        later. May be cancelled, and must work when called again.
        """

    async def close(self) -> None:
        """Withdraw; leave no task, socket, thread or file behind.

        Called once or more, also after a ``start`` that failed or never was.
        """
