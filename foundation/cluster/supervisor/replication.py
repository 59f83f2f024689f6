"""Keeping the records of all agents equal.

What is written is told to all at once. When two agents meet, and when the digests that they
compare from time to time differ, each tells the other its versions and gets what is newer: so a
message that got lost does not matter (anti-entropy: Demers et al., 1987).

    sup_put       one record
    sup_versions  all versions of one supervisor; the answer is what is newer, by ``sup_records``
    sup_met       that was all of them; the answer is ``sup_synced``
    sup_digests   of all supervisors; where they differ, ``sup_versions`` follow
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from foundation.cluster.agent import Agent
from foundation.cluster.supervisor.checks import is_name
from foundation.cluster.supervisor.desired import Desired
from foundation.cluster.supervisor.records import Record, Version
from foundation.kernel.codec import dumps, loads

CHUNK = 300  # records in one message
CHUNK_BYTES = 256 * 1024  # about so many in one message, if it has more than one record
ROW_BYTES = 150  # of a record in a message, about, besides its spec and key
MOST_WAITING = 100  # for one record; who waits longest is given up: it has long timed out
COMPARE_SECONDS = 3.0  # between two comparisons with a random member

Slot = tuple[str, bytes]  # (supervisor, key of a child)
Rows = list[tuple[bytes, Record, int]]  # (key, record, generation)


class Store(Protocol):
    """Where the records are: ``service.py``."""

    def desired(self, name: str) -> Desired:
        """Return the records of the supervisor *name*, made when first asked for."""

    def names(self) -> list[str]:
        """Return the known supervisors, sorted."""

    def changed(self, name: str, key: bytes) -> None:
        """A record has changed."""


class Write:
    """A record on its way to enough members.

    Attributes:
        row: what is sent, ``(supervisor, key, …)``.
        needed: so many others must have it.
        waiting: who is told then; with those of the older records that this one replaces.
        asked: to whom it was sent for an answer.
        having: who has it.
    """

    __slots__ = ("asked", "having", "needed", "row", "waiting")

    def __init__(
        self, row: tuple[Any, ...], needed: int, waiting: list[Callable[[], None]]
    ) -> None:
        self.row = row
        self.needed = needed
        self.waiting = waiting[-MOST_WAITING:]
        self.asked: dict[str, None] = {}
        self.having: dict[str, None] = {}

    @property
    def slot(self) -> Slot:
        """Return which child it is of."""
        return self.row[0], self.row[1]

    def done(self) -> None:
        """Enough have it."""
        for told in self.waiting:
            told()


class Replication:
    """See the module docstring.

    Attributes:
        synced: the members whose records are known here, all that they had when we met.
    """

    def __init__(self, agent: Agent, store: Store, on_synced: Callable[[], None]) -> None:
        self._agent = agent
        self._store = store
        self._on_synced = on_synced
        self._compared = 0.0
        self.synced: dict[str, None] = {}
        self._writes: dict[Slot, Write] = {}  # that not enough members have yet
        agent.hears["sup_put"] = lambda node, *row: self._take_row(*row)
        agent.serves["sup_put"] = self._serve_put
        agent.hears["sup_versions"] = self._on_versions
        agent.hears["sup_records"] = self._on_records
        agent.hears["sup_met"] = self._on_met
        agent.hears["sup_synced"] = self._on_sync_done
        agent.hears["sup_digests"] = self._on_digests
        agent.on_node.append(self._node_changed)

    @property
    def complete(self) -> bool:
        """Whether the records of all members are known."""
        return all(name in self.synced for name in self._agent.peers)

    # Writing

    def write(self, name: str, key: bytes, record: Record, done: Callable[[], None]) -> None:
        """Take *record* in and tell all; *done* when enough members have it, see ``_needed``."""
        agent = self._agent
        desired = self._store.desired(name)
        desired.merge(key, record, agent.kernel.driver.now())
        row = (name, key, dumps(record), desired.generation(key))  # encoded once for all
        asked = self._ensure(row, done)
        for node in agent.peers:
            if node not in asked:
                agent.tell_lazily(node, "sup_put", *row)
        self._store.changed(name, key)

    def _ensure(self, row: tuple[Any, ...], *done: Callable[[], None]) -> list[str]:
        """Have enough members take *row*; return those that are asked to."""
        old = self._writes.pop((row[0], row[1]), None)
        peers = list(self._agent.peers)
        needed = self._needed(len(peers))
        write = Write(row, needed, [*(() if old is None else old.waiting), *done])
        if not needed:
            write.done()
            return []
        self._writes[write.slot] = write
        asked = self._agent.rng.sample(peers, min(needed, len(peers)))
        for node in asked:
            self._ask(write, node)
        return asked

    def _superseded(self, name: str, key: bytes) -> None:
        """Another's newer record has come: who waits for ours is told when enough have that."""
        if (name, key) in self._writes:
            desired = self._store.desired(name)
            self._ensure((name, key, dumps(desired.get(key)), desired.generation(key)))

    def _forget_dropped(self) -> None:
        """Forget what waits for a record that is no longer kept, see ``desired.expire``."""
        for name, key in list(self._writes):
            if self._store.desired(name).get(key) is None:
                del self._writes[name, key]

    def waiting(self) -> int:
        """Return how many records are on their way to enough members."""
        return len(self._writes)

    def _needed(self, peers: int) -> int:
        """Return how many others must have a record before its writer is told.

        With an expected size, so many that a majority has it: then no minority's loss loses it.
        Else one, if there is one: then no single node's loss does.
        """
        majority = self._agent.config.majority
        return min(1, peers) if majority is None else majority - 1

    def _ask(self, write: Write, node: str) -> None:
        write.asked[node] = None

        def answered(ok: bool, value: Any) -> None:
            if self._writes.get(write.slot) is not write:
                return
            if ok:
                write.having[node] = None
                if len(write.having) >= write.needed:
                    del self._writes[write.slot]
                    write.done()
                return
            others = [n for n in self._agent.peers if n not in write.asked]
            if others:
                self._ask(write, self._agent.rng.choice(others))
            elif self._agent.config.majority is None:
                del self._writes[write.slot]
                write.done()  # there is nobody else

        self._agent.ask(node, "sup_put", write.row, answered)

    def _serve_put(self, origin: str, done: Callable[[bool, Any], None], *row: Any) -> None:
        self._take_row(*row)
        done(True, None)

    def _take_row(self, name: str, key: bytes, data: bytes, generation: int) -> None:
        if not is_name(name):
            return
        record: Any = loads(data, allow_pickle=False)
        self._take(name, key, record, generation)

    def _take(self, name: str, key: bytes, record: Record, generation: int) -> None:
        desired = self._store.desired(name)
        old = desired.get(key)
        if desired.merge(key, record, self._agent.kernel.driver.now()):
            self._store.changed(name, key)
            self._superseded(name, key)
        desired.saw(key, generation)
        if old is not None and record.token and old.token == record.token:
            self._same_request(name, key, old.deleted or record.deleted)

    def _same_request(self, name: str, key: bytes, terminated: bool) -> None:
        """Two records of one request have met: if one says that it was terminated, it was.

        The request had been sent to two nodes, since the first did not answer in time, and that
        one has carried it out late, not knowing of the tombstone, with a version above it.
        """
        if terminated:
            node = self._agent.node
            tombstone = self._store.desired(name).tombstone(key, node, refuse=True)
            if tombstone is not None:  # the other one had won
                self.write(name, key, tombstone, lambda: None)

    # Meeting

    def _node_changed(self, node: str, up: bool, reason: str) -> None:
        self.synced.pop(node, None)
        if up:
            self._meet(node, True)
            for write in list(self._writes.values()):
                if node not in write.having:
                    self._ask(write, node)

    def _meet(self, node: str, back: bool) -> None:
        names = self._store.names()
        for name in names:
            self._tell_versions(node, name)
        self._agent.tell(node, "sup_met", names, back)

    def _tell_versions(self, node: str, name: str) -> None:
        self._agent.tell(node, "sup_versions", name, self._store.desired(name).versions())

    def _on_versions(
        self, node: str, name: str, versions: list[tuple[bytes, Version, int]]
    ) -> None:
        if not is_name(name):
            return
        desired = self._store.desired(name)
        for key, _, generation in versions:
            if desired.get(key) is not None:
                desired.saw(key, generation)
        self._tell_records(node, name, desired.newer_than(versions))

    def _tell_records(self, node: str, name: str, keys: list[bytes]) -> None:
        desired = self._store.desired(name)
        rows: Rows = []
        size = 0
        for key in keys:
            record = desired.get(key)
            if record is None:
                continue
            more = ROW_BYTES + len(key) + len(record.spec)
            if rows and (len(rows) == CHUNK or size + more > CHUNK_BYTES):
                self._agent.tell(node, "sup_records", name, rows)
                rows, size = [], 0
            rows.append((key, record, desired.generation(key)))
            size += more
        if rows:
            self._agent.tell(node, "sup_records", name, rows)

    def _on_records(self, node: str, name: str, rows: Rows) -> None:
        if not is_name(name):
            return
        for key, record, generation in rows:
            self._take(name, key, record, generation)

    def _on_met(self, node: str, names: list[str], back: bool) -> None:
        for name in self._store.names():
            if name not in names:
                self._tell_records(node, name, self._store.desired(name).newer_than(()))
        self._agent.tell(node, "sup_synced")
        if back:
            self._meet(node, False)

    def _on_sync_done(self, node: str) -> None:
        if node in self._agent.peers and node not in self.synced:
            self.synced[node] = None
            self._on_synced()

    # From time to time

    def tick(self, now: float) -> None:
        """Compare with a random member; meet again whom we have no answer of."""
        self._forget_dropped()
        peers = list(self._agent.peers)
        for node in peers:
            if node not in self.synced and self._agent.peers[node].ready:
                self._meet(node, True)
        if peers and now - self._compared >= COMPARE_SECONDS:
            self._compared = now
            digests = {name: self._store.desired(name).digest for name in self._store.names()}
            self._agent.tell(self._agent.rng.choice(peers), "sup_digests", digests, True)

    def _on_digests(self, node: str, digests: dict[str, int], back: bool) -> None:
        named = {name: digest for name, digest in digests.items() if is_name(name)}
        differ = [n for n, d in named.items() if self._store.desired(n).digest != d]
        for name in differ:
            self._tell_versions(node, name)
        if differ and back:
            ours = {name: self._store.desired(name).digest for name in differ}
            self._agent.tell(node, "sup_digests", ours, False)
