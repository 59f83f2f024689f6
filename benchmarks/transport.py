"""Raw Thespian actors on our transport; ``transport_bench.py`` does the work."""

from __future__ import annotations

from typing import Any

from benchmarks.harness import Effort
from benchmarks.transport_bench import Base, measure


def raw(base: Base, what: str) -> Any:
    """Return the measurement of *what*, ``"roundtrip"`` or ``"burst"``, on *base*."""

    def run(effort: Effort) -> float:
        return measure(base, seconds=min(2.0, effort.seconds * 4))[what]

    return run
