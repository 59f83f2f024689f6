"""Recording a server and replaying it."""

from __future__ import annotations

import asyncio
import collections
import gc
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foundation import scope
from foundation.errors import ReplayError, ScopeError
from foundation.otp import ChildSpec, Supervisor, Task, call, cast, send, stop, sys, trap_exit
from foundation.otp.server_process import ServerProcess
from foundation.testing import Simulation
from tests.scope.kit import Stock, Till


async def wait(till: Any) -> Any:
    return await call(till, "wait", timeout=60)


async def work(till: Any, helper: Any) -> Any:
    """Have a till do everything it can; return its last states, oldest first."""
    await scope.watch_state(till, size=1000)
    await call(till, ("add", 2))
    waiting = Task.run(wait, till)
    cast(till, "tick")
    assert await waiting.result(60) == "tick"
    await call(till, "both")
    await call(till, "missing")
    await call(till, "start")
    await call(till, "spawn")
    cast(till, "tock")
    assert await call(till, "cancel") is True
    send(till, {"deep": [1, (2, {3})]})
    await sys.replace_state(till, lambda state: {**state, "total": 1000})
    await call(till, ("add", 3))
    history = await scope.state_history(till)
    cast(helper, "stop")
    await asyncio.sleep(1)
    return [h.state for h in history]


async def from_the_start(path: str) -> Any:
    trap_exit()
    helper = await Stock.start(50)
    return await work(await scope.start_recorded(Till, path, helper, start=5, name="till"), helper)


async def from_later_on(path: str) -> Any:
    helper = await Stock.start(50)
    till = await Till.start(helper, 5)
    await call(till, ("add", 1))
    await scope.record(till, path)
    return await work(till, helper)


def recorded(body: Any, path: Path, seed: int = 0, **options: Any) -> Any:
    with Simulation(seed, **options) as simulation:
        result = simulation.run(body, str(path))
        assert simulation.errors == []
    return result


@pytest.mark.parametrize("body", [from_the_start, from_later_on])
@pytest.mark.parametrize("seed", range(4))
def test_a_replay_goes_through_the_same_states(body: Any, seed: int, tmp_path: Path) -> None:
    path = tmp_path / "till.rec"
    states = recorded(body, path, seed)
    replay = scope.replay(path)
    steps = replay.run()
    assert replay.divergence is None
    assert len(steps) == len(replay.records) + (body is from_later_on)
    totals = [step.state["total"] for step in steps if step.kind in ("call", "cast", "info")]
    seen = [state["total"] for state in states[1:]]
    assert totals[: len(seen)] == seen
    assert len(seen) >= 9
    assert steps[-1].end == "'no helper'"
    assert "('down', True)" in steps[-1].state["log"]  # the same reference
    assert replay.server.total == replay.state["total"]


def test_a_replay_says_what_the_server_did(tmp_path: Path) -> None:
    recorded(from_the_start, tmp_path / "x.rec")
    steps = {step.number: step for step in scope.replay(tmp_path / "x.rec").steps()}
    assert steps[0].kind == "init"
    assert [text.split()[0] for text in steps[1].did] == ["call", "got", "got", "cast", "reply"]
    assert str(steps[1]) == "1: call ('add', 2)"
    assert steps[1].sender is not None


def test_chance_is_a_divergence_at_its_step(tmp_path: Path) -> None:
    async def body(path: str) -> None:
        till = await Till.start(await Stock.start(), 5)
        await scope.record(till, path)
        await call(till, ("add", 1))
        await call(till, "random")
        await call(till, ("add", 1))
        assert await scope.stop_recording(till)

    recorded(body, tmp_path / "x.rec")
    replay = scope.replay(tmp_path / "x.rec")
    steps = replay.run()
    assert [step.number for step in steps] == [0, 1, 2]
    assert replay.divergence is not None
    assert (replay.divergence.step, replay.divergence.what) == (2, "reply")
    assert steps[-1].divergence == replay.divergence
    assert "step 2 diverged (reply): recorded reply " in str(replay.divergence)


class Changed(Till):
    """A later version of the till."""

    change = ""

    async def handle_call(self, request: Any, caller: Any) -> Any:
        match self.change, request:
            case "other call", ("add", number):
                return await call(self.helper, ("prize", number))
            case "no call", ("add", _):
                return self.total
            case "more", ("add", _):
                found = await super().handle_call(request, caller)
                cast(self.helper, "more")
                return found
            case "state", ("add", _):
                found = await super().handle_call(request, caller)
                self.log.append("changed")
                return found
            case "attribute", ("add", _):
                self.extra = 1
            case "lost", ("add", _):
                del self.timer
            case "waits", ("add", _):
                await super().handle_call(request, caller)
                await asyncio.sleep(1)
                return self.total
            case "crash", ("add", _):
                raise ValueError("new")
        return await super().handle_call(request, caller)


