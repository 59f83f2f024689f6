"""A service as the target of a message: usable wherever a name is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from foundation.errors import RegistryError
from foundation.kernel.values import Pid
from foundation.service_mesh.breaker import BreakerLimits
from foundation.service_mesh.core import VIA, core_of
from foundation.service_mesh.errors import NoInstance
from foundation.service_mesh.strategies import Strategy, check_strategy
from foundation.service_mesh.values import check_name

if TYPE_CHECKING:
    from foundation.kernel.kernel import Kernel

_BREAKER = BreakerLimits()


@dataclass(frozen=True, slots=True)
class ServiceTarget:
    """Stands for an instance of a service, chosen anew for each message; see ``via``."""

    __chooses__: ClassVar[bool] = True  # says to the kernel: resolve me once for each message

    name: str
    strategy: Strategy = "round_robin"

    def __post_init__(self) -> None:
        check_name(self.name)
        check_strategy(self.strategy)

    def __resolve__(self, kernel: Kernel) -> Pid | None:
        """Return the instance whose turn it is, or None."""
        try:
            return core_of(kernel).choose(self.name, self.strategy, _BREAKER, use=VIA).pid
        except NoInstance:
            return None

    def __claim__(self, kernel: Kernel, pid: Pid, done: Callable[[Any], None]) -> None:
        """Refuse: a service has several instances, so it is not a name to be held."""
        done(
            RegistryError(
                f"{self!r} cannot be the name of a process; start it, then register it with "
                f"service_mesh.register({self.name!r})"
            )
        )

    def __release__(self, kernel: Kernel, pid: Pid) -> None:
        """Nobody holds it."""


def via(name: str, strategy: Strategy = "round_robin") -> ServiceTarget:
    """Return a target for ``call``, ``cast`` and ``send``: any instance of the service *name*.

    What this does: each time it is used, one of the healthy instances that this host sees is
    chosen as ``service_mesh.call`` does. What becomes of the message tells the circuit breakers
    nothing, and nothing is tried twice.

    Equivalent direct messages::

        from foundation.service_mesh import ServiceTarget

        ServiceTarget(name, strategy)

    When to bypass: ``service_mesh.call`` passes over an instance that has just ended, and
    minds which instances fail.

    Args:
        name: of the service.
        strategy: as ``service_mesh.call``.

    Raises:
        TypeError, ValueError: an argument is wrong.
    """
    return ServiceTarget(name, strategy)
