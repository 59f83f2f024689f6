"""Registering, finding and waiting, in simulated clusters."""

from __future__ import annotations

from typing import Any

import pytest

from foundation import service_mesh
from foundation.cluster import registry as reg
from foundation.errors import (
    AlreadyRegistered,
    BlockingCall,
    NoProc,
    UnknownDistributedRegistry,
    Unsendable,
)
from foundation.kernel.ops import exit, me, monitor, receive, send, spawn
from foundation.kernel.values import Pid
from foundation.otp import GenServer, call
from foundation.service_mesh import (
    REGISTRY,
    NotInService,
    ServiceEntry,
    ServiceInfo,
    ServiceTimeout,
)
from foundation.service_mesh.core import TABLE
from foundation.testing.cluster_sim import ClusterSimulation
from tests.service_mesh.meshsim import find, mesh, pids, serve


def test_what_is_registered_on_one_node_is_found_on_all() -> None:
    with mesh(1) as c:
        pid = serve(c, "a", capabilities=("webp", "gpu"), metadata={"zone": "eu"})
        text = f"a/w1.1000.{pid.serial}"
        at = find(c, "a", "thumbs")[0].registered_at
        expected = ServiceInfo(
            "thumbs", pid, "a", text, ("webp", "gpu"), {"zone": "eu"}, True, 1, at
        )
        for node in c.nodes:
            for host in ("control", "w1"):
                assert find(c, node, "thumbs", host=host) == [expected]
        assert c.run("b", service_mesh.list_services) == ["thumbs"]


def test_a_name_has_any_number_of_instances_each_in_its_own_right() -> None:
    with mesh(2) as c:
        three = [serve(c, node) for node in c.nodes]
        again = serve(c, "a")
        assert pids(c, "c", "thumbs") == sorted([*three, again])
        assert len({info.instance for info in find(c, "c", "thumbs")}) == 4

        def end(pid: Pid) -> None:
            exit(pid, "kill")

        c.run("b", end, three[1])
        c.advance(0.5)
        assert pids(c, "a", "thumbs") == sorted([three[0], again, three[2]])
        c.crash("a")
        c.until(c.agreed)
        assert pids(c, "b", "thumbs") == [three[2]]


def test_all_criteria_must_fit() -> None:
    with mesh(3) as c:
        one = serve(c, "a", capabilities=("x", "y"), metadata={"zone": "eu", "tier": 1})
        two = serve(c, "b", capabilities=("x",), metadata={"zone": "us", "tier": 1})
        three = serve(c, "b", "other", capabilities=("y",), metadata={"zone": "eu"})
        cases: list[tuple[dict[str, Any], list[Pid]]] = [
            ({}, [three, one, two]),
            ({"name": "thumbs"}, [one, two]),
            ({"capabilities": ("x",)}, [one, two]),
            ({"capabilities": ["x", "y"]}, [one]),
            ({"capabilities": ("x", "z")}, []),
            ({"node": "b"}, [three, two]),
            ({"name": "thumbs", "node": "b"}, [two]),
            ({"metadata": {"zone": "eu"}}, [three, one]),
            ({"metadata": {"zone": "eu", "tier": 1}}, [one]),
            ({"metadata": {"zone": "eu", "tier": 2}}, []),
            ({"metadata": {"colour": "red"}}, []),
            ({"where": lambda info: info.pid == two}, [two]),
            ({"healthy": False}, []),
            ({"healthy": None, "name": "other"}, [three]),
            ({"name": "nobody"}, []),
        ]
        for criteria, expected in cases:
            assert pids(c, "c", **criteria) == expected, criteria
        assert c.run("c", service_mesh.list_services) == ["other", "thumbs"]


@pytest.mark.parametrize(
    ("criteria", "why"),
    [
        ({"security_level": 3}, "unknown criterion 'security_level'; criteria are name, cap"),
        ({"capabilities": "gpu"}, "several strings"),
        ({"capabilities": (1,)}, "strings"),
        ({"capabilities": None}, "several strings"),
        ({"capabilities": 0}, "several strings"),
        ({"capabilities": False}, "several strings"),
        ({"capabilities": ""}, "several strings"),
        ({"healthy": 1}, "True, False or None"),
        ({"healthy": 0}, "True, False or None"),
        ({"node": 7}, "name of a node"),
        ({"metadata": ["zone"]}, "mapping"),
        ({"metadata": {"zone": ["eu"]}}, "immutable"),
        ({"healthy": "yes"}, "True, False or None"),
        ({"where": "zone"}, "a function"),
        ({"name": 7}, "string"),
        ({"name": b"thumbs"}, "string"),
    ],
)
def test_a_criterion_is_never_ignored(criteria: dict[str, Any], why: str) -> None:
    def body() -> None:
        with pytest.raises(TypeError, match=why):
            service_mesh.discover(**criteria)
        with pytest.raises(TypeError, match=why):
            service_mesh.discover(**{"name": "thumbs", **criteria})

    with mesh(4, nodes=1) as c:
        c.run("a", body)


