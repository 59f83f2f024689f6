"""Making the hosts of a node able to run distributed supervisors."""

from __future__ import annotations

from foundation.cluster.agent import Agent
from foundation.cluster.host import ClusterHost
from foundation.cluster.supervisor.moves import Moves
from foundation.cluster.supervisor.requests import Requests
from foundation.cluster.supervisor.runner_host import RunnerHost
from foundation.cluster.supervisor.server import SERVICE
from foundation.cluster.supervisor.service import SupervisorService
from foundation.cluster.supervisor.starts import Starts


def install_supervisor(cluster: ClusterHost) -> None:
    """Install the service in an agent, the runners in any other host."""
    if isinstance(cluster, Agent):
        service = SupervisorService(cluster)
        cluster.kernel.tables[SERVICE] = service
        Starts(service)
        Requests(service)
        Moves(service)
    else:
        RunnerHost(cluster)
