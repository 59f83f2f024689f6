"""How well this node itself is (Lifeguard's local health multiplier).

A node whose probe fails without even a word from those it asked for help is probably slow or
cut off itself; it then waits longer before it suspects others. One nack is enough to show that it
is not: where several nodes die at once, some of those asked are dead, too.
"""

from __future__ import annotations

HIGHEST = 3


class Awareness:
    """A score from 0 (well) to ``HIGHEST``."""

    def __init__(self, highest: int = HIGHEST) -> None:
        self.score = 0
        self._highest = highest

    @property
    def factor(self) -> int:
        """What the times of a probe are multiplied by."""
        return self.score + 1

    def probe_answered(self) -> None:
        """A probe got its answer."""
        self.score = max(0, self.score - 1)

    def probe_failed(self, nacks: int) -> None:
        """A probe got no answer, nor did *nacks* who said so."""
        if nacks == 0:
            self.score = min(self._highest, self.score + 1)
