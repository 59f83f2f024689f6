"""Traces of the application alone: what processes of Foundation tell each other is left out."""

from __future__ import annotations

from typing import Any

from foundation import scope
from foundation.kernel.ops import current
from foundation.otp import Agent, DynamicSupervisor, Supervisor, call, spawn
from foundation.process_manager import start_singleton
from foundation.scope.own import is_own
from foundation.scope.tracer import label
from tests.observer.kit import facades
from tests.scope.kit import Shop, Stock


class App(Supervisor):
    """An application's own tree."""

    def init(self) -> Any:
        return [Stock.spec(name="stock", host="w1"), DynamicSupervisor.spec(), Agent.spec(dict)]


def traced(of: Any) -> Any:
    async def body() -> Any:
        await App.start()
        await start_singleton(Shop, "stock", name="shop")
        trace = await scope.start_trace(of=of, seconds=60.0)
        for _ in range(3):
            await call("stock", "apple")
        return trace

    with facades() as cluster:
        cluster.form()
        trace = cluster.run("a", body)
        cluster.advance(5.0)
        return cluster.run("a", lambda: trace.collect())


def test_what_foundation_tells_itself_is_left_out() -> None:
    everything, application = traced(None), traced(scope.APPLICATION)
    assert len(everything.events) > 2 * len(application.events)
    calls = [e for e in application.events if e.kind == "call"]
    assert [e.text for e in calls].count("'apple'") == 3
    names = {"traced.<locals>.body", "body", "stock", "Shop", "App"}
    for event in application.events:
        assert names & {application.label(pid) for pid in (event.sender, event.receiver)}, event


def test_every_process_of_a_node_with_facades_is_foundations_own_but_those_of_the_application() -> (
    None
):
    async def body() -> Any:
        app = await App.start()
        await start_singleton(Shop, "stock", name="shop")
        spawn(receive_for_ever)
        return app

    with facades(nodes=1) as cluster:
        cluster.form()
        kernels = [host.kernel for host in cluster.nodes["a"].hosts.values()]
        foreign = [p for k in kernels for p in k.procs.values() if not is_own(p, k)]
        assert foreign == []
        cluster.run("a", body)
        foreign = [p for k in kernels for p in k.procs.values() if not is_own(p, k)]
        found = sorted(label(process) for process in foreign)
        assert found == ["Agent", "App", "DynamicSupervisor", "Shop", "receive_for_ever", "stock"]


async def receive_for_ever() -> None:
    """Wait."""
    from foundation.kernel.ops import receive

    await receive()


def test_a_wanted_is_taken_as_it_is() -> None:
    async def body() -> Any:
        trace = await scope.start_trace(of=scope.Wanted(names=("stock",)))
        return trace.spec.of, current().pid

    with facades(nodes=1) as cluster:
        cluster.form()
        assert cluster.run("a", body)[0] == scope.Wanted(names=("stock",))

