"""Background health checks, under virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from foundation import service_mesh
from foundation.cluster import registry as reg
from foundation.kernel.ops import current, me, receive, spawn
from foundation.kernel.values import Pid
from foundation.otp import call
from foundation.service_mesh import REGISTRY, HealthCheck, NoInstance, ServiceEntry
from foundation.testing.cluster_sim import ClusterSimulation
from tests.service_mesh.meshsim import find, mesh, pids, serve


async def _ask(pid: Pid, request: Any) -> Any:
    return await call(pid, request)


class Probe:
    """A health check that the test decides, and that notes when and where it was made."""

    __immutable__ = True

    def __init__(self, c: ClusterSimulation) -> None:
        self.c = c
        self.times: list[float] = []
        self.hosts: list[str] = []
        self.results: list[Any] = []
        self.default: Any = True

    def __call__(self, pid: Pid) -> Any:
        """Check."""
        self.times.append(self.c.now)
        self.hosts.append(current().kernel.address)
        result = self.results.pop(0) if self.results else self.default
        if isinstance(result, Exception):
            raise result
        return result


def probed(c: ClusterSimulation, **options: Any) -> tuple[Probe, Pid]:
    """Start an instance with a probe on node a."""
    probe = Probe(c)
    pid = serve(c, "a", health_check=HealthCheck(probe, **options) if options else probe)
    return probe, pid


def test_checks_are_made_every_30_s_first_after_5_s_beside_the_instance() -> None:
    with mesh(1, workers=2) as c:
        start = c.now
        probe = Probe(c)
        serve(c, "b", host="w2", health_check=probe)
        c.advance(100.0)
        assert [t - start for t in probe.times] == pytest.approx([5, 35, 65, 95], abs=0.1)
        assert probe.hosts == ["b/w2"] * 4


def test_three_failures_in_a_row_make_an_instance_unhealthy_on_all_nodes() -> None:
    with mesh(2) as c:
        probe, pid = probed(c, every=10.0, first_after=1.0)
        probe.results = [False, False, True, False, False]
        probe.default = False
        c.advance(45.0)  # F F T F F
        assert pids(c, "b", "thumbs") == [pid]
        c.advance(10.0)  # F
        for node in c.nodes:
            assert pids(c, node, "thumbs") == []
            assert pids(c, node, "thumbs", healthy=False) == [pid]
            assert pids(c, node, "thumbs", healthy=None) == [pid]
            with pytest.raises(NoInstance, match="1 whose health checks fail"):
                c.run(node, lambda: service_mesh.call("thumbs", "who"))
        assert c.run("b", service_mesh.list_services) == ["thumbs"]
        probe.default = True
        c.advance(10.0)
        for node in c.nodes:
            assert pids(c, node, "thumbs") == [pid]
        assert c.run("b", lambda: service_mesh.call("thumbs", "who")) == pid


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (None, "its result was None"),
        (RuntimeError("disk full"), "RuntimeError: disk full"),
        (asyncio.CancelledError(), "CancelledError"),
    ],
)
def test_whatever_is_no_success_is_a_failure_and_the_log_says_why(result: Any, why: str) -> None:
    def check(pid: Pid) -> Any:
        if isinstance(result, BaseException):
            raise result
        return result

    with mesh(3) as c:
        pid = serve(c, "a", health_check=HealthCheck(check, every=1.0, strikes=1))
        c.advance(6.0)
        assert pids(c, "b", "thumbs", healthy=False) == [pid]
        texts = [getattr(report, "text", "") for _, report in c.reports]
        assert any(why in text and "(1 of 1 in a row)" in text for text in texts), texts


def test_a_check_that_takes_too_long_has_failed_and_is_ended() -> None:
    ended = []

    async def check(pid: Pid) -> bool:
        try:
            await asyncio.sleep(1000.0)
        finally:
            ended.append(me().host)
        return True

    with mesh(4) as c:
        pid = serve(c, "a", health_check=HealthCheck(check, 10.0, 1.0, timeout=2.0, strikes=2))
        c.advance(12.0)
        assert pids(c, "b", "thumbs") == [pid]
        assert ended == ["a/w1"]
        c.advance(2.0)
        assert pids(c, "b", "thumbs", healthy=False) == [pid]
        assert len(ended) == 2


def test_checks_never_overlap() -> None:
    running = []
    most = []

    async def check(pid: Pid) -> bool:
        running.append(1)
        most.append(len(running))
        await asyncio.sleep(4.0)
        running.pop()
        return True

    with mesh(5, nodes=1) as c:
        serve(c, "a", health_check=HealthCheck(check, every=1.0, first_after=0.0, timeout=9.0))
        c.advance(21.0)
        assert set(most) == {1}
        assert len(most) == 6  # one after the other


def test_a_message_is_a_check_too() -> None:
    with mesh(6) as c:
        pid = serve(c, "a", health_check=HealthCheck("ping", 1.0, 1.0, timeout=0.5))
        c.advance(5.0)
        assert pids(c, "b", "thumbs") == [pid]
        c.run("b", _ask, pid, ("well", False))
        c.advance(4.0)
        assert pids(c, "b", "thumbs") == []
        c.run("b", _ask, pid, ("well", True))
        c.advance(2.0)
        assert pids(c, "b", "thumbs") == [pid]


def test_a_process_that_does_not_answer_is_unhealthy() -> None:
    async def body() -> Pid:
        deaf = spawn(receive, lambda _: False)
        await service_mesh.register("thumbs", deaf, health_check=HealthCheck("ping", 5.0, 1.0, 1.0))
        return deaf

    with mesh(7) as c:
        deaf = c.run("a", body)
        c.advance(6.0)
        assert pids(c, "b", "thumbs") == [deaf]
        c.advance(8.0)
        assert pids(c, "b", "thumbs", healthy=False) == [deaf]


def test_nothing_of_checks_is_left_when_the_instance_ends() -> None:
    async def check(pid: Pid) -> bool:
        await asyncio.sleep(1000.0)
        return True

    with mesh(8) as c:
        before = len(c.processes("a"))
        pid = serve(c, "a", health_check=HealthCheck(check, 2.0, 0.0, timeout=100.0))
        c.advance(1.0)
        assert len(c.processes("a")) == before + 3  # instance, keeper, check
        c.run("a", _ask, pid, "stop")
        c.advance(1.0)
        assert len(c.processes("a")) == before
        pid = serve(c, "a", health_check=HealthCheck(check, 2.0, 0.0, timeout=100.0))
        c.advance(1.0)
        c.run("a", _ask, pid, "deregister")
        c.advance(1.0)
        assert len(c.processes("a")) == before + 1


def test_a_verdict_keeps_what_else_was_changed_in_the_entry() -> None:
    async def change(pid: Pid) -> None:
        await reg.update_value(
            REGISTRY, "thumbs", ServiceEntry(metadata={"load": 5}, order=1), pid=pid
        )

    with mesh(9) as c:
        probe, pid = probed(c, every=1.0, first_after=1.0, strikes=1)
        c.run("a", change, pid)
        probe.default = False
        c.advance(2.0)
        [info] = find(c, "b", "thumbs", healthy=None)
        assert (info.healthy, info.metadata) == (False, {"load": 5})


def test_an_unhealthy_instance_stays_so_through_a_restart_of_the_registry() -> None:
    async def kill() -> None:
        from foundation.kernel.ops import exit, whereis

        exit(whereis(REGISTRY), "kill")  # type: ignore[arg-type]

    with mesh(10) as c:
        probe, pid = probed(c, every=1.0, first_after=0.5, strikes=1)
        probe.default = False
        c.advance(2.0)
        c.run("a", kill)
        c.advance(2.0)
        assert pids(c, "b", "thumbs", healthy=None) == [pid]
        assert pids(c, "b", "thumbs") == []
        probe.default = True
        c.advance(2.0)
        assert pids(c, "b", "thumbs") == [pid]
