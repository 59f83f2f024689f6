"""How health checks make an instance unhealthy, and healthy again. A value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Health:
    """What the checks of one instance have shown.

    Attributes:
        strikes: failures in a row that make it unhealthy.
        failures: in a row.
        healthy: the verdict.
    """

    strikes: int
    failures: int = 0
    healthy: bool = True

    def checked(self, passed: bool) -> Health:
        """Return the health after a further check."""
        if passed:
            return Health(self.strikes)
        failures = min(self.failures + 1, self.strikes)
        return Health(self.strikes, failures, self.healthy and failures < self.strikes)
