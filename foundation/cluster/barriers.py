"""Waiting until other nodes, with all their hosts, have applied what was said to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from foundation.otp import registry_host

if TYPE_CHECKING:
    from foundation.cluster.agent import Agent


BLOCKED = 0.5  # seconds


class Barriers:
    """The barriers that one agent waits for.

    What an agent says arrives in order, so the answer to a last item says that all before it
    was applied. A node that goes down is not waited for.
    """

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._number = 0
        self._open: dict[int, tuple[dict[str, None], Callable[[], None]]] = {}

    def own_hosts(self, done: Callable[[], None], but: str | None = None) -> None:
        """Call *done* when all hosts of this node have applied what was said so far.

        A host that is blocked by a callback is not waited for longer than ``BLOCKED``: nobody
        there can look until it has come back to what it was told.

        *but*: the address of a host that need not be waited for, as *done* says something to it.
        """
        self._agent.hosts.release()
        registry_host.install(self._agent.kernel).sync.all(done, but, BLOCKED)

    def one(self, node: str, done: Callable[[], None]) -> None:
        """Call *done* when *node* has; never when it goes down before."""
        self._start([node], done)

    def all(self, done: Callable[[], None]) -> None:
        """Call *done* when this node and all others have."""

        def here() -> None:
            if self._agent.peers:
                self._start(self._agent.peers, done)
            else:
                done()

        self.own_hosts(here)

    def _start(self, nodes: Iterable[str], done: Callable[[], None]) -> None:
        self._number += 1
        waiting = dict.fromkeys(nodes)
        self._open[self._number] = (waiting, done)
        for node in waiting:
            self._agent.say_to(node, ("sync", self._number))

    def asked(self, node: str, number: int) -> None:
        """The agent of *node* waits for us."""

        def answer() -> None:
            if node in self._agent.peers:
                self._agent.say_to(node, ("synced", number))

        self.own_hosts(answer)

    def answered(self, node: str, number: int) -> None:
        """*node* has applied all up to that barrier."""
        barrier = self._open.get(number)
        if barrier is None:
            return
        waiting, done = barrier
        waiting.pop(node, None)
        if not waiting:
            del self._open[number]
            done()

    def again(self, node: str) -> None:
        """A new session with *node* has begun: what it was asked may be lost."""
        for number, (waiting, _) in self._open.items():
            if node in waiting:
                self._agent.say_to(node, ("sync", number))

    def without(self, node: str) -> None:
        """*node* is down."""
        for number, (waiting, done) in list(self._open.items()):
            if node in waiting:
                del waiting[node]
                if not waiting:
                    del self._open[number]
                    done()
