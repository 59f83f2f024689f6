"""Nodes that join while a trace of all nodes runs: the server where it was started has them begin.

``Guests`` is the book-keeping; ``invite`` is done by a process of its own, one at a time, so that
each guest is told of all who took part before it.
"""

from __future__ import annotations

from typing import Any

from foundation.kernel.ops import send
from foundation.scope.asking import NODE_SECONDS, ask_nodes, sorted_out
from foundation.scope.messages import Begin, Busy, Join
from foundation.scope.tracer import Spec

WAITING = "it has joined, and is not traced yet"


class Guests:
    """Who takes part in one trace, and who is to.

    Attributes:
        partners: the hosts that take part, and their incarnations.
        joined: those of them that came later.
        absent: the nodes that are here and do not take part, and why.
        busy: whether a node is being invited.
    """

    def __init__(self) -> None:
        self.partners: dict[str, int] = {}
        self.joined: dict[str, int] = {}
        self.absent: dict[str, str] = {}
        self.busy = False
        self._next: dict[str, None] = {}

    def told(self, partners: dict[str, int], members: tuple[str, ...]) -> None:
        """These hosts take part; a member of which there is none joined in between."""
        self.partners |= partners
        there = {host.partition("/")[0]: None for host in self.partners}
        for node in members:
            if node not in there and node not in self.absent:
                self.came(node)

    def came(self, node: str) -> None:
        """A node has joined."""
        self._next[node] = None
        self.absent[node] = WAITING

    def next(self) -> str | None:
        """Return the node to invite now, if there is one."""
        if self.busy or not self._next:
            return None
        self.busy = True
        node = next(iter(self._next))
        del self._next[node]
        return node

    def invited(self, node: str, hosts: dict[str, int], why: str) -> None:
        """This is what came of an invitation."""
        self.busy = False
        self.partners |= hosts
        self.joined |= hosts
        if node not in self._next:  # it has not come anew
            self.absent.pop(node, None)
        if why:
            self.absent[node] = why


async def invite(server: Any, spec: Spec, node: str, partners: dict[str, int]) -> None:
    """Have *node* take part in the trace *spec* with *partners*; tell *server* of it."""
    answers = await ask_nodes([node], Begin(spec), NODE_SECONDS)
    hosts, missing = sorted_out(answers)
    answer = answers[node]
    if isinstance(answer, Busy):
        missing[node] = f"it has joined, and the trace {answer.name!r} runs on it"
    if hosts:
        others = dict.fromkeys(host.partition("/")[0] for host in partners)
        await ask_nodes([node], Join(spec.id, partners | hosts), NODE_SECONDS)
        await ask_nodes([n for n in others if n != node], Join(spec.id, hosts), NODE_SECONDS)
    why = "; ".join(f"{who}: {text}" if who != node else text for who, text in missing.items())
    send(server, ("invited", spec.id, node, hosts, why))


__all__ = ["Guests", "invite"]
