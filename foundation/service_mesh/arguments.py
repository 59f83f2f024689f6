"""What the functions of this package check before anything happens."""

from __future__ import annotations

from typing import Any

from foundation.kernel import ops
from foundation.kernel.process import Process
from foundation.kernel.values import Pid
from foundation.otp.registry_write import must_wait


def waiting(what: str) -> Process:
    """Return the current process, which is about to wait for *what*.

    Raises:
        BlockingCall: it cannot.
    """
    return must_wait(ops.current(), f"{what} has to be awaited")


def check_pid(pid: Any) -> None:
    """Raise TypeError unless *pid* is one, or None."""
    if pid is not None and not isinstance(pid, Pid):
        raise TypeError(f"pid must be a pid, or None for this process, got {pid!r}")
