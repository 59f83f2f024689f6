"""Finds hosts that were stopped (SIGSTOP, a full cgroup freezer): alive, but never to answer.

A hogging callback looks the same over the network; the operating system knows the difference,
so it is asked, and a busy host is left alone. A host in a debugger is left alone too.
"""

from __future__ import annotations

FROZEN_SECONDS = 3.0  # a host stopped for longer is given up


def is_stopped(os_pid: int) -> bool:
    """Whether the process is in the stopped state (on Linux; elsewhere False)."""
    try:
        with open(f"/proc/{os_pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "T"
    except (OSError, IndexError):
        return False


class Frozen:
    """Remembers since when which process has been seen stopped."""

    def __init__(self) -> None:
        self._since: dict[int, float] = {}

    def too_long(self, os_pid: int, now: float) -> bool:
        """Look at a process; whether it has been stopped for ``FROZEN_SECONDS``."""
        if not is_stopped(os_pid):
            self._since.pop(os_pid, None)
            return False
        return now - self._since.setdefault(os_pid, now) >= FROZEN_SECONDS
