"""What subscribers of ``"foundation:events"`` hear: each of them each change once."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from foundation import service_mesh
from foundation.cluster import registry as reg
from foundation.kernel.ops import exit, receive, whereis
from foundation.kernel.values import Pid
from foundation.otp import call
from foundation.service_mesh import (
    REGISTRY,
    SERVER,
    HealthCheck,
    ServiceDown,
    ServiceEntry,
    ServiceHealthChanged,
    ServiceInfo,
    ServiceUp,
)
from foundation.service_mesh.announcer import changes
from tests.service_mesh.meshsim import Listener, mesh, serve

UP, DOWN, HEALTH = "ServiceUp", "ServiceDown", "ServiceHealthChanged"


def info(instance: str, **fields: Any) -> ServiceInfo:
    """Return an instance."""
    entry = ServiceEntry(instance)
    return replace(ServiceInfo.of("s", Pid("a/w1", 1, 1), entry), **fields)


def test_changes_are_what_leads_from_one_state_to_the_next() -> None:
    one, two = info("1"), info("2")
    sick = replace(one, healthy=False)
    assert changes([], []) == []
    assert changes([], [one]) == [ServiceUp(one)]
    assert changes([one], []) == [ServiceDown(one)]
    assert changes([one], [one]) == []
    assert changes([one], [sick]) == [ServiceHealthChanged(sick)]
    assert changes([sick], [one, two]) == [ServiceHealthChanged(one), ServiceUp(two)]
    assert changes([one], [two]) == [ServiceDown(one), ServiceUp(two)]
    assert changes([one], [replace(one, metadata={"a": 1})]) == []


async def _ask(pid: Pid, request: Any) -> Any:
    return await call(pid, request)


def test_every_subscriber_hears_each_change_once_and_finds_it_so() -> None:
    with mesh(1, workers=2) as c:
        listeners = [Listener(c, n, h) for n in c.nodes for h in ("w1", "w2", "control")]
        for host in ("w1", "w2"):
            pid = serve(c, "a", host=host, health_check=HealthCheck("ping", 1.0, 1.0, strikes=1))
            assert [each.take() for each in listeners] == [[(UP, pid)]] * 9
            c.run("b", _ask, pid, ("well", False))
            c.advance(3.0)
            assert [each.take() for each in listeners] == [[(HEALTH, pid)]] * 9
            c.run("b", _ask, pid, ("well", True))
            c.advance(3.0)
            assert [each.take() for each in listeners] == [[(HEALTH, pid)]] * 9
            c.run("b", _ask, pid, "stop")
            c.advance(1.0)
            assert [each.take() for each in listeners] == [[(DOWN, pid)]] * 9


def test_the_event_of_an_end_says_what_there_was() -> None:
    with mesh(2) as c:
        listener = Listener(c, "b")
        pid = serve(c, "a", capabilities=("gpu",), metadata={"zone": "eu"})
        c.run("a", _ask, pid, "deregister")
        c.advance(0.5)
        up, down = listener.events
        assert (down.service.capabilities, down.service.metadata) == (("gpu",), {"zone": "eu"})
        assert down.service == up.service


def test_what_the_primitive_registers_is_announced_too() -> None:
    async def body() -> None:
        await reg.register(REGISTRY, "thumbs", ServiceEntry("one", order=1))
        await reg.register(REGISTRY, "thumbs", ServiceEntry("two", order=2))
        await reg.register(REGISTRY, "thumbs", "no service")
        await receive()
        await reg.unregister(REGISTRY, "thumbs")
        await receive()

    with mesh(3) as c:
        listeners = [Listener(c, n) for n in c.nodes]
        pid = c.spawn("a", body).pid
        c.advance(0.5)
        for each in listeners:
            assert [e.service.instance for e in each.events] == ["one", "two"]
            each.events.clear()
        c.run("a", lambda: _send(pid))
        c.advance(0.5)
        for each in listeners:
            kinds = sorted((type(e).__name__, e.service.instance) for e in each.events)
            assert kinds == [(DOWN, "one"), (DOWN, "two")]


def _send(pid: Any) -> None:
    from foundation.kernel.ops import send

    send(pid, "go on")


def test_when_a_node_goes_those_who_are_left_hear_of_its_services_once() -> None:
    with mesh(4, nodes=4) as c:
        two = [serve(c, "a"), serve(c, "a")]
        other = serve(c, "d")
        listeners = [Listener(c, n) for n in ("b", "c", "d")]
        c.crash("a")
        c.until(c.agreed)
        c.advance(1.0)
        for each in listeners:
            assert sorted(each.take()) == [(DOWN, pid) for pid in two]
        c.crash("d")  # whoever had spoken for another node
        c.until(c.agreed)
        c.advance(1.0)
        for each in listeners[:2]:
            assert each.take() == [(DOWN, other)]


def test_after_a_split_each_side_hears_of_what_it_lost_and_no_more() -> None:
    with mesh(5) as c:
        three = [serve(c, node) for node in c.nodes]
        listeners = {n: Listener(c, n) for n in c.nodes}
        c.isolate(["a"])
        c.advance(10.0)
        assert sorted(listeners["a"].take()) == [(DOWN, three[1]), (DOWN, three[2])]
        assert listeners["b"].take() == listeners["c"].take() == [(DOWN, three[0])]
        c.network.heal()
        c.until(c.agreed)
        c.advance(3.0)
        assert sorted(listeners["a"].take()) == [(UP, three[1]), (UP, three[2])]
        assert listeners["b"].take() == listeners["c"].take() == [(UP, three[0])]


@pytest.mark.parametrize("victim", [f"{SERVER}.announcer", REGISTRY])
def test_a_restart_of_the_parts_loses_and_repeats_nothing(victim: str) -> None:
    def kill() -> None:
        pid = whereis(victim)
        assert pid is not None
        exit(pid, "kill")

    with mesh(6) as c:
        listeners = {n: Listener(c, n) for n in c.nodes}
        one, two = serve(c, "a"), serve(c, "b")
        gone = serve(c, "a")
        for each in listeners.values():
            assert each.take() == [(UP, one), (UP, two), (UP, gone)]

        def crash() -> None:
            kill()
            exit(gone, "kill")

        c.run("a", crash, host="w1")
        c.advance(3.0)
        state: dict[str, dict[Pid, str]] = {}
        for node, each in listeners.items():
            for kind, pid in each.take(exact=victim != REGISTRY):
                last = state.setdefault(node, {one: UP, two: UP, gone: UP})
                assert last[pid] != kind, "the same was said twice"
                last[pid] = kind
        assert all(last == {one: UP, two: UP, gone: DOWN} for last in state.values()), state
        assert len(state) == 3
        if victim != REGISTRY:
            later = serve(c, "c")
            assert [each.take() for each in listeners.values()] == [[(UP, later)]] * 3


@pytest.mark.parametrize("seed", range(12))
def test_whoever_follows_the_events_knows_what_discovery_finds(seed: int) -> None:
    """Any history of starts, ends, splits and crashes: the events lead to the same state."""
    rng = random.Random(seed)
    with mesh(seed) as c:
        followers = {n: _Follower(c, n) for n in c.nodes}
        serving: list[tuple[str, Pid]] = []
        cut = False
        for _ in range(25):
            act = rng.random()
            if act < 0.45 or not serving:
                node = rng.choice(sorted(c.nodes))
                serving.append((node, c.run(node, _start, rng.choice("st"))))
            elif act < 0.75:
                node, pid = serving.pop(rng.randrange(len(serving)))
                c.run(node, lambda pid=pid: exit(pid, "kill"))
            elif cut:
                c.network.heal()
                cut = False
            else:
                c.isolate([rng.choice(sorted(c.nodes))])
                cut = True
            c.advance(rng.choice((0.0, 0.01, 1.0, 4.0)))
        c.network.heal()
        c.until(c.agreed)
        c.advance(5.0)
        for node, follower in followers.items():
            found = c.run(node, lambda: service_mesh.discover_services(healthy=None))
            assert sorted(i.pid for i in found) == sorted(pid for _, pid in serving)
            assert follower.there() == {info.pid: info for info in found}, node


async def _start(name: str) -> Pid:
    from tests.service_mesh.meshsim import Worker

    return await Worker.start(name)


class _Follower(Listener):
    def there(self) -> dict[Pid, ServiceInfo]:
        """Return what the events add up to; a repetition is an error."""
        there: dict[Pid, ServiceInfo] = {}
        for event in self.events:
            pid = event.service.pid
            if isinstance(event, ServiceUp):
                assert pid not in there
                there[pid] = event.service
            elif isinstance(event, ServiceDown):
                del there[pid]
            else:
                there[pid] = event.service
        return there
