"""What the service mesh stores, finds and announces."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from foundation.kernel.values import Pid
from foundation.service_mesh.metadata import Metadata

REGISTRY = "foundation.services"  # the distributed registry, with duplicate keys: service names
EVENTS = "foundation:events"  # the topic on which services are announced


@dataclass(frozen=True)
class ServiceEntry:
    """The value of an entry of the registry ``"foundation.services"``: one instance.

    The key is the name of the service, the holder the process that serves. Whoever registers
    such a value is a service::

        await registry.register("foundation.services", "thumbnails", ServiceEntry())

    Attributes:
        instance: tells instances of one name apart; None stands for the text of the pid.
        capabilities: what it can do.
        metadata: what else is said about it; a mapping is made ``Metadata``.
        healthy: whether its health checks pass.
        order: of two instances registered in one host the older one has the lower number.
        registered_at: when it was registered, in seconds since 1970 by the clock of its host, for
            people; ``register`` fills it in. Nothing is ordered by it.

    Raises:
        TypeError, Unsendable: a field has a wrong type; see ``Metadata``.
    """

    instance: str | None = None
    capabilities: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=Metadata)
    healthy: bool = True
    order: int = 0
    registered_at: float | None = None

    def __post_init__(self) -> None:
        if self.instance is not None and type(self.instance) is not str:
            raise TypeError(f"instance must be a string or None, got {self.instance!r}")
        object.__setattr__(self, "capabilities", capabilities_of(self.capabilities))
        if not isinstance(self.metadata, Metadata):
            object.__setattr__(self, "metadata", Metadata(self.metadata))
        if type(self.healthy) is not bool:
            raise TypeError(f"healthy must be True or False, got {self.healthy!r}")
        if type(self.order) is not int:
            raise TypeError(f"order must be an int, got {self.order!r}")
        if self.registered_at is not None and type(self.registered_at) is not float:
            raise TypeError(f"registered_at must be a float or None, got {self.registered_at!r}")


@dataclass(frozen=True)
class ServiceInfo:
    """One instance of a service, as discovery finds it.

    Attributes:
        name: of the service.
        pid: the process that serves.
        node: where that lives.
        instance, capabilities, metadata, healthy, order: as ``ServiceEntry``.
        registered_at: as ``ServiceEntry``; None for an entry that was made with the primitive.
    """

    name: str
    pid: Pid
    node: str
    instance: str
    capabilities: tuple[str, ...]
    metadata: Mapping[str, Any]
    healthy: bool
    order: int
    registered_at: float | None = None

    @classmethod
    def of(cls, name: str, pid: Pid, value: ServiceEntry) -> ServiceInfo:
        """Return what an entry of the registry says: *pid* has *value* under the key *name*."""
        instance = value.instance
        return cls(
            name,
            pid,
            pid.host.partition("/")[0],
            f"{pid.host}.{pid.incarnation}.{pid.serial}" if instance is None else instance,
            value.capabilities,
            value.metadata,
            value.healthy,
            value.order,
            value.registered_at,
        )


def is_service(value: Any) -> bool:
    """Whether *value*, of an entry of the registry, is one of a service."""
    return type(value) is ServiceEntry


@dataclass(frozen=True)
class ServiceUp:
    """Event on ``"foundation:events"``: an instance has come."""

    service: ServiceInfo


@dataclass(frozen=True)
class ServiceDown:
    """Event on ``"foundation:events"``: an instance is no more, or out of reach.

    Attributes:
        service: as it was last.
    """

    service: ServiceInfo


@dataclass(frozen=True)
class ServiceHealthChanged:
    """Event on ``"foundation:events"``: health checks of an instance fail, or pass again.

    Attributes:
        service: as it is now; ``service.healthy`` says which.
    """

    service: ServiceInfo


@dataclass(frozen=True)
class HealthCheck:
    """How the host of an instance finds out whether it is healthy.

    A check fails when its result is false (None is), when it raises, or when it takes too long.
    After *strikes* failures in a row the instance is unhealthy, after one success healthy.

    Attributes:
        check: a function (``def`` or ``async def``) of the pid, or a message to call it with. The
            server must know that message: one that it has no clause for in ``handle_call`` ends
            it, at each check. Give it a clause that returns True, or check with a function.
        every: seconds from one check to the next.
        first_after: seconds until the first one.
        timeout: seconds one may take.
        strikes: failures in a row.

    Raises:
        TypeError, ValueError: a number is none, or out of range.
    """

    check: Callable[[Pid], Any] | Any
    every: float = 30.0
    first_after: float = 5.0
    timeout: float = 5.0
    strikes: int = 3

    def __post_init__(self) -> None:
        check_seconds("HealthCheck: every", self.every)
        check_seconds("HealthCheck: first_after", self.first_after, zero=True)
        check_seconds("HealthCheck: timeout", self.timeout)
        check_count("HealthCheck: strikes", self.strikes)


def capabilities_of(value: Any) -> tuple[str, ...]:
    """Return *value*, some strings, as a tuple without repetitions.

    Raises:
        TypeError: it is something else; one string alone is mostly a mistake.
    """
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(f"capabilities must be several strings, as ('gpu',), got {value!r}")
    found = tuple(dict.fromkeys(value))
    for each in found:
        if type(each) is not str:
            raise TypeError(f"capabilities must be strings, got {each!r}")
    return found


def check_seconds(what: str, value: Any, *, zero: bool = False) -> None:
    """Raise TypeError or ValueError unless *value* is a finite number of seconds above 0.

    Args:
        what: it is for.
        value: to check.
        zero: allow 0, too.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{what} must be seconds, a number, got {value!r}")
    if not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        least = "0 or more" if zero else "above 0"
        raise ValueError(f"{what} must be seconds, finite and {least}, got {value!r}")


def check_count(what: str, value: Any) -> None:
    """Raise TypeError or ValueError unless *value* is an int of 1 or more."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} must be an int, got {value!r}")
    if value < 1:
        raise ValueError(f"{what} must be 1 or more, got {value!r}")


def check_name(name: Any) -> None:
    """Raise TypeError or ValueError unless *name* is a name of a service."""
    if not isinstance(name, str):
        raise TypeError(f"the name of a service must be a string, got {name!r}")
    if not name:
        raise ValueError("the name of a service must not be empty")
