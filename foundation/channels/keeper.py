"""Keeps what a node has declared and installed, as presences that all hosts have a copy of.

One on each node, in the control host, which lives as long as the node. It holds middleware as
bytes and looks into none.
"""

from __future__ import annotations

from typing import Any

from foundation.channels.state import DECLARED, MIDDLEWARE, TRACKER
from foundation.cluster.pubsub import Tracker
from foundation.kernel.ops import current
from foundation.otp import GenServer

NAME = "foundation.channels.keeper"


class Keeper(GenServer):
    """See the module docstring.

    Requests, which ``channels.declare``, ``use`` and ``remove`` make:
        ``("declare", name, {"priority": ..., "bulk": ...})``
        ``("use", name, sides, middleware as bytes)``: under a name that is taken, in its place
        ``("remove", name)``: answers whether there was one
    """

    async def init(self) -> None:
        """Track what there was: this process may be restarted, the host has remembered."""
        process = current()
        self._kept: dict[tuple[str, str], Any] = process.kernel.tables.setdefault(NAME, {})
        self._middleware = MIDDLEWARE + process.pid.host.partition("/")[0]
        for (topic, key), said in self._kept.items():
            await Tracker.track(topic, key, said, name=TRACKER)

    async def handle_call(self, request: Any, caller: Any) -> Any:
        """Serve a request; it is answered when all hosts of all nodes have the change."""
        match request:
            case ("declare", str(name), dict(said)):
                await self._keep(DECLARED, name, said)
            case ("use", str(name), sides, bytes(payload)):
                await self._keep(self._middleware, name, (self._place(name), sides, payload))
            case ("remove", str(name)):
                return await self._remove(name)
            case _:
                return super().handle_call(request, caller)
        return None

    def _place(self, name: str) -> int:
        """Return where *name* is in the order of middleware: at the end, unless it is there."""
        there = self._kept.get((self._middleware, name))
        if there is not None:
            return int(there[0])
        return 1 + max(
            (said[0] for (topic, _), said in self._kept.items() if topic == self._middleware),
            default=0,
        )

    async def _keep(self, topic: str, key: str, said: Any) -> None:
        known = (topic, key) in self._kept
        self._kept[(topic, key)] = said
        change = Tracker.update if known else Tracker.track
        await change(topic, key, said, name=TRACKER)

    async def _remove(self, name: str) -> bool:
        if self._kept.pop((self._middleware, name), None) is None:
            return False
        await Tracker.untrack(self._middleware, name, name=TRACKER)
        return True
