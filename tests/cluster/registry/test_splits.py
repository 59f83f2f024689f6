"""Splits and heals: one survivor on all hosts, the other is told, nobody else is hurt."""

from __future__ import annotations

from typing import Any

import pytest

from foundation.cluster import registry as reg
from foundation.cluster.registry import NameConflict
from foundation.errors import AlreadyStarted
from foundation.kernel.ops import call, current, me, receive, trap_exit
from foundation.kernel.values import ExitMsg, Pid
from foundation.otp import GenServer, Supervisor
from foundation.testing.bodies import BodyExited
from foundation.testing.cluster_sim import ClusterSimulation
from tests.cluster.registry.regsim import Oracle, cluster, declare, settle, shown

SEEDS = range(8)


def _split(c: ClusterSimulation, *inside: str) -> None:
    c.isolate(inside)
    size = len(c.nodes) - len(inside)
    c.until(lambda: all(len(n.agent.view) in (size, len(inside)) for n in c.live()))
    c.until(lambda: all(n.agent.settled for n in c.live()))


@pytest.mark.parametrize("seed", SEEDS)
def test_of_two_holders_the_one_of_the_higher_token_survives(seed: int) -> None:
    with cluster(seed, nodes=5) as c:
        oracle = Oracle(c)
        old = [oracle.claim(c.random.choice("abcde"), ("old", n)) for n in range(10)]
        c.advance(0.2)
        _split(c, "a", "b")
        assert all(h.holds for h in old)
        for n in range(20):
            oracle.claim(c.random.choice("ab"), ("new", n))
            c.advance(c.random.choice((0.0, 0.01)))
            oracle.claim(c.random.choice("cde"), ("new", n))
        oracle.claim("a", "only a")
        oracle.claim("c", "only c")
        # What the other side holds is not known to live, so it may be claimed here.
        taken = [oracle.claim("c" if h.node.name in "ab" else "a", h.key) for h in old[:5]]
        c.advance(1.0)
        assert all(h.holds for h in oracle.holders)
        before = {key: max(_rank(h) for h in held) for key, held in oracle.holding().items()}
        losers = [h for h in oracle.holders if _rank(h) != before[h.key]]
        assert len(losers) == 25
        c.network.heal()
        settle(c)
        oracle.check()
        oracle.quiet()
        assert {k: _rank(h[0]) for k, h in oracle.holding().items()} == before
        for holder in losers:
            _was_told(holder, before[holder.key])
        assert not set(losers) & {h for h in oracle.holders if h.holds}
        assert all(h.holds for h in taken)  # tokens after the split are above those before


def _rank(holder: Any) -> tuple[int, str, Pid]:
    return (holder.token, holder.node.name, holder.body.pid)


def _was_told(holder: Any, winner: tuple[int, str, Pid]) -> None:
    with pytest.raises(BodyExited) as caught:
        holder.body.result()
    expected = NameConflict("names", holder.key, winner[2], winner[0])
    assert caught.value.reason == expected


@pytest.mark.parametrize("seed", SEEDS)
def test_the_survivor_is_never_lost_meanwhile(seed: int) -> None:
    with cluster(seed, nodes=["a", "b", "c"]) as c:
        oracle = Oracle(c)
        _split(c, "a")
        oracle.claim("a", "k")
        c.advance(0.1)
        oracle.claim("b", "k")
        c.advance(1.0)
        winner = max(oracle.holders, key=_rank)
        loser = min(oracle.holders, key=_rank)
        entry = (winner.body.pid, winner.token)
        c.network.heal()
        for _ in range(3000):
            c.advance(0.001)
            for host, names in shown(c).items():
                if host.startswith(f"{winner.node.name}/"):
                    assert names["k"] == entry
                else:
                    assert names.get("k", entry) in (entry, (loser.body.pid, loser.token))
            if c.agreed() and not loser.alive:
                break
        settle(c)
        oracle.check()


def test_a_conflict_as_a_message_lets_the_loser_merge_its_state() -> None:
    class Cart(GenServer):
        def init(self) -> None:
            self.items: list[str] = []

        def handle_call(self, request: Any, caller: Any) -> Any:
            self.items += request
            return list(self.items)

        async def handle_info(self, message: Any) -> Any:
            if isinstance(message, NameConflict):
                await call(message.winner, self.items)
                from foundation.otp import Stop

                return Stop("normal")
            return None

    async def start(item: str) -> Pid:
        name = reg.via("carts", "ann")
        pid = await Cart.start(name=name)
        await call(name, [item])
        return pid

    async def look() -> Any:
        return await call(reg.via("carts", "ann"), [])

    with cluster(3) as c:
        declare(c, name="carts", on_conflict="message")
        _split(c, "a")
        c.run("a", start, "apple")
        c.run("b", start, "bread")
        c.network.heal()
        settle(c)
        assert sorted(c.run("c", look)) == ["apple", "bread"]
        assert len({names["ann"] for names in shown(c, "carts").values()}) == 1


def test_a_loser_that_traps_exits_gets_a_message() -> None:
    async def hold(seen: list[Any]) -> None:
        trap_exit()
        await reg.register("names", "k")
        seen.append(me())
        seen.append(await receive())

    with cluster(4) as c:
        _split(c, "a")
        one: list[Any] = []
        other: list[Any] = []
        c.spawn("a", hold, one)
        c.spawn("b", hold, other)
        c.advance(0.5)
        c.network.heal()
        settle(c)
        [(winner, *_), (_, message)] = sorted((one, other), key=len)
        assert isinstance(message, ExitMsg)
        assert isinstance(message.reason, NameConflict)
        assert message.reason.winner == winner == message.pid


class Server(GenServer):
    """Holds a name."""

    def handle_call(self, request: Any, caller: Any) -> Any:
        """Answer with the pid."""
        return current().pid


class App(Supervisor):
    """Declares a registry and runs a server under a name of it."""

    def init(self) -> Any:
        """Return the children."""

        async def start() -> Any:
            from foundation.otp.results import Ignored

            try:
                return await Server.start_link(name=reg.via("apps", "one"))
            except AlreadyStarted:
                return Ignored()

        from foundation.otp import ChildSpec

        return [
            reg.DistributedRegistry.spec(name="apps"),
            ChildSpec("server", (start, (), {})),
        ]


def test_supervised_losers_are_restarted_and_find_the_name_taken() -> None:
    async def app() -> None:
        await App.start_link()
        await receive()

    with cluster(5) as c:
        _split(c, "a")
        for node in c.nodes:
            c.spawn(node, app)
        c.advance(1.0)
        c.network.heal()
        settle(c)
        names = {names["one"] for names in shown(c, "apps").values()}
        assert len(names) == 1
        [(pid, _)] = names

        async def ask() -> Any:
            return await call(reg.via("apps", "one"), "who")

        assert [c.run(node, ask) for node in c.nodes] == [pid] * 3


@pytest.mark.parametrize("seed", range(4))
def test_a_pause_hides_names_and_brings_them_back(seed: int) -> None:
    with cluster(seed) as c:
        oracle = Oracle(c)
        for n in range(5):
            oracle.claim("a", n)
        c.advance(0.2)
        c.pause("a", 6.0)
        c.until(lambda: not shown(c)["b/w1"])
        c.until(c.agreed)
        settle(c)
        assert all(h.holds for h in oracle.holders)
        oracle.check()
