"""A Thespian system that the user has opened, on which a node only runs its hosts.

It is left as it was found: nothing of it is changed, other actors run on it meanwhile, and when the
node is closed its hosts end and the system goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foundation.errors import NodeError
from foundation.transport import TransportConfig

STOCK_BASE = "thespian.system.multiprocTCPBase"
LOOK_SECONDS = 0.01


def transport_of(system: Any) -> TransportConfig | None:
    """Return the settings of a system on our transport; None for one on a stock base."""
    config = getattr(getattr(system, "_systemBase", None), "config", None)
    return config if isinstance(config, TransportConfig) else None


def check_borrowed(system: Any, options: Mapping[str, Any]) -> bool:
    """Check that hosts can run on *system*; return whether it is one on a stock base.

    Args:
        system: what the user passed.
        options: how a system of the node's own would be opened; None where nothing was said.

    Raises:
        NodeError: they cannot, or *options* ask for something else than *system* is.
    """
    if not hasattr(system, "_systemBase"):
        raise NodeError(f"actor_system must be a thespian ActorSystem, got {system!r}")
    if system._systemBase is None:
        raise NodeError("actor_system has been shut down; pass one that runs")
    for name, value in options.items():
        if value is not None:
            raise NodeError(
                f"{name}= says how a node opens a Thespian system of its own; with actor_system= "
                f"leave it out, and open that system with what {name}= should say"
            )
    if transport_of(system) is not None:
        return False
    base = type(system._systemBase).__module__
    if base != STOCK_BASE:
        raise NodeError(
            f"actor_system runs on {base.rpartition('.')[2]}; hosts run on systems of "
            "foundation.transport.open_system(), or of ActorSystem('multiprocTCPBase')"
        )
    return True


async def end_processes(os_pids: Sequence[int], seconds: float) -> None:
    """Wait until these processes, which are ending, have ended; kill those that do not.

    Args:
        os_pids: of hosts.
        seconds: of patience.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while any(map(_runs, os_pids)):
                await asyncio.sleep(LOOK_SECONDS)
    for os_pid in os_pids:
        if _runs(os_pid):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(os_pid, signal.SIGKILL)


def _runs(os_pid: int) -> bool:
    """Whether a process has not ended; one that nobody has waited for yet has."""
    try:
        state = Path(f"/proc/{os_pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        if Path("/proc/self/stat").exists():
            return False
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(os_pid, 0)
            return True
        return False
    return state not in ("Z", "X")
