"""Many protocol machines, a network that harms, and an oracle; all from one seed."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from foundation.config.protocol.machine import Machine
from foundation.config.protocol.values import (
    ABSENT,
    SUCCESSOR,
    Applied,
    Configuration,
    Greet,
    Outcome,
    Path,
    Record,
    Send,
)
from foundation.kernel.values import Pid


@dataclass
class Asked:
    """One read or write by a client, and how it ended."""

    kind: str
    path: Path
    value: bytes | None
    at: float
    ended: float = float("inf")
    outcome: Outcome | None = None
    then: Callable[[], object] | None = None  # called when it has ended


class Oracle:
    """What must hold of what the machines say, where a size is expected.

    One number of one path has one value; what is said to be refused never is; reads and writes
    are linearizable: what ends before another begins has a lower number, or for a read no higher.
    """

    def __init__(self) -> None:
        self.decided: dict[tuple[Path, int], tuple[Any, Any]] = {}
        self.asked: list[Asked] = []

    def applied(self, path: Path, record: Record) -> None:
        """A machine has applied *record*."""
        self._note(path, record.number, record.op, record.value)
        for number, op in record.history():
            known = self.decided.get((path, number))
            assert known is None or known[0] == op, f"{path} {number}: {known} and {op}"

    def _note(self, path: Path, number: int, op: Any, value: Any) -> None:
        known = self.decided.setdefault((path, number), (op, value))
        assert known == (op, value), f"{path} {number}: {known} and {(op, value)}"

    def ended(self, asked: Asked, outcome: Outcome, now: float, strict: bool) -> None:
        """A client has its answer."""
        assert asked.outcome is None, f"a second answer {outcome} after {asked.outcome}"
        asked.outcome, asked.ended = outcome, now
        record = outcome.record
        if record is not None and record.number and strict:
            self._note(asked.path, record.number, record.op, record.value)

    def check(self) -> None:
        """Look at the whole history."""
        for path in dict.fromkeys(asked.path for asked in self.asked):
            self._check_path([a for a in self.asked if a.path == path])
        decided = [(path, *found) for (path, _), found in self.decided.items()]
        assert len({op for _, op, _ in decided}) == len(decided), "a write took effect twice"
        values = {value for _, _, value in decided}
        for asked in self.asked:
            if asked.kind == "write" and asked.outcome and asked.outcome.kind == "refused":
                assert asked.value not in values, f"{asked} was refused and is there"

    def _check_path(self, asked: list[Asked]) -> None:
        done = [a for a in asked if a.outcome is not None and a.outcome.kind == "done"]
        for late in done:
            number = _number(late)
            before = [_number(a) for a in done if a.ended < late.at]
            highest = max(before, default=0)
            low = number <= highest if late.kind == "write" else number < highest
            assert not low, f"{late} began after number {highest} was known"
        writes = [_number(a) for a in done if a.kind == "write"]
        assert len(set(writes)) == len(writes), "two writes have one number"

    def acknowledged(self) -> dict[Path, int]:
        """Return the highest number that anybody was told of, by path."""
        found: dict[Path, int] = {}
        for asked in self.asked:
            if asked.outcome is not None and asked.outcome.kind == "done":
                found[asked.path] = max(found.get(asked.path, 0), _number(asked))
        return found


def _number(asked: Asked) -> int:
    assert asked.outcome is not None
    assert asked.outcome.record is not None
    return asked.outcome.record.number


@dataclass
class Node:
    """The present life of one node."""

    name: str
    machine: Machine
    told: dict[str, int] = field(default_factory=dict)  # whose lives it was told are up
    awake: float = float("inf")  # when it is ticked next


class World:
    """Machines of some nodes in a network.

    Args:
        seed: decides everything.
        names: of the nodes.
        expected: as ``ClusterConfig.expected_size``.
        loss: share of the messages that are lost; *double*, that come twice.
        delay: seconds that a message takes at most.

    Attributes:
        passes: whether a message from one node to another arrives.
    """

    def __init__(
        self,
        seed: int,
        names: list[str],
        expected: int | None,
        *,
        loss: float = 0.0,
        double: float = 0.0,
        delay: float = 0.02,
    ) -> None:
        self.rng = random.Random(seed)
        self.names = names
        self.expected = expected
        self.loss, self.double, self.delay = loss, double, delay
        self.now = 0.0
        self.nodes: dict[str, Node] = {}
        self.cuts: set[tuple[str, str]] = set()
        self.oracle = Oracle()
        self.passes: Callable[[str, str, Any], bool] = lambda source, name, message: True
        self.clients: dict[int, Asked] = {}
        self._lives = 0
        self._events: list[tuple[float, int, Any, tuple[Any, ...]]] = []
        self._serial = 0

    # Time

    def later(self, delay: float, function: Any, *args: Any) -> None:
        """Call *function* after *delay* seconds."""
        self._serial += 1
        heapq.heappush(self._events, (self.now + delay, self._serial, function, args))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self._events and self._events[0][0] <= end:
            self.now, _, function, args = heapq.heappop(self._events)
            function(*args)
        self.now = end

    def until(self, condition: Any, seconds: float = 20.0) -> float:
        """Let time pass until *condition* holds; return how much did."""
        start = self.now
        while not condition():
            assert self.now - start < seconds, f"not within {seconds} s: {self.describe()}"
            self.run(0.01)
        return self.now - start

    def describe(self) -> str:
        """Say what the machines are doing."""
        return "; ".join(
            f"{n.name}: {n.machine.acceptor.configuration}"
            f" sealed={n.machine.acceptor.successor} sees={list(n.machine.peers.known)}"
            for n in self.nodes.values()
        )

    # Nodes

    def start(self, name: str, applied: dict[Path, Record] | None = None) -> Node:
        """Start a node; it knows nothing but *applied*."""
        self._lives += 1
        life = Pid(f"{name}/control", self._lives, 7)
        rng = random.Random(self.rng.random())
        machine = Machine(life, name, self.expected, rng, applied)
        node = self.nodes[name] = Node(name, machine)
        machine.start(self.now, [])
        self._after(node)
        for other in list(self.nodes):
            if other != name:
                self._look(name, other)
                self._look(other, name)
        return node

    def crash(self, name: str) -> None:
        """End a node with its memory."""
        del self.nodes[name]
        for other in list(self.nodes):
            self._look(other, name)

    def restart(self, name: str) -> None:
        """End the server of a node and start another one, which its host tells what was decided."""
        applied = dict(self.nodes[name].machine.applied)
        self.crash(name)
        self.start(name, applied)

    def cut(self, one: str, other: str, *, both: bool = True) -> None:
        """Lose what *one* says to *other*, and the other way round."""
        self.cuts.add((one, other))
        if both:
            self.cuts.add((other, one))
        self._look(one, other)
        self._look(other, one)

    def heal(self) -> None:
        """Let everybody hear everybody."""
        cuts, self.cuts = self.cuts, set()
        for one, other in sorted(cuts):
            self._look(one, other)
            self._look(other, one)

    def _look(self, name: str, other: str) -> None:
        """After a while *name* is told whether *other* is up."""
        node = self.nodes.get(name)
        if node is not None:
            self.later(self.rng.uniform(0.0, 0.4), self._tell, node, other)

    def _tell(self, node: Node, other: str) -> None:
        if self.nodes.get(node.name) is not node:
            return
        cut = (node.name, other) in self.cuts or (other, node.name) in self.cuts
        there = other in self.nodes and not cut
        life = id(self.nodes.get(other)) if there else 0
        if node.told.get(other, 0) == life:
            return
        if node.told.get(other, 0):
            node.machine.node_down(other, self.now)
        node.told[other] = life
        if there:
            node.machine.node_up(other, self.now)
        self._after(node)

    # What machines ask for

    def _after(self, node: Node) -> None:
        effects, node.machine.effects[:] = list(node.machine.effects), []
        for effect in effects:
            if isinstance(effect, Send):
                self._send(node.name, effect.to.host.partition("/")[0], effect.to, effect.message)
            elif isinstance(effect, Greet):
                self._send(node.name, effect.node, None, effect.message)
            elif isinstance(effect, Applied):
                if self.expected is not None:
                    self.oracle.applied(effect.path, effect.record)
            else:
                assert isinstance(effect, Outcome)
                strict = self.expected is not None
                asked = self.clients.pop(effect.token)
                self.oracle.ended(asked, effect, self.now, strict)
                if asked.then is not None:
                    self.later(0.0, asked.then)
        wake = node.machine.next_wake
        if wake < node.awake:
            node.awake = wake
            self.later(max(0.0, wake - self.now), self._tick, node)

    def _tick(self, node: Node) -> None:
        if self.nodes.get(node.name) is node and node.awake <= self.now:
            if node.machine.next_wake <= self.now:
                node.machine.tick(self.now)
            node.awake = float("inf")
            self._after(node)

    def _send(self, source: str, name: str, life: Any, message: Any) -> None:
        for _ in range(2 if self.rng.random() < self.double else 1):
            if self.rng.random() >= self.loss:
                slow = 50 if self.rng.random() < 0.01 else 1
                late = self.rng.uniform(0.0, self.delay) * slow
                self.later(late, self._arrive, source, name, life, message)

    def _arrive(self, source: str, name: str, life: Any, message: Any) -> None:
        node = self.nodes.get(name)
        if node is None or (source, name) in self.cuts:
            return
        if not self.passes(source, name, message):
            return
        if life is not None and node.machine.me != life:
            return
        node.machine.receive(message, self.now)
        self._after(node)

    # Clients

    def ask(
        self, name: str, kind: str, path: Path, value: bytes | None = None, timeout: float = 2.0
    ) -> Asked:
        """Have the machine of *name* read or write."""
        self._serial += 1
        token = self._serial
        asked = Asked(kind, path, value, self.now)
        self.oracle.asked.append(asked)
        self.clients[token] = asked
        machine = self.nodes[name].machine
        if kind == "write":
            machine.write(token, path, value, self.now + timeout, self.now)
        else:
            machine.read(token, path, self.now + timeout, self.now)
        self._after(self.nodes[name])
        return asked

    def do(self, name: str, kind: str, path: Path, value: bytes | None = None) -> Outcome:
        """As ``ask``, and wait for the outcome."""
        asked = self.ask(name, kind, path, value)
        self.until(lambda: asked.outcome is not None)
        assert asked.outcome is not None
        return asked.outcome

    def keep_writing(self, name: str, path: Path, times: int, timeout: float) -> list[Asked]:
        """Have *name* write *times* times, each when the one before has ended; return them all."""
        found: list[Asked] = []

        def again() -> None:
            if len(found) < times and name in self.nodes:
                value = f"{name} {self._serial}".encode()
                asked = self.ask(name, "write", path, value, timeout)
                found.append(asked)
                if asked.outcome is None:
                    asked.then = again
                else:
                    self.later(0.0, again)

        again()
        return found

    # What is seen

    def value(self, name: str, path: Path) -> Record:
        """Return what *name* has applied."""
        return self.nodes[name].machine.applied.get(path, ABSENT)

    def settled(self) -> bool:
        """Whether all nodes that are up are available, in one configuration of just them."""
        machines = [node.machine for node in self.nodes.values()]
        lives = tuple(sorted(machine.me for machine in machines))
        return all(
            m.available and m.acceptor.configuration.members == lives for m in machines
        ) and all(m.applied == machines[0].applied for m in machines)

    def may_crash(self, name: str) -> bool:
        """Whether a majority of the latest configuration keeps its memory without *name*."""
        acceptors = [node.machine.acceptor for node in self.nodes.values()]
        latest = max(a.configuration.number for a in acceptors)
        known = [a.configuration for a in acceptors]
        known += [a.successor for a in acceptors if a.successor is not None]
        known += [
            Configuration.of(a.registers[SUCCESSOR].record.value)
            for a in acceptors
            if SUCCESSOR in a.registers and a.registers[SUCCESSOR].record.number
        ]
        left = [node.machine for node in self.nodes.values() if node.name != name]
        return latest > 0 and all(
            sum(m.me in c.members and m.acceptor.configuration.number >= latest - 1 for m in left)
            >= c.majority
            for c in known
            if c.number >= latest - 1 and c.number > 0
        )
