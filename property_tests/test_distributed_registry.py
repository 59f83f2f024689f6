"""The distributed registry against simple models: its index alone, and all of it on three nodes."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from foundation.cluster import registry as reg
from foundation.cluster.registry import Registered, Unregistered, Updated
from foundation.cluster.registry.index import new_index
from foundation.cluster.registry.keys import decode_key, encode_key
from foundation.cluster.registry.record import Change
from foundation.cluster.registry.subscribers import _events
from foundation.cluster.slices import GONE
from foundation.errors import AlreadyRegistered, NotRegistered
from foundation.kernel.codec import dumps
from foundation.kernel.isolation import isolate
from foundation.kernel.ops import receive
from foundation.kernel.values import Pid
from foundation.otp.registry_table import normal_key
from foundation.testing.bodies import Body
from foundation.testing.cluster_sim import ClusterSimulation

atoms = st.one_of(
    st.sampled_from(["a", 0, 1, 0.0, -0.0, 1.0, False, True, None, b"a", Pid("a/w1", 1, 1)]),
    st.integers(),
    st.text(max_size=3).filter(lambda s: s.isprintable()),
    st.floats(allow_nan=False),
)
keys = st.recursive(atoms, lambda inner: st.lists(inner, max_size=2).map(tuple), max_leaves=4)


@settings(max_examples=300, deadline=None)
@given(keys, keys)
def test_equal_keys_of_one_type_and_only_these_have_equal_bytes(one: Any, other: Any) -> None:
    same = normal_key(one) == normal_key(other)
    assert (encode_key(one) == encode_key(other)) == same
    assert normal_key(decode_key(encode_key(one))) == normal_key(one)


# The index alone

NODES = ["a", "b", "c"]
pids = st.builds(Pid, st.sampled_from(["a/w1", "b/w1", "c/w1"]), st.just(1), st.integers(1, 3))
sets = st.tuples(
    st.sampled_from(NODES), st.sampled_from("xy"), pids, st.integers(1, 4), st.integers(0, 2)
)
unsets = st.tuples(st.sampled_from(NODES), st.sampled_from("xy"))
steps = st.lists(st.one_of(sets, unsets, pids), max_size=30)


def _key(name: str, unique: bool, pid: Pid | None = None) -> Any:
    return encode_key(name) if unique else (encode_key(name), Pid("a/w1", 1, 1), 1)


@settings(max_examples=300, deadline=None)
@given(steps, st.booleans())
def test_the_index_shows_what_a_naive_search_finds(steps: list[Any], unique: bool) -> None:
    model: dict[Any, Any] = {}  # (node, key name) -> (pid, token, value)
    dead: set[Pid] = set()
    told: dict[Any, Any] = {}

    def hear(change: Change) -> None:
        for event in _events(index, *change):
            if isinstance(event, Unregistered):
                del told[event.node, event.key]
            elif isinstance(event, Registered):
                assert (event.node, event.key) not in told
                told[event.node, event.key] = (event.pid, event.value)
            else:
                assert isinstance(event, Updated)
                assert told[event.node, event.key][0] == event.pid
                told[event.node, event.key] = (event.pid, event.value)

    index = new_index(unique, "names", isolate, dead.__contains__, hear)
    for step in steps:
        if isinstance(step, Pid):
            dead.add(step)
            index.hide(step)
            if unique:
                model = {k: v for k, v in model.items() if v[0] != step}
            elif step == Pid("a/w1", 1, 1):
                model.clear()
        elif len(step) == 2:
            index.apply(step[0], _key(step[1], unique), GONE)
            model.pop(step, None)
        else:
            node, name, pid, token, value = step
            if not unique:
                pid = Pid("a/w1", 1, 1)
            stored = (pid, token, dumps(value)) if unique else dumps(value)
            index.apply(node, _key(name, unique), stored)
            model[node, name] = (pid, token, value)
            if pid in dead:
                del model[node, name]
        _compare(index, model, told, unique)


def _compare(index: Any, model: dict[Any, Any], told: dict[Any, Any], unique: bool) -> None:
    seen = {}
    for name in "xy":
        found = [(node, *v) for (node, key), v in model.items() if key == name]
        if unique:
            found = sorted(found, key=lambda f: (f[2], f[0], f[1]))[-1:]
        entries = [(e.node, e.pid, e.value) for e in index.lookup(name)]
        assert entries == sorted((node, pid, value) for node, pid, _, value in found)
        seen.update({(node, name): (pid, value) for node, pid, value in entries})
    assert told == seen
    assert len(index) == len(seen) == len(list(index))
    assert len(index._records) == len(model)
    assert sum(map(len, index._by_pid.values())) == len(model)
    if unique:
        contested = [n for n in "xy" if sum(key == n for _, key in model) > 1]
        assert len(index._contest) == len(contested)


# All of it


class Actor:
    """A process that calls the functions of the registry that it is told to."""

    def __init__(self, c: ClusterSimulation, node: str, host: str) -> None:
        self.c = c
        self.node = node
        self.kernel = c.kernel(node, host)
        self.answers: list[Any] = []
        self.body = Body(self._main, ())
        self.body.start(self.kernel)

    async def _main(self) -> None:
        while True:
            name, args = await receive()
            try:
                result = getattr(reg, name)(*args)
                self.answers.append(await result if inspect.isawaitable(result) else result)
            except Exception as error:
                self.answers.append(error)

    @property
    def pid(self) -> Pid:
        """Of the process."""
        assert self.body.pid is not None
        return self.body.pid

    def ask(self, name: str, *args: Any) -> Any:
        """Have a function called; return the result or the error."""
        self.answers.clear()
        self.kernel.deliver(self.pid, (name, args))
        self.c.until(lambda: self.answers, step=0.002)
        return self.answers[0]


class Names(RuleBasedStateMachine):
    """Rules act one after another; after each, all hosts must show what the model says."""

    @initialize(seed=st.integers(0, 10_000))
    def start(self, seed: int) -> None:
        """Form a cluster."""
        self.c = ClusterSimulation(seed=seed, nodes=3, workers=2)
        self.c.form()
        for node in self.c.nodes:
            self.declare(node)
        self.names: dict[Any, tuple[Pid, Any, int]] = {}
        self.topics: list[tuple[Any, Pid, Any]] = []
        self.tokens: dict[Any, int] = {}
        self.actors: list[Actor] = []

    def declare(self, node: str) -> None:
        """Declare both registries on *node*."""

        async def both() -> None:
            await reg.DistributedRegistry.start(name="names")
            await reg.DistributedRegistry.start(name="topics", keys="duplicate")

        self.c.run(node, both)

    def teardown(self) -> None:
        """End the simulation."""
        if hasattr(self, "c"):
            self.c.close()

    @rule(node=st.sampled_from(NODES), host=st.sampled_from(["w1", "w2", "control"]))
    def spawn(self, node: str, host: str) -> None:
        """Another process."""
        if self.c.nodes[node].up and len(self.actors) < 6:
            self.actors.append(Actor(self.c, node, host))

    def pick(self, n: int) -> Actor:
        """Return one of the processes."""
        return self.actors[n % len(self.actors)]

    some = precondition(lambda self: getattr(self, "actors", None))

    @some
    @rule(n=st.integers(0, 5), key=st.sampled_from(["a", 1, True, ("x", 1)]), value=st.integers())
    def register(self, n: int, key: Any, value: int) -> None:
        """Claim a unique key."""
        actor, filed = self.pick(n), normal_key(key)
        got = actor.ask("register", "names", key, value)
        if filed in self.names:
            assert isinstance(got, AlreadyRegistered)
            assert got.pid == self.names[filed][0]
        else:
            assert got > self.tokens.get(filed, 0)
            self.tokens[filed] = got
            self.names[filed] = (actor.pid, value, got)
        assert actor.ask("whereis", "names", key) == self.names[filed][0]

    @some
    @rule(n=st.integers(0, 5), key=st.sampled_from(["a", 1, True, ("x", 1)]))
    def unregister(self, n: int, key: Any) -> None:
        """Give a unique key up, or try to."""
        actor, filed = self.pick(n), normal_key(key)
        assert actor.ask("unregister", "names", key) is None
        if filed in self.names and self.names[filed][0] == actor.pid:
            del self.names[filed]

    @some
    @rule(n=st.integers(0, 5), key=st.sampled_from(["a", 1, True, ("x", 1)]), value=st.integers())
    def update(self, n: int, key: Any, value: int) -> None:
        """Change a value, or try to."""
        actor, filed = self.pick(n), normal_key(key)
        got = actor.ask("update_value", "names", key, value)
        pid, old, token = self.names.get(filed, (None, None, 0))
        if pid == actor.pid:
            assert got == (value, old)
            self.names[filed] = (actor.pid, value, token)
        else:
            assert isinstance(got, NotRegistered)

    @some
    @rule(n=st.integers(0, 5), key=st.sampled_from(["t", 1]), value=st.integers(0, 3))
    def join(self, n: int, key: Any, value: int) -> None:
        """Register a duplicate key."""
        actor = self.pick(n)
        assert actor.ask("register", "topics", key, value) == 0
        self.topics.append((key, actor.pid, value))

    @some
    @rule(n=st.integers(0, 5), key=st.sampled_from(["t", 1]))
    def leave(self, n: int, key: Any) -> None:
        """Give all entries of a duplicate key up."""
        actor = self.pick(n)
        actor.ask("unregister", "topics", key)
        self.topics = [t for t in self.topics if t[:2] != (key, actor.pid)]

    @some
    @rule(n=st.integers(0, 5))
    def kill(self, n: int) -> None:
        """A process dies."""
        actor = self.actors.pop(n % len(self.actors))
        actor.kernel.turn(actor.kernel.die, actor.kernel.procs[actor.pid], "killed")
        self.gone(lambda pid: pid == actor.pid)

    @rule(node=st.sampled_from(NODES), host=st.sampled_from(["w1", "w2"]))
    def crash_host(self, node: str, host: str) -> None:
        """A worker host dies."""
        if self.c.nodes[node].up:
            self.c.nodes[node].crash_host(host)
            self.c.advance(0.1)
            self.gone(lambda pid: pid.host == f"{node}/{host}")

    @rule(node=st.sampled_from(NODES))
    def crash_node(self, node: str) -> None:
        """A node dies, or comes back."""
        if not self.c.nodes[node].up:
            self.c.start(node)
            self.declare(node)
        elif len(self.c.live()) > 1:
            self.c.crash(node)
            self.gone(lambda pid: pid.host.startswith(f"{node}/"))
        self.c.until(self.c.agreed)

    def gone(self, lost: Any) -> None:
        """Forget the processes that are dead."""
        self.actors = [actor for actor in self.actors if not lost(actor.pid)]
        self.names = {k: v for k, v in self.names.items() if not lost(v[0])}
        self.topics = [topic for topic in self.topics if not lost(topic[1])]

    @invariant()
    def all_hosts_show_the_model(self) -> None:
        """Compare."""
        if not hasattr(self, "c"):
            return
        self.c.advance(0.1)
        for node in self.c.live():
            for host in node.hosts.values():
                by_name = host.kernel.tables["distributed registries"].by_name
                names = {
                    r.filed: (e.pid, e.value, e.token)
                    for r in by_name["names"]
                    for e in [by_name["names"].entry(r)]
                }
                assert names == self.names
                index = by_name["topics"]
                found = [(r.key, r.pid, index.entry(r).value) for r in index]
                assert sorted(map(repr, found)) == sorted(map(repr, self.topics))


@pytest.mark.parametrize("machine", [Names])
def test_the_registry_of_three_nodes_follows_a_dictionary(machine: Any) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine, settings=settings(max_examples=40, stateful_step_count=25, deadline=None)
    )


