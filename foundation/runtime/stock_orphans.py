"""On a stock Thespian base: a node ends when the program that started it is gone.

Stock's admin detaches itself from the program, and outlives it together with its logger and its
actors. So the control host watches the program, and ends them all.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

PERIOD = 0.5  # seconds between two looks, where the system cannot tell by itself


def watch_program(
    loop: Any, program: int, kill_hosts: Callable[[], None], borrowed: bool = False
) -> None:
    """In the control host: when process *program* ends, end everything of its node.

    A *borrowed* system goes on: it may be the one of another program.
    """
    admin = os.getppid()

    def gone() -> None:
        kill_hosts()
        family = descendants(os.getpid())  # also hosts that are starting, and plain actors
        if os.getppid() == admin and not borrowed:
            # The admin first, so that it cannot act on the deaths of its children.
            family = [admin, *descendants(admin), *family]
        for pid in family:
            if pid != os.getpid():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        os._exit(0)

    def look() -> None:
        if os.getppid() != admin or not _exists(program):
            gone()
        loop.call_later(PERIOD, look)

    if hasattr(os, "pidfd_open"):  # Linux; tells of a zombie too
        try:
            loop.add_reader(os.pidfd_open(program), gone)
        except ProcessLookupError:
            gone()
    loop.call_later(PERIOD, look)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def descendants(pid: int) -> list[int]:
    """Return the processes below *pid*; none where there is no ``/proc``."""
    children: dict[int | None, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        children.setdefault(_parent_of(int(entry.name)), []).append(int(entry.name))
    found = [pid]
    for parent in found:
        found.extend(children.get(parent, ()))
    return found[1:]


def _parent_of(pid: int) -> int | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[1])