@pytest.mark.parametrize(
    ("change", "what", "recorded_text", "replayed_text"),
    [
        ("", None, "", ""),
        ("other call", "call", "('price', 1)", "('prize', 1)"),
        ("no call", "reply", "call <Pid", "reply 5"),
        ("more", "cast", "reply 14", "'more'"),
        ("state", "state", "log = []", "log = ['changed']"),
        ("attribute", "state", "no attribute extra", "extra = 1"),
        ("lost", "state", "timer = None", "no such"),
        ("waits", "await", "reply 14", "awaits"),
        ("crash", "action", "call <Pid", "without that"),
    ],
)
def test_changed_code_is_a_divergence_that_says_what_is_different(
    change: str,
    what: str | None,
    recorded_text: str,
    replayed_text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def body(path: str) -> None:
        till = await Changed.start(await Stock.start(), 5)
        await scope.record(till, path)
        await call(till, ("add", 1))
        await scope.stop_recording(till)

    recorded(body, tmp_path / "x.rec")
    monkeypatch.setattr(Changed, "change", change)
    replay = scope.replay(tmp_path / "x.rec")
    replay.run()
    found = replay.divergence
    assert (found.what if found else None) == what
    if found is not None:
        assert recorded_text in found.recorded
        assert replayed_text in found.replayed


def test_a_replay_runs_in_this_thread_step_by_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(from_the_start, tmp_path / "x.rec")
    seen: list[Any] = []
    plain = Till.handle_info

    def spy(self: Till, message: Any) -> Any:
        seen.append((threading.current_thread(), message))
        return plain(self, message)

    monkeypatch.setattr(Till, "handle_info", spy)
    steps = scope.replay(tmp_path / "x.rec").steps()
    for step in steps:
        if step.kind == "info":
            break
        assert seen == []
    assert seen == [(threading.main_thread(), "tick")]
    steps.close()  # type: ignore[attr-defined]


def test_a_replay_may_run_within_a_running_loop(tmp_path: Path) -> None:
    recorded(from_the_start, tmp_path / "x.rec")

    async def main() -> None:
        replay = scope.replay(tmp_path / "x.rec")
        for _ in replay.steps():
            assert asyncio.current_task() is not None
            await asyncio.sleep(0)
        assert replay.divergence is None

    asyncio.run(main())
    gc.collect()


def test_the_recorded_server_behaves_as_any_other(tmp_path: Path) -> None:
    """With the same seed, what it and the others do is the same, recorded or not."""

    def body(do: bool) -> Any:
        async def main(path: str) -> Any:
            helper = await Stock.start(50)
            till = await Till.start(helper, 5)
            if do:
                await scope.record(till, path)
            states = await work(till, helper)
            return states[-1]["total"], states[-1]["log"]

        return main

    assert recorded(body(True), tmp_path / "a.rec") == recorded(body(False), tmp_path / "b.rec")


def test_when_the_recording_ends_the_process_is_plain_again(tmp_path: Path) -> None:
    async def body(path: str) -> None:
        stock = await Stock.start()
        await scope.record(stock, path)
        process = simulation.main.kernel.procs[stock]
        assert type(process) is not ServerProcess
        with pytest.raises(ScopeError, match="recorded already"):
            await scope.record(stock, path + "2")
        await call(stock, 1)
        assert await scope.stop_recording(stock)
        assert not await scope.stop_recording(stock)
        assert type(process) is ServerProcess
        assert process.kernel is simulation.main.kernel
        assert process.debug is None
        assert await call(stock, 2) == 8

    with Simulation(0) as simulation:
        simulation.run(body, str(tmp_path / "x.rec"))
    assert [step.number for step in scope.replay(tmp_path / "x.rec").steps()] == [0, 1]


def test_a_full_file_ends_the_recording_not_the_server(tmp_path: Path) -> None:
    path = tmp_path / "x.rec"

    async def body(name: str) -> Any:
        stock = await Stock.start()
        await scope.record(stock, name, limit=20_000)
        for number in range(100):
            await call(stock, "x" * 1000 + str(number))
        return await call(stock, "end")

    assert recorded(body, path) == 10 - 101
    assert path.stat().st_size <= 20_100
    replay = scope.replay(path)
    assert 5 < len(replay.run()) < 30
    assert replay.divergence is None


def test_a_file_that_ends_in_the_middle_is_replayed_up_to_there(tmp_path: Path) -> None:
    path = tmp_path / "x.rec"
    recorded(from_the_start, path)
    whole = path.read_bytes()
    counts = set()
    for size in range(len(whole) // 2, len(whole), 97):
        path.write_bytes(whole[:size])
        replay = scope.replay(path)
        counts.add(len(replay.run()))
        assert replay.divergence is None
    assert len(counts) > 3


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReplayError, match="cannot be read: No such file"):
        scope.replay(tmp_path / "none")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ReplayError, match="no recording of a server"):
        scope.replay(tmp_path / "text")
    (tmp_path / "short").write_bytes(b"foundation replay 2\n\0\0")
    with pytest.raises(ReplayError, match="ends before its header"):
        scope.replay(tmp_path / "short")
    (tmp_path / "bad").write_bytes(b"foundation replay 2\n\0\0\0\1\xc1")
    with pytest.raises(ReplayError, match="damaged"):
        scope.replay(tmp_path / "bad")


