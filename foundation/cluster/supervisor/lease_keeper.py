"""Keeping the lease of one node: asking the other members, time and again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from foundation.cluster.agent import Agent
from foundation.cluster.supervisor.lease import Lease

RENEWALS = 4  # in the time that a lease lasts


class LeaseKeeper:
    """See the module docstring, and ``lease.py`` for why.

    Args:
        agent: of this node.
        later: runs something after some seconds.
        told: called when the lease was renewed, or has lapsed.
    """

    def __init__(
        self,
        agent: Agent,
        later: Callable[[float, Callable[[], None]], None],
        told: Callable[[], None],
    ) -> None:
        timing = agent.config.timing
        self._agent = agent
        self._later = later
        self._told = told
        self._every = timing.lease / RENEWALS
        self._lease = Lease(agent.config.majority, timing.lease, timing.takeover)
        agent.serves["sup_lease"] = self._serve
        agent.on_settled.append(self._on_settled)
        agent.on_node.append(self._node_changed)
        if agent.config.majority is not None:
            later(self._every, self._renew)

    def _now(self) -> float:
        return self._agent.kernel.driver.now()

    def until(self) -> float:
        """Return until when this node may run what must not run in a minority."""
        if self._agent.admission.disagreeing:
            return self._now()
        return self._lease.until(self._now())

    def holds(self) -> bool:
        """Whether it may now."""
        return not self._agent.admission.disagreeing and self._lease.holds(self._now())

    def hindered(self, elsewhere: bool) -> str:
        """Say why such a child cannot be started now; ``""`` when it can.

        Args:
            elsewhere: it may run, or have run, on another node.
        """
        for node, what in self._agent.admission.disagreeing.items():
            return f"node {node} has other settings: {what}"
        if elsewhere:
            return self._lease.hindered(self._now(), self._agent.peers, self._agent.epoch)
        return "" if self.holds() else "this node is not in a majority"

    # Asking

    def _serve(self, origin: str, done: Callable[[bool, Any], None]) -> None:
        done(origin in self._agent.peers, self._agent.epoch)

    def _renew(self) -> None:
        self._ask()
        self._told()
        self._later(self._every, self._renew)

    def _ask(self) -> None:
        now = self._now()
        for node in list(self._agent.peers):
            self._agent.ask(node, "sup_lease", (), self._granting(node, now))

    def _granting(self, node: str, sent: float) -> Callable[[bool, Any], None]:
        def answered(ok: bool, epoch: Any) -> None:
            if ok:
                self._lease.granted(node, sent, epoch)
                self._told()

        return answered

    # What happens around

    def _on_settled(self) -> None:
        self._lease.settled(self._now(), len(self._agent.view))
        if self._agent.config.majority is not None:
            self._ask()

    def _node_changed(self, node: str, up: bool, reason: str) -> None:
        if not up and reason == "silent":
            self._lease.lost()
