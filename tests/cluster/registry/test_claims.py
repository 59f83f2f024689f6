"""Unique keys: claims, races, fencing tokens, deaths."""

from __future__ import annotations

from typing import Any

import pytest

from foundation.cluster import registry as reg
from foundation.cluster.registry import ClaimTimeout, DistributedRegistry, Entry
from foundation.errors import AlreadyRegistered, NotUnique, UnknownRegistry
from foundation.kernel.ops import exit, me, monitor, receive
from foundation.kernel.values import Down, Pid
from foundation.testing.cluster_sim import ClusterSimulation, Faults
from tests.cluster.registry.regsim import Oracle, cluster, declare, host_of, settle, shown

SEEDS = range(6)


@pytest.mark.parametrize("seed", SEEDS)
def test_register_then_lookup_finds_it_on_the_same_node(seed: int) -> None:
    async def body() -> tuple[int, list[Entry]]:
        token = await reg.register("names", ("user", 7), {"age": 3})
        return token, reg.lookup("names", ("user", 7))

    with cluster(seed, workers=2) as c:
        for node in c.nodes:
            token, found = c.run(node, body)
            assert [(e.value, e.token, e.node) for e in found] == [({"age": 3}, token, node)]
            c.advance(0.1)


def test_all_hosts_of_the_node_have_the_entry_when_register_returns() -> None:
    async def body() -> None:
        await reg.register("names", "k")
        assert "k" in shown(c)["a/w2"]
        await reg.update_value("names", "k", 5)
        assert host_of(c, "a", "w2").by_name["names"].lookup("k")[0].value == 5
        await reg.unregister("names", "k")
        assert "k" not in shown(c)["a/w2"]

    with cluster(0, workers=2) as c:
        send, loop = c.network.send_frame, c.loop

        def slow(source: str, destination: str, frame: bytes) -> None:
            late = 0.05 if destination == "a/w2" else 0.0
            loop.call_later(late, send, source, destination, frame)

        c.network.send_frame = slow
        c.run("a", body)


async def _hold(key: Any, value: Any = None) -> None:
    await reg.register("names", key, value)
    await receive()


@pytest.mark.parametrize("seed", SEEDS)
def test_of_a_hundred_racers_one_wins_and_all_others_learn_who(seed: int) -> None:
    with cluster(seed, nodes=5, workers=2) as c:
        for prize in range(5):
            oracle = Oracle(c, strict=True)
            _race(c, oracle, 100, prize)
            c.until(lambda: all(_answered(h) for h in oracle.holders))  # noqa: B023
            [winner] = [h for h in oracle.holders if h.token is not None]
            assert {h.refused_by for h in oracle.holders if h is not winner} == {winner.body.pid}
            c.advance(0.5)
            oracle.check()
            oracle.quiet()
            winner.tell("stop")


def _race(c: ClusterSimulation, oracle: Oracle, racers: int, prize: Any) -> None:
    """Have processes of some nodes claim *prize*; often not of the node that decides."""
    nodes = c.random.sample(c.live(), min(3, len(c.live())))
    for _ in range(racers):
        node = c.random.choice(nodes)
        if all(host.up for host in node.hosts.values()):
            oracle.claim(node.name, ("prize", prize), c.random.choice(list(node.hosts)))


def _answered(holder: Any) -> bool:
    return not holder.alive or holder.token is not None or holder.body.ended


@pytest.mark.parametrize("seed", range(10))
def test_races_during_joins_crashes_and_loss(seed: int) -> None:
    faults = Faults(loss=0.1, duplicate=0.1, reorder=0.1)
    with cluster(seed, nodes=5, faults=faults) as c:
        oracle = Oracle(c, strict=True)
        c.crash("e")
        for step in range(4):
            _race(c, oracle, 15, step)
            _race(c, oracle, 5, step + 1)
            if step == 0:
                c.start("e")
                declare(c, "e")
            elif step == 1:
                c.crash(c.random.choice("abcd"))
            elif step == 2:
                c.random.choice(c.live()).crash_host("w1")
            c.advance(c.random.choice((0.0, 0.01, 0.1, 1.0)))
            _race(c, oracle, 10, step)
            c.advance(2.0)
            for holder in oracle.holders:
                holder.tell("stop")
        c.until(lambda: all(_answered(h) for h in oracle.holders))
        assert not [(h, str(h.failed)) for h in oracle.holders if h.failed]
        settle(c)
        oracle.check()
        oracle.quiet()


