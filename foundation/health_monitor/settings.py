"""How a health monitor works, and by what names it is known."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

SERVER = "foundation.health_monitor"  # the server of each node
REGISTRY = "foundation.health"  # the distributed registry that probe entries are written to


@dataclass(frozen=True)
class Settings:
    """How a health monitor works.

    Attributes:
        interval: seconds between two checks of a node by itself.
        first: seconds until the first.
        history: how many checks are kept, by which trends are judged.
        window: seconds that rates are of.
        probe_peers: how many other nodes a node sends probes to at each check, in turn.
        probes: round trips to each.
        churn_low: registry changes per node and minute below which churn is ``"low"``.
        churn_high: above which it is ``"high"``.
        error_percent: of calls that fail, above which it is said.
        error_least: failed calls in a minute that are too few to be judged.
        mailbox_limit: messages in one mailbox that are too many.
        cpu_percent: of a node's processors, above which it is said.
        memory_percent: of a node's memory, above which it is said.

    Raises:
        TypeError, ValueError: one is no number, or not above 0.
    """

    interval: float = 30.0
    first: float = 5.0
    history: int = 10
    window: float = 60.0
    probe_peers: int = 5
    probes: int = 3
    churn_low: float = 1.0
    churn_high: float = 10.0
    error_percent: float = 10.0
    error_least: int = 10
    mailbox_limit: int = 10_000
    cpu_percent: float = 80.0
    memory_percent: float = 85.0

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise TypeError(f"Settings.{one.name} must be a number, got {value!r}")
            if one.type == "int" and not isinstance(value, int):
                raise TypeError(f"Settings.{one.name} must be a whole number, got {value!r}")
            if not math.isfinite(value) or value <= 0:
                raise ValueError(f"Settings.{one.name} must be finite and above 0, got {value!r}")
        if self.churn_high < self.churn_low:
            raise ValueError(
                f"Settings.churn_high ({self.churn_high}) must not be below churn_low "
                f"({self.churn_low})"
            )
