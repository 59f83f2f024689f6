"""Processes that end when they should, and inherit nothing they should not (Linux)."""

from __future__ import annotations

import ctypes
import os
import signal
import stat
import sys
from collections.abc import Callable
from typing import Any

_PR_SET_PDEATHSIG = 1
_CRASH_SIGNALS = (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)


def die_with_parent(parent_pid: int) -> None:
    """Ask the kernel to kill this process when its parent ends."""
    if sys.platform != "linux" or not parent_pid:
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:  # it ended before we asked
        os._exit(70)


def overlay_inherited() -> None:
    """Replace inherited sockets and epoll sets by ``/dev/null``.

    A forked process shares them with its parent: ports would stay open and peers would see no
    end of file after the parent's death. Overlaying keeps the numbers taken, so Python
    objects that still refer to them close nothing of ours later.
    """
    try:
        numbers = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        return
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        for number in numbers:
            if number > 2 and number != null and _is_shared_state(number):
                os.dup2(null, number, inheritable=False)
    finally:
        os.close(null)


def _is_shared_state(number: int) -> bool:
    try:
        if stat.S_ISSOCK(os.fstat(number).st_mode):
            return True
        return os.readlink(f"/proc/self/fd/{number}").startswith("anon_inode:")
    except OSError:
        return False


def restore_crash_signals() -> None:
    """Let a segmentation fault end the actor.

    Thespian installs a Python handler for every signal; for these it would return to the faulty
    instruction for ever.
    """
    for each in _CRASH_SIGNALS:
        signal.signal(each, signal.SIG_DFL)


def when_process_ends(loop: Any, pid: int, callback: Callable[[], Any]) -> bool:
    """Call *callback* from *loop* when the process *pid* has ended.

    Unlike PDEATHSIG this is about the process, not about the thread that started us.

    Returns:
        False when the platform cannot tell.
    """
    if not hasattr(os, "pidfd_open"):
        return False
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        loop.call_soon(callback)
        return True
    except OSError:
        return False
    loop.add_reader(pidfd, callback)
    return True


def kill_own_group() -> None:
    """End the whole node at once: admin, actors and logger share a process group."""
    os.killpg(os.getpgrp(), signal.SIGKILL)
