"""The conformance suite notices strategies that break the contract."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterable
from typing import Any, ClassVar

import pytest

from foundation.cluster.discovery import Advertisement, Found, Strategy
from foundation.testing.discovery_suite import StrategyConformance


class Good:
    """Finds whoever has started in this interpreter."""

    name: ClassVar[str] = "good"
    there: ClassVar[list[str]] = []

    def __init__(self) -> None:
        self.mine = ""

    async def start(self, me: Advertisement, found: Found) -> None:
        self.mine = me.address
        self.there.append(me.address)

    async def discover(self) -> Iterable[str]:
        return self.there

    async def close(self) -> None:
        if self.mine in self.there:
            self.there.remove(self.mine)


class LeavesATask(Good):
    async def start(self, me: Advertisement, found: Found) -> None:
        await super().start(me, found)
        self.task = asyncio.ensure_future(asyncio.sleep(60))


class LeavesASocket(Good):
    async def start(self, me: Advertisement, found: Found) -> None:
        await super().start(me, found)
        _kept.append(socket.socket())


class LeavesAThread(Good):
    async def start(self, me: Advertisement, found: Found) -> None:
        await super().start(me, found)
        thread = threading.Thread(target=_end.wait, daemon=True)
        thread.start()


class ClosesOnce(Good):
    async def close(self) -> None:
        self.there.remove(self.mine)


class CannotBePickled(Good):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


class FindsNobody(Good):
    async def discover(self) -> Iterable[str]:
        return []


class InventsSomebody(Good):
    async def discover(self) -> Iterable[str]:
        return [*self.there, "10.0.0.1:5000"]


class FailsInTheBackground(Good):
    async def discover(self) -> Iterable[str]:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        return self.there


class WedgedByCancellation(Good):
    busy = False

    async def discover(self) -> Iterable[str]:
        while self.busy:
            await asyncio.sleep(0.01)
        self.busy = True
        await asyncio.sleep(0.01)
        self.busy = False
        return self.there


_kept: list[socket.socket] = []
_end = threading.Event()


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(Good, "there", [])
    _end.clear()
    yield
    _end.set()
    while _kept:
        _kept.pop().close()


def failures(kind: type[Good]) -> list[str]:
    class Suite(StrategyConformance):
        seconds = 0.1
        grace = 0.1

        def make(self, me: Advertisement) -> Strategy:
            return kind()

    failed = []
    for name in sorted(each for each in vars(StrategyConformance) if each.startswith("test_")):
        Good.there.clear()
        try:
            getattr(Suite(), name)()
        except pytest.skip.Exception:
            pass
        except Exception:
            failed.append(name)
    return failed


def test_a_good_one_passes() -> None:
    assert failures(Good) == []


@pytest.mark.parametrize(
    ("kind", "test"),
    [
        (ClosesOnce, "test_close_is_idempotent"),
        (CannotBePickled, "test_can_be_pickled_before_it_starts"),
        (FindsNobody, "test_finds_the_others"),
        (InventsSomebody, "test_alone_it_names_nobody_else"),
        (FailsInTheBackground, "test_finds_the_others"),
        (WedgedByCancellation, "test_a_cancelled_discover_does_no_harm"),
    ],
)
def test_a_bad_one_fails(kind: type[Good], test: str) -> None:
    assert test in failures(kind)


@pytest.mark.parametrize("kind", [LeavesATask, LeavesASocket, LeavesAThread])
def test_leaks_are_seen(kind: type[Good]) -> None:
    class Suite(StrategyConformance):
        grace = 0.1

        def make(self, me: Advertisement) -> Strategy:
            return kind()

    with pytest.raises(AssertionError):
        Suite().test_close_is_idempotent()