class Odd(Stock):
    """Has an attribute that cannot be recorded."""

    def init(self, count: int = 10) -> None:
        super().init(count)
        self.generator = (n for n in range(3))

    def handle_call(self, request: Any, caller: Any) -> Any:
        if request == "next":
            return next(self.generator)
        return super().handle_call(request, caller)


def test_an_attribute_that_cannot_be_recorded_matters_only_where_it_is_used(tmp_path: Path) -> None:
    async def body(path: str) -> None:
        odd = await Odd.start()
        await scope.record(odd, path)
        await call(odd, 1)
        assert await call(odd, "next") == 0

    recorded(body, tmp_path / "x.rec")
    replay = scope.replay(tmp_path / "x.rec")
    steps = replay.run()
    assert [s.divergence is None for s in steps] == [True, True, False]
    trapped = []

    async def from_init(path: str) -> None:
        trap_exit()
        odd = await scope.start_recorded(Odd, path)
        trapped.append(await call(odd, "next"))

    recorded(from_init, tmp_path / "y.rec")
    replay = scope.replay(tmp_path / "y.rec")
    replay.run()
    assert replay.divergence is None  # init made the generator again


class Boss(Supervisor):
    path = ""

    def init(self) -> Any:
        return [ChildSpec("stock", (scope.start_recorded, (Stock, self.path, 7), {}))]


def test_a_supervised_child_can_be_recorded_from_its_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Boss, "path", str(tmp_path / "x.rec"))

    async def body(_: str) -> None:
        boss = await Boss.start_link()
        (child,) = await Supervisor.which_children(boss)
        assert await call(child.pid, 1) == 6
        await stop(boss)

    recorded(body, tmp_path / "x.rec")
    steps = scope.replay(tmp_path / "x.rec").run()
    assert [step.kind for step in steps] == ["init", "call", "end"]
    assert steps[1].state["count"] == "6"


def test_what_cannot_be_recorded_is_refused(tmp_path: Path) -> None:
    async def body(path: str) -> None:
        boss = await EmptyBoss.start_link()
        stock = await Stock.start_link()
        with pytest.raises(ScopeError, match="only servers"):
            await scope.record(boss, path)
        with pytest.raises(ScopeError, match="a GenServer class can be recorded"):
            await scope.start_recorded(EmptyBoss, path)
        with pytest.raises(ScopeError, match="path of a recording must be a str"):
            await scope.record(stock, tmp_path / "x")  # type: ignore[arg-type]
        with pytest.raises(ScopeError, match="limit must be"):
            await scope.record(stock, path, limit=0)
        with pytest.raises(ScopeError, match="No such file or directory"):
            await scope.record(stock, str(tmp_path / "no" / "x"))
        tmp_path.joinpath("x.rec").write_text("mine")
        with pytest.raises(ScopeError, match="File exists"):
            await scope.record(stock, path)
        assert await call(stock, 1) == 9

    recorded(body, tmp_path / "x.rec")
    assert (tmp_path / "x.rec").read_text() == "mine"


class EmptyBoss(Supervisor):
    def init(self) -> Any:
        return []


REQUESTS = st.lists(
    st.one_of(
        st.tuples(st.just("call"), st.tuples(st.just("add"), st.integers(-5, 5))),
        st.tuples(st.just("call"), st.sampled_from(["both", "missing", "start", "spawn"])),
        st.tuples(st.just("cast"), st.text(max_size=5)),
        st.tuples(st.just("send"), st.recursive(
            st.one_of(st.none(), st.integers(), st.binary(max_size=3), st.floats(allow_nan=False)),
            lambda inner: st.lists(inner, max_size=3).map(tuple) | st.lists(inner, max_size=3),
        )),
        st.tuples(st.just("pass"), st.floats(0, 4)),
    ),
    max_size=12,
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(requests=REQUESTS, seed=st.integers(0, 1000), before=st.integers(0, 5))
def test_any_history_is_replayed_to_the_same_state(
    requests: Any, seed: int, before: int, tmp_path_factory: Any
) -> None:
    path = tmp_path_factory.mktemp("rec") / "x.rec"
    final = collections.ChainMap[str, Any]()

    async def body(name: str) -> None:
        till = await Till.start(await Stock.start(100), 1)
        for number, (how, what) in enumerate(requests):
            if number == before:
                await scope.record(till, name)
            if how == "call":
                await call(till, what, timeout=30)
            elif how == "pass":
                await asyncio.sleep(what)
            else:
                (cast if how == "cast" else send)(till, what)
        await asyncio.sleep(3)
        if before < len(requests):
            await scope.stop_recording(till)
            final.update(await sys.get_state(till))

    recorded(body, path, seed)
    if before >= len(requests):
        return
    replay = scope.replay(path)
    replay.run()
    assert replay.divergence is None, replay.divergence
    assert replay.state["total"] == final["total"]
    assert replay.state["log"] == final["log"]
