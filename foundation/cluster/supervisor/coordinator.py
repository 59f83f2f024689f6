"""One distributed supervisor on one node: it has done what ``reconcile.decide`` says.

It lives in the agent. What is wanted comes from ``desired``, what there is from the slices of
all nodes (``observed``); what this node does about it is in ``work``. Only what has changed is
looked at, and everything every second, so a start costs no look at all others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foundation.cluster.slices import GONE
from foundation.cluster.supervisor import reconcile
from foundation.cluster.supervisor.desired import Desired
from foundation.cluster.supervisor.ids import shown
from foundation.cluster.supervisor.placement import Candidates, candidates
from foundation.cluster.supervisor.reconcile import Action, Case
from foundation.cluster.supervisor.records import ALIVE, SETTLED, Entry, Record, table_of
from foundation.cluster.supervisor.waiters import Waiters
from foundation.cluster.supervisor.work import Work

if TYPE_CHECKING:
    from foundation.cluster.supervisor.service import SupervisorService


DRAIN_MOVES = 100  # at a time, when all must go
OFFER_SECONDS = 0.05  # about, until what was not taken is offered again
FULL_RATE = 5000.0  # children looked at each second, while nothing changes


class Coordinator:
    """See the module docstring.

    Args:
        service: of this agent.
        name: of the supervisor.

    Attributes:
        desired: what is wanted.
        observed: what there is, by key and node.
        work: what this node does.
        max_moves: how many children may be on their way to other nodes, for rebalancing.
        running: whether the supervisor runs on this node.
        leaving: whether it is being stopped.
        any_leased: whether a child was ever wanted that must not run in a minority.
    """

    def __init__(self, service: SupervisorService, name: str) -> None:
        self._service = service
        self._agent = service.agent
        self.name = name
        self.desired = Desired()
        self.observed: dict[bytes, dict[str, Entry]] = {}
        self.waiters = Waiters()
        self.work = Work(service, name, self.desired, self.waiters)
        self.max_moves = 10
        self.running = False
        self.leaving = False
        self.any_leased = False
        self.why: dict[bytes, Action] = {}  # what waits, and why
        self._dirty: dict[bytes, None] = {}
        self._next_full = 0.0
        self._owners: dict[bytes, str | None] = {}
        self._candidates: Candidates | None = None
        table = self._agent.tables[table_of(name)]
        table.listeners.append(self._entry_changed)
        for node, key, entry in table.items():
            self._entry_changed(node, key, entry, GONE)

    # Who is to run what

    def epoch_changed(self) -> None:
        """The members, or what they say of themselves, have changed."""
        self._candidates = None
        self._owners.clear()

    @property
    def candidates(self) -> Candidates:
        """The nodes that run this supervisor."""
        if self._candidates is None:
            self._candidates = candidates(self._agent.view, self._service.runs_on(self.name))
        return self._candidates

    def owner(self, key: bytes, record: Record) -> str | None:
        """Return the node that is to start the child; for ``every_node``: this one, or None."""
        if key not in self._owners:
            self._owners[key] = self.owner_by(key, record)
        return self._owners[key]

    def owner_by(self, key: bytes, record: Record) -> str | None:
        """As ``owner``, of a record that is not (yet) the one of that child."""
        if record.every_node:
            here = self._agent.node in self.candidates.eligible(record.labels)
            return self._agent.node if here else None
        return self.candidates.owner(key, record.labels)

    def prefers(self, record: Record) -> str:
        """Return the node that the child was moved to, if that may run it; or ``""``."""
        return self.candidates.preferred(record.labels, record.prefers)

    def place(self, key: bytes, record: Record) -> str | None:
        """Return the node where the child belongs."""
        return self.prefers(record) or self.owner(key, record)

    def writer(self, key: bytes) -> str | None:
        """Return the node that writes the moves of a child; labels are no matter."""
        return self.candidates.owner(key, ())

    # What has changed

    def dirty(self, key: bytes) -> None:
        """Look at that child soon."""
        self._dirty[key] = None
        self._service.look_soon()

    def record_changed(self, key: bytes) -> None:
        """What is wanted has changed."""
        self._owners.pop(key, None)
        record = self.desired.wanted(key)
        if record is not None and record.on_minority == "stop":
            self.any_leased = True
        self.dirty(key)

    def all_dirty(self) -> None:
        """Look at all children soon."""
        if self.running or self.work.locals or self.why:
            self._dirty.update(dict.fromkeys(self.desired.live()))
            self._dirty.update(dict.fromkeys(self.work.locals))
            self._service.look_soon()

    def waiting_dirty(self) -> None:
        """Look soon at what waits for something."""
        if self.why:
            self._dirty.update(dict.fromkeys(self.why))
            self._service.look_soon()

    def _entry_changed(self, node: str, key: bytes, new: Any, old: Any) -> None:
        entries = self.observed.setdefault(key, {})
        if new is GONE:
            entries.pop(node, None)
            if not entries:
                del self.observed[key]
        else:
            entries[node] = new
            self.desired.saw(key, new.generation)
        self.dirty(key)

    # Deciding

    def look(self) -> None:
        """Decide on, and act for, all children that something has changed for."""
        dirty, self._dirty = self._dirty, {}
        settled = self._service.settled
        minority = not self._service.lease.holds()
        for key in dirty:
            try:
                self.waiters.changed(key)
                if not settled or not self._is_right(key, minority):
                    self._look_at(key, settled, minority)
            except Exception as error:  # must not keep the others from being looked at
                text = f"child {shown(key)} of {self.name!r} is looked at again: {error!r}"
                self._agent.notice("error", text)

    def _look_at(self, key: bytes, settled: bool, minority: bool) -> None:
        action = reconcile.decide(self.case(key, settled, minority))
        if action.kind == reconcile.WAIT:
            self.why[key] = action
            return
        self.why.pop(key, None)
        if action.kind != reconcile.NOTHING:
            self._act(key, action)

    def _is_right(self, key: bytes, minority: bool) -> bool:
        """Whether there is evidently nothing to do: most children, most of the time.

        This only spares ``decide`` the effort, and may say False at any time.
        """
        entries = self.observed.get(key)
        record = self.desired.wanted(key)
        if record is None or entries is None or len(entries) != 1 or key in self.why:
            return False
        if record.every_node or record.home or (minority and record.on_minority == "stop"):
            return False
        me = self._agent.node
        entry = entries.get(me)
        if entry is None:
            return self.place(key, record) != me
        running = entry.status in SETTLED and entry.version == record.instance
        return running and self.place(key, record) == me

    def case(self, key: bytes, settled: bool, minority: bool) -> Case:
        """Return all that the decision about *key* depends on."""
        record = self.desired.get(key)
        local = self.work.locals.get(key)
        others = self.observed.get(key, {})
        if local is not None and self._agent.node in others:
            others = {node: e for node, e in others.items() if node != self._agent.node}
        wanted = self.desired.wanted(key)
        hindered = ""
        if wanted is not None and wanted.on_minority == "stop":
            hindered = self._service.lease.hindered(not wanted.every_node)
        return Case(
            me=self._agent.node,
            life=self._service.life,
            record=record,
            mine=None if local is None else local.entry,
            others=others,
            owner=None if wanted is None else self.owner(key, wanted),
            settled=settled,
            hindered=hindered,
            minority=minority,
            moves_left=self._moves_left(),
            home_gone=wanted is not None and self._service.home_gone(wanted.home),
            prefers="" if wanted is None else self.prefers(wanted),
            offered=local is not None and local.offered,
            failed="" if local is None else local.failed_by(wanted),
        )

    @property
    def _emptied(self) -> bool:
        """Whether all children must go from this node."""
        return self.leaving or self._agent.node in self.candidates.draining

    def _moves_left(self) -> int:
        limit = DRAIN_MOVES if self._emptied else self.max_moves
        return limit - len(self.work.moving)

    def _act(self, key: bytes, action: Action) -> None:
        work, record = self.work, self.desired.get(key)
        if action.kind == reconcile.START and record is not None:
            work.start(key, record)
        elif action.kind == reconcile.FORGET:
            work.forget(key)
        elif action.kind == reconcile.DROP:
            work.remove(key)
        elif action.kind == reconcile.OFFER:
            work.offer(key, action.to, lambda: self._refused(key, action.to))
        elif action.kind == reconcile.MOVE:
            asked = record is not None and record.target == action.to and not self._emptied
            work.stop(key, action.why, "move" if asked else "export")
        elif action.kind == reconcile.RELEASE:
            work.retry(key)
        elif action.kind == reconcile.UNDO and record is not None:
            self._have_undone(key, record, action)
        else:
            work.stop(key, action.why, "kill" if action.kind == reconcile.KILL else "shutdown")

    def _have_undone(self, key: bytes, record: Record, action: Action) -> None:
        """Tell the node that writes moves; it is told again until the record has changed."""
        self.why[key] = action
        writer = self.writer(key)
        if writer is not None:
            args = (self.name, key, record.version, action.why)
            self._agent.ask(writer, "sup_move_undo", args, lambda ok, value: None)

    def _refused(self, key: bytes, to: str) -> None:
        """The node *to* does not take what was offered to it: it is asked again soon."""
        self.why[key] = Action(reconcile.WAIT, f"{to!r} does not take it yet")
        pause = OFFER_SECONDS * (1 + self._agent.rng.random())  # two may be asking each other
        self._service.later(pause, lambda: self.dirty(key))

    def take(
        self, origin: str, key: bytes, generation: int, version: Any, state: bytes | None
    ) -> bool:
        """The node *origin* passes a child on, with its state; False: not now."""
        record = self.desired.wanted(key)
        if record is None or record.instance != tuple(version) or not self.running:
            return False
        mine = self.work.locals.get(key)
        if mine is not None and mine.offered:
            return False  # the other node may have taken it: not both may let it go (O2)
        for node, entry in self.observed.get(key, {}).items():
            if node not in (origin, self._agent.node) and entry.status in ALIVE:
                return False  # it ran there, and that it has left is not known here yet
        self.work.take(key, record, generation, state)
        return True

    def tick(self, now: float) -> None:
        """Try again what is quarantined; look at everything, often enough."""
        self.work.retry_due(now)
        self.desired.expire(now)
        if now >= self._next_full:
            self._next_full = now + len(self.observed) / FULL_RATE
            self.all_dirty()
