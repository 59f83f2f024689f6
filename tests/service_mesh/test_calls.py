"""Calls and casts to services: which instance gets them, and what failures do."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from foundation import service_mesh
from foundation.errors import CallExit, CallingSelf, CallTimeout, NoProc, RegistryError
from foundation.kernel.ops import exit, receive, spawn, whereis
from foundation.kernel.values import Pid
from foundation.otp import GenServer, NoReply, StartError, call, cast
from foundation.service_mesh import BreakerLimits, NoInstance, ServiceInfo
from foundation.service_mesh.core import TABLE
from foundation.testing.cluster_sim import ClusterSimulation
from tests.service_mesh.meshsim import mesh, serve


class Moody(GenServer):
    """An instance whose answers the test decides: ``"ok"``, ``"silent"``, ``"crash"``."""

    async def init(self, name: str = "thumbs") -> None:
        """Register."""
        self.mood = "ok"
        self.calls = 0
        await service_mesh.register(name)

    def handle_call(self, request: Any, caller: Any) -> Any:
        """Answer, or not."""
        if type(request) is tuple:
            self.mood = request[1]
            return True
        if request == "calls":
            return self.calls
        self.calls += 1
        if self.mood == "silent":
            return NoReply()
        if self.mood == "crash":
            raise RuntimeError("moody")
        from foundation.kernel.ops import me

        return me()


def moody(c: ClusterSimulation, node: str) -> Pid:
    """Start a moody instance."""
    pid = c.run(node, Moody.start)
    c.advance(0.3)
    return pid  # type: ignore[no-any-return]


async def _who(times: int = 1, **options: Any) -> list[Pid]:
    return [await service_mesh.call("thumbs", "who", **options) for _ in range(times)]


async def _ask(pid: Pid, request: Any) -> Any:
    return await call(pid, request)


def state(c: ClusterSimulation, node: str) -> dict[Pid, str]:
    """Return the breakers that are not closed on a node."""
    return c.run(node, service_mesh.breaker_states)  # type: ignore[no-any-return]


def test_calls_go_round_for_each_host_that_calls() -> None:
    with mesh(1) as c:
        three = [serve(c, node) for node in c.nodes]
        assert c.run("a", _who, 6) == three * 2
        assert c.run("b", _who, 1) == three[:1]  # another host has a turn of its own
        assert c.run("a", _who, 4) == [*three, three[0]]
        four = sorted([*three, serve(c, "a")])
        assert Counter(c.run("a", _who, 8)) == dict.fromkeys(four, 2)


@pytest.mark.parametrize("strategy", ["round_robin", "local_first"])
def test_calls_and_casts_and_targets_that_alternate_all_go_round(strategy: str) -> None:
    async def alternate() -> list[Counter[Pid]]:
        called, routed, other = Counter[Pid](), Counter[Pid](), Counter[Pid]()
        target = service_mesh.via("thumbs", strategy)
        for _ in range(12):
            routed[service_mesh.route("thumbs", 1, strategy).pid] += 1
            called[await service_mesh.call("thumbs", "who", strategy=strategy)] += 1
            other[await call(target, "who")] += 1
        return [called, routed, other]

    with mesh(2) as c:
        three = [serve(c, "a") for _ in range(3)]
        assert c.run("a", alternate) == [dict.fromkeys(three, 4)] * 3


def test_each_strategy_does_as_it_says() -> None:
    def newest(found: list[ServiceInfo]) -> ServiceInfo:
        return max(found, key=lambda info: info.order)

    with mesh(2) as c:
        one, two = serve(c, "a"), serve(c, "b")
        three = serve(c, "b")
        run = lambda node, strategy: c.run(node, lambda: _who(30, strategy=strategy))  # noqa: E731
        assert set(run("b", "local_first")) == {two, three}
        assert set(run("c", "local_first")) == {one, two, three}
        assert set(run("a", newest)) == {three}
        assert set(run("a", "random")) == {one, two, three}
        assert run("a", "random") != [one, two, three] * 10


def test_least_outstanding_spares_the_one_that_is_slow() -> None:
    async def body(slow: Pid) -> Counter[Any]:
        waiting = [
            asyncio.ensure_future(service_mesh.call("thumbs", "x", 3.0, "least_outstanding"))
            for _ in range(2)
        ]
        await asyncio.sleep(0.1)
        replies = [
            await service_mesh.call("thumbs", "x", 3.0, "least_outstanding") for _ in range(10)
        ]
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        assert sum(isinstance(each, CallTimeout) for each in ended) == 1
        return Counter(replies)

    with mesh(3) as c:
        slow, quick = moody(c, "a"), moody(c, "b")
        c.run("a", _ask, slow, ("mood", "silent"))
        assert c.run("c", body, slow) == {quick: 10}
        assert not c.kernel("c").tables[TABLE].outstanding


def test_route_casts_and_says_to_whom() -> None:
    async def body() -> list[Pid]:
        return [service_mesh.route("thumbs", i).pid for i in range(4)]

    with mesh(4) as c:
        one, two = serve(c, "a"), serve(c, "b")
        assert c.run("c", body) == [one, two] * 2
        c.advance(0.3)
        assert c.run("c", _ask, one, "got") == [0, 2]
        assert c.run("c", _ask, two, "got") == [1, 3]


def test_without_an_instance_nothing_is_sent_and_the_error_says_why() -> None:
    async def body() -> None:
        for wrong in (service_mesh.call("nobody", 1), _routed("nobody")):
            with pytest.raises(NoInstance, match="none is registered"):
                await wrong
        with pytest.raises(ValueError, match="round_robin"):
            service_mesh.route("nobody", 1, "fastest")
        for options in ({"timeout": 0}, {"breaker": 5}, {"strategy": None}):
            with pytest.raises((TypeError, ValueError)):
                service_mesh.call("nobody", 1, **options)

    with mesh(5, nodes=1) as c:
        c.run("a", body)


async def _routed(name: str) -> Any:
    return service_mesh.route(name, 1)


def test_one_that_has_just_ended_is_passed_over_and_its_call_made_once() -> None:
    async def body(gone: Pid, other: Pid) -> None:
        # Killed, and called before anybody here can have heard of it.
        exit(gone, "kill")
        assert await service_mesh.call("thumbs", "who") == other
        assert await service_mesh.call("thumbs", "who") == other
        exit(other, "kill")
        with pytest.raises((NoProc, NoInstance)):
            await service_mesh.call("thumbs", "who")

    with mesh(6) as c:
        gone, other = serve(c, "a"), serve(c, "b")
        c.run("c", body, gone, other)


def test_a_call_that_may_have_had_its_effect_is_not_made_again() -> None:
    async def body() -> None:
        with pytest.raises(CallExit) as caught:
            await service_mesh.call("thumbs", "x")
        assert caught.value.reason.type == "RuntimeError"
        with pytest.raises(CallTimeout):
            await service_mesh.call("thumbs", "x", timeout=0.5)

    with mesh(7) as c:
        one, two = moody(c, "a"), moody(c, "b")
        c.run("a", _ask, one, ("mood", "crash"))
        c.run("a", _ask, two, ("mood", "silent"))
        c.run("c", body)
        assert c.run("c", _ask, two, "calls") == 1


def test_an_instance_does_not_call_itself_when_there_is_another() -> None:
    async def body() -> list[Any]:
        await service_mesh.register("thumbs")
        return [await service_mesh.call("thumbs", "who") for _ in range(3)]

    async def alone() -> None:
        await service_mesh.register("lonely")
        with pytest.raises(CallingSelf):
            await service_mesh.call("lonely", "who")
        assert service_mesh.breaker_states() == {}

    with mesh(8) as c:
        other = serve(c, "b")
        assert c.run("a", body) == [other] * 3
        c.run("a", alone)


def test_a_breaker_opens_for_the_host_whose_calls_fail_and_for_no_other() -> None:
    async def fail(times: int) -> Counter[Any]:
        seen: Counter[Any] = Counter()
        for _ in range(times):
            try:
                seen[await service_mesh.call("thumbs", "x", timeout=0.2)] += 1
            except CallTimeout:
                seen["late"] += 1
        return seen

    with mesh(9) as c:
        bad, good = moody(c, "a"), moody(c, "b")
        c.run("a", _ask, bad, ("mood", "silent"))
        assert c.run("c", fail, 30) == {"late": 5, good: 25}
        assert state(c, "c") == {bad: "open"}
        assert state(c, "b") == {}
        assert c.run("b", fail, 2) == {"late": 1, good: 1}

        c.run("a", _ask, bad, ("mood", "ok"))
        c.advance(50.0)
        assert c.run("c", fail, 4) == {good: 4}  # not before its time
        c.advance(11.0)
        assert c.run("c", fail, 6) == {good: 3, bad: 3}
        assert state(c, "c") == {}


def test_a_trial_that_fails_opens_the_breaker_for_as_long_again() -> None:
    async def fail(times: int) -> int:
        late = 0
        for _ in range(times):
            try:
                await service_mesh.call("thumbs", "x", 0.2, breaker=BreakerLimits(2, 10.0, 1))
            except CallTimeout:
                late += 1
        return late

    with mesh(10) as c:
        bad, _ = moody(c, "a"), moody(c, "b")
        c.run("a", _ask, bad, ("mood", "silent"))
        assert c.run("c", fail, 10) == 2
        c.advance(10.0)
        assert c.run("c", fail, 10) == 1
        c.advance(5.0)
        assert c.run("c", fail, 10) == 0
        c.advance(6.0)
        assert c.run("c", fail, 10) == 1


def test_with_all_breakers_open_there_is_no_instance_and_the_error_says_so() -> None:
    async def body(pid: Pid) -> None:
        for _ in range(5):
            with pytest.raises(CallTimeout):
                await service_mesh.call("thumbs", "x", 0.1)
        for use in (lambda: service_mesh.call("thumbs", "x"), lambda: _routed("thumbs")):
            with pytest.raises(NoInstance, match="1 whose circuit breaker is open"):
                await use()
        assert [info.pid for info in service_mesh.discover("thumbs")] == [pid]  # it is healthy
        with pytest.raises(CallTimeout):  # who insists gets through
            await service_mesh.call("thumbs", "x", 0.1, breaker=None)
        assert service_mesh.breaker_states() == {pid: "open"}

    with mesh(11) as c:
        pid = moody(c, "a")
        c.run("a", _ask, pid, ("mood", "silent"))
        c.run("c", body, pid)


def test_a_caller_that_is_killed_leaves_no_call_under_way_and_no_trial() -> None:
    async def patient() -> None:
        await service_mesh.call("thumbs", "x", None, breaker=BreakerLimits(1, 1.0, 1))

    async def impatient() -> None:
        with pytest.raises(CallTimeout):
            await service_mesh.call("thumbs", "x", 0.1, breaker=BreakerLimits(1, 1.0, 1))

    with mesh(12) as c:
        pid = moody(c, "a")
        c.run("a", _ask, pid, ("mood", "silent"))
        c.run("c", impatient)
        c.advance(1.1)
        trial = c.spawn("c", patient)
        c.advance(0.5)
        core = c.kernel("c").tables[TABLE]
        assert (core.outstanding, core.breakers[pid].trials) == ({pid: 1}, 1)
        c.run("c", lambda: exit(trial.pid, "kill"))  # type: ignore[arg-type]
        c.advance(0.1)
        assert (core.outstanding, core.breakers[pid].trials) == ({}, 0)
        c.run("a", _ask, pid, ("mood", "ok"))
        assert c.run("c", _who) == [pid]


def test_a_caller_without_patience_opens_no_breaker_for_the_others_of_its_host() -> None:
    async def hasty() -> None:
        for _ in range(20):
            with pytest.raises(CallTimeout):
                await service_mesh.call("thumbs", "who", 1e-6)
        assert service_mesh.breaker_states() == {}

    async def fair(pid: Pid) -> None:
        for _ in range(5):
            with pytest.raises(CallTimeout):
                await service_mesh.call("thumbs", "x", 0.05)
        assert service_mesh.breaker_states() == {pid: "open"}
        with pytest.raises(NoInstance, match="breaker=None") as caught:
            await service_mesh.call("thumbs", "x", 0.05)
        assert "wait_for" not in str(caught.value)

    with mesh(21) as c:
        pid = moody(c, "a")
        c.run("c", hasty)
        assert c.run("c", _who) == [pid]
        c.run("a", _ask, pid, ("mood", "silent"))
        c.run("c", fair, pid)


def test_breakers_of_instances_that_have_been_are_forgotten() -> None:
    async def body() -> int:
        for _ in range(600):
            pid = spawn(receive)
            await service_mesh.register("thumbs", pid)
            with pytest.raises(CallTimeout):
                await service_mesh.call("thumbs", "x", 0.05)
            exit(pid, "kill")
        return len(service_mesh.core.core_of(_kernel()).breakers)

    def _kernel() -> Any:
        from foundation.kernel.ops import current

        return current().kernel

    with mesh(13, nodes=1) as c:
        assert c.run("a", body) <= 260


def test_a_service_is_a_target_wherever_a_name_is() -> None:
    target = service_mesh.via("thumbs")

    async def body(one: Pid, two: Pid) -> None:
        assert [await call(target, "who") for _ in range(4)] == [one, two] * 2
        cast(target, "hello")
        cast(service_mesh.via("thumbs", lambda found: found[-1]), "hi")
        with pytest.raises(NoProc):
            await call(service_mesh.via("nobody"), "who")
        assert whereis(service_mesh.via("nobody")) is None
        with pytest.raises(StartError) as caught:
            await Moody.start(name=target)
        assert "cannot be the name of a process" in str(caught.value)
        with pytest.raises((TypeError, ValueError)):
            service_mesh.via("thumbs", "fastest")

    with mesh(14) as c:
        one, two = serve(c, "a"), serve(c, "b")
        c.run("c", body, one, two)
        c.advance(0.3)
        assert c.run("c", _ask, one, "got") == ["hello"]
        assert c.run("c", _ask, two, "got") == ["hi"]
        assert issubclass(RegistryError, Exception)
