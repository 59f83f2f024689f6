"""What the operating system says of the machine: load, processors, memory.

On Linux it is read from ``/proc``; elsewhere ``psutil`` is asked where it is installed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

STAT, MEMINFO = "/proc/stat", "/proc/meminfo"


@dataclass(frozen=True)
class CpuTimes:
    """Processor time since the machine started, in one unit.

    Attributes:
        busy: spent on something.
        total: in all.
    """

    busy: float
    total: float

    def percent_since(self, before: CpuTimes | None) -> float | None:
        """Return how much of all processors was used since *before*; None: that is not known."""
        if before is None or self.total <= before.total:
            return None
        return round(100.0 * (self.busy - before.busy) / (self.total - before.total), 2)


def load_average() -> float | None:
    """Return how many processes ran or wanted to, on average over a minute."""
    try:
        return os.getloadavg()[0]
    except (OSError, AttributeError):
        return None


def cores() -> int:
    """Return how many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def cpu_times() -> CpuTimes | None:
    """Return the times of all processors; None where they are not known."""
    text = _text(STAT)
    if text is not None:
        return parse_stat(text)
    psutil = _psutil()
    if psutil is None:
        return None
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    return CpuTimes(sum(times) - idle, sum(times))


def parse_stat(text: str) -> CpuTimes | None:
    """Return what ``/proc/stat`` says: user, nice, system, idle, iowait, irq, softirq, steal."""
    for line in text.splitlines():
        if line.startswith("cpu "):
            parts = [float(part) for part in line.split()[1:9]]
            total, idle = sum(parts), sum(parts[3:5])
            return CpuTimes(total - idle, total)
    return None


def memory_percent() -> float | None:
    """Return how much of the machine's memory is in use: what cannot be had without swapping."""
    text = _text(MEMINFO)
    if text is not None:
        return parse_meminfo(text)
    psutil = _psutil()
    return None if psutil is None else float(psutil.virtual_memory().percent)


def parse_meminfo(text: str) -> float | None:
    """Return what ``/proc/meminfo`` says."""
    found = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        if name in ("MemTotal", "MemAvailable"):
            found[name] = float(rest.split()[0])
    total = found.get("MemTotal")
    if not total or "MemAvailable" not in found:
        return None
    return round(100.0 * (total - found["MemAvailable"]) / total, 2)


def _text(path: str) -> str | None:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return None


def _psutil() -> Any:
    try:
        import psutil
    except ImportError:  # an extra
        return None
    return psutil
