"""Which nodes were lost lately, for people who look afterwards; the time is passed in.

Invariants:
    N1  No node that is there, or has left in order, is in it; none twice, and none for longer
        than ``SECONDS``.
    N2  It has at most ``MOST`` nodes: those that were lost last.
"""

from __future__ import annotations

from typing import Any

MOST = 8
SECONDS = 3600.0


class Lost:
    """See the module docstring."""

    def __init__(self) -> None:
        self._nodes: dict[str, tuple[float, str]] = {}  # when and why, in this order

    def told(self, now: float, node: str, up: bool, reason: str) -> None:
        """*node* has come or gone, see ``ClusterHost.on_node``."""
        self._nodes.pop(node, None)
        if not up and reason != "left":
            self._nodes[node] = (now, reason)
            while len(self._nodes) > MOST:
                del self._nodes[next(iter(self._nodes))]

    def rows(self, now: float) -> list[dict[str, Any]]:
        """Return them as plain data, the latest first."""
        return [
            {"name": node, "reason": reason, "seconds_ago": round(now - when, 3)}
            for node, (when, reason) in reversed(self._nodes.items())
            if now - when <= SECONDS
        ]
