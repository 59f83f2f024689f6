"""Testing servers: a deterministic simulator, a pytest plugin, waiting for conditions.

``simulate(body, seed=0)`` runs an ``async def`` body as a process on virtual time;
``Simulation`` has hosts, a network, crashes and a clock to play with; ``await
eventually(predicate)`` waits for a condition. ``ClusterSimulation`` runs whole clusters, ``Chaos``
breaks them. Fixtures: ``foundation.testing.plugin``.
"""

from typing import TYPE_CHECKING, Any

from foundation.testing.bodies import BodyExited
from foundation.testing.conditions import eventually
from foundation.testing.simulator import Simulation, simulate
from foundation.testing.virtual_loop import Deadlock, Livelock, VirtualLoop

if TYPE_CHECKING:
    from foundation.testing.chaos import Chaos
    from foundation.testing.cluster_network import Faults
    from foundation.testing.cluster_sim import ClusterSimulation

__all__ = [
    "BodyExited",
    "Chaos",
    "ClusterSimulation",
    "Deadlock",
    "Faults",
    "Livelock",
    "Simulation",
    "VirtualLoop",
    "eventually",
    "simulate",
]


def __getattr__(name: str) -> Any:
    """Import the cluster's part when it is asked for: every run of pytest imports this module."""
    if name == "Chaos":
        from foundation.testing.chaos import Chaos

        return Chaos
    if name in ("ClusterSimulation", "Faults"):
        from foundation.testing import cluster_sim

        return getattr(cluster_sim, name)
    raise AttributeError(f"module 'foundation.testing' has no attribute {name!r}")
