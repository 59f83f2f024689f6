"""Which host a new process starts in."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from foundation.errors import HostUnavailable

if TYPE_CHECKING:
    from foundation.runtime.host import Host

CONTROL = "control"  # the name of a node's control host
WORKER_WAIT = 2.0  # seconds that a start waits where all worker hosts are down
WORKER_LOOK = 0.01  # seconds between looks


class HostPlacer:
    """The placer of one host: knows the hosts that its kernel sees.

    Where a child may be sent:

    ``"worker"``   the first worker host that lives; where applications have their home
    ``"spread"``   the worker hosts in turn
    a name         ``"w2"``, ``"control"``, ``"main"``, or a full address
    on a node      ``"b/worker"``, ``"b/spread"``, ``"b/w2"``: the same on another node ``b``

    A node without worker hosts places everything beside the caller. Where all worker hosts have
    died, supervisors wait for the next: their work does not move into the program.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self.home: str | None = None
        self._turn = 0

    def workers(self) -> list[str]:
        """Return the addresses of the worker hosts that live, in order."""
        kernel = self._host.kernel
        found = [address for address in self._host.in_service if is_worker(address)]
        if is_worker(kernel.address):
            found.append(kernel.address)
        return sorted(found, key=_number)

    def place(self, where: str) -> str:
        """Return the address that *where* means now.

        Raises:
            HostUnavailable: there is no such host.
        """
        kernel = self._host.kernel
        if where in ("worker", "spread"):
            workers = self.workers()
            if not workers and self._host.replaces_workers:
                raise HostUnavailable(f"no worker host is up, which {where!r} needs", "process")
            if not workers:
                return kernel.address
            return self._choose(where, workers)
        node = kernel.address.partition("/")[0]
        if "/" in where and not where.startswith(f"{node}/"):
            return self._place_on(*where.split("/", 1))
        if where in (f"{node}/worker", f"{node}/spread"):
            return self.place(where.partition("/")[2])
        address = where if "/" in where else f"{node}/{where}"
        if address != kernel.address and address not in self._host.in_service:
            known = ", ".join(sorted([kernel.address, *self._host.in_service]))
            raise HostUnavailable(f"there is no host {where!r}; hosts are {known}", "process")
        return address

    def _place_on(self, node: str, where: str) -> str:
        peers = self._host.kernel.remote.peers
        hosts = [address for address in peers if address.startswith(f"{node}/")]
        workers = sorted(filter(is_worker, hosts), key=_number)
        if where in ("worker", "spread") and workers:
            return self._choose(where, workers)
        address = f"{node}/{where}"
        if address not in hosts:
            known = ", ".join(sorted({a.partition("/")[0] for a in peers}))
            found = f"its hosts are {', '.join(sorted(hosts))}" if hosts else f"nodes are {known}"
            raise HostUnavailable(f"there is no host {node}/{where}; {found}", "process")
        return address

    def _choose(self, where: str, workers: list[str]) -> str:
        if where == "worker":
            return workers[0]
        self._turn += 1
        return workers[self._turn % len(workers)]

    async def find(self, where: str) -> str:
        """As ``place``; waits up to ``WORKER_WAIT`` where all worker hosts are down.

        Raises:
            HostUnavailable: there is no such host.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + WORKER_WAIT
        while True:
            try:
                return self.place(where)
            except HostUnavailable:
                if not where.endswith(("worker", "spread")) or clock() >= deadline:
                    raise
            await asyncio.sleep(WORKER_LOOK)

    async def dedicated(self, label: str) -> str:
        """Have the control host start a host for one process alone; return its address."""
        return await self._host.open_dedicated(label)


def is_control(address: str) -> bool:
    """Whether *address* is that of a control host, which runs no code of applications."""
    return address.partition("/")[2] == CONTROL


def is_worker(address: str) -> bool:
    """Whether *address* is that of a worker host."""
    name = address.partition("/")[2]
    return name[:1] == "w" and name[1:].isdigit()


def _number(address: str) -> tuple[str, int]:
    node, _, name = address.partition("/")
    return node, int(name[1:])
