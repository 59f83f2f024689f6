"""The keeper of an instance: renewals, verdicts, its own end; under virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from foundation import service_mesh
from foundation.cluster import registry as reg
from foundation.errors import FoundationError
from foundation.kernel.ops import exit, receive, spawn
from foundation.kernel.values import Pid
from foundation.otp import call
from foundation.otp import sys as otp_sys
from foundation.service_mesh import REGISTRY, HealthCheck, NotInService, ServiceEntry, ServiceHandle
from foundation.testing.cluster_sim import ClusterSimulation
from tests.service_mesh.meshsim import Listener, find, mesh, pids, serve


async def _ask(pid: Pid, request: Any) -> Any:
    return await call(pid, request)


def handle_of(c: ClusterSimulation, pid: Pid) -> ServiceHandle:
    """Return the handle that *pid* got."""
    handle: ServiceHandle = c.run("a", _ask, pid, "handle")
    return handle


def notices(c: ClusterSimulation, word: str) -> list[str]:
    """Return the texts of the log with *word*."""
    texts = [getattr(report, "text", "") for _, report in c.reports]
    return [text for text in texts if word in text]


def test_an_instance_whose_renewal_was_answered_stays_for_a_further_ttl() -> None:
    async def renew(handle: ServiceHandle) -> None:
        await handle.renew()

    with mesh(1, nodes=2) as c:
        pid = serve(c, "a", ttl=1.0)
        handle = handle_of(c, pid)
        c.run("a", lambda: otp_sys.suspend(handle.keeper))  # stands for one that is busy
        renewal = c.spawn("a", renew, handle)
        c.advance(1.0)  # the end of the ttl is in its mailbox, behind the renewal
        c.run("a", lambda: otp_sys.resume(handle.keeper))
        c.advance(0.9)
        assert renewal.result() is None
        assert pids(c, "b", "thumbs") == [pid]
        c.advance(0.5)
        assert pids(c, "b", "thumbs") == []


@pytest.mark.parametrize("other", ["no service", ServiceEntry("direct", metadata={"k": 1})])
def test_verdicts_are_shown_whatever_else_the_process_has_under_that_name(other: Any) -> None:
    async def also(pid: Pid) -> None:
        await reg.register(REGISTRY, "thumbs", other, pid=pid)

    def healths(c: ClusterSimulation) -> dict[str, bool]:
        return {i.instance: i.healthy for i in find(c, "b", "thumbs", healthy=None)}

    with mesh(2, nodes=2) as c:
        pid = serve(c, "a", health_check=HealthCheck("ping", 0.5, 0.2, 0.3, strikes=1))
        c.run("a", also, pid)
        [mine] = [name for name in healths(c) if name != "direct"]
        others = {"direct": True} if isinstance(other, ServiceEntry) else {}
        for well in (False, True, False):
            c.run("a", _ask, pid, ("well", well))
            c.advance(2.0)
            assert healths(c) == {mine: well, **others}
        assert notices(c, "has died") == []


def test_a_keeper_that_is_killed_is_replaced_and_checks_and_ttl_go_on() -> None:
    async def renew(handle: ServiceHandle) -> None:
        await handle.renew()

    with mesh(3, nodes=2) as c:
        listener = Listener(c, "b")
        check = HealthCheck("ping", 1.0, 0.5, 0.3, strikes=1)
        pid = serve(c, "a", ttl=5.0, health_check=check)
        listener.take()
        handle = handle_of(c, pid)
        c.run("a", lambda: exit(handle.keeper, "kill"))
        c.advance(3.0)
        assert len(notices(c, "a new one is started")) == 1
        c.run("b", renew, handle)  # finds the new one
        c.run("a", renew, handle)
        c.advance(4.0)
        assert pids(c, "b", "thumbs") == [pid]
        c.run("a", _ask, pid, ("well", False))
        c.run("b", renew, handle)
        c.advance(2.0)
        assert pids(c, "b", "thumbs", healthy=False) == [pid]
        c.advance(3.5)
        assert pids(c, "b", "thumbs", healthy=None) == []
        with pytest.raises(NotInService):
            c.run("b", renew, handle)
        kinds = [kind for kind, _ in listener.take()]
        assert kinds == ["ServiceHealthChanged", "ServiceDown"]


def test_an_unhealthy_instance_stays_so_when_its_keeper_is_replaced() -> None:
    with mesh(4, nodes=2) as c:
        pid = serve(c, "a", health_check=HealthCheck("ping", 5.0, 0.5, 0.3, strikes=2))
        c.run("a", _ask, pid, ("well", False))
        c.advance(6.0)
        assert pids(c, "b", "thumbs", healthy=False) == [pid]
        handle = handle_of(c, pid)
        c.run("a", lambda: exit(handle.keeper, "kill"))
        c.advance(3.0)  # one failed check of the new keeper
        assert pids(c, "b", "thumbs", healthy=False) == [pid]
        c.run("a", _ask, pid, ("well", True))
        c.advance(5.0)
        assert pids(c, "b", "thumbs") == [pid]


def test_an_instance_whose_keepers_die_again_and_again_is_withdrawn() -> None:
    with mesh(5, nodes=2) as c:
        pid = serve(c, "a", ttl=100.0)
        core = c.kernel("a").tables["service mesh"]
        for turn in range(4):
            assert pids(c, "b", "thumbs") == [pid], turn
            keeper = core.keepers[("thumbs", pid)].keeper
            c.run("a", lambda keeper=keeper: exit(keeper, "kill"))
            c.advance(1.0)
        assert pids(c, "b", "thumbs", healthy=None) == []
        assert core.keepers == {}
        assert len(notices(c, "it is withdrawn")) == 1
        assert c.run("a", _ask, pid, "ping") is True


def test_keepers_that_end_as_they_should_have_no_successor() -> None:
    async def body() -> None:
        pid = spawn(receive)
        handle = await service_mesh.register("mine", pid, ttl=50.0)
        await service_mesh.register("yours", pid)
        await handle.deregister()
        exit(pid, "kill")

    with mesh(6, nodes=1) as c:
        before = len(c.processes("a"))
        pid = serve(c, "a", ttl=1.0)
        c.run("a", body)
        c.advance(2.0)
        assert len(c.processes("a")) == before + 1  # pid, whose ttl is over
        assert c.run("a", _ask, pid, "ping") is True
        assert notices(c, "has died") == []


def test_a_handle_of_an_earlier_registration_leaves_the_later_one_alone() -> None:
    async def again(pid: Pid, ttl: float | None = None) -> ServiceHandle:
        return await service_mesh.register("thumbs", pid, ttl=ttl)

    async def renew(handle: ServiceHandle) -> None:
        await handle.renew()

    async def withdraw(handle: ServiceHandle) -> None:
        await handle.deregister()

    with mesh(7, nodes=2) as c:
        pid = serve(c, "a", ttl=1.0)
        old = handle_of(c, pid)
        c.advance(1.5)
        new = c.run("a", again, pid, 60.0)
        c.advance(0.3)
        for node in "ab":
            c.run(node, withdraw, old)
            with pytest.raises(NotInService):
                c.run(node, renew, old)
            c.run(node, renew, new)
            assert pids(c, node, "thumbs") == [pid]
        c.run("b", withdraw, new)
        c.advance(0.3)
        assert pids(c, "a", "thumbs") == []
        c.run("a", again, pid)
        c.run("b", withdraw, ServiceHandle("thumbs", pid))  # made by hand: it means any
        c.advance(0.3)
        assert pids(c, "a", "thumbs") == []


class _Textless(FoundationError):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class _Undecided:
    def __bool__(self) -> bool:
        raise ValueError("neither" * 100_000)


class _Reprless:
    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        raise ValueError("z" * 100_000)


@pytest.mark.parametrize("what", ["long", "textless", "undecided", "unprintable"])
def test_the_log_gets_no_more_than_a_line_of_what_a_check_says(what: str) -> None:
    def check(pid: Pid) -> Any:
        if what == "long":
            raise ValueError("x" * 100_000)
        if what == "textless":
            raise _Textless()
        return _Undecided() if what == "undecided" else _Reprless()

    with mesh(8, nodes=2) as c:
        pid = serve(c, "a", health_check=HealthCheck(check, 1.0, 0.5, 0.3, strikes=1))
        c.advance(3.0)
        assert pids(c, "b", "thumbs", healthy=False) == [pid]
        texts = notices(c, "health check of service")
        assert texts
        assert max(map(len, texts)) < 600
        assert all(len(str(report)) < 2000 for _, report in c.reports)


def test_no_keeper_is_left_of_an_instance_withdrawn_while_it_was_replaced() -> None:
    async def body(handle: ServiceHandle) -> None:
        exit(handle.keeper, "kill")  # type: ignore[arg-type]
        await handle.deregister()

    for seed in range(20):
        with mesh(seed, nodes=1) as c:
            pid = serve(c, "a")
            before = len(c.processes("a"))
            c.run("a", body, handle_of(c, pid))
            c.advance(1.0)
            assert pids(c, "a", "thumbs", healthy=None) == []
            assert len(c.processes("a")) == before - 1
            assert c.kernel("a").tables["service mesh"].keepers == {}
