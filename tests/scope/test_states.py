"""``watch_state``, and the observers of ``sys`` that it is made of."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from foundation import scope
from foundation.errors import ScopeError, SysError
from foundation.otp import CallExit, call, cast, send, sys
from tests.scope.kit import Shop, Stock


def test_the_state_after_each_message_is_kept(run: Any) -> None:
    async def body() -> None:
        stock = await Stock.start_link(5)
        await call(stock, "before")
        await scope.watch_state(stock)
        await call(stock, "one")
        cast(stock, "note")
        send(stock, "info")
        await call(stock, "two")
        history = await scope.state_history(stock)
        assert [(h.number, h.kind, h.message) for h in history] == [
            (0, "watched", ""),
            (1, "call", "'one'"),
            (2, "cast", "'note'"),
            (3, "info", "'info'"),
            (4, "call", "'two'"),
        ]
        assert [h.state["count"] for h in history] == ["4", "3", "3", "3", "2"]
        assert history[-1].state["notes"] == "['note', 'info']"
        assert await scope.unwatch_state(stock)
        assert not await scope.unwatch_state(stock)
        with pytest.raises(ScopeError, match=r"state_history.*: it is not watched; watch_state"):
            await scope.state_history(stock)
        assert (await sys.get_status(stock))["debug"] == []

    run(body)


def test_the_history_is_bounded_and_may_hold_copies(run: Any) -> None:
    async def body() -> None:
        stock = await Stock.start_link(1000)
        await scope.watch_state(stock, size=3, copies=True)
        for number in range(10):
            cast(stock, [number])
        await call(stock, "sync")
        history = await scope.state_history(stock)
        assert [h.number for h in history] == [9, 10, 11]
        assert history[1].state == {"count": 1000, "notes": [[n] for n in range(10)]}
        assert history[0].state["notes"] == [[n] for n in range(9)]  # a copy of then

    run(body)


def test_an_async_handler_is_one_message_awaits_included(run: Any) -> None:
    async def body() -> None:
        stock = await Stock.start_link()
        shop = await Shop.start_link(stock)
        await scope.watch_state(shop)
        await asyncio.gather(call(shop, "a"), call(shop, "b"))
        history = await scope.state_history(shop)
        assert [(h.number, h.kind) for h in history] == [(0, "watched"), (1, "call"), (2, "call")]

    run(body)


def test_a_wrong_size_is_refused(run: Any) -> None:
    async def body() -> None:
        with pytest.raises(ScopeError, match="size must be an int of 1 or more"):
            await scope.watch_state("nobody", size=0)

    run(body)


def test_errors_say_what_was_called_what_happened_and_what_to_do(run: Any, tmp_path: Any) -> None:
    async def body() -> None:
        path = str(tmp_path / "x.rec")
        for function, args in (
            (scope.watch_state, ()),
            (scope.state_history, ()),
            (scope.unwatch_state, ()),
            (scope.record, (path,)),
            (scope.stop_recording, ()),
        ):
            expected = rf"{function.__name__}\('nobody'\): there is no such process; start it first"
            with pytest.raises(ScopeError, match=expected):
                await function("nobody", *args)
        busy = await Busy.start_link(name="busy")
        cast(busy, "work")
        with pytest.raises(ScopeError, match=r"^record\('busy'\): no answer within 0.1 s: it"):
            await scope.record("busy", path, timeout=0.1)

    run(body)


class Busy(Stock):
    async def handle_cast(self, request: Any) -> None:
        await asyncio.sleep(1.0)


class Clumsy:
    """An observer that fails at its second message."""

    def __init__(self, process: Any, log: Any) -> None:
        self.log = log
        self.seen = 0

    def came(self, process: Any, item: Any) -> None:
        self.seen += 1
        if self.seen == 2:
            raise RuntimeError("clumsy")

    def handled(self, process: Any, item: Any) -> None:
        """Nothing."""

    def ended(self, process: Any, reason: Any) -> None:
        send(self.log, ("ended", reason)) if self.log else None

    def read(self, *args: Any) -> Any:
        return (self.seen, args)


def test_an_observer_that_fails_goes_and_harms_nobody(run: Any) -> None:
    async def body() -> None:
        stock = await Stock.start_link(5)
        await sys.install(stock, "clumsy", Clumsy, None)
        assert await call(stock, 1) == 4
        assert await sys.read(stock, "clumsy", "x") == (1, ("x",))
        assert await call(stock, 2) == 3
        with pytest.raises(SysError):
            await sys.read(stock, "clumsy")
        assert await call(stock, 3) == 2

    run(body)


def test_what_cannot_be_installed_leaves_the_server_as_it_was(run: Any) -> None:
    async def body() -> None:
        stock = await Stock.start_link(5)
        with pytest.raises(SysError):
            await sys.install(stock, "bad", int, "x", "y", "z")
        assert (await sys.get_status(stock))["debug"] == []
        assert await call(stock, 1) == 4
        with pytest.raises(CallExit):
            await sys.install("nobody", "x", Clumsy, None)

    run(body)
