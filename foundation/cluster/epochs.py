"""Epochs: what placement depends on, and whether all members agree on it (A2, ``agent.py``)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from foundation.cluster.host import SERVICES
from foundation.cluster.peers import AgentPeer

if TYPE_CHECKING:
    from foundation.cluster.agent import Agent


class Epochs:
    """The epoch of one agent, and what the others have said of theirs.

    Attributes:
        epoch: a digest of the members, their labels and the table ``services``.
    """

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._marks = 0  # how many epochs this node has marked
        self.epoch = 0

    def look(self) -> None:
        """Something has changed that may be part of the epoch."""
        agent = self._agent
        members = [(m.name, m.generation, m.labels, m.draining) for m in agent.view.members]
        services = sorted(agent.tables[SERVICES].items(), key=lambda item: (item[0], item[1]))
        text = repr((members, services)).encode()
        epoch = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
        if epoch == self.epoch:
            return
        self.epoch = epoch
        for told in agent.on_epoch:
            told(epoch)
        self._marks += 1
        for name, peer in agent.peers.items():
            self.say_mark(name, peer)
        self.unsettle()

    def say_mark(self, name: str, peer: AgentPeer) -> None:
        """Tell *name* that everything it has been told so far was done under earlier epochs."""
        self._agent.say_to(name, ("mark", self.epoch, self._marks, peer.marks))

    def heard_mark(
        self, name: str, peer: AgentPeer, epoch: int, marks: int, seen: int
    ) -> None:
        """*name* has said so; *seen* is the last mark of ours that it had heard by then."""
        peer.mark, peer.seen = epoch, seen
        if marks > peer.marks:  # tell it that it is heard: it may wait for that
            peer.marks = marks
            self.say_mark(name, peer)
        if epoch != self.epoch and self._agent.settled:
            self.unsettle()  # it decides by another one from now on
        else:
            self.look_if_settled()

    def unsettle(self) -> None:
        """Decide nothing until all agree again."""
        self._agent.settled = False
        self.look_if_settled()
        if not self._agent.settled:
            self._agent.show_view()

    def look_if_settled(self) -> None:
        """Go on deciding, if all agree."""
        agent = self._agent
        if agent.settled or len(agent.view) != len(agent.peers) + 1:
            return
        if agent.admission.barred:
            return
        mine = (self.epoch, self._marks)
        if all((p.mark, p.seen) == mine and p.ready for p in agent.peers.values()):
            agent.settled = True
            agent.show_view()
            for told in agent.on_settled:
                told()