@pytest.mark.parametrize("seed", SEEDS)
def test_tokens_rise_over_re_registrations_arbiter_crashes_and_joins(seed: int) -> None:
    async def once() -> int:
        return await reg.register("names", "k")

    with cluster(seed, nodes=["a", "b", "c", "d", "e"]) as c:
        tokens = []
        for step in range(12):
            node = c.random.choice(c.live()).name
            tokens.append(c.run(node, once))
            if step % 3 == 0:
                c.crash(c.random.choice([n.name for n in c.live() if n.name != "a"]))
            elif step % 3 == 1:
                down = next(name for name, n in c.nodes.items() if not n.up)
                c.start(down)
                declare(c, down)
                c.until(c.agreed)
        assert tokens == sorted(set(tokens))


def test_a_holder_that_is_refused_knows_itself() -> None:
    async def twice() -> tuple[Pid, Pid]:
        await reg.register("names", 1)
        with pytest.raises(AlreadyRegistered) as caught:
            await reg.register("names", 1)
        return caught.value.pid, me()

    with cluster(0) as c:
        holder, self = c.run("a", twice)
        assert holder == self


@pytest.mark.parametrize("seed", SEEDS)
def test_after_a_down_the_name_is_free_on_every_node(seed: int) -> None:
    async def heir(pid: Pid) -> int:
        monitor(pid)
        message = await receive(timeout=10)
        assert isinstance(message, Down)
        assert reg.lookup("names", "k") == []
        return await reg.register("names", "k")

    async def kill(pid: Pid) -> None:
        exit(pid, "boom")

    with cluster(seed, workers=2) as c:
        for place in (("a", "w2"), ("b", "w1"), ("c", "control")):
            holding = c.spawn("a", _hold, "k")
            c.advance(0.1)
            waiting = c.spawn(place[0], heir, holding.pid, host=place[1])
            c.advance(0.1)
            c.run("c", kill, holding.pid)
            c.until(lambda: waiting.ended, step=0.01)  # noqa: B023
            assert waiting.result() > 0
            c.advance(0.1)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_process_that_dies_during_its_claim_gets_no_entry(seed: int) -> None:
    with cluster(seed) as c:
        oracle = Oracle(c)
        for number in range(20):
            holder = oracle.claim(c.random.choice("abc"), ("k", number))
            c.advance(c.random.uniform(0.0, 0.005))
            process = holder.host.kernel.procs.get(holder.body.pid)
            if process is not None:
                holder.host.kernel.turn(holder.host.kernel.die, process, "killed")
        c.advance(1.0)
        assert not any(shown(c).values())
        oracle.quiet()
        for node in c.live():
            assert host_of(c, node.name, "control").agent.grants.unused == 0


def test_a_node_that_crashes_takes_its_names_along_and_comes_back_without() -> None:
    with cluster(1) as c:
        oracle = Oracle(c)
        oracle.claim("a", "k")
        c.advance(0.1)
        c.crash("a")
        c.until(lambda: not any(shown(c).values()), step=0.001)
        second = oracle.claim("b", "k")
        c.advance(1.0)
        assert second.holds
        c.start("a")
        declare(c, "a")
        settle(c)
        oracle.check()


def test_a_worker_host_that_crashes_takes_its_names_along() -> None:
    with cluster(1, workers=2) as c:
        oracle = Oracle(c)
        oracle.claim("a", "k1", "w1")
        oracle.claim("a", "k2", "w2")
        c.advance(0.1)
        c.nodes["a"].crash_host("w1")
        assert list(shown(c)["a/w2"]) == ["k2"]  # before anything else there is told
        third = oracle.claim("a", "k1", "w2")
        c.advance(1.0)
        assert third.holds
        oracle.check()


def test_a_claim_waits_until_the_cluster_has_settled() -> None:
    with cluster(2) as c:
        c.crash("a", refused=False)  # silent: it takes seconds until it is noticed
        oracle = Oracle(c)
        keys = [("k", n) for n in range(12)]
        for key in keys:
            oracle.claim("b", key)
        c.advance(0.5)
        waiting = [h for h in oracle.holders if h.token is None]
        assert 0 < len(waiting) < len(keys)  # those that "a" arbitrates
        c.advance(3.0)
        assert all(h.holds for h in oracle.holders)


