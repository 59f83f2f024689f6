"""Values, patterns, duplicates, subscriptions, names for servers, wrong input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from foundation.cluster import registry as reg
from foundation.cluster.registry import ANY, Registered, Unregistered, Updated
from foundation.errors import (
    AlreadyStarted,
    BlockingCall,
    InvalidChildSpec,
    NoProc,
    NotInProcess,
    NotRegistered,
    NotUnique,
    RegistryError,
    StartError,
    UnknownRegistry,
    Unsendable,
)
from foundation.kernel.codec import dumps, loads
from foundation.kernel.isolation import isolate
from foundation.kernel.kernel import Kernel
from foundation.kernel.ops import call, cast, me, monitor, receive, send, spawn, whereis
from foundation.kernel.values import Down, Pid
from foundation.otp import GenServer
from foundation.testing import Simulation
from foundation.testing.cluster_sim import ClusterSimulation
from tests.cluster.registry.regsim import Oracle, cluster, declare, settle, shown


@dataclass(frozen=True)
class Point:
    """A value."""

    x: int


async def _hold(registry: str, *entries: tuple[Any, Any]) -> None:
    for key, value in entries:
        await reg.register(registry, key, value)
    await receive()


def _holds(c: ClusterSimulation, node: str, *entries: tuple[Any, Any], to: str = "names") -> Pid:
    body = c.spawn(node, _hold, to, *entries)
    c.advance(0.3)
    assert not body.ended
    assert body.pid is not None
    return body.pid


def test_values_travel_and_are_never_shared() -> None:
    async def read() -> None:
        [first] = reg.lookup("names", "list")
        first.value.append(3)
        [second] = reg.lookup("names", "list")
        assert second.value == [1, 2]
        [point] = reg.lookup("names", "point")
        assert point.value == Point(1)
        assert reg.lookup("names", "point")[0] is point  # immutable: shared
        assert reg.values("names", "list") == [[1, 2]]

    with cluster(1) as c:
        _holds(c, "a", ("list", [1, 2]), ("point", Point(1)))
        for node in c.nodes:
            c.run(node, read)


def test_a_value_of_an_unknown_class_hurts_nobody_else() -> None:
    async def read() -> None:
        [entry] = reg.lookup("names", "odd")
        assert "cannot" in str(entry.value) or isinstance(entry.value, Exception)
        assert entry.pid == reg.whereis("names", "odd")
        assert len(reg.select("names")) == 2

    with cluster(1) as c:
        _holds(c, "a", ("odd", 1), ("even", 2))
        for host in c.nodes["b"].hosts.values():
            index = host.kernel.tables["distributed registries"].by_name["names"]
            [record] = index.of_key("odd")
            record._data = b"\xc7\x05\x00hello"  # a pickle that is none
        c.run("b", read)


def test_keys_count_match_and_select() -> None:
    async def read(holder: Pid) -> None:
        assert sorted(reg.keys("names")) == ["x", "y", "z"]
        assert sorted(reg.keys("names", holder)) == ["x", "y"]
        assert reg.keys("names", me()) == []
        assert reg.count("names") == 3
        assert reg.count("names", "x") == 1
        assert reg.count("names", "none") == 0
        assert reg.match("names", "x", int) == reg.lookup("names", "x")
        assert reg.match("names", "x", str) == []
        assert reg.select("names", key="x") == [("x", holder, 1)]
        assert sorted(reg.select("names", pid=holder)) == [("x", holder, 1), ("y", holder, 2)]
        assert [k for k, _, _ in reg.select("names", value=lambda v: v > 2)] == ["z"]
        assert [k for k, _, _ in reg.select("names", lambda k, p, v: k == "y")] == ["y"]
        assert [k for k, _, _ in reg.select("names", node="b")] == ["z"]
        assert reg.values("names", "x", holder) == [1]
        assert reg.values("names", "x", me()) == []

    with cluster(2) as c:
        holder = _holds(c, "a", ("x", 1), ("y", 2))
        _holds(c, "b", ("z", 3))
        c.run("c", read, holder)


def test_keys_are_one_only_when_they_are_of_one_type() -> None:
    keys = [1, 1.0, True, "1", b"1", None, (1,), (1.0,), ((), "a"), 2**70, Pid("a/w1", 1, 1)]

    async def body() -> None:
        for number, key in enumerate(keys):
            await reg.register("names", key, number)
        for number, key in enumerate(keys):
            assert reg.values("names", key) == [number]
        assert [type(k) for k in reg.keys("names")] == [type(k) for k in keys]
        await reg.register("names", 0.0)
        assert reg.lookup("names", -0.0) == reg.lookup("names", 0.0) != []

    with cluster(3) as c:
        c.run("a", body)


@pytest.mark.parametrize("key", [[1], {1: 2}, {1}, (1, [2]), object(), Point(1), frozenset()])
def test_other_keys_are_refused_at_the_call(key: Any) -> None:
    async def body() -> None:
        with pytest.raises(TypeError, match="a str, bytes, int, bool, None, float, Pid"):
            await reg.register("names", key)
        with pytest.raises(TypeError, match="one encoding on all nodes"):
            reg.via("names", key)
        with pytest.raises(TypeError):
            reg.subscribe("names", key)

    with cluster(4, nodes=1) as c:
        c.run("a", body)


def test_wrong_input_is_refused_at_the_call() -> None:
    async def body() -> None:
        for key in (float("nan"), "\ud800", ((((((((((1,),),),),),),),),),)):
            with pytest.raises(ValueError, match="the key "):
                await reg.register("names", key)
        for timeout in (0, -1, "5", None, True, float("inf"), float("nan")):
            with pytest.raises(ValueError, match="timeout must be"):
                await reg.register("names", "k", timeout=timeout)
        with pytest.raises(Unsendable):
            await reg.register("names", "k", (n for n in range(3)))
        for use in (reg.lookup, reg.whereis, reg.token, reg.values, reg.subscribe):
            with pytest.raises(UnknownRegistry, match=r"DistributedRegistry\.spec"):
                use("nowhere", "k")
        with pytest.raises(NotRegistered):
            await reg.update_value("names", "k", 1)
        with pytest.raises(NotRegistered):
            reg.token("names", "k")
        assert reg.lookup("names", "k") == []

    with cluster(5) as c:
        c.run("a", body)
    with pytest.raises(NotInProcess):
        reg.lookup("names", "k")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "needs a name="),
        ({"name": 5}, "needs a name="),
        ({"name": "n", "keys": "both"}, "keys must be"),
        ({"name": "n", "on_conflict": "ask"}, "on_conflict must be"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], says: str) -> None:
    async def start() -> None:
        await reg.DistributedRegistry.start(**options)

    with pytest.raises(InvalidChildSpec, match=says):
        reg.DistributedRegistry.spec(**options)
    with cluster(6, nodes=1) as c, pytest.raises(InvalidChildSpec, match=says):
        c.run("a", start)


def test_it_needs_a_cluster_and_the_control_host() -> None:
    async def start(host: str) -> None:
        await reg.DistributedRegistry.start(name="other", host=host)

    with cluster(7, nodes=1) as c, pytest.raises(StartError, match="only in the control host"):
        c.run("a", start, "w1")

    async def body() -> None:
        with pytest.raises(UnknownRegistry):
            reg.lookup("names", "k")
        with pytest.raises(UnknownRegistry):
            await reg.register("names", "k")

    with Simulation() as alone:
        alone.run(body)


def test_a_plain_def_callback_is_told_to_be_async() -> None:
    class Plain(GenServer):
        def handle_call(self, request: Any, caller: Any) -> Any:
            coroutine = reg.register("names", "k")
            try:
                coroutine.send(None)
            except BlockingCall as error:
                return str(error)
            return None

    async def body() -> str:
        return await call(await Plain.start(), "x")  # type: ignore[no-any-return]

    with cluster(8, nodes=1) as c:
        assert "write it as `async def`" in c.run("a", body)


def test_update_value() -> None:
    async def body() -> None:
        token = await reg.register("names", "k", 1)
        assert await reg.update_value("names", "k", lambda old: old + 1) == (2, 1)
        assert await reg.update_value("names", "k", [7]) == ([7], 2)
        [entry] = reg.lookup("names", "k")
        assert (entry.value, entry.token) == ([7], token)
        assert reg.token("names", "k") == token
        await reg.register("topics", "k", 1)
        assert await reg.update_value("topics", "k", lambda old: old + 1) == (2, 1)
        assert reg.values("topics", "k") == [2]
        await reg.register("topics", "k", 1)
        with pytest.raises(NotUnique):  # which of the two?
            await reg.update_value("topics", "k", 2)
        assert reg.values("topics", "k") == [2, 1]
        assert await reg.update_value("topics", "k", 5, where=lambda v: v == 1) == (5, 1)
        assert reg.values("topics", "k") == reg.values("topics", "k", me()) == [2, 5]
        assert await reg.update_value("topics", "k", 7, where=lambda v: v == 2) == (7, 2)
        assert reg.values("topics", "k") == reg.values("topics", "k", me()) == [7, 5]
        with pytest.raises(NotUnique):
            await reg.update_value("topics", "k", 2, where=lambda _: True)
        with pytest.raises(NotRegistered):
            await reg.update_value("topics", "k", 2, where=lambda v: v == 9)
        assert reg.values("topics", "k") == [7, 5]

    with cluster(9) as c:
        declare(c, name="topics", keys="duplicate")
        c.run("a", body)


# Duplicate keys


def test_duplicate_keys_have_any_number_of_entries() -> None:
    async def body() -> None:
        assert await reg.register("topics", "news", 1) == 0
        await reg.register("topics", "news", 2)
        assert [e.value for e in reg.lookup("topics", "news")][-2:] == [1, 2]
        assert reg.values("topics", "news", me()) == [1, 2]
        assert reg.keys("topics", me()) == ["news", "news"]
        got: list[int] = []
        await reg.dispatch("topics", "news", lambda found: got.append(len(found)))
        await reg.dispatch("topics", "other", lambda found: got.append(-1))

        async def later(found: list[Any]) -> None:
            got.append(len(found))

        await reg.dispatch("topics", "news", later)
        await reg.unregister("topics", "news")
        assert reg.values("topics", "news", me()) == []
        assert got == [4, 4]

    with cluster(10) as c:
        declare(c, name="topics", keys="duplicate")
        for node in c.nodes:
            _holds(c, node, ("news", node), ("news", node), to="topics")
        orders = set()

        async def read() -> tuple[Any, ...]:
            return tuple(reg.lookup("topics", "news"))

        for node in c.nodes:
            orders.add(c.run(node, read))
        assert len(orders) == 1  # all nodes show them in one order
        assert len(next(iter(orders))) == 6
        c.crash("a")
        c.crash("b")
        c.until(c.agreed)
        assert len(c.run("c", read)) == 2

    with cluster(11, nodes=2) as c:
        declare(c, name="topics", keys="duplicate")
        _holds(c, "a", ("news", 1), ("news", 2), to="topics")
        c.run("b", body)


# Subscriptions


def test_subscribers_are_told_of_changes_on_all_nodes() -> None:
    async def watch(key: Any, events: list[Any]) -> None:
        reg.subscribe("names", key)
        reg.subscribe("names", key)
        while (event := await receive()) != "enough":
            events.append(event)
        reg.unsubscribe("names", key)
        await receive()

    async def act() -> None:
        await reg.register("names", "k", 1)
        await reg.update_value("names", "k", 2)
        await reg.update_value("names", "k", 2)
        await reg.unregister("names", "k")
        await reg.register("names", "other", 3)

    with cluster(12) as c:
        everything: list[Any] = []
        one: list[Any] = []
        bodies = [c.spawn("a", watch, ANY, everything), c.spawn("c", watch, "k", one)]
        c.advance(0.1)
        actor = c.spawn("b", act)
        c.advance(0.5)
        pid = actor.pid
        assert pid is not None
        expected = [
            Registered("names", "k", pid, 1, "b"),
            Updated("names", "k", pid, 2, "b"),
            Unregistered("names", "k", pid, "b", "gone"),
        ]
        assert one == expected
        assert everything == [
            *expected,
            Registered("names", "other", pid, 3, "b"),
            Unregistered("names", "other", pid, "b", "gone"),
        ]
        for body in bodies:
            kernel = c.kernel(body.pid.host.partition("/")[0])  # type: ignore[union-attr]
            kernel.deliver(body.pid, "enough")
        c.advance(0.1)
        c.run("b", act)
        c.advance(0.1)
        assert (len(one), len(everything)) == (3, 5)


def test_a_conflict_is_told_as_one() -> None:
    async def watch(events: list[Any]) -> None:
        reg.subscribe("names")
        while True:
            events.append(await receive())

    with cluster(13, nodes=2) as c:
        events: dict[str, list[Any]] = {"a": [], "b": []}
        for node in c.nodes:
            c.spawn(node, watch, events[node])
        c.isolate(["a"])
        c.until(lambda: all(len(n.agent.view) == 1 for n in c.live()))
        oracle = Oracle(c)
        for node in c.nodes:
            oracle.claim(node, "k")
        c.advance(0.5)
        c.network.heal()
        c.until(c.agreed)
        c.advance(1.0)
        oracle.check()
        [winner] = oracle.holding()["k"]
        [loser] = [h for h in oracle.holders if h is not winner]
        said = events[loser.node.name]
        gone = Unregistered("names", "k", loser.body.pid, loser.node.name, "conflict")
        assert said[-2:] == [
            gone, Registered("names", "k", winner.body.pid, None, winner.node.name)
        ]  # fmt: skip
        assert events[winner.node.name][-1].pid == winner.body.pid


@pytest.mark.parametrize("seed", range(5))
def test_what_a_subscriber_was_told_is_what_readers_see(seed: int) -> None:
    async def watch(known: dict[Any, Any]) -> None:
        reg.subscribe("names")
        while True:
            event = await receive()
            if isinstance(event, Unregistered):
                assert known.pop(event.key) == event.pid
            else:
                assert isinstance(event, Updated) or event.key not in known
                known[event.key] = event.pid

    with cluster(seed, nodes=4) as c:
        known: dict[Any, Any] = {}
        watching = c.spawn("a", watch, known)
        oracle = Oracle(c)
        for _ in range(80):
            node = c.random.choice(c.live()).name
            oracle.claim(node, c.random.randrange(6))
            c.random.choice(oracle.holders).tell("stop")
            c.advance(c.random.choice((0.0, 0.01, 0.5)))
            if c.random.random() < 0.1:
                c.isolate([c.random.choice("bcd")])
            elif c.random.random() < 0.1:
                c.network.heal()
        c.advance(0.1)
        assert not watching.ended
        assert known == {key: pid for key, (pid, _) in shown(c)["a/w1"].items()}


# Names for servers


class Counter(GenServer):
    """Counts, and knows its token."""

    def init(self, key: Any = None) -> None:
        """Start."""
        self.key = key
        self.count = 0

    def handle_call(self, request: Any, caller: Any) -> Any:
        """Count, or tell."""
        if request == "token":
            return reg.token("names", self.key)
        self.count += 1
        return self.count

    def handle_cast(self, request: Any) -> Any:
        """Count."""
        self.count += request

    def handle_info(self, message: Any) -> Any:
        """Count."""
        self.count += message


def test_a_name_is_usable_wherever_a_name_is() -> None:
    name = reg.via("names", ("counter", 1), "value")

    async def start() -> Pid:
        return await Counter.start(("counter", 1), name=name)

    async def use(pid: Pid) -> Any:
        assert whereis(name) == pid
        assert await call(name, "next") == 1
        cast(name, 10)
        send(name, 100)
        assert await call(name, "next") == 112
        assert await call(name, "token") == reg.lookup("names", ("counter", 1))[0].token
        assert reg.values("names", ("counter", 1)) == ["value"]
        with pytest.raises(AlreadyStarted) as caught:
            await Counter.start(name=name)
        assert caught.value.pid == pid
        ref = monitor(name)
        from foundation.otp import stop

        await stop(name)
        assert await receive() == Down(ref, name, "normal")
        with pytest.raises(NoProc):
            await call(name, "next")
        return await Counter.start(("counter", 1), name=name)

    with cluster(14) as c:
        pid = c.run("a", start)
        c.advance(0.1)
        again = c.run("b", use, pid)
        c.advance(0.1)
        assert shown(c)["c/w1"][("counter", 1)][0] == again
    assert loads(dumps(name), allow_pickle=False) == name
    assert isolate(name) is name
    assert hash(name) == hash(reg.via("names", ("counter", 1)))


def test_a_name_of_a_wrong_registry_fails_the_start() -> None:
    async def start(registry: str) -> None:
        await Counter.start(name=reg.via(registry, 1))

    async def resolve() -> None:
        with pytest.raises(NotUnique):
            await call(reg.via("topics", 1), "x")
        with pytest.raises(UnknownRegistry):
            await call(reg.via("nowhere", 1), "x")

    with cluster(15) as c:
        declare(c, name="topics", keys="duplicate")
        with pytest.raises(StartError, match="needs unique keys"):
            c.run("a", start, "topics")
        with pytest.raises(StartError, match="unknown distributed registry"):
            c.run("a", start, "nowhere")
        c.run("a", resolve)


def test_a_claim_whose_agent_is_gone_fails() -> None:
    async def claim() -> None:
        await reg.register("names", "k")

    with cluster(16, nodes=1) as c:
        kernel: Kernel = c.kernel("a")
        kernel.turn(kernel.remote.host_down, "a/control", "killed")
        with pytest.raises(RegistryError, match=r"noconnection|unknown"):
            c.run("a", claim)




def test_a_subscriber_outlives_its_registry() -> None:
    async def watch(events: list[Any]) -> None:
        reg.subscribe("names", "k")
        while True:
            event = await receive()
            events.append((type(event), event.pid))

    async def end() -> None:
        from foundation.otp import stop

        await stop("names")

    with cluster(17) as c:
        events: list[Any] = []
        c.spawn("a", watch, events)
        pid = _holds(c, "b", ("k", 1))
        c.run("a", end)
        c.advance(0.1)
        declare(c, "a")
        c.advance(0.1)
        assert events == [(Registered, pid), (Unregistered, pid), (Registered, pid)]


def test_a_subscriber_that_ends_is_forgotten() -> None:
    async def watch() -> None:
        reg.subscribe("names")
        reg.subscribe("names", "k")

    with cluster(18) as c:
        c.run("a", watch)
        subscribers = c.kernel("a").tables["distributed registries"]._subscribers
        assert not subscribers._by_topic
        assert not subscribers._by_pid


def test_errors_travel() -> None:
    for error in (
        reg.ClaimTimeout("names", "k", 0.5, "a reason"),
        reg.UnknownDistributedRegistry("names"),
    ):
        back: Any = loads(dumps(error))
        assert (type(back), str(back), vars(back)) == (type(error), str(error), vars(error))


def test_a_process_registers_another_of_its_host() -> None:
    async def body() -> tuple[Pid, Pid]:
        one, two = spawn(receive), spawn(receive)
        token = await reg.register("names", "k", 1, pid=one)
        await reg.register("topics", "k", 1, pid=one)
        await reg.register("topics", "k", 2, pid=two)
        assert reg.whereis("names", "k") == one
        assert [(e.pid, e.value) for e in reg.lookup("topics", "k")] == [(one, 1), (two, 2)]
        assert await reg.update_value("names", "k", 5, pid=one) == (5, 1)
        assert await reg.update_value("topics", "k", 6, pid=two) == (6, 2)
        assert reg.lookup("names", "k")[0].token == token
        assert [(e.pid, e.value) for e in reg.lookup("topics", "k")] == [(one, 1), (two, 6)]
        with pytest.raises(NotRegistered):  # not with the caller's own hands
            await reg.update_value("names", "k", 7)
        await reg.unregister("topics", "k")
        assert reg.count("topics", "k") == 2
        await reg.unregister("topics", "k", pid=one)
        assert [e.pid for e in reg.lookup("topics", "k")] == [two]
        return one, two

    async def end(one: Pid, two: Pid) -> None:
        send(one, "end")
        send(two, "end")

    with cluster(12) as c:
        declare(c, name="topics", keys="duplicate")
        one, two = c.run("a", body)
        c.advance(1.0)
        assert c.run("b", lambda: reg.whereis("names", "k")) == one
        c.run("a", end, one, two)
        c.advance(1.0)
        for node in c.nodes:  # the entries end with the process, not with who made them
            assert c.run(node, lambda: reg.count("names") + reg.count("topics")) == 0


def test_only_living_processes_of_this_host_are_registered_by_others() -> None:
    async def body(elsewhere: Pid) -> None:
        dead = spawn(lambda: None)
        ref = monitor(dead)
        await receive(lambda message: message.ref == ref)
        for write in (reg.register, reg.unregister, reg.update_value):
            args = ("names", "k", 1)[: 2 if write is reg.unregister else 3]
            with pytest.raises(NoProc):
                await write(*args, pid=dead)
            with pytest.raises(ValueError, match="call this there"):
                await write(*args, pid=elsewhere)
            with pytest.raises(TypeError):
                await write(*args, pid="a")
        assert reg.count("names") == 0

    with cluster(13) as c:
        c.run("a", body, c.run("a", lambda: spawn(receive), host="control"))


def test_a_process_that_ends_while_another_claims_a_key_for_it_gets_none() -> None:
    async def body() -> None:
        other = spawn(receive)
        spawn(send, other, "end")
        with pytest.raises(NoProc):
            await reg.register("names", "k", pid=other)

    with cluster(14) as c:
        c.network.cut("a", "b")  # the claim waits, as nobody agrees with a
        c.network.cut("a", "c")
        c.advance(0.3)
        c.run("a", body)
        c.network.heal()
        settle(c)
        assert c.run("b", lambda: reg.count("names")) == 0
