"""Servers that the tests of tracing and recording look at."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from foundation import scope
from foundation.kernel.kernel import Kernel
from foundation.otp import (
    Down,
    GenServer,
    NoProc,
    NoReply,
    Pid,
    Stop,
    call,
    cast,
    me,
    monitor,
    reply,
    send_after,
    spawn,
    whereis,
)
from foundation.scope.events import Event
from foundation.testing import ClusterSimulation


class Stock(GenServer):
    """Counts down; raises for ``"boom"``."""

    def init(self, count: int = 10) -> None:
        self.count = count
        self.notes: list[Any] = []

    def handle_call(self, request: Any, caller: Any) -> Any:
        if request == "boom":
            raise ValueError("boom")
        self.count -= 1
        return self.count

    def handle_cast(self, request: Any) -> Any:
        if request == "stop":
            return Stop("normal")
        self.notes.append(request)
        return None

    def handle_info(self, message: Any) -> None:
        self.notes.append(message)


class Shop(GenServer):
    """Asks a stock for each order, within a span."""

    def init(self, stock: Any) -> None:
        self.stock = stock

    async def handle_call(self, request: Any, caller: Any) -> Any:
        if request == "boom":
            return await call(self.stock, "boom")
        with scope.span("checkout"):
            left = await call(self.stock, ("take", request))
        cast(self.stock, "note")
        return left

    def handle_cast(self, request: Any) -> None:
        cast(self.stock, request)

    def handle_info(self, message: Any) -> None:
        if message == "later":
            send_after(1.0, self.stock, "late")


class Till(GenServer):
    """Does everything that a recording must know of."""

    def init(self, helper: Pid, start: int = 0) -> None:
        self.helper = helper
        self.total = start
        self.waiters: list[Any] = []
        self.ref = monitor(helper)
        self.log: list[Any] = []
        self.timer: Any = None

    async def handle_call(self, request: Any, caller: Any) -> Any:
        match request:
            case ("add", number):
                left = await call(self.helper, ("price", number))
                await asyncio.sleep(1.0)
                self.total += left * number
                cast(self.helper, "note")
                return self.total
            case "wait":
                self.waiters.append(caller)
                return NoReply()
            case "both":
                one, two = await asyncio.gather(call(self.helper, 1), call(self.helper, 2))
                self.log.append((one, two))
                return one
            case "missing":
                try:
                    await call("nobody", 1)
                except NoProc:
                    self.log.append(whereis("nobody"))
                return None
            case "start":
                self.child = await Stock.start_link(3)
                return self.child
            case "spawn":
                self.spawned = spawn(_nothing)
                return None
            case "random":
                self.total += random.randrange(1, 10**9)
                return self.total
            case "cancel":
                return self.timer.cancel() > 0
        return super().handle_call(request, caller)

    def handle_cast(self, request: Any) -> None:
        self.timer = send_after(2.0, me(), request)

    def handle_info(self, message: Any) -> Any:
        if isinstance(message, Down):
            self.log.append(("down", message.ref == self.ref))
            return Stop("no helper")
        self.log.append(message)
        for waiter in self.waiters:
            reply(waiter, message)
        self.waiters = []
        return None


def _nothing() -> None:
    """Do nothing."""


async def order(shop: Any) -> Any:
    """Order from a process of its own."""
    return await call(shop, "pear")


def one(events: Any, **wanted: Any) -> Event:
    found = [e for e in events if all(getattr(e, name) == v for name, v in wanted.items())]
    assert len(found) == 1, (wanted, [f"{e.kind} {e.text}" for e in events])
    return found[0]


async def shop_over_three_nodes() -> tuple[Any, Any]:
    stock = await Stock.start(name="stock", host="b/w1")
    return stock, await Shop.start(stock, name="shop", host="c/w1")


def in_cluster(body: Any, *args: Any, seed: int = 0, nodes: int = 3, **options: Any) -> Any:
    with ClusterSimulation(seed, nodes=nodes, **options) as cluster:
        cluster.form()
        return cluster.run("a", body, *args)


def kernels(cluster: ClusterSimulation) -> list[Kernel]:
    return [host.kernel for node in cluster.live() for host in node.hosts.values()]
