"""The process that stands for a distributed supervisor in the supervision tree of each node.

It lives in the control host and runs no code of the user's: it registers its supervisor with
the agent when it starts, and gives the children away when it ends.
"""

from __future__ import annotations

from typing import Any

from foundation.cluster.agent import Agent
from foundation.cluster.api import cluster_of
from foundation.cluster.supervisor.records import Record
from foundation.cluster.supervisor.service import SupervisorService
from foundation.kernel.ops import current, trap_exit
from foundation.kernel.process import Process
from foundation.otp.gen_server import GenServer
from foundation.otp.results import Stop

SERVICE = "cluster.supervisor"  # where the kernel of a control host keeps its service


class SupervisorServer(GenServer):
    """See the module docstring."""

    async def init(
        self,
        name: str,
        declared: list[tuple[bytes, Record]],
        limits: tuple[int, float],
        on_minority: str,
        max_moves: int,
    ) -> Any:
        """Register the supervisor."""
        trap_exit()
        process = current()
        agent = cluster_of(process)
        if not isinstance(agent, Agent):
            return Stop(f"distributed supervisor {name!r} must run in the control host")
        policies = [on_minority, *(record.on_minority for _, record in declared)]
        if agent.config.majority is None and "stop" in policies:
            return Stop(needs_size(name))
        self.name = name
        service: SupervisorService = process.kernel.tables[SERVICE]
        process.add_exit_hook(self._ends)
        service.adopt(name, declared, (*limits, on_minority), max_moves)
        known = process.kernel.driver.new_future()
        agent.barriers.own_hosts(lambda: None if known.done() else known.set_result(None))
        await known  # so that nothing that starts next is told that there is no such supervisor
        return None

    async def terminate(self, reason: Any) -> None:
        """Give the children away, unless only the host of the parent has died."""
        if reason in ("killed", "noconnection"):
            return
        process = current()
        service: SupervisorService = process.kernel.tables[SERVICE]
        gone = process.kernel.driver.new_future()
        service.release(self.name, lambda: None if gone.done() else gone.set_result(None))
        await gone

    def _ends(self, process: Process, reason: Any) -> None:
        process.kernel.tables[SERVICE].abandoned(self.name)


def needs_size(name: str) -> str:
    """Say what ``on_minority="stop"`` needs."""
    return (
        f"on_minority='stop' of the distributed supervisor {name!r} needs to know how many nodes "
        "a majority is: start the nodes with ClusterConfig(expected_size=n)"
    )
