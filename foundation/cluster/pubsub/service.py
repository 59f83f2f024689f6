"""The agent's side of topics and presences: what the hosts of its node say goes into its tables.

It runs no code of users and looks into no message: topics are strings, what was said about a
presence is bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from foundation.cluster.host import Done
from foundation.cluster.pubsub.pending import Commits
from foundation.cluster.slices import Tables
from foundation.kernel.values import Pid

if TYPE_CHECKING:
    from foundation.cluster.agent import Agent
    from foundation.kernel.kernel import Kernel

TOPICS = "ps:"  # + name: (host, kind, text) -> 1
PRESENCES = "tr:"  # + name: (topic, key, pid) -> (what was said, encoded; ref)


class Owner(Protocol):
    """Who owns the slice of a node."""

    node: str
    tables: Tables

    def put(self, table: str, key: Any, value: Any) -> None:
        """Set an entry."""

    def delete(self, table: str, key: Any) -> None:
        """Remove an entry."""


class Services:
    """Serves the hosts of one node.

    Args:
        owner: of the tables.
        after: calls back when all hosts of all nodes have what was said.
    """

    def __init__(self, owner: Owner, after: Callable[[Callable[[], None]], None]) -> None:
        self._owner = owner
        self._after = after
        self.serves: dict[str, Callable[..., None]] = {
            "ps_join": self._join,
            "ps_leave": self._leave,
            "tr_put": self._put,
            "tr_drop": self._drop,
        }

    def _join(self, origin: str, done: Done, name: str, kind: int, text: str) -> None:
        self._owner.put(TOPICS + name, (origin, kind, text), 1)
        self._after(lambda: done(True, None))

    def _leave(self, origin: str, done: Done, name: str, kind: int, text: str) -> None:
        self._owner.delete(TOPICS + name, (origin, kind, text))
        done(True, None)

    def _put(self, origin: str, done: Done, name: str, entries: list[list[Any]]) -> None:
        for topic, key, pid, said, ref in entries:
            self._owner.put(PRESENCES + name, (topic, key, pid), (said, ref))
        self._after(lambda: done(True, None))

    def _drop(self, origin: str, done: Done, name: str, keys: list[tuple[str, Any, Pid]]) -> None:
        for key in keys:
            self._owner.delete(PRESENCES + name, tuple(key))
        self._after(lambda: done(True, None))

    def forget_host(self, host: str) -> None:
        """A host of this node is gone, with all its processes."""
        owner = self._owner
        for table in owner.tables:
            if table.name.startswith(TOPICS):
                keys = [key for key in table.of(owner.node) if key[0] == host]
            elif table.name.startswith(PRESENCES):
                keys = [key for key in table.of(owner.node) if key[2].host == host]
            else:
                continue
            for key in keys:
                owner.delete(table.name, key)


class Alone:
    """Stands for the cluster and the agent in a program that is a single host."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.node = kernel.address.partition("/")[0]
        self.tables = Tables()
        self.ready: dict[str, None] = {}
        self._serves = Services(self, lambda done: done()).serves

    def put(self, table: str, key: Any, value: Any) -> None:
        """Set an entry."""
        self.tables[table].set(self.node, key, value)

    def delete(self, table: str, key: Any) -> None:
        """Remove an entry."""
        self.tables[table].unset(self.node, key)

    def request(self, service: str, args: tuple[Any, ...], done: Done) -> int:
        """Serve a request at once."""
        self._serves[service](self.kernel.address, done, *args)
        return 0

    def say(self, service: str, *args: Any) -> None:
        """Like ``request``, without an answer."""
        self.request(service, args, lambda ok, value: None)


def serve(agent: Agent) -> None:
    """Have *agent* serve the hosts of its node."""
    services = Services(agent, Commits(agent).after)
    agent.serves.update(services.serves)

    def own_host(host: str, up: bool) -> None:
        if up:  # a new agent knows nothing of the hosts that have lived on
            agent.kernel.remote.op(host, ("ps_again",))
        else:
            services.forget_host(host)

    agent.on_own_host.append(own_host)
    agent.kernel.remote.broadcast(("ps_again",))
