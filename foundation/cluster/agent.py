"""The agent of a node: the cluster's side of its control host.

It drives three machines without I/O of their own: membership (``membership/swim.py``), one
``Channel`` for each other agent, and the tables that agents copy from each other. What the
features of the cluster add stands in *services*, which use only what is public here.

Placement (who arbitrates a name, who runs a child) is a function of the *epoch*: the members,
their labels, and the table ``services``. An agent that has installed an epoch says so to all
others, after everything it did under earlier ones (its *mark*). An epoch is *settled* when all
members have marked it: then each knows all that was decided before, and only then is anything
decided under it. This is view synchrony (Birman and Joseph, 1987), for as long as the members
see the same members; ``registry`` and ``supervisor`` say what happens beyond.

Invariants:
    A1  What one agent says to another arrives in order, in one session (``channel.py``).
    A2  An agent decides by an epoch only while all members' latest mark is that epoch's, and
        was said after they had heard this agent's own: epochs come again (a service stops and
        starts), and a mark of an earlier time must not pass for one of now.
    A3  ``NodeUp`` is told once hosts of both nodes can talk to each other; ``NodeDown`` after
        everything that crossed to the node was settled.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from foundation.cluster.admission import Admission
from foundation.cluster.barriers import Barriers
from foundation.cluster.epochs import Epochs
from foundation.cluster.host import HOSTS, SERVICES, Binding, ClusterHost, Done, Wire
from foundation.cluster.membership.records import Record
from foundation.cluster.membership.swim import Swim
from foundation.cluster.own_hosts import OwnHosts
from foundation.cluster.peers import AgentPeer
from foundation.cluster.questions import Questions
from foundation.cluster.sessions import Sessions
from foundation.cluster.slices import GONE
from foundation.cluster.values import Member, NodeDown, NodeUp, ViewChanged, labels_of
from foundation.kernel.codec import dumps, loads
from foundation.kernel.reports import Notice

if TYPE_CHECKING:
    from foundation.cluster.config import ClusterConfig
    from foundation.kernel.kernel import Kernel

PROTOCOL = (1, 1)  # the versions of what agents say that this one speaks: lowest, highest
SLICE_ENTRIES = 200  # in one item while a slice is sent as a whole ...
SLICE_BYTES = 256 * 1024  # ... which is cut smaller when it is longer than this


class Agent(ClusterHost):
    """See the module docstring.

    Args:
        kernel: of the control host.
        config: of the cluster.
        binding: reaches the hosts of other nodes.
        wire: reaches other agents.
        generation: which life of this node; above all earlier ones.
        me: how others send to this host, for ``HOSTS``.

    Attributes:
        serves: by service: ``serve(origin, done, *args)`` for requests of hosts of this node
            (*origin* is a host address) and of other agents (a node's name).
        hears: by service: ``hear(node, *args)`` for what agents tell each other.
        on_settled: told when an epoch is settled.
        on_epoch: told of a new epoch, before this node marks it.
        on_own_host: told ``(address, up)`` of hosts of this node, before their ends are told.
        on_unreachable: told the address of an agent that is down.
    """

    def __init__(
        self,
        kernel: Kernel,
        config: ClusterConfig,
        binding: Binding,
        wire: Wire,
        *,
        generation: int,
        me: Any = None,
    ) -> None:
        super().__init__(kernel, config, binding, None)
        self.wire = wire
        self.rng = random.Random(config.seed)
        self.swim = Swim(
            name=self.node,
            address=wire.address,
            generation=generation,
            cluster=config.name,
            labels=labels_of(dict(config.labels)),
            timing=config.timing,
            rng=self.rng,
            versions=PROTOCOL,
            expected=config.expected_size,
        )
        self.peers: dict[str, AgentPeer] = {}
        self.serves: dict[str, Callable[..., None]] = {}
        self.hears: dict[str, Callable[..., None]] = {}
        self.on_settled: list[Callable[[], None]] = []
        self.on_epoch: list[Callable[[int], None]] = []
        self.on_own_host: list[Callable[[str, bool], None]] = []
        self.on_unreachable: list[Callable[[str], None]] = []
        self.admission = Admission(self)
        self.epochs = Epochs(self)
        self.questions = Questions(self)
        self.barriers = Barriers(self)
        self.sessions = Sessions(self)
        self._flushing = False
        self.hosts = OwnHosts(kernel)
        self._timer: Any = None
        self._timer_at = 0.0
        self._left = False
        self.tables[SERVICES].listeners.append(self._service_entry)
        kernel.remote.handlers["cl_ask"] = self._serve
        self.put(HOSTS, kernel.address, (kernel.incarnation, me))
        for address in kernel.remote.neighbours:
            self._own_host(address, True)

    @property
    def epoch(self) -> int:
        """What placement depends on now, as a number."""
        return self.epochs.epoch

    # Time and wire

    def start(self) -> None:
        """Begin to be a member, alone at first."""
        self.kernel.turn(self._begin)

    def _begin(self) -> None:
        self.swim.start(self.kernel.driver.now())
        self._new_view()
        self._after()

    def candidates(self, addresses: Iterable[str]) -> None:
        """Discovery has found agents."""
        self.kernel.turn(self._run_swim, self.swim.candidates, list(addresses))

    def lost(self, address: str, refused: bool) -> None:
        """The connection to that agent broke; *refused*: nobody listens there any more."""
        self.kernel.turn(self._run_swim, self.swim.lost, address, refused)

    def update(self, *, labels: Any = None, draining: bool | None = None) -> None:
        """Change what this node says of itself."""
        now = self.kernel.driver.now()
        kind = labels_of(labels) if labels is not None else None
        self.swim.update(now, labels=kind, draining=draining)
        self._new_view()
        self.flush_soon()

    def leave(self) -> None:
        """Tell all others that this node leaves; nothing is heard or said afterwards."""
        if not self._left:
            self.swim.leave(self.kernel.driver.now())
            self._send_swim()
            self._left = True
            if self._timer is not None:
                self._timer.cancel()

    def _run_swim(self, method: Callable[..., None], *args: Any) -> None:
        if not self._left:
            method(self.kernel.driver.now(), *args)
            self._after()

    def _tick(self) -> None:
        self._timer = None
        if not self.kernel.closed:
            self.kernel.turn(self._ticked)

    def _ticked(self) -> None:
        now = self.kernel.driver.now()
        if self._left:
            return
        if now >= self.swim.next_wake:
            self.swim.tick(now)
        self.sessions.tick(now)
        self._after()

    def _after(self) -> None:
        """After each input: act on what the machines say, send, set the timer."""
        while self.swim.events:
            events, self.swim.events[:] = list(self.swim.events), []
            for event in events:
                self._swim_event(*event)
        self._send_swim()
        self.sessions.flush()
        self.wire.flush()
        self._set_timer()

    def _send_swim(self) -> None:
        messages, self.swim.outbox[:] = list(self.swim.outbox), []
        for address, message in messages:
            self.wire.send(address, dumps(message))

    def _set_timer(self) -> None:
        at = min(self.swim.next_wake, self.sessions.next_wake)
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        now = self.kernel.driver.now()
        self._timer_at = at
        self._timer = self.kernel.driver.call_later(max(0.0, at - now), self._tick)

    def flush_soon(self) -> None:
        """Send what has gathered, in the next turn of the loop."""
        if not self._flushing:
            self._flushing = True
            self.kernel.driver.call_soon(self._flush_now)

    def _flush_now(self) -> None:
        self._flushing = False
        if not self._left and not self.kernel.closed:
            self._after()
            self.kernel.wake()

    def receive(self, sender: str, payload: bytes) -> None:
        """Take a message from the agent at *sender*."""
        self.kernel.turn(self._received, sender, payload)

    def _received(self, sender: str, payload: bytes) -> None:
        if self._left:
            return
        try:
            message: Any = loads(payload, allow_pickle=False)
            code = message[0]
            if code == "ch":
                self.sessions.packet(sender, *message[1:])
            elif code == "relay":
                self._on_relay(*message[1:])
            else:
                self.swim.receive(self.kernel.driver.now(), sender, message)
        except Exception as error:  # whatever a peer says, the agent lives on
            self.notice("warning", f"a message of {sender} was dropped: {error!r}")
        self._after()

    def _on_relay(self, name: str, origin: str, payload: bytes) -> None:
        """Pass a packet on to a member that its sender cannot reach directly."""
        if name == self.node:
            self._received(origin, payload)
        elif name in self.peers:
            address = self.peers[name].record.address
            self.wire.send(address, dumps(("relay", name, origin, payload)))

    def item(self, name: str, peer: AgentPeer, item: bytes) -> None:
        """Act on what the agent of *name* said."""
        code = "?"
        try:
            parts: Any = loads(item)
            code, *args = parts
            self._ITEMS[code](self, name, peer, *args)
        except Exception as error:  # the items after it are no worse for it
            self.notice("error", f"what {name} said ({code!r}) failed: {error!r}")

    def begin_session(self, name: str, peer: AgentPeer, theirs: int = 0) -> None:
        """Say all there is to say, in a new session; what is known of the peer stays meanwhile."""
        self.sessions.begin(peer, theirs)
        self.questions.without(name)
        self.say_to(name, ("terms", self.admission.terms()))
        for table in self.tables:
            entries = list(table.of(self.node).items())
            for start in range(0, len(entries), SLICE_ENTRIES):
                self._say_slice(name, table.name, entries[start : start + SLICE_ENTRIES])
        self.say_to(name, ("end",))
        self.epochs.say_mark(name, peer)
        self.barriers.again(name)
        self.barriers.one(name, lambda: self._heard_us(name, peer))
        self.epochs.unsettle()

    def _say_slice(self, name: str, table: str, entries: list[tuple[Any, Any]]) -> None:
        item = dumps(("slice", table, entries))
        if len(item) > SLICE_BYTES and len(entries) > 1:
            half = len(entries) // 2
            self._say_slice(name, table, entries[:half])
            self._say_slice(name, table, entries[half:])
        else:
            self.sessions.say_bytes(name, item)

    def say_to(self, name: str, item: tuple[Any, ...]) -> None:
        """Say *item* to the agent of the member *name*."""
        self.sessions.say(name, item)

    # Tables

    def put(self, table: str, key: Any, value: Any) -> None:
        """Set an entry of this node's slice, here and on all hosts of all nodes.

        *key* and *value* are plain values, pids or bytes.
        """
        if self.tables[table].set(self.node, key, value):
            self.sessions.say_lazily(("set", table, key, value))
            self.hosts.say_lazily(("cl_set", table, self.node, key, value))

    def delete(self, table: str, key: Any) -> None:
        """Remove an entry of this node's slice."""
        if self.tables[table].unset(self.node, key):
            self.sessions.say_lazily(("unset", table, key))
            self.hosts.say_lazily(("cl_unset", table, self.node, key))

    def _on_slice(
        self, name: str, peer: AgentPeer, table: str, entries: list[tuple[Any, Any]]
    ) -> None:
        if peer.staging is not None:
            peer.staging.setdefault(table, {}).update(map(tuple, entries))

    def _on_end(self, name: str, peer: AgentPeer) -> None:
        staging, peer.staging = peer.staging or {}, None
        for table in dict.fromkeys((HOSTS, *(t.name for t in self.tables), *staging)):
            entries = staging.get(table, {})
            have = self.tables[table].of(name)
            for key in [key for key in have if key not in entries]:
                self._unset_copy(name, peer, table, key)
            for key, value in entries.items():
                if have.get(key, GONE) != value:
                    self._set_copy(name, peer, table, key, value)
        self.barriers.own_hosts(lambda: self._applied(name, peer))

    def _set_copy(self, name: str, peer: AgentPeer, table: str, key: Any, value: Any) -> None:
        if self.tables[table].set(name, key, value):
            self.hosts.say_lazily(("cl_set", table, name, key, value))

    def _unset_copy(self, name: str, peer: AgentPeer, table: str, key: Any) -> None:
        if self.tables[table].unset(name, key):
            self.hosts.say_lazily(("cl_unset", table, name, key))

    def _service_entry(self, node: str, key: Any, new: Any, old: Any) -> None:
        self.epochs.look()

    # Hosts of this node

    def _own_host(self, host: str, up: bool) -> None:
        if up:
            actor = getattr(self._binding, "actors", {}).get(host)
            self.put(HOSTS, host, (self.kernel.remote.peers[host].incarnation, actor))
            self._dump(host)
        for told in self.on_own_host:
            told(host, up)
        if not up:
            self.delete(HOSTS, host)

    def _dump(self, host: str) -> None:
        """Tell a new host of this node all there is."""
        for table in self.tables:
            for node, key, value in table.items():
                self.hosts.say(host, ("cl_set", table.name, node, key, value))
        self.hosts.say(host, ("cl_view", self.view, self.settled, list(self.ready)))

    # Membership

    def _swim_event(self, kind: str, *args: Any) -> None:
        if kind == "up":
            self._up(args[0])
        elif kind == "down":
            self._down(args[0])
        elif kind == "changed":
            peer = self.peers.get(args[0].name)
            if peer is not None:
                peer.record = args[0]
            self._new_view()
        elif kind == "refused":
            self.admission.refused(*args)
        elif kind == "conflict":
            self.admission.conflict(*args)
        elif kind == "warning":
            self.notice("warning", f"cluster {self.config.name!r}: {args[0]}")

    def _up(self, record: Record) -> None:
        if record.name in self.peers:
            self._down(record)
        peer = self.peers[record.name] = AgentPeer(record)
        self._new_view()
        self.begin_session(record.name, peer)

    def _down(self, record: Record) -> None:
        peer = self.peers.pop(record.name, None)
        if peer is None:
            return
        reason = "left" if record.status == "left" else record.reason or "silent"
        if reason == "left":
            self.admission.left(record.name)
        self.barriers.without(record.name)
        self.ready.pop(record.name, None)
        self.hosts.say_all(("cl_down", record.name, reason))
        self._drop_node(record.name, reason)
        self.questions.without(record.name)
        for told in self.on_unreachable:
            told(peer.record.address)
        self._new_view()
        if peer.ready:
            self.event(NodeDown(record.name, _member(peer.record), reason))

    def _new_view(self) -> None:
        view = self.swim.view()
        if view != self.view:
            self._on_view(view, False, list(self.ready))
            self.epochs.look()
            self.event(ViewChanged(view))

    def _heard_us(self, name: str, peer: AgentPeer) -> None:
        peer.heard_us = True
        self._look_if_ready(name, peer)

    def _applied(self, name: str, peer: AgentPeer) -> None:
        peer.applied = True
        self._look_if_ready(name, peer)

    def _look_if_ready(self, name: str, peer: AgentPeer) -> None:
        if not (peer.heard_us and peer.applied) or self.peers.get(name) is not peer:
            return
        if not peer.ready:
            peer.ready = True
            self.admission.admitted()
            self.ready[name] = None
            for told in self.on_node:
                told(name, True, "up")
            self.event(NodeUp(name, _member(peer.record)))
        self.epochs.look_if_settled()

    def show_view(self) -> None:
        """Tell all hosts of this node who is there and whether all agree."""
        state = (self.view, self.settled, list(self.ready))
        self._on_view(*state)
        self.hosts.say_all(("cl_view", *state))

    # Requests and what agents tell each other

    def _serve(self, host: str, number: int, service: str, args: Any) -> None:
        self.questions.serve_host(host, number, service, args)

    def ask(self, node: str, service: str, args: tuple[Any, ...], done: Done) -> None:
        """Have the agent of *node* serve a request; *done* gets the outcome, always."""
        self.questions.ask(node, service, args, done)

    def tell(self, node: str, service: str, *args: Any) -> None:
        """Have the agent of *node* hear something, in order; dropped when it is down."""
        if node == self.node:
            self.hears[service](node, *args)
        elif node in self.peers:
            self.say_to(node, ("tell", service, args))

    def tell_lazily(self, node: str, service: str, *args: Any) -> None:
        """As ``tell``, of another node, together with what is said next or a little later."""
        if node in self.peers:
            self.sessions.say_lazily(("tell", service, args), (node,))

    def _on_tell(self, name: str, peer: AgentPeer, service: str, args: Any) -> None:
        self.hears[service](name, *args)

    # What processes are told

    def event(self, event: Any) -> None:
        """Tell the subscribers on all hosts of this node."""
        self._on_event(event)
        self.hosts.say_all(("cl_event", event))

    def show_refusal(self, text: str) -> None:
        """Let the hosts of this node know why another one did not let it in."""
        self._on_refused(text)
        self.hosts.say_all(("cl_refused", text))

    def fail(self, text: str) -> None:
        """This node cannot go on."""
        self.notice("error", text)
        self._binding.fail(text)

    def notice(self, level: str, text: str) -> None:
        """Write to the log."""
        self.kernel.driver.report(Notice(level, text))

    def close(self) -> None:
        """The host ends."""
        super().close()
        self._left = True
        if self._timer is not None:
            self._timer.cancel()

    _ITEMS: dict[str, Callable[..., None]] = {
        "slice": _on_slice,
        "end": _on_end,
        "set": _set_copy,
        "unset": _unset_copy,
        "terms": lambda self, name, peer, terms: self.admission.heard_terms(name, terms),
        "mark": lambda self, name, peer, *mark: self.epochs.heard_mark(name, peer, *mark),
        "ask": lambda self, name, peer, *ask: self.questions.asked(name, peer, *ask),
        "answer": lambda self, name, peer, *answer: self.questions.answered(*answer),
        "tell": _on_tell,
        "sync": lambda self, name, peer, number: self.barriers.asked(name, number),
        "synced": lambda self, name, peer, number: self.barriers.answered(name, number),
    }


def _member(record: Record) -> Member:
    return Member(
        record.name, record.generation, record.address, record.labels, record.draining
    )
