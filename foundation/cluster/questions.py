"""Requests: of hosts to the agent of their node, and of agents to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foundation.cluster.host import Done
from foundation.cluster.peers import AgentPeer

if TYPE_CHECKING:
    from foundation.cluster.agent import Agent


class Questions:
    """What one agent has asked others and not been answered, and how it answers them.

    Each question is answered once: by its answer, or by ``"noconnection"`` when the other node
    goes down or the session with it ends.
    """

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._open: dict[int, tuple[str, Done]] = {}
        self._number = 0

    def __len__(self) -> int:
        return len(self._open)

    def ask(self, node: str, service: str, args: tuple[Any, ...], done: Done) -> None:
        """Have the agent of *node* serve a request."""
        agent = self._agent
        if node == agent.node:
            self._serve(agent.node, service, done, args)
        elif node not in agent.peers:
            done(False, "noconnection")
        else:
            self._number += 1
            self._open[self._number] = (node, done)
            agent.say_to(node, ("ask", self._number, service, args))

    def answered(self, number: int, ok: bool, value: Any) -> None:
        """An answer has come."""
        _, done = self._open.pop(number, ("", None))
        if done is not None:
            done(ok, value)

    def without(self, node: str) -> None:
        """*node* is down, or what it was asked may be lost."""
        for number, (asked, done) in list(self._open.items()):
            if asked == node:
                del self._open[number]
                done(False, "noconnection")

    def asked(
        self, name: str, peer: AgentPeer, number: int, service: str, args: Any
    ) -> None:
        """The agent of *name* asks; the answer belongs to this session."""
        agent, channel = self._agent, peer.channel

        def done(ok: bool, value: Any) -> None:
            if agent.peers.get(name) is peer and peer.channel is channel:
                agent.say_to(name, ("answer", number, ok, value))

        self._serve(name, service, done, args)

    def serve_host(self, host: str, number: int, service: str, args: Any) -> None:
        """A host of this node asks; number 0 wants no answer."""
        agent = self._agent

        def done(ok: bool, value: Any) -> None:
            if not number:
                return
            if host == agent.kernel.address:
                agent.answer(number, ok, value)
            else:
                agent.hosts.say(host, ("cl_answer", number, ok, value))

        self._serve(host, service, done, args)

    def _serve(self, origin: str, service: str, done: Done, args: Any) -> None:
        serve = self._agent.serves.get(service)
        if serve is None:
            done(False, f"this node's cluster has no service {service!r}")
            return
        try:
            serve(origin, done, *args)
        except Exception as error:
            self._agent.notice("error", f"{service!r} of {origin} failed: {error!r}")
            done(False, repr(error))
