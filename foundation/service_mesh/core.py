"""What one host remembers of services: turns, calls under way, breakers, what was found last.

Facades keep no state; this is the caller's own host, so reading and choosing never wait, and
what is remembered is about the calls of this host only.

Invariants:
    M1  ``instances(name)`` is what the registry of this host shows at that moment.
    M2  What is kept is proportional to the services used, not to the calls made or to the
        instances that have been.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from foundation.cluster import registry as reg
from foundation.errors import UnknownDistributedRegistry
from foundation.kernel.values import Pid
from foundation.service_mesh import strategies
from foundation.service_mesh.breaker import Breaker, BreakerLimits
from foundation.service_mesh.errors import NoInstance
from foundation.service_mesh.strategies import Strategy
from foundation.service_mesh.values import REGISTRY, ServiceInfo, is_service

if TYPE_CHECKING:
    from foundation.kernel.kernel import Kernel

TABLE = "service mesh"  # where a kernel keeps its Core
KEPT = 256  # turns, or breakers, that are not worth looking through for what is no more

_PID = attrgetter("pid")

CALL, CAST, VIA = "call", "cast", "via"  # uses of a service, which take turns of their own
Turn = tuple[str, str, Strategy]  # the service, the use, the strategy


class Instances(NamedTuple):
    """Those of one service."""

    healthy: tuple[ServiceInfo, ...]  # sorted by pid
    unhealthy: int


def instances_of(name: str, entries: Sequence[reg.Entry]) -> Instances:
    """Return what *entries* of the registry, of the key *name*, say; for ``registry.derive``."""
    found = [ServiceInfo.of(name, e.pid, e.value) for e in entries if is_service(e.value)]
    healthy = tuple(sorted((info for info in found if info.healthy), key=_PID))
    return Instances(healthy, len(found) - len(healthy))


class Kept(NamedTuple):
    """A registration that has a keeper."""

    keeper: Pid
    order: int


class Core:
    """See the module docstring.

    Attributes:
        breakers: of instances to which calls have failed.
        outstanding: calls under way, by instance.
        joining: ``(name, pid)`` of registrations under way.
        keepers: by ``(name, pid)``; see ``keeper.py``.
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.breakers: dict[Pid, Breaker] = {}
        self.outstanding: dict[Pid, int] = {}
        self.joining: dict[tuple[str, Pid], None] = {}
        self.keepers: dict[tuple[str, Pid], Kept] = {}
        self._node = kernel.address.partition("/")[0]
        self._rng = random.Random(f"services {kernel.address} {kernel.incarnation}")
        self._last: dict[Turn, Pid] = {}  # who had the last one
        self._orders = 0
        self._room = {"turns": KEPT, "breakers": KEPT}  # how many may be kept before a look

    def next_order(self) -> int:
        """Return the number of a new registration in this host."""
        self._orders += 1
        return self._orders

    # Reading

    def instances(self, name: str) -> Instances:
        """Return the instances of *name* that the registry of this host shows now.

        Raises:
            UnknownDistributedRegistry: the registry of services does not run on this node.
        """
        return reg.derive(REGISTRY, name, instances_of, kernel=self.kernel)

    # Choosing

    def choose(
        self,
        name: str,
        strategy: Strategy,
        limits: BreakerLimits | None,
        but: Sequence[Pid] = (),
        use: str = CALL,
    ) -> ServiceInfo:
        """Return which instance of *name* gets the next message.

        Args:
            name: of the service.
            strategy: a name or a function.
            limits: of the breakers; None does not look at them.
            but: instances that have been tried.
            use: what the message is; each kind takes turns of its own.

        Raises:
            NoInstance: there is none.
            UnknownDistributedRegistry: services are not registered on this node.
        """
        instances = self.instances(name)
        found: Sequence[ServiceInfo] = instances.healthy
        if but:
            found = [each for each in found if each.pid not in but]
        usable = found
        if self.breakers and limits is not None:
            now = self.kernel.driver.now()
            usable = [each for each in found if self._allowed(each.pid, now, limits)]
        if not usable:
            raise NoInstance(name, instances.unhealthy, len(found))
        return self._chosen((name, use, strategy), usable)

    def _allowed(self, pid: Pid, now: float, limits: BreakerLimits) -> bool:
        breaker = self.breakers.get(pid)
        return breaker is None or breaker.allows(now, limits)

    def _chosen(self, turn: Turn, usable: Sequence[ServiceInfo]) -> ServiceInfo:
        strategy = turn[2]
        if strategy == "random":
            return strategies.at_random(usable, self._rng)
        if callable(strategy):
            return strategies.by_function(strategy, usable)  # type: ignore[no-any-return]
        last = self._last.get(turn)
        if strategy == "round_robin":
            chosen = strategies.rotate(usable, last)
        elif strategy == "least_outstanding":
            chosen = strategies.least_outstanding(usable, self.outstanding, last)
        else:
            chosen = strategies.local_first(usable, self._node, last)
        self._last[turn] = chosen.pid
        self._tidy(self._last, "turns", lambda each: any(self.instances(each[0])))
        return chosen

    # Calls

    def begin(self, pid: Pid, limits: BreakerLimits | None) -> int:
        """A call to *pid*, which its breaker allows, begins; return the era of the breaker."""
        self.outstanding[pid] = self.outstanding.get(pid, 0) + 1
        breaker = self.breakers.get(pid)
        if breaker is None or limits is None:
            return 0
        breaker = self.breakers[pid] = breaker.began()
        return breaker.era

    def end(self, pid: Pid, era: int, outcome: bool | None, limits: BreakerLimits | None) -> None:
        """A call to *pid* has ended.

        Args:
            pid: of the instance.
            era: what ``begin`` returned.
            outcome: whether it worked; None when that says nothing about the instance.
            limits: of the breaker; None leaves it as it is.
        """
        left = self.outstanding[pid] - 1
        if left:
            self.outstanding[pid] = left
        else:
            del self.outstanding[pid]
        if limits is None or (pid not in self.breakers and outcome is not False):
            return
        breaker = self.breakers.get(pid) or Breaker()
        if outcome is None:
            self._keep(pid, breaker.abandoned(era))
        elif outcome:
            self._keep(pid, breaker.succeeded(era, limits))
        else:
            self._keep(pid, breaker.failed(era, self.kernel.driver.now(), limits))

    def _keep(self, pid: Pid, breaker: Breaker) -> None:
        if breaker == Breaker():
            self.breakers.pop(pid, None)
            return
        self.breakers[pid] = breaker
        self._tidy(self.breakers, "breakers", lambda each: bool(reg.keys(REGISTRY, each)))

    def _tidy(self, kept: dict[Any, Any], what: str, there: Callable[[Any], bool]) -> None:
        """Forget of *kept* what is not *there* any more, once it has grown twice as large."""
        if len(kept) <= self._room[what]:
            return
        try:
            for each in [each for each in kept if not there(each)]:
                del kept[each]
        except UnknownDistributedRegistry:
            pass  # it is being started anew; look again when there is twice as much
        self._room[what] = max(KEPT, 2 * len(kept))


def core_of(kernel: Kernel) -> Core:
    """Return what the host of *kernel* remembers of services.

    Raises:
        UnknownDistributedRegistry: this node has no service mesh.
    """
    core: Any = kernel.tables.get(TABLE)
    if core is None:
        core = Core(kernel)
        core.instances("")  # raises where there is no such registry
        kernel.tables[TABLE] = core
    return core  # type: ignore[no-any-return]
