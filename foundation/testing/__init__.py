"""Testing servers: a deterministic simulator, a pytest plugin, waiting for conditions.

``simulate(body, seed=0)`` runs an ``async def`` body as a process on virtual time;
``Simulation`` has hosts, a network, crashes and a clock to play with; ``await
eventually(predicate)`` waits for a condition. Fixtures: ``foundation.testing.plugin``.
"""

from foundation.testing.bodies import BodyExited
from foundation.testing.conditions import eventually
from foundation.testing.simulator import Simulation, simulate
from foundation.testing.virtual_loop import Deadlock, Livelock, VirtualLoop

__all__ = [
    "BodyExited",
    "Deadlock",
    "Livelock",
    "Simulation",
    "VirtualLoop",
    "eventually",
    "simulate",
]
