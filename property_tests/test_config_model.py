"""Configuration on three nodes against a simple model: a dictionary, and what each node hides."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from foundation import config
from foundation.cluster import ClusterConfig
from foundation.config import ConfigChanged, ConfigVersion, InvalidValue, QuorumNotReached
from foundation.config.names import SERVER, TABLE
from foundation.kernel.ops import exit, receive
from foundation.kernel.values import Pid
from foundation.testing.cluster_sim import ClusterSimulation

NODES = ["a", "b", "c"]
PATHS = ["x", "y.z"]
DEFAULT = -1

nodes = st.sampled_from(NODES)
paths = st.sampled_from(PATHS)
values = st.integers(0, 9)


async def _declare() -> None:
    for path in PATHS:
        await config.declare(path, int, DEFAULT, validator=lambda value: value != 9)


async def _agreed(path: str) -> Any:
    return await config.get(path, consistency="quorum")


async def _listen(heard: list[ConfigChanged]) -> None:
    await config.subscribe()
    while True:
        heard.append(await receive())


async def _try(function: Any, *args: Any, **options: Any) -> Any:
    try:
        return await function(*args, **options)
    except (InvalidValue, QuorumNotReached) as error:
        return error


class Settings(RuleBasedStateMachine):
    """Rules act one after another; after each, every node must show what the model says."""

    @initialize(seed=st.integers(0, 10_000))
    def start(self, seed: int) -> None:
        """Form a cluster."""
        settings = ClusterConfig(strategies=(), expected_size=3)
        self.c = ClusterSimulation(seed, nodes=3, config=settings, app=config.specs())
        self.c.form()
        self.shared: dict[str, int] = {}
        self.numbers = dict.fromkeys(PATHS, 0)
        self.local: dict[str, dict[str, int]] = {node: {} for node in NODES}
        self.apart: str | None = None
        self.stale: dict[str, int] = {}  # what the node apart has of what was shared
        self.heard: dict[str, list[ConfigChanged]] = {}
        self.told: dict[str, dict[str, int]] = {}
        for node in NODES:
            self.prepare(node)

    def prepare(self, node: str) -> None:
        """Declare the paths on a node that has started, and listen there."""
        self.c.until(lambda: self.c.started(node) and self.available(node))
        self.c.run(node, _declare)
        self.heard[node] = []
        self.c.spawn(node, _listen, self.heard[node])
        self.c.advance(0.5)
        self.told[node] = {path: self.expected(node, path) for path in PATHS}

    def available(self, node: str) -> bool:
        """Whether the server of *node* takes part."""
        kernel = self.c.kernel(node, "control")
        pid = kernel.names.lookup(SERVER)
        return pid in kernel.procs and kernel.procs[pid].server.machine.available

    def teardown(self) -> None:
        """End the simulation."""
        if hasattr(self, "c"):
            self.c.close()

    def expected(self, node: str, path: str) -> int:
        """Return what ``get`` must return on *node*."""
        shared = self.stale if node == self.apart else self.shared
        return self.local[node].get(path, shared.get(path, DEFAULT))

    def decides(self, node: str) -> bool:
        """Whether *node* is up and sees a majority."""
        there = [n for n in NODES if self.c.nodes[n].up and n != self.apart]
        return node in there and len(there) >= 2

    @rule(node=nodes, path=paths, value=values)
    def share(self, node: str, path: str, value: int) -> None:
        """Set cluster-wide: a majority can, a minority cannot, and 9 is invalid."""
        if not self.c.nodes[node].up:
            return
        got = self.c.run(node, _try, config.set_cluster_wide, path, value)
        if value == 9:
            assert isinstance(got, InvalidValue)
        elif not self.decides(node):
            assert isinstance(got, QuorumNotReached)
        else:
            self.numbers[path] += 1
            self.shared[path] = value
            assert got == ConfigVersion(self.numbers[path], node)
            assert self.c.run(node, self.get, path) == self.expected(node, path)

    @rule(node=nodes, path=paths)
    def unshare(self, node: str, path: str) -> None:
        """Remove a cluster-wide value."""
        if self.c.nodes[node].up and self.decides(node):
            got = self.c.run(node, _try, config.reset_cluster_wide, path)
            self.numbers[path] += 1
            self.shared.pop(path, None)
            assert got == ConfigVersion(self.numbers[path], node)

    @precondition(lambda self: getattr(self, "apart", "?") is None)
    @rule(path=paths, value=st.integers(0, 8))
    def share_on_all_at_once(self, path: str, value: int) -> None:
        """Every node writes, three times: all are served, one after another."""

        async def write(value: int) -> list[Any]:
            return [await _try(config.set_cluster_wide, path, (value + n) % 9) for n in range(3)]

        up = [node.name for node in self.c.live()]
        writers = [self.c.spawn(node, write, value + 2 * n) for n, node in enumerate(up)]
        self.c.until(lambda: all(writer.ended for writer in writers))
        found = {
            version.number: (version, node, (value + 2 * n + k) % 9)
            for n, (node, writer) in enumerate(zip(up, writers, strict=True))
            for k, version in enumerate(writer.result())
        }
        first = self.numbers[path] + 1
        assert sorted(found) == list(range(first, first + 3 * len(up)))
        assert all(version.node == node for version, node, _ in found.values())
        self.numbers[path] += 3 * len(up)
        self.shared[path] = found[self.numbers[path]][2]

    @precondition(lambda self: getattr(self, "apart", "?") is None)
    @rule(node=nodes, part=st.sampled_from([SERVER, TABLE]))
    def restart_server(self, node: str, part: str) -> None:
        """The server of a node, or its table, ends and is started again: nothing is lost."""
        if len(self.c.live()) == 3:
            pid = self.c.kernel(node, "control").names.lookup(part)
            self.c.run(node, self.kill, pid)
            self.c.advance(0.1)
            self.c.until(lambda: all(self.available(n.name) for n in self.c.live()))

    @rule(node=nodes, path=paths, value=values)
    def override(self, node: str, path: str, value: int) -> None:
        """Set on one node."""
        if self.c.nodes[node].up:
            got = self.c.run(node, _try, config.set, path, value)
            if value == 9:
                assert isinstance(got, InvalidValue)
            else:
                self.local[node][path] = value

    @rule(node=nodes, path=st.one_of(paths, st.none()))
    def undo(self, node: str, path: str | None) -> None:
        """Undo that."""
        if self.c.nodes[node].up:
            self.c.run(node, _try, config.reset, path)
            for each in PATHS if path is None else [path]:
                self.local[node].pop(each, None)

    @rule(node=nodes, path=paths)
    def agree(self, node: str, path: str) -> None:
        """Ask a majority."""
        if self.c.nodes[node].up:
            got = self.c.run(node, _try, _agreed, path)
            if self.decides(node):
                assert got == self.shared.get(path, DEFAULT)
            else:
                assert isinstance(got, QuorumNotReached)

    @precondition(lambda self: getattr(self, "apart", "?") is None)
    @rule(node=nodes)
    def crash_or_start(self, node: str) -> None:
        """A node ends with its memory, or comes back; one at a time is away."""
        if not self.c.nodes[node].up:
            self.c.start(node)
            self.local[node].clear()
            self.prepare(node)
        elif len(self.c.live()) == 3:
            self.c.crash(node)
            self.told.pop(node)
            self.c.until(self.c.agreed)

    @rule(node=nodes)
    def cut_or_heal(self, node: str) -> None:
        """A node is cut off, or the network heals."""
        if self.apart is not None:
            self.c.network.heal()
            self.apart = None
            self.c.until(self.c.agreed)
            self.c.until(lambda: all(self.available(n.name) for n in self.c.live()))
            self.c.advance(2.0)
        elif len(self.c.live()) == 3:
            self.c.advance(0.5)
            self.stale = dict(self.shared)
            self.apart = node
            self.c.isolate([node])

    @staticmethod
    async def kill(pid: Pid) -> None:
        """End a process."""
        exit(pid, "kill")

    @staticmethod
    async def get(path: str) -> Any:
        """Return what *path* has."""
        return config.get(path)

    @invariant()
    def every_node_shows_the_model_and_told_its_subscribers(self) -> None:
        """Compare."""
        if not hasattr(self, "told"):
            return
        self.c.advance(0.5)
        for node in self.c.live():
            told = self.told[node.name]
            for event in self.heard[node.name]:
                path = ".".join(event.path)
                assert event.old == told[path]
                told[path] = event.new
            self.heard[node.name].clear()
            shown = {path: self.c.run(node.name, self.get, path) for path in PATHS}
            assert shown == {path: self.expected(node.name, path) for path in PATHS}
            assert told == shown


def test_configuration_of_three_nodes_follows_a_dictionary() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Settings, settings=settings(max_examples=40, stateful_step_count=25, deadline=None)
    )
