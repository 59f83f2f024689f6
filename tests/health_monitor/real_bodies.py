"""What runs inside the real nodes of ``test_real.py``."""

from __future__ import annotations

import os
import time
from typing import Any

from foundation.health_monitor import (
    HealthReport,
    check_connectivity,
    cluster_health,
    exposition,
    health_history,
)
from foundation.otp import GenServer, call


class Busy(GenServer):
    """Hogs its host when asked to."""

    def handle_call(self, request: Any, caller: Any) -> Any:
        """Sleep, in the way that no callback should."""
        time.sleep(request)
        return os.getpid()


def app() -> Any:
    """One on each node."""
    return [Busy.spec(name="busy", host="w2")]


async def health() -> HealthReport:
    """Judge."""
    return await cluster_health()


async def text() -> str:
    """What Prometheus would be told."""
    return exposition(await cluster_health())


async def hog(seconds: float) -> int:
    """Hog w2 of this node; return its process."""
    found: int = await call("busy", seconds, timeout=30)
    return found


async def connected() -> tuple[str, ...]:
    """Who answers."""
    return (await check_connectivity(2.0)).connected


async def checks() -> int:
    """How many checks this node has made."""
    return len(await health_history())


async def advice() -> list[tuple[str, Any]]:
    """What the optimizer recommends, asked now."""
    from foundation.optimizer import run_once

    return [(one.rule, one.proposed) for one in await run_once()]


async def tune(value: float) -> dict[str, float]:
    """Change what is held back on all nodes; return what is read back."""
    from foundation.cluster import nodes
    from foundation.optimizer import SERVER, Tune, live_settings
    from foundation.otp import multi_call

    servers = [(SERVER, node) for node in nodes()]
    await multi_call(servers, Tune("cluster.hold_back", value))
    found = await live_settings()
    return {node: settings["cluster.hold_back"].value for node, settings in found.items()}
