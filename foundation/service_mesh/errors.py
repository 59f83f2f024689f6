"""Errors of the service mesh."""

from __future__ import annotations

from typing import Any

from foundation.errors import FoundationError
from foundation.kernel.values import Pid


class NoInstance(FoundationError, LookupError):
    """No instance of a service can be used.

    Attributes:
        name: of the service.
        unhealthy: how many instances there are whose health checks fail.
        open: how many healthy ones this host does not use, since calls to them have failed.
    """

    def __init__(self, name: str, unhealthy: int = 0, open: int = 0) -> None:
        super().__init__(name, unhealthy, open)
        self.name = name
        self.unhealthy = unhealthy
        self.open = open

    def __str__(self) -> str:
        found = []
        if self.unhealthy:
            found.append(f"{self.unhealthy} whose health checks fail")
        if self.open:
            found.append(
                f"{self.open} whose circuit breaker is open, as calls from this host have failed"
            )
        if found:
            there = f"there are only {' and '.join(found)}"
        else:
            there = "none is registered as this node sees it"
        remedy = f"wait_for({self.name!r}) waits for one"
        if self.open:
            remedy = (
                "they are tried again when the breaker's recovery time is over, and at once with "
                f"call({self.name!r}, ..., breaker=None)"
            )
        return f"no instance of service {self.name!r} can be used: {there}; {remedy}"


class ServiceTimeout(NoInstance, TimeoutError):
    """Not enough healthy instances came in time.

    Attributes:
        wanted: how many were waited for.
        timeout: for how many seconds.
        found: how many were there in the end.
    """

    def __init__(self, name: str, wanted: int, timeout: float, found: int) -> None:
        super().__init__(name)
        self.wanted = wanted
        self.timeout = timeout
        self.found = found

    def __reduce__(self) -> Any:  # OSError's, of which this is one, keeps other arguments
        return type(self), (self.name, self.wanted, self.timeout, self.found)

    def __str__(self) -> str:
        return (
            f"{self.wanted} healthy instances of service {self.name!r} were waited for, "
            f"{self.found} are there after {self.timeout} s; check that they were started, and "
            "that their nodes are in the cluster (foundation cluster)"
        )


class NotInService(FoundationError, LookupError):
    """The process is not registered under that service name (any more)."""

    def __init__(self, name: str, pid: Pid) -> None:
        super().__init__(name, pid)
        self.name = name
        self.pid = pid

    def __str__(self) -> str:
        return (
            f"{self.pid!r} is no instance of service {self.name!r} any more: it has ended, was "
            "deregistered, or was not renewed within its ttl; register it again"
        )
