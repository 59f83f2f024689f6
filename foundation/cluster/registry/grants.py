"""The arbiter's side of claims: deciding, and asking whether a holder still lives.

The death of a holder may be known to the claimant before it is known to the arbiter: they hear
of it by different routes. So before a claim is refused the holder's own node is asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from foundation.cluster.host import Done
from foundation.cluster.registry.arbiter import Arbiter, Eras, Grant, Held
from foundation.cluster.registry.tables import ERA, table_of
from foundation.cluster.slices import GONE, Table
from foundation.kernel.values import Pid

if TYPE_CHECKING:
    from foundation.cluster.agent import Agent

RETRY = ("retry",)

Question = tuple[str, bytes, Pid, int, Done]  # registry, key, claimant, its epoch, answer


class Grants:
    """Serves ``reg.grant`` and ``reg.release``; keeps the era of each epoch."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._arbiter = Arbiter()
        self._eras = Eras()
        self._tables: dict[str, Table] = {}
        self._probes: dict[tuple[str, bytes, Pid], list[Question]] = {}
        self._own = 0  # what this node has published for its epoch
        self._numbered = False  # the era of the epoch is known
        agent.serves["reg.grant"] = self._serve
        agent.hears["reg.release"] = lambda node, *grant: self._arbiter.used(*grant)
        agent.tables[ERA].listeners.append(lambda node, key, new, old: self._eras.saw(new))
        agent.on_epoch.append(self._new_epoch)
        agent.on_settled.append(self._settled)

    @property
    def unused(self) -> int:
        """How many grants are not used yet."""
        return len(self._arbiter)

    def _new_epoch(self, epoch: int) -> None:
        """Before the epoch is marked: publish a number for it."""
        agent = self._agent
        for old in list(agent.tables[ERA].of(agent.node)):
            if old != epoch:
                agent.delete(ERA, old)
        self._own = self._eras.next()
        agent.put(ERA, epoch, self._own)

    def _settled(self) -> None:
        agent = self._agent
        numbers = [agent.tables[ERA].get(node, agent.epoch) for node in agent.view.names]
        # One that is missing belongs to a member that has gone on: its mark is on its way.
        self._numbered = GONE not in numbers
        if self._numbered:
            self._arbiter.begin(self._own, max(numbers))

    def _serve(
        self, origin: str, done: Done, registry: str, key: bytes, pid: Pid, epoch: int
    ) -> None:
        self._decide((registry, key, pid, epoch, done))

    def _decide(self, question: Question, dead: Pid | None = None) -> None:
        """Answer *question*; *dead* is a holder that was found to be dead."""
        agent, arbiter = self._agent, self._arbiter
        registry, key, pid, epoch, done = question
        if not agent.settled or agent.epoch != epoch or not self._numbered:
            done(True, RETRY)
            return
        token = arbiter.granted(registry, key, pid)
        holder = None
        if token is None:
            holder = arbiter.holder(registry, key, self._held(registry, key))
            token = arbiter.grant(registry, key, pid) if holder is None else None
        if token is not None:
            done(True, ("granted", token))
        elif holder.pid == dead:  # type: ignore[union-attr]
            done(True, RETRY)  # its entry will go any moment
        else:
            assert holder is not None
            self._refuse(question, holder)

    def _refuse(self, question: Question, holder: Grant) -> None:
        registry, key, pid, _, done = question
        if holder.pid == pid:
            done(True, ("taken", pid, holder.token))
            return
        probe = (registry, key, holder.pid)
        waiting = self._probes.get(probe)
        if waiting is not None:
            waiting.append(question)
            return
        self._probes[probe] = [question]
        node = holder.pid.host.partition("/")[0]
        self._agent.ask(
            node, "reg.alive", probe, lambda ok, alive: self._probed(probe, holder, ok, alive)
        )

    def _probed(self, probe: Any, holder: Grant, ok: bool, alive: bool) -> None:
        dead = None if ok and alive else holder.pid
        if ok and not alive:
            self._arbiter.used(*probe)
        for question in self._probes.pop(probe):
            if dead is None:
                question[4](True, ("taken", holder.pid, holder.token))
            else:
                self._decide(question, dead)

    def _held(self, registry: str, key: bytes) -> Iterator[Held]:
        table = self._table(registry)
        for node in self._agent.view.names:
            value = table.get(node, key)
            if value is not GONE:
                yield node, value

    def _table(self, registry: str) -> Table:
        table = self._tables.get(registry)
        if table is None:
            table = self._tables[registry] = self._agent.tables[table_of(registry)]

            def seen(node: str, key: Any, new: Any, old: Any) -> None:
                if new is not GONE and type(key) is bytes:
                    self._arbiter.used(registry, key, new[0])

            table.listeners.append(seen)
        return table
