"""The functions of the package as messages to the server ``"foundation.service_mesh"``.

    services = await call("foundation.service_mesh", DiscoverServices("thumbnails"))
    await call(("foundation.service_mesh", "b"), ListServices())       # as node b sees it

The reply is the function's result, or ``Failed(error)``. What the functions do for the calling
process they do for the process that serves the request; so a pid must be given here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from foundation.facade import Request
from foundation.kernel.values import Pid
from foundation.service_mesh import functions
from foundation.service_mesh.functions import ServiceHandle
from foundation.service_mesh.strategies import Strategy
from foundation.service_mesh.values import HealthCheck, ServiceInfo


@dataclass(frozen=True)
class Register(Request[ServiceHandle]):
    """``register(name, pid, ...)``."""

    name: str
    pid: Pid
    capabilities: tuple[str, ...] = ()
    metadata: Mapping[str, Any] | None = None
    health_check: HealthCheck | Any = None
    ttl: float | None = None

    async def perform(self) -> ServiceHandle:
        """Do it."""
        return await functions.register(
            self.name,
            _given(self.pid),
            capabilities=self.capabilities,
            metadata=self.metadata,
            health_check=self.health_check,
            ttl=self.ttl,
        )


@dataclass(frozen=True)
class Deregister(Request[None]):
    """``deregister(name, pid)``."""

    name: str
    pid: Pid

    async def perform(self) -> None:
        """Do it."""
        await functions.deregister(self.name, _given(self.pid))


@dataclass(frozen=True)
class DiscoverServices(Request[list[ServiceInfo]]):
    """``discover_services(...)``."""

    name: str | None = None
    capabilities: tuple[str, ...] = ()
    node: str | None = None
    metadata: Mapping[str, Any] | None = None
    healthy: bool | None = True
    where: Callable[[ServiceInfo], Any] | None = None

    async def perform(self) -> list[ServiceInfo]:
        """Do it."""
        return functions.discover_services(
            self.name, self.capabilities, self.node, self.metadata, self.healthy, self.where
        )


@dataclass(frozen=True)
class ListServices(Request[list[str]]):
    """``list_services()``."""

    async def perform(self) -> list[str]:
        """Do it."""
        return functions.list_services()


@dataclass(frozen=True)
class WaitFor(Request[list[ServiceInfo]]):
    """``wait_for(name, timeout, count)``; give the call itself a longer timeout."""

    name: str
    timeout: float = 5.0
    count: int = 1

    async def perform(self) -> list[ServiceInfo]:
        """Do it."""
        return await functions.wait_for(self.name, self.timeout, self.count)


@dataclass(frozen=True)
class CallService(Request[Any]):
    """``call(name, message, timeout, strategy)``; give the call itself a longer timeout."""

    name: str
    message: Any
    timeout: float | None = 5.0
    strategy: Strategy = "round_robin"

    async def perform(self) -> Any:
        """Do it."""
        return await functions.call(self.name, self.message, self.timeout, self.strategy)


@dataclass(frozen=True)
class Route(Request[ServiceInfo]):
    """``route(name, message, strategy)``."""

    name: str
    message: Any
    strategy: Strategy = "round_robin"

    async def perform(self) -> ServiceInfo:
        """Do it."""
        return functions.route(self.name, self.message, self.strategy)


def _given(pid: Any) -> Pid:
    if not isinstance(pid, Pid):
        raise TypeError(f"a message to the service mesh must name a pid, got {pid!r}")
    return pid
