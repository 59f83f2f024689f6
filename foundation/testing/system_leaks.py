"""What a test must not leave behind in this operating-system process."""

from __future__ import annotations

import gc
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

_GRACE_SECONDS = 2.0
_FDS = Path("/proc/self/fd")
_TASKS = Path("/proc/self/task")
_STOCK = bool(os.environ.get("FOUNDATION_TEST_STOCK"))  # stock opens and closes sockets at will


@dataclass(frozen=True)
class SystemState:
    """Threads, child processes and open files at one moment."""

    threads: frozenset[threading.Thread]
    children: frozenset[int]
    files: frozenset[tuple[int, str]]

    @classmethod
    def now(cls) -> SystemState:
        """Look; children and files are seen on Linux only."""
        return cls(frozenset(threading.enumerate()), _children(), _files())

    def added_by(self, later: SystemState) -> list[str]:
        """Describe what *later* has that this one has not."""
        threads = sorted(later.threads - self.threads, key=lambda t: t.name)
        return [
            *(f"thread {thread.name!r}" for thread in threads if thread.is_alive()),
            *(f"child process {pid}" for pid in sorted(later.children - self.children)),
            *(f"open file {fd}: {what}" for fd, what in sorted(later.files - self.files)),
        ]


def system_leaks(before: SystemState, grace: float = _GRACE_SECONDS) -> list[str]:
    """Describe what has come since *before* and is still there after *grace* seconds."""
    deadline = time.monotonic() + grace
    collected = False
    while left := before.added_by(SystemState.now()):
        if not collected:
            gc.collect()  # files of objects in cycles close only then
            collected = True
        elif time.monotonic() >= deadline:
            return left
        else:
            time.sleep(0.01)
    return []


def _children() -> frozenset[int]:
    found: set[int] = set()
    try:
        for task in _TASKS.iterdir():
            found.update(map(int, (task / "children").read_text().split()))
    except OSError:
        return frozenset(found)
    return frozenset(found)


def _files() -> frozenset[tuple[int, str]]:
    found = set()
    try:
        names = [int(entry) for entry in os.listdir(_FDS)]
    except OSError:
        return frozenset()
    for fd in names:
        try:
            what = os.readlink(_FDS / str(fd))
        except OSError:
            continue  # the one by which the directory was read
        if not (_STOCK and what.startswith(("socket:", "anon_inode:"))):
            found.add((fd, what))
    return frozenset(found)
