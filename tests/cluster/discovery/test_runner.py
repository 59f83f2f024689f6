"""The runner, on virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from itertools import pairwise
from typing import Any

import pytest

from foundation.cluster.discovery import Advertisement, Discovery, Found, StaticList, Strategy
from foundation.cluster.discovery.runner import QUICK_FOR
from foundation.testing import VirtualLoop

ME = Advertisement("shop", "me", "10.0.0.1:5000")
Answer = Any  # addresses; an exception to raise; or a function to await


class Fake:
    """Answers what it is told to, and keeps the times at which it was asked."""

    def __init__(self, answer: Answer = (), *, name: str = "fake", start: Answer = None) -> None:
        self.name = name
        self.answer = answer
        self.start_answer = start
        self.close_answer: Answer = None
        self.times: list[float] = []
        self.starts = self.closes = 0
        self.found: Found = lambda addresses: None

    async def start(self, me: Advertisement, found: Found) -> None:
        self.starts += 1
        self.found = found
        await _given(self.start_answer)

    async def discover(self) -> Iterable[str]:
        self.times.append(asyncio.get_running_loop().time())
        return await _given(self.answer)

    async def close(self) -> None:
        self.closes += 1
        await _given(self.close_answer)


async def _given(answer: Answer) -> Any:
    if isinstance(answer, BaseException):
        raise answer
    return await answer() if callable(answer) else answer


class World:
    """A runner, what it reported, and what it logged."""

    def __init__(self, *strategies: Strategy, **options: Any) -> None:
        self.got: list[tuple[float, list[str]]] = []
        self.logged: list[tuple[str, str]] = []
        options.setdefault("rng", random.Random(1))
        self.discovery = Discovery(
            strategies,
            ME,
            options.pop("candidates", self._candidates),
            log=lambda level, text: self.logged.append((level, text)),
            **options,
        )

    def _candidates(self, addresses: list[str]) -> None:
        self.got.append((asyncio.get_running_loop().time(), addresses))

    def texts(self, word: str) -> list[str]:
        return [text for _, text in self.logged if word in text]


def on_virtual_time(body: Callable[[], Awaitable[None]]) -> None:
    loop = VirtualLoop()

    async def checked() -> None:
        await body()
        assert len(asyncio.all_tasks()) == 1, "a task is left"

    try:
        loop.run_until_complete(checked())
    finally:
        loop.close()


def run_for(seconds: float, world: World, then: Callable[[], None] | None = None) -> None:
    """Run for so long; call *then*; close."""

    async def body() -> None:
        await world.discovery.start()
        await asyncio.sleep(seconds)
        if then is not None:
            then()
        await world.discovery.close()

    on_virtual_time(body)


def gaps(times: list[float]) -> list[float]:
    return [round(b - a, 6) for a, b in pairwise(times)]


# When it polls


def test_asks_at_once_then_quickly_then_at_the_interval() -> None:
    fake = Fake()
    run_for(60, World(fake))
    assert fake.times[0] == 0
    assert gaps(fake.times)[:7] == [0.3, 0.5, 1.0, 2.0, 2.0, 2.0, 2.0]
    later = [gap for at, gap in zip(fake.times, gaps(fake.times), strict=False) if at > QUICK_FOR]
    assert set(later) == {5.0}


def test_stops_being_quick_when_somebody_is_found() -> None:
    fake, lonely = Fake(["10.0.0.2:5000"]), Fake(name="lonely")
    run_for(21, World(fake, lonely))
    assert gaps(fake.times) == [5.0] * 4
    assert gaps(lonely.times) == [5.0] * 4  # the other one has found somebody


def test_a_short_interval_bounds_the_quick_polls() -> None:
    fake = Fake()
    run_for(5, World(fake, interval=0.4))
    assert set(gaps(fake.times)[1:]) == {0.4}


# What it reports


def test_own_malformed_and_repeated_addresses_are_left_out() -> None:
    fake = Fake(
        ["10.0.0.1:5000", "B:1", "b:1", "nonsense", None, "[::1]:7", 7, "x:99999", "y:", "a:2"]
    )
    world = World(fake)
    run_for(11, world)
    assert world.got[0] == (0, ["b:1", "[::1]:7", "a:2"])
    assert world.discovery.counters["fake"] == {
        "polls": 3,
        "found": 9,
        "errors": 0,
        "empty": 0,
        "malformed": 15,
    }
    assert len(world.texts("malformed")) == 5  # each once
    assert world.texts("'nonsense' has no port")


def test_the_same_candidates_are_reported_at_each_poll() -> None:
    world = World(Fake(["b:1"]))
    run_for(11, world)
    assert world.got == [(0, ["b:1"]), (5, ["b:1"]), (10, ["b:1"])]


def test_what_is_pushed_is_reported_at_once_and_never_raises() -> None:
    fake = Fake()
    world = World(fake)

    async def body() -> None:
        await world.discovery.start()
        await asyncio.sleep(0.1)
        fake.found(["b:1", "10.0.0.1:5000", "rubbish"])
        assert world.got == [(pytest.approx(0.1), ["b:1"])]
        for rubbish in (None, 7, "b:1", [b"b:1"], [[]], [], {}):
            fake.found(rubbish)  # type: ignore[arg-type]
        fake.found(_fails())
        assert len(world.got) == 1
        assert world.discovery.status()[0].last_found == ("b:1",)
        await asyncio.sleep(3)
        await world.discovery.close()
        fake.found(["c:1"])
        assert len(world.got) == 1

    def _fails() -> Iterable[str]:
        yield "c:1"
        raise OSError("the list breaks off")

    on_virtual_time(body)
    assert gaps(fake.times) == [0.3]  # that pause had begun before somebody was found
    assert world.texts("the list breaks off")


@pytest.mark.parametrize("answer", [None, "b:1", b"b:1", 7])
def test_what_is_no_list_is_an_error(answer: Any) -> None:
    world = World(Fake(answer))
    run_for(0.01, world)
    assert world.got == []
    assert world.texts("expected a list of addresses")


def test_a_consumer_that_fails_is_not_the_fault_of_the_strategy() -> None:
    def candidates(addresses: list[str]) -> None:
        raise RuntimeError("not now")

    fake = Fake(["b:1"])
    world = World(fake, candidates=candidates)
    run_for(11, world)
    assert len(fake.times) == 3
    assert world.discovery.counters["fake"]["errors"] == 0
    expected = "candidates ['b:1'] were not taken: RuntimeError('not now')"
    assert world.logged[0] == ("error", expected)


# Failures


class Drawn(random.Random):
    """Draws the whole of what it may, or next to nothing."""

    def __init__(self, share: float) -> None:
        super().__init__(0)
        self.share = share

    def uniform(self, a: float, b: float) -> float:
        return a + (b - a) * self.share


def failing_gaps(share: float, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    fake = Fake(OSError("no route"))
    monkeypatch.setattr("foundation.cluster.discovery.runner.random.Random", lambda _: Drawn(share))
    run_for(400, World(fake))
    return gaps(fake.times)


def test_the_back_off_doubles_up_to_six_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    found = failing_gaps(1.0, monkeypatch)
    assert found[:8] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert set(found[6:]) == {30.0}


def test_the_jitter_is_full_but_never_a_busy_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(failing_gaps(0.0, monkeypatch)) == {0.05}


def test_the_back_off_is_drawn_within_its_bounds_and_from_the_seed() -> None:
    def times(seed: int) -> list[float]:
        fake = Fake(OSError("no route"))
        run_for(600, World(fake, rng=random.Random(seed)))
        return fake.times

    for n, gap in enumerate(gaps(times(3))):
        assert 0.05 <= gap <= min(0.5 * 2**n, 30.0)
    assert times(3) == times(3)
    assert times(3) != times(4)


def test_each_error_is_logged_once_until_it_works_again() -> None:
    fake = Fake(OSError("no route"))
    world = World(fake)

    def polls() -> int:
        return world.discovery.counters["fake"]["polls"]

    async def until(polls_more: int) -> None:
        goal = polls() + polls_more
        while polls() < goal:
            await asyncio.sleep(0.01)

    async def body() -> None:
        await world.discovery.start()
        await until(5)
        assert world.logged == [
            ("warning", "discovery by fake failed: OSError: no route; trying again")
        ]
        status = world.discovery.status()[0]
        assert (status.errors, status.last_error) == (5, "OSError: no route")
        assert 0 < status.next_in <= 30
        fake.answer = OSError("no such name")
        await until(4)
        fake.answer = OSError("no route")
        await until(2)
        assert len(world.logged) == 2
        fake.answer = ["b:1"]
        await until(3)
        assert world.logged[2:] == [("info", "discovery by fake works again")]
        assert world.discovery.status()[0].last_error is None
        fake.answer = OSError("no route")
        await until(2)
        assert len(world.logged) == 4
        await world.discovery.close()

    on_virtual_time(body)
    assert world.discovery.counters["fake"]["errors"] == 13


def test_an_endless_variety_of_errors_does_not_fill_the_log() -> None:
    count = iter(range(10**6))

    async def answer() -> list[str]:
        raise OSError(f"request {next(count)} failed")

    world = World(Fake(answer), interval=0.1)
    run_for(100, world)
    assert len(world.logged) == 50


def test_errors_and_empty_answers_take_nobody_back() -> None:
    fake = Fake(["b:1"])
    world = World(fake)

    async def body() -> None:
        await world.discovery.start()
        await asyncio.sleep(1)
        fake.answer = []
        await asyncio.sleep(12)
        fake.answer = OSError("403")
        await asyncio.sleep(20)
        await world.discovery.close()

    on_virtual_time(body)
    assert world.got == [(0, ["b:1"])]
    assert world.discovery.counters["fake"]["empty"] == 2
    assert len(world.texts("nobody is dropped")) == 1


def test_the_back_off_begins_anew_after_a_success(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([OSError("x")] * 4 + [["b:1"]] + [OSError("x")] * 3)

    async def answer() -> list[str]:
        return await _given(next(answers, []))

    fake = Fake(answer)
    monkeypatch.setattr("foundation.cluster.discovery.runner.random.Random", lambda _: Drawn(1.0))
    run_for(60, World(fake))
    assert gaps(fake.times)[:8] == [0.5, 1.0, 2.0, 4.0, 5.0, 0.5, 1.0, 2.0]


async def never() -> Any:
    await asyncio.Event().wait()


def test_a_slow_strategy_is_timed_out_and_delays_nobody() -> None:
    slow, quick = Fake(never, name="slow"), Fake(["b:1"], name="quick")
    world = World(slow, quick, timeout=3.0)

    def then() -> None:
        slow_status, quick_status = world.discovery.status()
        assert slow_status.last_error == "no answer within 3 s"
        assert quick_status.last_error is None
        assert quick_status.last_found == ("b:1",)
        assert quick_status.next_in == pytest.approx(4.0)

    run_for(61, world, then)
    assert quick.times == [5.0 * n for n in range(13)]
    assert all(gap >= 3.05 for gap in gaps(slow.times))
    assert len(world.texts("slow")) == 1


def test_the_own_timeout_of_a_strategy_keeps_its_text() -> None:
    world = World(Fake(TimeoutError("the server took 2 s")))
    run_for(0.01, world)
    assert world.texts("TimeoutError: the server took 2 s")


def test_a_cancellation_that_leaks_out_of_a_strategy_is_an_error() -> None:
    fake = Fake(asyncio.CancelledError())
    world = World(fake)
    run_for(30, world)
    assert len(fake.times) > 3
    assert world.texts("CancelledError")


def test_a_start_that_fails_is_cleared_up_and_tried_again() -> None:
    fake = Fake(["b:1"], start=PermissionError("not private"))
    world = World(fake)

    async def body() -> None:
        await world.discovery.start()
        await asyncio.sleep(20)
        assert fake.starts > 3
        assert fake.closes == fake.starts
        assert not fake.times
        assert world.texts("not private") == [
            "discovery by fake failed: PermissionError: not private; trying again"
        ]
        fake.start_answer = None
        await asyncio.sleep(30)
        assert world.texts("works again")
        await world.discovery.close()

    on_virtual_time(body)
    assert world.got
    assert fake.closes == fake.starts


def test_a_start_that_hangs_is_timed_out() -> None:
    fake, other = Fake(start=never), Fake(["b:1"], name="other")
    world = World(fake, other, timeout=2.0)
    run_for(30, world)
    assert fake.starts > 1
    assert fake.closes == fake.starts + 1  # the one of the end
    assert world.got[0] == (0, ["b:1"])
    assert world.texts("no answer within 2 s")


# Closing


def test_close_is_idempotent_and_ends_all_tasks() -> None:
    hanging, fake = Fake(never, name="hanging"), Fake()
    world = World(hanging, fake)

    async def body() -> None:
        await world.discovery.start()
        await asyncio.sleep(1)
        await asyncio.gather(world.discovery.close(), world.discovery.close())
        await world.discovery.close()
        assert (hanging.closes, fake.closes) == (1, 1)
        polls = len(fake.times)
        await asyncio.sleep(100)
        assert len(fake.times) == polls
        with pytest.raises(RuntimeError, match="once"):
            await world.discovery.start()

    on_virtual_time(body)


def test_close_before_start() -> None:
    world = World(Fake())
    on_virtual_time(world.discovery.close)


def test_a_strategy_that_does_not_close_holds_up_nobody() -> None:
    hanging, failing, fake = Fake(name="hanging"), Fake(name="failing"), Fake()
    hanging.close_answer = never
    failing.close_answer = OSError("busy")
    world = World(hanging, failing, fake, timeout=2.0)
    run_for(1, world)
    assert fake.closes == 1
    assert world.texts("did not close: no answer within 2 s")
    assert world.texts("failing did not close: OSError: busy")


def test_who_waits_for_close_may_give_up() -> None:
    fake = Fake()

    async def slowly() -> None:
        await asyncio.sleep(1)

    fake.close_answer = slowly
    world = World(fake)

    async def body() -> None:
        await world.discovery.start()
        await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(world.discovery.close(), 0.1)
        await world.discovery.close()
        assert asyncio.get_running_loop().time() == pytest.approx(1.0)

    on_virtual_time(body)


# Arguments


def test_strategies_of_one_name_are_told_apart() -> None:
    world = World(Fake(), StaticList([]), Fake(["b:1"]))
    run_for(1, world)
    assert list(world.discovery.counters) == ["fake", "static", "fake#2"]
    assert world.discovery.counters["fake#2"]["found"] == 1


def test_the_counters_of_a_strategy_are_shown() -> None:
    fake = Fake()
    fake.counters = {"heard": 3, "polls": 99}  # type: ignore[attr-defined]
    assert World(fake).discovery.counters["fake"]["heard"] == 3
    assert World(fake).discovery.counters["fake"]["polls"] == 0


@pytest.mark.parametrize("strategy", ["static", StaticList, None, object()])
def test_what_is_no_strategy_is_refused(strategy: Any) -> None:
    with pytest.raises(ValueError, match="StaticList, Loopback, MulticastDNS"):
        World(strategy)


@pytest.mark.parametrize("options", [{"interval": 0}, {"interval": True}, {"timeout": "5"}])
def test_odd_times_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="number of seconds above 0"):
        World(**options)


def test_logs_by_default_to_the_logger_of_the_library(caplog: pytest.LogCaptureFixture) -> None:
    discovery = Discovery([Fake(OSError("x"))], ME, print, rng=random.Random(1))

    async def body() -> None:
        await discovery.start()
        await asyncio.sleep(0.01)
        await discovery.close()

    with caplog.at_level("WARNING", logger="foundation"):  # a node's start may have set it
        on_virtual_time(body)
    assert [(r.name, r.levelname) for r in caplog.records] == [("foundation", "WARNING")]
