"""Distributed registries in the agent of a node: declarations, writes, deaths, conflicts.

Invariants:
    S1  This node's slice of a registry holds entries of its living processes only, and only
        while the registry is declared on this node.
    S2  A process that dies while its claim is under way gets no entry: its host says so after
        the claim, in order.
    S3  Of two entries of one unique key that are seen together, the agent of the one of lower
        rank withdraws it and tells its process; the other's agent does nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from foundation.cluster.host import Done
from foundation.cluster.registry.claims import Answer, Claim, Claims
from foundation.cluster.registry.grants import Grants
from foundation.cluster.registry.record import rank_of
from foundation.cluster.registry.tables import DECLARED, Options, table_of
from foundation.cluster.slices import GONE, Table
from foundation.kernel.values import Pid

if TYPE_CHECKING:
    from foundation.cluster.agent import Agent

Listener = Callable[[str, Any, Any, Any], None]

PROBE_SECONDS = 0.5  # that a host may take to say whether a process of its lives


class RegistryAgent:
    """See the module docstring."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self.grants = Grants(agent)
        self.claims = Claims(agent, self._put)
        self._held: dict[Pid, dict[tuple[str, Any], None]] = {}  # (registry, key in the table)
        self._listeners: dict[str, Listener] = {}
        self._contested: dict[tuple[str, bytes], None] = {}
        self._number = 0
        self._probes: dict[int, tuple[str, Callable[[bool], None]]] = {}
        agent.serves.update(
            {
                "reg.register": self._register,
                "reg.remove": self._remove,
                "reg.update": self._update,
                "reg.alive": self._alive,
                "reg.dead": lambda origin, done, pid: self._dead(pid),
            }
        )
        agent.kernel.remote.handlers["dreg_probed"] = lambda host, *answer: self._probed(*answer)
        agent.on_own_host.append(self._own_host)
        agent.tables[DECLARED].listeners.append(self._declaration)

    # Declarations

    def options(self, registry: str) -> Options | None:
        """Return how *registry* is declared on this node, or None."""
        found = self._agent.tables[DECLARED].get(self._agent.node, registry)
        return None if found is GONE else Options(*found)

    def declare(self, registry: str, options: Options) -> str | None:
        """Begin to serve *registry* on this node; return why not, or None."""
        agent = self._agent
        for node, name, other in agent.tables[DECLARED].items():
            if name == registry and tuple(other) != tuple(options):
                return _mismatch(registry, agent.node, options, node, Options(*other))
        if options.unique:
            listener = self._watch(registry)
            self._listeners[registry] = listener
            agent.tables[table_of(registry)].listeners.append(listener)
        agent.put(DECLARED, registry, tuple(options))
        return None

    def withdraw(self, registry: str) -> None:
        """Stop serving *registry* on this node: its entries go, its claims fail."""
        self.claims.cancel_registry(registry)
        for id in list(self._table(registry).of(self._agent.node)):
            self._delete(registry, id)
        listener = self._listeners.pop(registry, None)
        if listener is not None:
            self._table(registry).listeners.remove(listener)
        self._agent.delete(DECLARED, registry)

    def _declaration(self, node: str, registry: str, new: Any, old: Any) -> None:
        mine = self.options(registry)
        if new is GONE or mine is None or tuple(new) == tuple(mine):
            return
        other = Options(*new)
        self._agent.notice("error", _mismatch(registry, self._agent.node, mine, node, other))

    def _table(self, registry: str) -> Table:
        return self._agent.tables[table_of(registry)]

    def all_hosts(self, done: Callable[[], None]) -> None:
        """Call *done* when all hosts of this node have applied what was said so far."""
        self._agent.barriers.own_hosts(done)

    # Writes

    def _register(
        self,
        origin: str,
        done: Done,
        registry: str,
        key: bytes,
        pid: Pid,
        value: bytes,
        timeout: float,
        need_unique: bool,
    ) -> None:
        options = self.options(registry)
        answer = self._answer(origin, done)
        if options is None:
            answer(("unknown",))
        elif not options.unique and need_unique:
            answer(("not_unique",))
        elif options.unique:
            self.claims.start(registry, key, pid, value, timeout, answer)
        else:
            self._number += 1
            self._hold(registry, (key, pid, self._number), pid, value)
            answer(("ok", 0))

    def _answer(self, origin: str, done: Done) -> Answer:
        """Return what answers a host, after all other hosts have applied what was said."""

        def answer(outcome: tuple[Any, ...]) -> None:
            if outcome[0] == "ok":
                self._agent.barriers.own_hosts(lambda: done(True, outcome), but=origin)
            else:
                done(True, outcome)

        return answer

    def _put(self, claim: Claim, token: int) -> None:
        held = self._table(claim.registry).get(self._agent.node, claim.key)
        if held is not GONE:  # an arbiter beyond a split did not see our own entry
            claim.done(("taken", held[0], held[1]))
            return
        value = (claim.pid, token, claim.value)
        self._hold(claim.registry, claim.key, claim.pid, value)
        claim.done(("ok", token))

    def _hold(self, registry: str, id: Any, pid: Pid, value: Any) -> None:
        self._held.setdefault(pid, {})[(registry, id)] = None
        self._agent.put(table_of(registry), id, value)

    def _delete(self, registry: str, id: Any) -> None:
        value = self._table(registry).get(self._agent.node, id)
        if value is GONE:
            return
        pid = value[0] if type(id) is bytes else id[1]
        mine = self._held.get(pid, {})
        mine.pop((registry, id), None)
        if not mine:
            self._held.pop(pid, None)
        self._agent.delete(table_of(registry), id)

    def _remove(self, origin: str, done: Done, registry: str, key: bytes, pid: Pid) -> None:
        answer = self._answer(origin, done)
        if self.options(registry) is None:
            answer(("unknown",))
            return
        for slot in list(self._held.get(pid, ())):
            if slot[0] == registry and _key_of(slot[1]) == key:
                self._delete(*slot)
        answer(("ok", 0))

    def _update(
        self,
        origin: str,
        done: Done,
        registry: str,
        key: bytes,
        pid: Pid,
        value: bytes,
        which: Any,
    ) -> None:
        """Replace the value of the entry that the table has under *which*."""
        answer = self._answer(origin, done)
        if (registry, which) not in self._held.get(pid, ()) or _key_of(which) != key:
            answer(("not_registered",))
        elif type(which) is bytes:
            token = self._table(registry).get(self._agent.node, key)[1]
            self._agent.put(table_of(registry), key, (pid, token, value))
            answer(("ok", token))
        else:
            self._agent.put(table_of(registry), which, value)
            answer(("ok", 0))

    # Deaths

    def _dead(self, pid: Pid) -> None:
        """A process of this node that registered something has ended (S2)."""
        self.claims.cancel_pid(pid)
        for slot in list(self._held.get(pid, ())):
            self._delete(*slot)

    def _own_host(self, host: str, up: bool) -> None:
        if up:
            return
        self.claims.cancel_host(host)
        for pid in [pid for pid in self._held if pid.host == host]:
            self._dead(pid)
        for number, (where, _) in list(self._probes.items()):
            if where == host:
                self._probed(number, False)

    def _alive(self, origin: str, done: Done, registry: str, key: bytes, pid: Pid) -> None:
        """Say whether *pid*, of this node, still holds or wants *key*."""
        kernel = self._agent.kernel

        def answer(alive: bool) -> None:
            holds = (registry, key) in self._held.get(pid, ())
            done(True, alive and (holds or self.claims.wants(registry, key, pid)))

        if pid.host == kernel.address:
            answer(pid in kernel.procs)
        elif not kernel.remote.reachable(pid):
            answer(False)
        else:
            self._number += 1
            self._probes[self._number] = (pid.host, answer)
            kernel.remote.op(pid.host, ("dreg_probe", self._number, pid))
            # A host that is blocked does not answer; it is up, so what it has is taken.
            kernel.later(PROBE_SECONDS, self._probed, self._number, True)

    def _probed(self, number: int, alive: bool) -> None:
        _, answer = self._probes.pop(number, (None, None))
        if answer is not None:
            answer(alive)

    # Conflicts

    def _watch(self, registry: str) -> Listener:
        def changed(node: str, key: Any, new: Any, old: Any) -> None:
            if new is GONE or type(key) is not bytes:
                return
            here = self._agent.node
            if node == here:
                others = (n for n in self._agent.view.names if n != here)
                rivals = any(self._table(registry).get(n, key) is not GONE for n in others)
            else:
                rivals = self._table(registry).get(here, key) is not GONE
            if rivals:
                self._contest(registry, key)

        return changed

    def _contest(self, registry: str, key: bytes) -> None:
        """Settle a conflict soon: not inside the change that others are being told of."""
        kernel = self._agent.kernel
        if not self._contested:
            kernel.driver.call_soon(lambda: kernel.turn(self._settle_conflicts))
        self._contested[(registry, key)] = None

    def _settle_conflicts(self) -> None:
        contested, self._contested = self._contested, {}
        for registry, key in contested:
            self._settle_conflict(registry, key)

    def _settle_conflict(self, registry: str, key: bytes) -> None:
        """Withdraw our entry of *key* if another node's has a higher rank (S3)."""
        agent, table = self._agent, self._table(registry)
        entries = [(node, table.get(node, key)) for node in agent.view.names]
        ranks = [rank_of(node, value) for node, value in entries if value is not GONE]
        mine = table.get(agent.node, key)
        if mine is GONE or max(ranks) == rank_of(agent.node, mine):
            return
        token, _, winner = max(ranks)
        pid = mine[0]
        options = self.options(registry) or Options()
        self._delete(registry, key)
        lost = ("dreg_lost", registry, key, pid, winner, token, options.on_conflict)
        if pid.host == agent.kernel.address:
            agent.kernel.remote.handlers["dreg_lost"](pid.host, *lost[1:])
        else:
            agent.kernel.remote.op(pid.host, lost)


def _key_of(id: Any) -> Any:
    return id if type(id) is bytes else id[0]


def _mismatch(registry: str, here: str, mine: Options, there: str, other: Options) -> str:
    return (
        f"distributed registry {registry!r} cannot be keys={mine.keys!r}, on_conflict="
        f"{mine.on_conflict!r} on node {here!r}: node {there!r} has started it with "
        f"keys={other.keys!r}, on_conflict={other.on_conflict!r}; give the same options on all "
        "nodes"
    )
