"""Checks that a discovery strategy keeps the contract of ``foundation.cluster.discovery``.

Subclass in a test module::

    class TestMyStrategy(StrategyConformance):
        seconds = 3.0

        @pytest.fixture(autouse=True)
        def world(self, tmp_path):
            self.path = tmp_path          # each test has a world of its own

        def make(self, me):
            return MyStrategy(self.path)

pytest then collects the tests that the subclass inherits.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest

from foundation.cluster.discovery.addresses import canonical
from foundation.cluster.discovery.protocol import Advertisement, Strategy
from foundation.testing.conditions import eventually
from foundation.testing.system_leaks import SystemState, system_leaks

Body = Callable[["Nodes"], Awaitable[None]]


class Node:
    """One node of a test: a strategy, and what it has named.

    Attributes:
        me: what the node advertises.
        strategy: started, unless it is made by ``Nodes.make``.
        named: all addresses that it passed to ``found``, or returned, in order.
    """

    def __init__(self, me: Advertisement, strategy: Strategy, seconds: float) -> None:
        self.me = me
        self.strategy = strategy
        self.named: list[str] = []
        self._seconds = seconds  # in which each call must return

    def found(self, addresses: Iterable[str]) -> None:
        """Take what the strategy names unasked, as the runner does: without ever raising."""
        self.named.extend(map(_spelled, addresses))

    async def start(self) -> None:
        """Start the strategy."""
        async with asyncio.timeout(self._seconds):
            await self.strategy.start(self.me, self.found)

    async def discover(self) -> list[str]:
        """Poll once."""
        async with asyncio.timeout(self._seconds):
            answer = list(map(_spelled, await self.strategy.discover()))
        self.named.extend(answer)
        return answer

    async def close(self) -> None:
        """Close the strategy."""
        async with asyncio.timeout(self._seconds):
            await self.strategy.close()


class Nodes:
    """The nodes of one test, in one world."""

    def __init__(self, make: Callable[[Advertisement], Strategy], seconds: float) -> None:
        self._make = make
        self._seconds = seconds
        self._all: list[Node] = []

    def make(self, name: str) -> Node:
        """Return a node that is not started; *name* is a letter."""
        address = f"127.0.0.1:{4000 + ord(name)}"
        me = Advertisement("conformance", f"node-{name}", address)
        node = Node(me, self._make(me), self._seconds)
        self._all.append(node)
        return node

    async def start(self, name: str) -> Node:
        """Return a started node."""
        node = self.make(name)
        await node.start()
        return node

    async def finds(self, finder: Node, other: Node) -> None:
        """Wait until *finder* names *other*, from now on."""
        finder.named.clear()

        async def named() -> bool:
            with contextlib.suppress(Exception):  # that may happen; the runner tries again
                await finder.discover()
            return other.me.address in finder.named

        named.__qualname__ = f"{finder.me.node} finds {other.me.node}"
        await eventually(named, self._seconds)

    async def close(self) -> None:
        """Close all strategies."""
        for node in self._all:
            await node.close()


class StrategyConformance:
    """The tests; override ``make``, and the rest as needed.

    Attributes:
        seconds: in which nodes find each other, and each call returns.
        mutual: whether a node finds one that starts later; a list that is written beforehand
            need not contain it.
        grace: seconds after which nothing may be left of what was closed.
    """

    seconds: float = 5.0
    mutual: bool = True
    grace: float = 2.0

    def make(self, me: Advertisement) -> Strategy:
        """Return a fresh strategy, not started, for the node *me* in the world of this test."""
        raise NotImplementedError("override make(me)")

    def break_world(self) -> None:
        """Make looking fail (stop the server, remove the directory); optional."""
        pytest.skip("break_world() is not overridden")

    def mend_world(self) -> None:
        """Undo ``break_world``."""

    def poison_world(self) -> None:
        """Put rubbish where strategies look, as a buggy or hostile neighbour would; optional."""
        pytest.skip("poison_world() is not overridden")

    def check(self, body: Body) -> None:
        """Run *body* on an event loop of its own; fail on leaks and unhandled exceptions."""
        before = SystemState.now()
        unhandled: list[dict[str, Any]] = []
        asyncio.run(self._checked(body, unhandled))
        assert unhandled == []
        assert system_leaks(before, self.grace) == []

    async def _checked(self, body: Body, unhandled: list[dict[str, Any]]) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: unhandled.append(context))
        nodes = Nodes(self.make, self.seconds)
        try:
            await body(nodes)
        finally:
            await nodes.close()
        # A task that was cancelled needs a turn of the loop to end.
        await eventually(_no_other_task, self.grace)

    # The tests

    def test_has_the_form_of_a_strategy(self) -> None:
        strategy = self.make(Advertisement("conformance", "node-a", "127.0.0.1:4000"))
        assert isinstance(strategy, Strategy)
        assert isinstance(strategy.name, str)
        assert strategy.name

    def test_can_be_pickled_before_it_starts(self) -> None:
        async def body(nodes: Nodes) -> None:
            a, b = await nodes.start("a"), nodes.make("b")
            b.strategy = pickle.loads(pickle.dumps(b.strategy))
            try:
                await b.start()
                await nodes.finds(b, a)
            finally:
                await b.close()

        self.check(body)

    def test_finds_the_others(self) -> None:
        async def body(nodes: Nodes) -> None:
            a = await nodes.start("a")
            b = await nodes.start("b")
            c = await nodes.start("c")
            await nodes.finds(b, a)
            await nodes.finds(c, a)
            await nodes.finds(c, b)
            if self.mutual:
                await nodes.finds(a, b)
                await nodes.finds(a, c)

        self.check(body)

    def test_alone_it_names_nobody_else(self) -> None:
        async def body(nodes: Nodes) -> None:
            a = await nodes.start("a")
            assert [each for each in await a.discover() if each != a.me.address] == []

        self.check(body)

    def test_keeps_naming_who_is_there(self) -> None:
        async def body(nodes: Nodes) -> None:
            a, b = await nodes.start("a"), await nodes.start("b")
            for _ in range(5):
                await nodes.finds(b, a)

        self.check(body)

    def test_close_is_idempotent(self) -> None:
        async def body(nodes: Nodes) -> None:
            a = nodes.make("a")
            await a.close()
            await a.start()
            await a.close()
            await a.close()

        self.check(body)

    def test_close_does_not_wait_for_discover(self) -> None:
        async def body(nodes: Nodes) -> None:
            a = await nodes.start("a")
            polling = asyncio.ensure_future(a.discover())
            await asyncio.sleep(0)
            await a.close()
            polling.cancel()
            await asyncio.wait([polling])
            if not polling.cancelled():
                polling.exception()  # it may fail, now that it is closed

        self.check(body)

    def test_survives_the_end_of_another(self) -> None:
        async def body(nodes: Nodes) -> None:
            a, b = await nodes.start("a"), await nodes.start("b")
            await nodes.finds(b, a)
            await a.close()
            await b.discover()
            c = await nodes.start("c")
            await nodes.finds(c, b)
            if self.mutual:
                await nodes.finds(b, c)

        self.check(body)

    def test_a_node_can_come_back(self) -> None:
        async def body(nodes: Nodes) -> None:
            a = await nodes.start("a")
            await a.close()
            again = await nodes.start("a")
            b = await nodes.start("b")
            await nodes.finds(b, again)

        self.check(body)

    def test_start_works_after_close(self) -> None:
        # The runner does that when a start has failed.
        async def body(nodes: Nodes) -> None:
            a, b = await nodes.start("a"), nodes.make("b")
            await b.start()
            await b.close()
            await b.start()
            await nodes.finds(b, a)

        self.check(body)

    def test_a_cancelled_discover_does_no_harm(self) -> None:
        async def body(nodes: Nodes) -> None:
            a, b = await nodes.start("a"), await nodes.start("b")
            for turns in range(4):
                polling = asyncio.ensure_future(b.discover())
                for _ in range(turns):
                    await asyncio.sleep(0)
                polling.cancel()
                await asyncio.wait([polling])
            await nodes.finds(b, a)

        self.check(body)

    def test_a_cancelled_start_leaves_nothing(self) -> None:
        async def body(nodes: Nodes) -> None:
            for turns in range(4):
                a = nodes.make("a")
                starting = asyncio.ensure_future(a.start())
                for _ in range(turns):
                    await asyncio.sleep(0)
                starting.cancel()
                await asyncio.wait([starting])
                await a.close()

        self.check(body)

    def test_recovers_when_the_world_does(self) -> None:
        async def body(nodes: Nodes) -> None:
            a, b = await nodes.start("a"), await nodes.start("b")
            await nodes.finds(b, a)
            self.break_world()
            # An error, an empty answer or the truth are all fine, or to wait until given up.
            with contextlib.suppress(Exception):
                await b.discover()
            self.mend_world()
            for node in (a, b):  # each may have to announce itself again
                with contextlib.suppress(Exception):
                    await node.discover()
            await nodes.finds(b, a)

        self.check(body)

    def test_survives_rubbish(self) -> None:
        async def body(nodes: Nodes) -> None:
            a, b = await nodes.start("a"), await nodes.start("b")
            self.poison_world()
            await nodes.finds(b, a)
            self.poison_world()
            await nodes.finds(b, a)
            c = await nodes.start("c")
            await nodes.finds(c, b)

        self.check(body)


def _no_other_task() -> bool:
    others = sorted(
        task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()
    )
    assert not others, f"tasks are left: {others}"
    return True


def _spelled(address: object) -> str:
    """Return *address* as the runner compares it; what is malformed, as it is."""
    try:
        return canonical(address)
    except ValueError:
        return str(address)
