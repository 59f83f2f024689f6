"""The claims of unique keys that processes of this node make: from the request to the answer.

    waiting ──epoch settled──▶ asking the arbiter ──granted──▶ entry put, all hosts told ──▶ done
       ▲                              │  └──────── taken by another ───────────────────────▶ done
       └── other epoch, lost, retry ──┘

An entry is put only in the epoch in which it was granted, before this node marks another one.
So whoever arbitrates the key in the next epoch has seen it by then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from foundation.cluster.registry.tables import arbiter_of
from foundation.kernel.values import Pid

if TYPE_CHECKING:
    from foundation.cluster.agent import Agent

RETRY = 0.02  # seconds until an arbiter that had not settled yet is asked again

Answer = Callable[[tuple[Any, ...]], None]


class Claim:
    """One claim under way."""

    __slots__ = ("arbiter", "asking", "done", "handle", "key", "number", "pid", "registry", "value")

    def __init__(
        self, number: int, registry: str, key: bytes, pid: Pid, value: bytes, done: Answer
    ) -> None:
        self.number = number
        self.registry = registry
        self.key = key
        self.pid = pid
        self.value = value
        self.done = done
        self.arbiter: str | None = None  # who was asked last
        self.asking = False
        self.handle: Any = None


class Claims:
    """See the module docstring.

    Args:
        agent: of this node.
        put: makes the entry of a claim with its token, and answers when all hosts have it.
    """

    def __init__(self, agent: Agent, put: Callable[[Claim, int], None]) -> None:
        self._agent = agent
        self._put = put
        self._number = 0
        self._claims: dict[int, Claim] = {}
        self._by_pid: dict[Pid, dict[int, Claim]] = {}
        agent.on_settled.append(self._go_on)

    def __len__(self) -> int:
        return len(self._claims)

    def start(
        self, registry: str, key: bytes, pid: Pid, value: bytes, timeout: float, done: Answer
    ) -> None:
        """Claim *key* for *pid*; *done* gets ``("ok", token)``, ``("taken", pid, token)``,
        ``("late", why)`` or what ``cancel`` is given."""
        self._number += 1
        claim = Claim(self._number, registry, key, pid, value, done)
        self._claims[claim.number] = claim
        self._by_pid.setdefault(pid, {})[claim.number] = claim
        claim.handle = self._agent.kernel.later(timeout, self._late, claim)
        self._ask(claim)

    def wants(self, registry: str, key: bytes, pid: Pid) -> bool:
        """Whether *pid* has a claim of *key* under way."""
        mine = self._by_pid.get(pid, {})
        return any(c.registry == registry and c.key == key for c in mine.values())

    def cancel_pid(self, pid: Pid) -> None:
        """*pid* is dead."""
        for claim in list(self._by_pid.get(pid, {}).values()):
            self._end(claim, ("dead",))

    def cancel_host(self, host: str) -> None:
        """A host of this node is gone."""
        for pid in [pid for pid in self._by_pid if pid.host == host]:
            self.cancel_pid(pid)

    def cancel_registry(self, registry: str) -> None:
        """The registry has ended on this node."""
        for claim in [c for c in self._claims.values() if c.registry == registry]:
            self._end(claim, ("unknown",))

    def _end(self, claim: Claim, outcome: tuple[Any, ...] | None) -> None:
        """Forget *claim*; answer *outcome*, if any."""
        if self._claims.pop(claim.number, None) is None:
            return
        mine = self._by_pid[claim.pid]
        del mine[claim.number]
        if not mine:
            del self._by_pid[claim.pid]
        claim.handle.cancel()
        if outcome is not None:
            claim.done(outcome)

    def _late(self, claim: Claim) -> None:
        agent = self._agent
        if not agent.settled:
            view = ", ".join(agent.view.names)
            why = f"node {agent.node!r} has not yet agreed with the others on who is there ({view})"
        elif claim.asking:
            why = f"node {claim.arbiter!r}, which decides about this key, has not answered"
        else:
            why = f"node {claim.arbiter!r}, which decides about this key, has not settled yet"
        self._end(claim, ("late", why))

    def _go_on(self) -> None:
        for claim in list(self._claims.values()):
            if not claim.asking:
                self._ask(claim)

    def _ask(self, claim: Claim) -> None:
        agent = self._agent
        if claim.number not in self._claims or claim.asking or not agent.settled:
            return
        epoch = agent.epoch
        claim.arbiter = arbiter = arbiter_of(claim.registry, claim.key, agent.view.names)
        claim.asking = True
        agent.ask(
            arbiter,
            "reg.grant",
            (claim.registry, claim.key, claim.pid, epoch),
            lambda ok, verdict: self._answered(claim, epoch, arbiter, ok, verdict),
        )

    def _answered(self, claim: Claim, epoch: int, arbiter: str, ok: bool, verdict: Any) -> None:
        claim.asking = False
        granted = ok and verdict[0] == "granted"
        usable = claim.number in self._claims and self._agent.epoch == epoch
        if granted and usable:
            self._end(claim, None)
            self._put(claim, verdict[1])
            return
        if granted:
            release = (claim.registry, claim.key, claim.pid)
            self._agent.tell(arbiter, "reg.release", *release)
        if ok and verdict[0] == "taken":
            self._end(claim, tuple(verdict))
        elif granted:
            self._ask(claim)
        else:
            self._agent.kernel.later(RETRY, self._ask, claim)