def test_a_claim_that_cannot_be_decided_says_why() -> None:
    async def claim() -> None:
        for n in range(12):
            await reg.register("names", n, timeout=0.5)

    with cluster(2) as c:
        c.crash("a", refused=False)
        with pytest.raises(ClaimTimeout, match=r"node 'a', which decides .* has not answered"):
            c.run("b", claim)
        c.until(c.agreed)
        c.run("b", claim)
        c.advance(0.1)
        assert not any(shown(c).values())


def test_unregister_frees_the_key_for_other_nodes() -> None:
    async def body() -> None:
        await reg.register("names", "k")
        await reg.unregister("names", "k")
        assert reg.lookup("names", "k") == []
        await reg.unregister("names", "k")

    with cluster(3) as c:
        for node in "abcab":
            c.run(node, body)


def test_a_registry_needs_a_declaration_on_each_node() -> None:
    async def use() -> Any:
        return reg.lookup("other", "k")

    async def claim() -> Any:
        return await reg.register("other", "k")

    with cluster(4) as c:
        declare(c, "a", name="other")
        assert c.run("a", use) == []
        c.run("a", claim)
        for body in (use, claim):
            with pytest.raises(UnknownRegistry, match=r"DistributedRegistry.spec\(name='other'\)"):
                c.run("b", body)


def test_a_registry_that_ends_takes_the_entries_of_its_node_along() -> None:
    async def stop() -> None:
        from foundation.otp import stop

        await stop("names")

    with cluster(5) as c:
        oracle = Oracle(c)
        oracle.claim("a", "ka")
        oracle.claim("b", "kb")
        c.advance(0.1)
        c.run("a", stop)
        c.advance(0.1)
        assert "a/w1" not in shown(c)
        assert list(shown(c)["b/w1"]) == ["kb"]
        declare(c, "a")
        assert list(shown(c)["a/w1"]) == ["kb"]


def test_one_name_cannot_have_different_options() -> None:
    with cluster(6) as c:
        declare(c, "a", name="topics", keys="duplicate")
        c.advance(0.1)
        with pytest.raises(Exception, match="node 'a' has started it with keys='duplicate'"):
            declare(c, "b", name="topics")


def test_whereis_and_token_need_unique_keys() -> None:
    async def body() -> None:
        with pytest.raises(NotUnique):
            reg.whereis("topics", "k")
        with pytest.raises(NotUnique):
            reg.token("topics", "k")

    with cluster(7) as c:
        declare(c, name="topics", keys="duplicate")
        c.run("a", body)


def test_it_is_the_class_too() -> None:
    async def body() -> list[Any]:
        await DistributedRegistry.register("names", "k", 1)
        return DistributedRegistry.values("names", "k")

    with cluster(8) as c:
        assert c.run("a", body) == [1]


@pytest.mark.parametrize("seed", range(3))
def test_a_node_that_joins_knows_all_names_once_it_is_up(seed: int) -> None:
    async def joined() -> int:
        return reg.count("names")

    with cluster(seed, nodes=3) as c:
        c.crash("c")
        c.until(c.agreed)
        oracle = Oracle(c)
        for n in range(700):  # more than one piece of a slice
            oracle.claim(c.random.choice("ab"), n)
        c.advance(1.0)
        assert all(h.holds for h in oracle.holders)
        c.start("c")
        declare(c, "c")
        c.until(lambda: all("c" in c.nodes[n].agent.ready for n in "ab"), step=0.001)
        assert c.run("c", joined) == 700
        c.until(c.agreed)
        oracle.check()


def test_a_node_that_leaves_in_order_takes_its_names_along_at_once() -> None:
    with cluster(9) as c:
        oracle = Oracle(c)
        oracle.claim("a", "k")
        oracle.claim("b", "l")
        c.advance(0.1)
        c.nodes["a"].agent.leave()
        c.advance(0.1)
        assert list(shown(c)["b/w1"]) == list(shown(c)["c/w1"]) == ["l"]
        assert oracle.claim("c", "k") is not None
        c.advance(0.2)
        assert oracle.holders[-1].holds
