"""The cluster as one host of a node sees it: the view, the copies of the tables, events.

In the control host of a node this object is its *agent* (``agent.py``), which talks to the
agents of other nodes; in every other host it follows what its agent says. All that reads goes to
the host's own copies, all that changes something goes to the agent by ``request``.

    worker host                 control host                  control hosts of other nodes
      request ────────────────▶  agent  ◀── channels, SWIM ──▶  agents
      ◀──────── answer, entries, views, events ──

Invariants:
    L1  A host applies what its agent says in the order in which it was said.
    L2  Entries of a node are gone from a host's tables before links, monitors and calls of
        that host to the node are told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from foundation.cluster.slices import GONE, Table, Tables
from foundation.cluster.values import NodeDown, View, ViewChanged
from foundation.kernel.values import Pid

if TYPE_CHECKING:
    from foundation.cluster.config import ClusterConfig
    from foundation.kernel.kernel import Kernel
    from foundation.kernel.process import Process

TABLE = "cluster"  # where a kernel keeps its ClusterHost
HOSTS = "hosts"  # host address -> (incarnation, how to send to it)
SERVICES = "services"  # what placement depends on: which nodes run which supervisors

Done = Callable[[bool, Any], None]  # (whether it worked, the value or an exit reason)


class Binding(Protocol):
    """How a host reaches hosts of other nodes; the runtime's, or the simulator's."""

    def foreign_up(self, address: str, incarnation: int, actor: Any) -> None:
        """A host of another node can be reached."""

    def foreign_down(self, address: str, reason: str) -> None:
        """A host of another node is gone: ``"killed"`` or ``"noconnection"``."""

    def fail(self, text: str) -> None:
        """The node cannot go on, for the reason that *text* gives; in the control host."""


class Wire(Protocol):
    """Carries messages to agents; they may be lost, doubled and reordered."""

    address: str

    def send(self, address: str, payload: bytes) -> None:
        """Send *payload* to the agent at *address*; never blocks or fails."""

    def flush(self) -> None:
        """Write what was sent, instead of in the next round of the loop."""

    def mute(self, addresses: Iterable[str]) -> None:
        """Throw away what goes to and comes from *addresses*, and nothing else."""


class ClusterHost:
    """See the module docstring.

    Args:
        kernel: of this host.
        config: of the cluster.
        binding: reaches the hosts of other nodes.
        agent: address of the control host; None in the control host itself.

    Attributes:
        node: name of this node.
        view: who is in the cluster.
        settled: whether all members agree on the view, and on who runs which service.
        tables: the copies.
        on_view: told of each new view.
        on_node: told ``(node, up, reason)`` of nodes that have come and gone.
        on_close: called when the host ends.
    """

    def __init__(
        self, kernel: Kernel, config: ClusterConfig, binding: Binding, agent: str | None
    ) -> None:
        self.kernel = kernel
        self.config = config
        self.node = kernel.address.partition("/")[0]
        self.view = View(0, ())
        self.ready: dict[str, None] = {}  # nodes whose NodeUp has been told
        self.settled = False
        self.refused = ""  # what another node said when it last did not let this one in
        self.tables = Tables()
        self.on_view: list[Callable[[View], None]] = []
        self.on_node: list[Callable[[str, bool, str], None]] = []
        self.on_close: list[Callable[[], None]] = []
        self._binding = binding
        self._agent = agent
        self._number = 0
        self._asked: dict[int, Done] = {}
        self._subscribers: dict[Pid, None] = {}
        self._waiters: dict[int, tuple[Callable[[], bool], Done, Any]] = {}
        self.tables[HOSTS].listeners.append(self._host_entry)
        kernel.tables[TABLE] = self
        kernel.remote.accept_code = config.accepts_code
        handlers = kernel.remote.handlers
        handlers["cl_set"] = lambda host, *entry: self._on_set(*entry)
        handlers["cl_unset"] = lambda host, *entry: self._on_unset(*entry)
        handlers["cl_view"] = lambda host, *state: self._on_view(*state)
        handlers["cl_down"] = lambda host, node, reason: self._drop_node(node, reason)
        handlers["cl_event"] = lambda host, event: self._on_event(event)
        handlers["cl_refused"] = lambda host, text: self._on_refused(text)
        handlers["cl_answer"] = lambda host, *answer: self.answer(*answer)
        kernel.remote.on_host.append(self._own_host)

    # What the agent says

    def _on_set(self, table: str, node: str, key: Any, value: Any) -> None:
        self.tables[table].set(node, key, value)

    def _on_unset(self, table: str, node: str, key: Any) -> None:
        self.tables[table].unset(node, key)

    def _on_view(self, view: View, settled: bool, ready: list[str]) -> None:
        news = view != self.view
        self.view, self.settled = view, settled
        self.ready = dict.fromkeys(ready)
        if len(view) > 1:
            self.refused = ""
        if news:
            for told in self.on_view:
                told(view)
        self._look_at_waiters()

    def _on_refused(self, text: str) -> None:
        self.refused = text

    def _drop_node(self, node: str, reason: str) -> None:
        hosts = list(self.tables[HOSTS].of(node))
        for table in self.tables:
            if table.name != HOSTS:
                table.drop(node)  # L2
        for address in hosts:
            self._binding.foreign_down(address, "noconnection")
        self.tables[HOSTS].drop(node)
        for told in self.on_node:
            told(node, False, reason)

    def _host_entry(self, node: str, address: str, new: Any, old: Any) -> None:
        if node == self.node:
            return
        if new is GONE:
            self._binding.foreign_down(address, "killed")
        else:
            self._binding.foreign_up(address, *new)

    def _own_host(self, host: str, up: bool) -> None:
        """A host of this node has come or gone. The agent's end is that of the node."""
        if host == self._agent and not up:
            asked, self._asked = self._asked, {}
            members = [m for m in self.view.members if m.name in self.ready]
            gone = [NodeDown(m.name, m, "silent") for m in members]
            for node in list(self.view.names):
                if node != self.node:
                    self._drop_node(node, "noconnection")
            for table in self.tables:
                table.drop(self.node)
            self._on_view(View(0, ()), False, [])
            for event in (*gone, ViewChanged(self.view)):
                self._on_event(event)
            for done in asked.values():
                done(False, "noconnection")

    # Requests

    def request(self, service: str, args: tuple[Any, ...], done: Done) -> int:
        """Have the agent serve a request; *done* gets the outcome.

        Args:
            service: names a function in ``Agent.serves``.
            args: plain values, pids and bytes.
            done: gets ``(ok, value)``, or ``(False, exit reason)``.

        Returns:
            A number for ``forget``.
        """
        self._number += 1
        number = self._number
        self._asked[number] = done
        if self._agent is None:
            self._serve(self.kernel.address, number, service, args)
        elif self._agent in self.kernel.remote.peers:
            self.kernel.remote.op(self._agent, ("cl_ask", number, service, args))
        else:
            del self._asked[number]
            done(False, "noconnection")
        return number

    def forget(self, number: int) -> None:
        """Nobody waits for the answer to that request any more."""
        self._asked.pop(number, None)

    def say(self, service: str, *args: Any) -> None:
        """Like ``request``, without an answer."""
        if self._agent is None:
            self._serve(self.kernel.address, 0, service, args)
        else:
            self.kernel.remote.op(self._agent, ("cl_ask", 0, service, args))

    def _serve(self, host: str, number: int, service: str, args: tuple[Any, ...]) -> None:
        raise NotImplementedError  # only the agent serves

    def answer(self, number: int, ok: bool, value: Any) -> None:
        """The agent has answered a request."""
        done = self._asked.pop(number, None)
        if done is not None:
            done(ok, value)

    # Events

    def subscribe(self, process: Process) -> None:
        """Have *process* told of ``NodeUp``, ``NodeDown`` and ``ViewChanged``."""
        self._subscribers[process.pid] = None
        if process.get_extra("cluster_events") is None:  # one hook, however often it subscribes
            process.set_extra("cluster_events", True)
            process.add_exit_hook(self._subscriber_ends)

    def unsubscribe(self, pid: Pid) -> None:
        """Tell *pid* no more."""
        self._subscribers.pop(pid, None)

    def _subscriber_ends(self, process: Process, reason: Any) -> None:
        self._subscribers.pop(process.pid, None)

    def _on_event(self, event: Any) -> None:
        for pid in list(self._subscribers):
            self.kernel.deliver(pid, event)

    # Waiting

    def wait_until(self, condition: Callable[[], bool], timeout: float, done: Done) -> None:
        """Call ``done(True, view)`` when *condition* holds, ``done(False, view)`` when late.

        It is looked at when a view has come.
        """
        if condition():
            done(True, self.view)
            return
        self._number += 1
        number = self._number

        def late() -> None:
            if self._waiters.pop(number, None) is not None:
                done(False, self.view)
                self.kernel.wake()

        handle = self.kernel.driver.call_later(timeout, late)
        self._waiters[number] = (condition, done, handle)

    def _look_at_waiters(self) -> None:
        for number, (condition, done, handle) in list(self._waiters.items()):
            if condition():
                self._waiters.pop(number, None)
                handle.cancel()
                done(True, self.view)

    def table(self, name: str) -> Table:
        """Return this host's copy of the table *name*."""
        return self.tables[name]

    def close(self) -> None:
        """The host ends."""
        for _, _, handle in self._waiters.values():
            handle.cancel()
        self._waiters.clear()
        for close in self.on_close:
            close()