def test_what_the_primitive_registers_is_a_service_like_any_other() -> None:
    async def body() -> Pid:
        entry = ServiceEntry(capabilities=("gpu",), metadata={"zone": "eu"})
        await reg.register(REGISTRY, "thumbs", entry)
        await reg.register(REGISTRY, "thumbs", "this is no service")
        await reg.register(REGISTRY, ("other", 1), ServiceEntry())
        return await receive()  # type: ignore[no-any-return]

    with mesh(5) as c:
        pid = c.spawn("a", body).pid
        assert pid is not None
        c.advance(0.5)
        for criteria in ({}, {"name": "thumbs"}, {"capabilities": ("gpu",)}):
            assert pids(c, "b", **criteria) == [pid]
        assert c.run("b", service_mesh.list_services) == ["thumbs"]
        [info] = find(c, "b", "thumbs")
        assert (info.metadata, info.instance) == ({"zone": "eu"}, f"a/w1.1000.{pid.serial}")


def test_reads_follow_each_change_at_once() -> None:
    """The result that is kept is never older than the registry of the host."""

    async def body() -> None:
        seen = []
        one = await service_mesh.register("thumbs")
        assert [i.pid for i in service_mesh.discover("thumbs")] == [me()]
        other = spawn(receive)
        await service_mesh.register("thumbs", other)
        assert [i.pid for i in service_mesh.discover("thumbs")] == [me(), other]
        found = service_mesh.discover("thumbs")
        found.clear()  # each reader has a list of its own
        assert len(service_mesh.discover("thumbs")) == 2
        await reg.update_value(REGISTRY, "thumbs", ServiceEntry(healthy=False), pid=other)
        assert [i.pid for i in service_mesh.discover("thumbs")] == [me()]
        exit(other, "kill")
        assert [i.pid for i in service_mesh.discover("thumbs", healthy=None)] == [me()]
        await one.deregister()
        assert service_mesh.discover("thumbs") == seen

    with mesh(6) as c:
        c.run("a", body)


def test_a_process_can_be_registered_by_any_other() -> None:
    async def elsewhere(pid: Pid) -> Any:
        handle = await service_mesh.register("thumbs", pid, metadata={"by": "another"})
        with pytest.raises(AlreadyRegistered):
            await service_mesh.register("thumbs", pid)
        return handle

    async def deregister(handle: Any) -> None:
        await handle.deregister()
        await handle.deregister()  # twice is as once

    for seed, registrar in enumerate([("a", "w1"), ("a", "w2"), ("a", "control"), ("b", "w1")]):
        with mesh(seed, workers=2) as c:
            node, host = registrar
            pid = c.run("a", lambda: spawn(receive))
            handle = c.run(node, elsewhere, pid, host=host)
            c.advance(0.5)
            assert pids(c, "c", "thumbs") == [pid]
            assert (handle.pid, handle.keeper.host) == (pid, pid.host)
            c.run("c", deregister, handle)
            c.advance(0.5)
            assert pids(c, "c", "thumbs") == []
            handle = c.run(node, elsewhere, pid, host=host)
            c.run("a", lambda pid=pid: send(pid, "end"))
            c.advance(0.5)
            assert pids(c, "c", "thumbs") == []
            assert not c.kernel("a").tables[TABLE].keepers


def test_registering_in_vain_leaves_nothing() -> None:
    async def body(elsewhere: Pid) -> None:
        dead = spawn(lambda: None)
        monitor(dead)
        await receive()  # the news of its end
        wrong: list[tuple[type[Exception], Any, dict[str, Any]]] = [
            (NoProc, dead, {}),
            (NoProc, Pid("zzz/w1", 1, 1), {}),
            (TypeError, "pid", {}),
            (TypeError, None, {"capabilities": "gpu"}),
            (TypeError, None, {"metadata": {"a": []}}),
            (Unsendable, None, {"metadata": {"a": Stubborn()}}),
            (ValueError, None, {"ttl": 0}),
            (TypeError, None, {"ttl": "1"}),
            (ValueError, elsewhere, {"health_check": "ping"}),
        ]
        for error, pid, options in wrong:
            with pytest.raises(error):
                await service_mesh.register("thumbs", pid, **options)
        for name in ("", 7, None):
            with pytest.raises((TypeError, ValueError)):
                await service_mesh.register(name)  # type: ignore[arg-type]
        assert service_mesh.discover(healthy=None) == []

    with mesh(7) as c:
        c.run("a", body, c.run("b", lambda: spawn(receive), host="control"))
        assert not c.kernel("a").tables[TABLE].joining


