"""The functions and the messages that they are made of."""

from __future__ import annotations

import dataclasses
import inspect
import pickle
import re
import textwrap
from typing import Any

import pytest

from foundation import scope
from foundation.errors import ScopeError
from foundation.facade import Failed
from foundation.otp import call
from foundation.testing import ClusterSimulation, Simulation
from tests.scope.kit import Shop, Stock


def block(function: Any) -> str:
    """Return the body of an async function that runs the function's block and returns its value."""
    doc = inspect.getdoc(function) or ""
    found = re.search(r"Equivalent direct messages::\n\n((?:    .*\n|\n)+)", doc)
    assert found, f"{function.__name__} has no equivalent direct messages"
    *lines, last = textwrap.dedent(found[1]).strip().splitlines()
    return textwrap.indent("\n".join([*lines, f"return {last}"]), "    ")


async def run_block(function: Any, **names: Any) -> Any:
    space: dict[str, Any] = {}
    exec(f"async def main({', '.join(names)}):\n{block(function)}", space)
    return await space["main"](**names)


@pytest.mark.parametrize("heading", ["What this does:", "When to bypass:"])
@pytest.mark.parametrize("function", [scope.start_trace, scope.collect])
def test_functions_say_what_they_do_and_when_to_go_without_them(
    function: Any, heading: str
) -> None:
    assert heading in (function.__doc__ or "")


def test_the_direct_messages_do_what_the_functions_do() -> None:
    async def body() -> None:
        await scope.Scope.start_link(name=scope.SERVER)
        stock = await Stock.start_link(host="w1")
        ours = await scope.start_trace("trace")
        await ours.stop()
        trace = await run_block(scope.start_trace)
        plain = dataclasses.replace(trace, spec=dataclasses.replace(trace.spec, id=ours.spec.id))
        assert plain == ours
        await call(stock, 1)
        direct = await run_block(scope.collect, trace=trace, timeout=15.0)
        report = await scope.collect(trace)
        assert direct == report
        assert len(report.events) == 2
        await trace.stop()

    with Simulation(1, hosts=3) as simulation:
        simulation.run(body)


def test_functions_are_messages_too_for_the_whole_cluster() -> None:
    """As a tool does it: from outside of the cluster's processes, to one control host."""

    async def body() -> Any:
        stock = await Stock.start(host="b/w1")
        shop = await Shop.start(stock)
        door = scope.Door()
        trace = await call(door, scope.StartTrace("tool"))
        assert trace.nodes == ("a", "b")
        await call(shop, "apple")
        assert await call(door, scope.CountTrace(trace)) >= 8
        refused = await call(door, scope.StartTrace("other"))
        assert isinstance(refused, Failed)
        assert isinstance(refused.error, ScopeError)
        assert await call(door, scope.StopTrace(trace)) is None
        return await call(door, scope.CollectTrace(trace))

    with ClusterSimulation(1, nodes=2) as cluster:
        cluster.form()
        report = cluster.run("a", body, host="control")
        assert report.complete
        assert {"apple" in event.text for event in report.events} == {True, False}
        assert pickle.loads(pickle.dumps(report)) == report


def test_a_trace_is_plain_data_that_any_process_may_use() -> None:
    async def begin() -> Any:
        return await scope.start_trace()

    async def end(trace: Any) -> Any:
        await call(await Stock.start(), 1)
        async with trace:
            pass
        return await trace.collect()

    with ClusterSimulation(1, nodes=2) as cluster:
        cluster.form()
        trace = pickle.loads(pickle.dumps(cluster.run("a", begin)))
        report = cluster.run("b", end, trace)
    assert [event.kind for event in report.events] == ["call", "reply"]
