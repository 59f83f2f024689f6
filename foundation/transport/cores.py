"""How many cores this process may use."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Return how many there are; fewer than the machine has where the affinity says so.

    So do ``taskset``, cpusets of containers and some schedulers of clusters. A quota of processor
    time (``cpu.max``) is none.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    return (os.cpu_count() or 1) if affinity is None else len(affinity(0))