class Stubborn:
    """Immutable, so they say, but it cannot be sent."""

    __immutable__ = True

    def __reduce__(self) -> Any:
        raise TypeError("not me")


class Idle(GenServer):
    """Answers, and registers in a plain ``def``, which cannot wait."""

    def handle_call(self, request: Any, caller: Any) -> Any:
        """Answer."""
        if request == "x":
            return 1
        errors = []
        for function in (service_mesh.call, lambda *_: service_mesh.route("s", 1)):
            try:
                function("s", 1)
            except Exception as error:
                errors.append(type(error))
        return errors


def test_a_plain_callback_is_told_that_it_cannot_wait() -> None:
    async def body() -> Any:
        return await call(await Idle.start(), "def")

    with mesh(8, nodes=1) as c:
        assert c.run("a", body) == [BlockingCall, service_mesh.NoInstance]


def test_wait_for_returns_when_there_are_enough_and_not_later() -> None:
    async def wait(count: int) -> Any:
        found = await service_mesh.wait_for("thumbs", 10.0, count)
        assert found == service_mesh.discover("thumbs")
        return [info.pid for info in found]

    with mesh(9) as c:
        two, three = c.spawn("c", wait, 2), c.spawn("c", wait, 3)
        first = serve(c, "a")
        assert not two.ended
        second = serve(c, "b")
        assert two.result() == [first, second]
        assert not three.ended
        third = serve(c, "c")
        assert three.result() == [first, second, third]
        assert c.run("a", wait, 3) == [first, second, third]  # nothing to wait for
        c.advance(20.0)
        assert not [p for p in c.processes("c") if "Waiter" in p.last_message()]


def test_wait_for_says_what_there_is_when_the_time_is_over() -> None:
    async def wait() -> None:
        with pytest.raises(ServiceTimeout, match="2 healthy instances") as caught:
            await service_mesh.wait_for("thumbs", timeout=1.5, count=2)
        assert (caught.value.found, caught.value.wanted) == (1, 2)
        assert isinstance(caught.value, TimeoutError)
        for wrong in ({"timeout": 0}, {"count": 0}, {"timeout": None}, {"count": 1.5}):
            with pytest.raises((TypeError, ValueError), match="wait_for: "):
                await service_mesh.wait_for("thumbs", **wrong)  # type: ignore[arg-type]

    with mesh(10) as c:
        serve(c, "a")
        start = c.now
        c.run("b", wait)
        assert c.now - start == pytest.approx(1.5, abs=0.1)


def test_wait_for_leaves_the_mailbox_and_subscriptions_of_its_caller_alone() -> None:
    async def wait() -> Any:
        reg.subscribe(REGISTRY, "thumbs")
        await service_mesh.wait_for("thumbs")
        events = [await receive(timeout=1.0)]
        events.append(await receive(timeout=9.0))
        return [type(event).__name__ for event in events]

    with mesh(11) as c:
        waiting = c.spawn("b", wait)
        c.advance(0.1)
        pid = serve(c, "a")
        c.run("a", lambda: exit(pid, "kill"))
        c.advance(0.5)
        assert waiting.result() == ["Registered", "Unregistered"]


def test_a_node_without_the_mesh_says_so() -> None:
    async def body() -> None:
        with pytest.raises(UnknownDistributedRegistry):
            service_mesh.discover("thumbs")
        with pytest.raises(UnknownDistributedRegistry):
            await service_mesh.register("thumbs")
        with pytest.raises(UnknownDistributedRegistry):
            await service_mesh.call("thumbs", 1)

    with ClusterSimulation(seed=1, nodes=1) as c:
        c.form()
        c.run("a", body)


def test_instances_live_through_a_restart_of_the_registry() -> None:
    async def kill() -> None:
        exit(service_registry(), "kill")

    def service_registry() -> Pid:
        from foundation.kernel.ops import whereis

        pid = whereis(REGISTRY)
        assert pid is not None
        return pid

    with mesh(12) as c:
        one, two = serve(c, "a"), serve(c, "b")
        c.run("a", kill)
        c.advance(2.0)
        for node in c.nodes:
            assert pids(c, node, "thumbs") == [one, two]
        c.run("a", kill)  # and again
        c.advance(2.0)
        assert pids(c, "b", "thumbs") == [one, two]
        c.run("a", lambda: exit(one, "kill"))
        c.advance(0.5)
        assert pids(c, "b", "thumbs") == [two]


