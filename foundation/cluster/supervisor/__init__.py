"""The distributed supervisor: children that run once in the cluster, wherever.

List one in the application of each node that may run children::

    DistributedSupervisor.spec(name="jobs", children=[Scheduler.spec(id="scheduler")])

and use it from any process of any node::

    pid = await start_child("jobs", Import.spec(file), id=("import", file))
    whereis_child("jobs", ("import", file))
    await terminate_child("jobs", ("import", file))

*Wanted* is what was declared or started and not terminated: records that all agents have. What
``start_child`` has answered is known to two nodes. *There is* what the nodes' slices of a table
say. Each node compares the two after every change and from time to time (``reconcile.py``, the
whole policy), and has its runners act in its worker hosts (``runner.py``).

*Once.* While the members see each other, each child runs once, on the node that rendezvous
hashing makes its owner, from the moment on that they agree. A split of the network is another
matter: with ``on_minority="keep"`` both sides run it until the split heals, then one copy stays;
with ``"stop"`` a node without a majority stops it, and it never runs twice (``lease.py``).

*Moves.* To a node that joins, and from one that drains or stops in order, children move with
their state (``GenServer``: ``export_state``, ``import_state``), a few at a time. Where an export or
import fails, or takes too long, the child goes on without its state, and a notice at level
``error`` names the child, the node and the reason. A move that is asked for (``move_child``) is
undone instead, and ``CannotMove`` says why: a child whose state cannot be exported does not end,
and one that does not start on the other node goes back, with its state.

*Failures.* A child that crashes is restarted at once in its place; one that does so too often is
quarantined, and nobody else is touched. Each start has a higher ``generation()``, by which a
store outside can tell a former copy from the present one.
"""

from foundation.cluster.supervisor.api import (
    count_children,
    drain,
    eligible_nodes,
    explain,
    generation,
    move_child,
    plan,
    restart_child,
    start_child,
    terminate_child,
    undrain,
    whereis_child,
    which_children,
)
from foundation.cluster.supervisor.distributed_supervisor import DistributedSupervisor
from foundation.cluster.supervisor.events import (
    ChildChanged,
    ChildQuarantined,
    ChildState,
    Move,
    WantedChild,
)
from foundation.cluster.supervisor.options import child
from foundation.cluster.supervisor.settings import UnknownSupervisor
from foundation.cluster.supervisor.watching import (
    await_child,
    await_children,
    subscribe_children,
    unsubscribe_children,
    wanted_children,
)

__all__ = [
    "ChildChanged",
    "ChildQuarantined",
    "ChildState",
    "DistributedSupervisor",
    "Move",
    "UnknownSupervisor",
    "WantedChild",
    "await_child",
    "await_children",
    "child",
    "count_children",
    "drain",
    "eligible_nodes",
    "explain",
    "generation",
    "move_child",
    "plan",
    "restart_child",
    "start_child",
    "subscribe_children",
    "terminate_child",
    "undrain",
    "unsubscribe_children",
    "wanted_children",
    "whereis_child",
    "which_children",
]
