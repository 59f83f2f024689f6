"""What a node does when the others do not let it in, or mean something else by the cluster.

A node whose name is taken must not go on alone: it would run everything a second time. It decides
nothing (it is *barred*) while it is refused, which passes by itself when the holder of the name was
its own last life; when it does not, the node gives up.

Nodes that differ in the *terms* that keep work from running twice (``expected_size`` and the times
of the lease) cannot both be right. Whoever has met such a node runs nothing that must not run
twice, until they agree, or the other has left in order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foundation.cluster.agent import Agent
    from foundation.cluster.membership.records import Record

PATIENCE = 6.0  # seconds that a taken name may take to become free
LATELY = 5.5  # a refusal so many seconds ago still counts by then


class Admission:
    """See the module docstring.

    Attributes:
        barred: another node refuses this one for its name.
        disagreeing: nodes with other terms: what is different, as text.
    """

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._said: dict[str, None] = {}
        self._refused_at = 0.0
        self._refusal = ""
        self.barred = False
        self.disagreeing: dict[str, str] = {}

    def refused(self, address: str, text: str, code: str) -> None:
        """The node at *address* does not let this one in."""
        agent = self._agent
        said = f"{address} refused this node: {text}"
        if said not in self._said and len(self._said) < 100:
            self._said[said] = None
            agent.notice("error", f"cluster {agent.config.name!r}: {said}")
            agent.show_refusal(said)
        if code == "name" and not agent.ready:
            self._refused_at, self._refusal = agent.kernel.driver.now(), said
            if not self.barred:
                self.barred = True
                agent.epochs.unsettle()
                agent.kernel.driver.call_later(PATIENCE, self._look)

    def conflict(self, record: Record) -> None:
        """Another node has this node's name."""
        text = f"another node calls itself {record.name!r}, at {record.address}"
        self._agent.notice("error", f"cluster {self._agent.config.name!r}: {text}")

    def admitted(self) -> None:
        """Another node talks to this one."""
        self.barred = False

    def _look(self) -> None:
        agent = self._agent
        if not self.barred or agent.kernel.closed:
            return
        if agent.kernel.driver.now() - self._refused_at <= LATELY:
            agent.fail(f"node {agent.node!r} cannot be part of the cluster: {self._refusal}")
            return
        self.barred = False  # who refused it is not there any more
        agent.kernel.turn(agent.epochs.look_if_settled)

    # Terms

    def terms(self) -> tuple[Any, ...]:
        """Return what must be equal on all nodes for work not to run twice."""
        config = self._agent.config
        return (config.expected_size, float(config.timing.lease), float(config.timing.takeover))

    def heard_terms(self, node: str, terms: Any) -> None:
        """*node* has said its terms."""
        ours, theirs = self.terms(), tuple(terms)
        if ours == theirs:
            self.disagreeing.pop(node, None)
            return
        names = ("expected_size", "timing.lease", "timing.takeover")
        different = ", ".join(
            f"{name} is {b!r} there and {a!r} here"
            for name, a, b in zip(names, ours, theirs, strict=True)
            if a != b
        )
        if self.disagreeing.get(node) != different:
            self.disagreeing[node] = different
            self._agent.notice(
                "error",
                f"cluster {self._agent.config.name!r}: node {node!r} has other settings: "
                f"{different}; nothing with on_minority='stop' runs until all have the same",
            )

    def left(self, node: str) -> None:
        """*node* has left in order."""
        self.disagreeing.pop(node, None)
