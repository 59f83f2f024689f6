"""A network in virtual time for many membership machines: deterministic, without asyncio.

Importable by itself; the benchmark uses ``steady_state_bytes``.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from random import Random
from typing import Any

from foundation.cluster.membership import Record, Swim
from foundation.cluster.timing import LAN, Timing
from foundation.kernel.codec import dumps, loads


class Node:
    """One machine and what the network does to it."""

    def __init__(self, net: Net, swim: Swim, address: str) -> None:
        self.net = net
        self.swim = swim
        self.name = swim.name
        self.address = address
        self.running = True
        self.paused = False
        self.inbox: list[tuple[str, Any]] = []
        self.wake = float("inf")
        self.log: list[tuple[float, tuple[Any, ...]]] = []

    def happened(self, kind: str, name: str | None = None) -> list[tuple[float, Record]]:
        """Return when and with what record events of *kind* came."""
        return [
            (at, event[1])
            for at, event in self.log
            if event[0] == kind and (name is None or event[1].name == name)
        ]

    def do(self, method: str, *args: Any, **kwargs: Any) -> None:
        """Call an input of the machine, now."""
        getattr(self.swim, method)(self.net.now, *args, **kwargs)
        self.net.after(self)

    def names(self) -> list[str]:
        return [record.name for record in self.swim.members()]


class Net:
    """The nodes, the clock and the faults. Times in seconds."""

    def __init__(
        self,
        seed: int = 0,
        *,
        loss: float = 0.0,
        latency: tuple[float, float] = (0.0002, 0.005),
        duplicate: float = 0.0,
        timing: Timing = LAN,
        check: bool = True,
        encode: bool = False,
        size: bool = False,
    ) -> None:
        self.seed = seed
        self.rng = Random(seed)
        self.loss = loss
        self.latency = latency
        self.duplicate = duplicate
        self.timing = timing
        self.check = check
        self.encode = encode
        self.size = size
        self.now = 1000.0
        self.bytes = 0
        self.messages = 0
        self.nodes: dict[str, Node] = {}  # by name
        self.at: dict[str, Node] = {}  # by address
        self.last_sign: dict[str, float] = {}  # address -> when a message from it arrived last
        self.cuts: dict[tuple[str, str], None] = {}  # (from, to) addresses
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = 0

    # Nodes

    def add(
        self,
        name: str,
        *,
        seeds: Iterable[str] = (),
        address: str | None = None,
        generation: int = 1,
        **kwargs: Any,
    ) -> Node:
        """Start a node; *seeds* are names of nodes that its discovery finds."""
        address = address or f"10.0.0.{name}:7000"
        options = {"cluster": "c", "timing": self.timing, **kwargs}
        rng = Random(self.rng.getrandbits(48))
        swim = Swim(name=name, address=address, generation=generation, rng=rng, **options)
        node = Node(self, swim, address)
        self.nodes[name] = self.at[address] = node
        swim.start(self.now)
        found = [self.nodes[seed].address for seed in seeds]
        if found:
            swim.candidates(self.now, found)
        self.after(node)
        return node

    def cluster(self, size: int) -> list[Node]:
        """Start *size* nodes that find the first, and wait until all know all."""
        nodes = [self.add("n0")]
        nodes += [self.add(f"n{index}", seeds=["n0"]) for index in range(1, size)]
        self.until(self.agreed, 30)
        return nodes

    def running(self) -> list[Node]:
        return [node for node in self.nodes.values() if node.running]

    def agreed(self) -> bool:
        """Whether all running nodes see exactly the running nodes, alive, of the same life."""
        running = self.running()
        want = sorted((n.name, n.swim.generation, "alive") for n in running)
        return all(
            [(r.name, r.generation, r.status) for r in node.swim.members()] == want
            for node in running
        )

    def crash(self, name: str) -> None:
        """Stop *name* at once; nobody is told."""
        node = self.nodes[name]
        node.running = False
        if self.at.get(node.address) is node:
            del self.at[node.address]

    def kill(self, name: str, delay: float = 0.001) -> None:
        """Stop *name*'s process: connected nodes see a reset and a refused reconnect."""
        self.crash(name)
        address = self.nodes[name].address
        for node in self.running():
            self.later(delay, self._reset, node, address)

    def _reset(self, node: Node, address: str) -> None:
        if node.running and address not in self.at:
            node.do("lost", address, True)

    def pause(self, name: str, seconds: float) -> None:
        """*name* does nothing for so long; its messages wait."""
        node = self.nodes[name]
        if node.running and not node.paused:
            node.paused = True
            self.later(seconds, self._resume, node)

    def _resume(self, node: Node) -> None:
        node.paused = False
        if not node.running:
            return
        tick_first = self.rng.random() < 0.5
        if tick_first:
            self._tick(node)
        inbox, node.inbox = node.inbox, []
        for sender, message in inbox:
            node.swim.receive(self.now, sender, message)
            self.after(node)
        self._tick(node)

    def cut(self, froms: Iterable[str], tos: Iterable[str]) -> None:
        """Drop what goes from the ones to the others (one direction), by name."""
        tos = list(tos)
        for a in froms:
            for b in tos:
                if a != b:
                    self.cuts[self.nodes[a].address, self.nodes[b].address] = None

    def split(self, ones: Iterable[str], others: Iterable[str]) -> None:
        """Cut both directions."""
        ones, others = list(ones), list(others)
        self.cut(ones, others)
        self.cut(others, ones)

    def heal(self) -> None:
        self.cuts.clear()

    # Time

    def later(self, delay: float, function: Callable[..., None], *args: Any) -> None:
        self._number += 1
        heapq.heappush(self._heap, (self.now + delay, self._number, function, args))

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        self._run_to(self.now + seconds)

    def _run_to(self, end: float) -> None:
        heap = self._heap
        while heap and heap[0][0] <= end:
            self.now, _, function, args = heapq.heappop(heap)
            function(*args)
        self.now = end

    def until(self, condition: Callable[[], bool], seconds: float, step: float = 0.01) -> float:
        """Run until *condition* holds; return how long that took."""
        start = self.now
        while not condition():
            assert self.now - start < seconds, f"not within {seconds} s, seed {self.seed}"
            self._run_to(self.now + step)
        return self.now - start

    # Between machine and network

    def after(self, node: Node) -> None:
        """Send and note what an input has brought; set the next wake."""
        swim = node.swim
        if self.check:
            swim.check()
        if swim.events:
            node.log.extend((self.now, event) for event in swim.events)
            swim.events.clear()
        if swim.outbox:
            messages = swim.outbox[:]
            swim.outbox.clear()
            for address, message in messages:
                self._send(node.address, address, message)
        wake = swim.next_wake
        if wake < node.wake:
            node.wake = wake
            self.later(max(0.0, wake - self.now), self._woken, node, wake)

    def _woken(self, node: Node, wake: float) -> None:
        if wake != node.wake:
            return
        node.wake = float("inf")
        if node.running and not node.paused:
            if node.swim.next_wake <= self.now:
                self._tick(node)
            else:
                self.after(node)

    def _tick(self, node: Node) -> None:
        for _ in range(3):  # what one part does may make something due in another
            node.swim.tick(self.now)
            if node.swim.next_wake > self.now:
                break
        else:
            raise AssertionError("ticks leave something undone")
        self.after(node)

    def _send(self, sender: str, address: str, message: Any) -> None:
        self.messages += 1
        if self.size or self.encode:
            data = dumps(message)
            self.bytes += len(data)
            if self.encode:
                message = loads(data, allow_pickle=False)
        rng = self.rng
        if (sender, address) in self.cuts or (self.loss and rng.random() < self.loss):
            return
        low, high = self.latency
        self.later(low + (high - low) * rng.random(), self._deliver, sender, address, message)
        if self.duplicate and rng.random() < self.duplicate:
            self.later(high + rng.random(), self._deliver, sender, address, message)

    def _deliver(self, sender: str, address: str, message: Any) -> None:
        node = self.at.get(address)
        if node is None:
            return
        if node.paused:
            node.inbox.append((sender, message))
        else:
            self.last_sign[sender] = self.now
            node.swim.receive(self.now, sender, message)
            self.after(node)


def steady_state_bytes(nodes: int, seconds: float = 60.0, seed: int = 1) -> float:
    """Return the bytes per second that each of *nodes* sends when nothing happens."""
    net = Net(seed, check=False, size=True)
    net.cluster(nodes)
    net.run(5.0)
    net.bytes = 0
    net.run(seconds)
    return net.bytes / seconds / nodes
