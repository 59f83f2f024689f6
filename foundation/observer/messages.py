"""What the observer of a node answers."""

from __future__ import annotations

from dataclasses import dataclass

from foundation.otp import Call

SERVER = "foundation.observer"  # its name, on each node


@dataclass(frozen=True)
class Parts(Call[str]):
    """Ask what the facades say; the reply is JSON: ``{"services": …, "health": …, …}``.

    It is JSON since who passes it on, the control host, must not decode classes of users.

    Attributes:
        rows: how many lines each part may have.
    """

    rows: int = 100


@dataclass(frozen=True)
class Metrics(Call[str]):
    """Ask for the metrics of the health monitor as Prometheus text; ``""`` when there are none."""
