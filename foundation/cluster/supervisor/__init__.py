"""The distributed supervisor: children that run once in the cluster, wherever.

``DistributedSupervisor.spec`` goes into the application of each node; the functions are for use
inside processes of any node. ``reconcile.py`` is the policy, ``coordinator.py`` carries it out,
``runner.py`` starts the children in worker hosts.
"""

from foundation.cluster.supervisor.api import (
    count_children,
    drain,
    explain,
    generation,
    plan,
    restart_child,
    start_child,
    terminate_child,
    undrain,
    whereis_child,
    which_children,
)
from foundation.cluster.supervisor.distributed_supervisor import DistributedSupervisor
from foundation.cluster.supervisor.events import ChildQuarantined, ChildState, Move
from foundation.cluster.supervisor.options import child

__all__ = [
    "ChildQuarantined",
    "ChildState",
    "DistributedSupervisor",
    "Move",
    "child",
    "count_children",
    "drain",
    "explain",
    "generation",
    "plan",
    "restart_child",
    "start_child",
    "terminate_child",
    "undrain",
    "whereis_child",
    "which_children",
]
