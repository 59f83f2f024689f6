"""How long a suspected node has to refute (Lifeguard's dynamic suspicion).

One observer alone may be the sick one, so its suspicion gets the long time. Each further
observer that suspects independently shortens it, the first ones most:

    timeout = max - (max - min) * log(confirmations + 1) / log(wanted + 1)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log

CONFIRMATIONS = 3


def wanted_confirmations(cluster_size: int) -> int:
    """Return how many confirmations end a suspicion soonest: of those who could give one."""
    return max(0, min(CONFIRMATIONS, cluster_size - 2))


def suspicion_timeout(confirmations: int, wanted: int, shortest: float, longest: float) -> float:
    """Return after how long a suspected node that did not refute is declared dead.

    Args:
        confirmations: by others than the first accuser.
        wanted: with so many it is *shortest*; with 0 wanted nobody can confirm, so *longest*.
        shortest: ``Timing.suspicion_min``.
        longest: ``Timing.suspicion_max``.
    """
    if wanted < 1 or confirmations < 1:
        return longest
    share = log(min(confirmations, wanted) + 1) / log(wanted + 1)
    return longest - (longest - shortest) * share


@dataclass(slots=True)
class Suspicion:
    """The suspicion of one incarnation of a node, as one observer holds it.

    Attributes:
        generation: of the suspected node.
        incarnation: of the suspected node.
        started: when this observer learnt of it; moved on by the time it was paused itself.
        wanted: how many confirmations make it shortest.
        accusers: who suspects, in the order learnt; the first one is not a confirmation.
        watched: this observer probes the suspect again and again.
        probe_at: when it does so next.
    """

    generation: int
    incarnation: int
    started: float
    wanted: int
    accusers: dict[str, bool] = field(default_factory=dict)
    watched: bool = False
    probe_at: float = 0.0

    def confirm(self, accuser: str) -> bool:
        """Note that *accuser* suspects too; return whether that is new and still counts."""
        if not accuser or accuser in self.accusers or len(self.accusers) > self.wanted:
            return False
        self.accusers[accuser] = True
        return True

    def deadline(self, shortest: float, longest: float) -> float:
        """Return when the node is declared dead."""
        confirmations = max(0, len(self.accusers) - 1)
        return self.started + suspicion_timeout(confirmations, self.wanted, shortest, longest)
