"""Tracing and recording of real nodes: several operating-system processes."""

from __future__ import annotations

import asyncio
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import foundation
from foundation import scope
from foundation.otp import call, whereis
from tests.scope.kit import Shop, Stock

pytestmark = pytest.mark.real


async def ordered(count: int) -> Any:
    stock = await Stock.start(1000, name="stock", host="w2")
    shop = await Shop.start(stock, name="shop", host="w1")
    for number in range(count):
        await call(shop, number)
    return stock, shop


async def order_again() -> Any:
    return await call("shop", "again")


def test_a_node_is_traced_over_its_hosts_and_a_killed_host_is_named(tmp_path: Path) -> None:
    with foundation.start(hosts=2, name="traced") as node:
        stock, _ = node.run(ordered, 3)
        node.run(partial(scope.record, path=str(tmp_path / "x.rec")), "shop")
        trace = node.run(scope.start_trace, "real")
        assert sorted(trace.hosts) == ["traced/control", "traced/main", "traced/w1", "traced/w2"]
        node.run(order_again)
        node.run(partial(call, request="sync"), stock)
        first = node.run(trace.collect)
        assert first.complete, first.summary()
        (chain,) = [c for c in first.chains().values() if any("again" in e.text for e in c)]
        assert sorted({event.sender.host for event in chain}) == [
            "traced/main", "traced/w1", "traced/w2",
        ]  # fmt: skip
        assert all(event.taken is not None and event.taken > event.sent for event in chain)
        os.kill(node.hosts()["traced/w1"], signal.SIGKILL)
        node.run(partial(_until_gone, "shop"))
        report = node.run(trace.collect)
        assert list(report.missing) == ["traced/w1"]
        assert not report.complete
        node.run(trace.stop)
    replay = scope.replay(tmp_path / "x.rec")  # all that was there before kill -9
    assert [step.kind for step in replay.run()] == ["start", "call"]
    assert replay.divergence is None


async def _until_gone(name: str) -> None:
    async with asyncio.timeout(20):
        while whereis(name) is not None:
            await asyncio.sleep(0.01)


def test_a_program_without_hosts_is_traced_too() -> None:
    with foundation.start(hosts=0) as node:
        trace = node.run(scope.start_trace)
        pid = node.run(Stock.start)
        with scope.span("a request"):
            assert node.call(pid, 1) == 9
        report = node.run(trace.collect)
        node.run(trace.stop)
    assert [event.kind for event in report.events] == ["call", "reply"]
    assert report.label(report.events[0].sender) == "outside"


async def traced_within(node: Any) -> Any:
    trace = await node.run(scope.start_trace)
    pid = await node.run(Stock.start)
    with scope.span("a request"):
        assert await node.call(pid, 1) == 9
    report = await node.run(trace.collect)
    await node.run(trace.stop)
    return report


def test_a_span_of_the_embedding_program_causes_its_calls() -> None:
    async def main() -> Any:
        async with foundation.start(hosts=0) as node:
            return await traced_within(node)

    report = asyncio.run(main())
    assert [event.kind for event in report.events] == ["span", "call", "reply"]
    assert report.events[1].parent == report.events[0].id
