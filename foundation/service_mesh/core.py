"""What one host remembers of services: turns, calls under way, breakers, what was found last.

Facades keep no state; this is the caller's own host, so reading and choosing never wait, and
what is remembered is about the calls of this host only.

Invariants:
    M1  ``healthy(name)`` is what the registry of this host shows at that moment.
    M2  What is kept is proportional to the services used, not to the calls made or to the
        instances that have been.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from foundation.cluster.registry.host import TABLE as REGISTRIES
from foundation.cluster.registry.host import RegistryHost
from foundation.cluster.registry.index import Index
from foundation.cluster.registry.record import Record
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
KEPT = 256  # names, or breakers, that are not worth looking through for what is no more

_PID = attrgetter("pid")


class Core:
    """See the module docstring.

    Attributes:
        breakers: of instances to which calls have failed.
        outstanding: calls under way, by instance.
        joining: ``(name, pid)`` of registrations under way.
        keepers: by ``(name, pid)``; see ``keeper.py``.
    """

    def __init__(self, kernel: Kernel, registries: RegistryHost) -> None:
        self.kernel = kernel
        self.breakers: dict[Pid, Breaker] = {}
        self.outstanding: dict[Pid, int] = {}
        self.joining: dict[tuple[str, Pid], None] = {}
        self.keepers: dict[tuple[str, Pid], Pid] = {}
        self._node = kernel.address.partition("/")[0]
        self._rng = random.Random(f"services {kernel.address} {kernel.incarnation}")
        self._registries = registries
        self._of_key: Callable[[str], list[Record]]  # of the registry that was read last
        self._seen: dict[str, tuple[list[Record], tuple[ServiceInfo, ...]]] = {}
        self._last: dict[str, Pid] = {}  # who had the last turn
        self._orders = 0
        self._room = {"names": KEPT, "breakers": KEPT}  # how many may be kept before a look

    def next_order(self) -> int:
        """Return the number of a new registration in this host."""
        self._orders += 1
        return self._orders

    # Reading

    def index(self) -> Index:
        """Return the registry of services as this host sees it.

        Raises:
            UnknownDistributedRegistry: it does not run on this node.
        """
        index = self._registries.by_name.get(REGISTRY)
        if index is None:
            raise UnknownDistributedRegistry(REGISTRY)
        return index

    def healthy(self, name: str) -> tuple[ServiceInfo, ...]:
        """Return the healthy instances of *name*, sorted by pid.

        The registry answers with the same list of records until something changes, so what was
        made of it last is good as long as that is the one. (A registry that has ended has none.)
        """
        seen = self._seen.get(name)
        if seen is not None and self._of_key(name) is seen[0]:
            return seen[1]
        return self._look(name)

    def _look(self, name: str) -> tuple[ServiceInfo, ...]:
        index = self.index()
        self._of_key = index.of_key
        records = index.of_key(name)
        entries = [index.entry(record) for record in records]
        found = [ServiceInfo.of(name, e.pid, e.value) for e in entries if is_service(e.value)]
        healthy = tuple(sorted((info for info in found if info.healthy), key=_PID))
        if not records:
            self._seen.pop(name, None)
            self._last.pop(name, None)
            return healthy
        self._seen[name] = (records, healthy)
        if len(self._seen) > self._room["names"]:
            for each in [each for each in self._seen if not index.of_key(each)]:
                del self._seen[each]
                self._last.pop(each, None)
            self._room["names"] = max(KEPT, 2 * len(self._seen))
        return healthy

    # Choosing

    def choose(
        self,
        name: str,
        strategy: Strategy,
        limits: BreakerLimits | None,
        but: Sequence[Pid] = (),
    ) -> ServiceInfo:
        """Return which instance of *name* gets the next message.

        Args:
            name: of the service.
            strategy: a name or a function.
            limits: of the breakers; None does not look at them.
            but: instances that have been tried.

        Raises:
            NoInstance: there is none.
            UnknownDistributedRegistry: services are not registered on this node.
        """
        found: Sequence[ServiceInfo] = self.healthy(name)
        if but:
            found = [each for each in found if each.pid not in but]
        usable = found
        if self.breakers and limits is not None:
            now = self.kernel.driver.now()
            usable = [each for each in found if self._allowed(each.pid, now, limits)]
        if not usable:
            raise NoInstance(name, self._unhealthy(name), len(found))
        return self._chosen(name, strategy, usable)

    def _unhealthy(self, name: str) -> int:
        index = self.index()
        values = [index.entry(record).value for record in index.of_key(name)]
        return sum(1 for value in values if is_service(value) and not value.healthy)

    def _allowed(self, pid: Pid, now: float, limits: BreakerLimits) -> bool:
        breaker = self.breakers.get(pid)
        return breaker is None or breaker.allows(now, limits)

    def _chosen(self, name: str, strategy: Strategy, usable: Sequence[ServiceInfo]) -> ServiceInfo:
        last = self._last.get(name)
        if strategy == "round_robin":
            chosen = strategies.rotate(usable, last)
        elif strategy == "random":
            chosen = strategies.at_random(usable, self._rng)
        elif strategy == "least_outstanding":
            chosen = strategies.least_outstanding(usable, self.outstanding, last)
        elif strategy == "local_first":
            chosen = strategies.local_first(usable, self._node, last)
        else:
            chosen = strategies.by_function(strategy, usable)  # type: ignore[arg-type]
        self._last[name] = chosen.pid
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
        if len(self.breakers) > self._room["breakers"]:
            index = self.index()
            for each in [each for each in self.breakers if not index.of_pid(each)]:
                del self.breakers[each]
            self._room["breakers"] = max(KEPT, 2 * len(self.breakers))


def core_of(kernel: Kernel) -> Core:
    """Return what the host of *kernel* remembers of services.

    Raises:
        UnknownDistributedRegistry: this node is not in a cluster.
    """
    core: Any = kernel.tables.get(TABLE)
    if core is None:
        registries = kernel.tables.get(REGISTRIES)
        if registries is None:
            raise UnknownDistributedRegistry(REGISTRY)
        core = kernel.tables[TABLE] = Core(kernel, registries)
    return core  # type: ignore[no-any-return]