def test_both_sides_of_a_split_keep_what_they_reach_and_find_all_again() -> None:
    with mesh(13) as c:
        three = [serve(c, node) for node in c.nodes]
        c.isolate(["a"])
        c.advance(10.0)
        assert pids(c, "a", "thumbs") == [three[0]]
        assert pids(c, "b", "thumbs") == three[1:]
        c.network.heal()
        c.until(c.agreed)
        c.advance(3.0)
        for node in c.nodes:
            assert pids(c, node, "thumbs") == three


def test_an_instance_that_does_not_renew_is_deregistered_and_lives_on() -> None:
    async def renew(pid: Pid) -> Any:
        return await call(pid, "renew")

    async def fails(handle: Any) -> None:
        with pytest.raises(NotInService, match="not renewed within its ttl"):
            await handle.renew()

    with mesh(14) as c:
        pid = serve(c, "a", ttl=3.0)
        handle = c.run("a", _ask, pid, "handle")
        for _ in range(5):
            c.advance(2.0)
            c.run("a", renew, pid)
            assert pids(c, "b", "thumbs") == [pid]
        c.run("b", handle.renew)  # from anywhere
        c.advance(2.9)
        assert pids(c, "b", "thumbs") == [pid]
        c.advance(0.5)
        assert pids(c, "b", "thumbs") == []
        assert c.run("a", _ask, pid, "who") == pid
        c.run("c", fails, handle)
        assert not c.kernel("a").tables[TABLE].keepers


async def _ask(pid: Pid, request: Any) -> Any:
    return await call(pid, request)


def test_a_handle_of_a_dead_instance_says_so() -> None:
    async def fails(handle: Any) -> None:
        with pytest.raises(NotInService):
            await handle.renew()
        await handle.deregister()

    with mesh(15) as c:
        pid = serve(c, "a", ttl=60.0)
        handle = c.run("b", _ask, pid, "handle")
        c.run("a", _ask, pid, "stop")
        c.advance(0.5)
        c.run("b", fails, handle)
        c.run("a", fails, handle)


def test_who_has_left_may_come_again() -> None:
    async def body() -> None:
        for i in range(3):
            handle = await service_mesh.register("thumbs", metadata={"turn": i}, ttl=50.0)
            [info] = service_mesh.discover("thumbs")
            assert info.metadata == {"turn": i}
            if i % 2:
                await handle.deregister()
            else:
                await reg.unregister(REGISTRY, "thumbs")  # the primitive does as well
            assert service_mesh.discover("thumbs") == []
        handle = await service_mesh.register("thumbs")
        await receive(lambda _: False)

    with mesh(16) as c:
        c.spawn("a", body)
        c.advance(100.0)  # no ttl of an earlier registration ends the last one
        assert len(pids(c, "b", "thumbs")) == 1
        assert len(c.kernel("a").tables[TABLE].keepers) == 1


def test_one_process_offers_several_services() -> None:
    async def body() -> None:
        await service_mesh.register("one")
        await service_mesh.register("two")
        with pytest.raises(AlreadyRegistered):
            await service_mesh.register("one")
        await service_mesh.deregister("one")
        await receive()

    with mesh(17) as c:
        c.spawn("a", body)
        c.advance(0.5)
        assert c.run("b", service_mesh.list_services) == ["two"]


def test_what_a_host_remembers_does_not_grow_with_services_that_have_been() -> None:
    async def body() -> None:
        for i in range(700):
            name = f"s{i}"
            await service_mesh.register(name)
            service_mesh.route(name, "x", strategy="local_first" if i % 3 else "round_robin")
            await service_mesh.deregister(name)
            service_mesh.discover(name) if i % 2 else None

    with mesh(18, nodes=1) as c:
        c.run("a", body)
        core = c.kernel("a").tables[TABLE]
        assert len(core._last) <= 520
        assert not core.keepers


def test_a_name_is_looked_at_again_only_when_something_of_it_has_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: list[Any] = []
    sort = service_mesh.core.instances_of

    def spying(name: str, entries: Any) -> Any:
        looks.append(name)
        return sort(name, entries)

    monkeypatch.setattr(service_mesh.discovery, "instances_of", spying)

    async def body() -> list[int]:
        counts = []
        looks.clear()
        for change in (
            lambda: service_mesh.register("thumbs"),
            lambda: service_mesh.register("other"),
            lambda: service_mesh.register("thumbs", spawn(receive)),
            lambda: service_mesh.deregister("other"),
        ):
            await change()
            for _ in range(5):
                service_mesh.discover("thumbs")
            counts.append(looks.count("thumbs"))
        return counts

    with mesh(19, nodes=1) as c:
        find(c, "a", "thumbs")
        assert c.run("a", body) == [1, 1, 2, 2]
