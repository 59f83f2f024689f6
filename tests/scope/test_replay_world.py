"""Replays of servers that use asyncio and the library as servers do."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foundation import channels, config, process_manager, scope, service_mesh
from foundation.cluster import registry
from foundation.cluster.registry import DistributedRegistry
from foundation.otp import GenServer, Registry, call, cast, sys
from foundation.scope import boundary
from foundation.testing import ClusterSimulation, Simulation
from tests.scope.busy import REGISTRY, Busy, Echo, Echoes

KINDS = sorted(name[3:] for name in vars(Busy) if name.startswith("do_"))


def facades() -> list[Any]:
    """Return what a node runs for these."""
    return [
        *process_manager.specs(),
        *service_mesh.specs(),
        *config.specs(),
        *channels.specs(),
        DistributedRegistry.spec(name=REGISTRY),
    ]


async def live(path: str, requests: list[Any], late: bool) -> Any:
    await Registry.start_link(name="local")
    await Echo.start_link(name="echo")
    await Echoes.start_link(name="echoes")
    if late:
        pid = await Busy.start_link()
        await scope.record(pid, path)
    else:
        pid = await scope.start_recorded(Busy, path)
    for request in requests:
        await call(pid, request, timeout=60)
        cast(pid, "count")
        await asyncio.sleep(0.015)
    await asyncio.sleep(0.2)
    state = await sys.get_state(pid)
    await scope.stop_recording(pid)
    await asyncio.sleep(0.1)
    return state


def lived(path: Path, requests: list[Any], seed: int = 0, late: bool = False) -> Any:
    with ClusterSimulation(seed, nodes=1, app=facades()) as cluster:
        cluster.form()
        cluster.advance(3)
        return cluster.run("a", live, str(path), requests, late)


def check(path: Path, state: Any) -> scope.Replay:
    replay = scope.replay(path)
    steps = replay.run()
    assert replay.divergence is None, replay.divergence
    assert (replay.state["log"], replay.state["count"]) == (state["log"], state["count"])
    assert len(steps) >= len(replay.records)
    return replay


@pytest.mark.parametrize("kind", KINDS)
def test_each_is_replayed_to_the_same_state(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.rec"
    late = KINDS.index(kind) % 2 == 1
    state = lived(path, [kind, kind], seed=KINDS.index(kind), late=late)
    assert len(state["log"]) >= 2
    check(path, state)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    requests=st.lists(st.sampled_from([k for k in KINDS if k != "thread"]), max_size=6),
    seed=st.integers(0, 1000),
    late=st.booleans(),
)
def test_any_mix_is_replayed_to_the_same_state(
    requests: Any, seed: int, late: bool, tmp_path_factory: Any
) -> None:
    path = tmp_path_factory.mktemp("rec") / "x.rec"
    check(path, lived(path, requests, seed, late))


def test_what_tasks_do_between_messages_is_a_step(tmp_path: Path) -> None:
    path = tmp_path / "x.rec"
    state = lived(path, ["background"])
    replay = scope.replay(path)
    steps = [step for step in replay.run() if step.kind == "tasks"]
    assert steps
    assert any("call" in text for step in steps for text in step.did)
    assert ("background", 2, 2) in state["log"]
    assert str(steps[-1]).endswith("tasks")


def test_nothing_is_done_again_in_a_replay(tmp_path: Path) -> None:
    ran: list[str] = []

    class Working(GenServer):
        def init(self) -> None:
            self.found: list[Any] = []

        async def handle_call(self, request: Any, caller: Any) -> Any:
            self.found.append(await asyncio.to_thread(self._work))
            self.found.append(registry.count(REGISTRY))
            return self.found

        @staticmethod
        def _work() -> int:
            ran.append("work")
            return 7

    async def body(path: str) -> Any:
        pid = await Working.start()
        await scope.record(pid, path)
        found = await call(pid, "work")
        await scope.stop_recording(pid)
        return found

    path = tmp_path / "x.rec"
    with ClusterSimulation(0, nodes=1, app=facades()) as cluster:
        cluster.form()
        cluster.advance(3)
        assert cluster.run("a", body, str(path)) == [7, 0]
    assert ran == ["work"]
    replay = scope.replay(path)
    replay.run()
    assert replay.divergence is None
    assert replay.state["found"] == [7, 0]
    assert ran == ["work"]


def codes() -> list[Any]:
    return [function.__code__ for _, function in boundary.functions()]


def test_nothing_is_left_of_a_recording_or_a_replay(tmp_path: Path) -> None:
    before = codes()
    attributes: list[Any] = []

    async def body(path: str) -> Any:
        loop = asyncio.get_running_loop()
        attributes.append(dict(vars(loop)))
        one, two = await Echo.start(), await Echo.start(name="echo")
        await scope.record(one, path)
        assert codes() != before
        await scope.record(two, path + "2")
        await call(one, 1)
        await scope.stop_recording(one)
        assert codes() != before
        await call(two, ("after", 0.1))
        await scope.stop_recording(two)
        assert codes() == before
        attributes.append(dict(vars(loop)))

    with Simulation(0) as simulation:
        simulation.run(body, str(tmp_path / "x.rec"))
    assert attributes[0].keys() == attributes[1].keys()
    steps = scope.replay(tmp_path / "x.rec").steps()
    next(steps)
    assert codes() != before
    steps.close()  # type: ignore[attr-defined]
    assert codes() == before


def test_a_recording_that_is_lost_with_its_host_leaves_nothing(tmp_path: Path) -> None:
    before = codes()

    async def body(path: str) -> None:
        await scope.record(await Echo.start(), path)

    with Simulation(0) as simulation:
        simulation.run(body, str(tmp_path / "x.rec"))
    del simulation
    gc.collect()
    assert codes() == before


def test_two_servers_of_one_host_are_recorded_apart(tmp_path: Path) -> None:
    async def body(path: str) -> Any:
        await Echo.start(name="echo")
        one, two = await Busy.start(), await Busy.start()
        await scope.record(one, path + "1")
        await scope.record(two, path + "2")
        await asyncio.gather(call(one, "group"), call(two, "race"), call(two, "shield"))
        states = [await sys.get_state(pid) for pid in (one, two)]
        for pid in (one, two):
            await scope.stop_recording(pid)
        return states

    path = tmp_path / "x.rec"
    with Simulation(3) as simulation:
        states = simulation.run(body, str(path))
    for number, state in enumerate(states, 1):
        check(Path(f"{path}{number}"), state)


class Changing(Busy):
    """A later version of it."""

    change = ""

    async def handle_call(self, request: Any, caller: Any) -> Any:
        match self.change:
            case "other question":
                config.get("test.other")
            case "connection":
                await asyncio.open_connection("127.0.0.1", 9)
            case "raises":
                raise LookupError("of the new code")
            case "no task":
                return "nothing"
        return await super().handle_call(request, caller)


@pytest.mark.parametrize(
    ("change", "request_", "what", "text"),
    [
        ("other question", "config", "asked", "replayed asked foundation.config.get ('test.other'"),
        ("connection", "queue", "connection", "create_connection of the event loop was called"),
        ("connection", "queue", "connection", "asyncio.to_thread"),
        ("raises", "queue", "task", "or is cancelled: it raised LookupError: of the new code"),
        ("raises", "no_mesh", "action", "without that: it raised LookupError: of the new code"),
        ("no task", "race", "reply", "recorded a task or timer of the server went on"),
    ],
)
def test_a_divergence_says_what_it_was_and_what_to_do(
    change: str,
    request_: str,
    what: str,
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def body(path: str) -> None:
        pid = await Changing.start()
        await scope.record(pid, path)
        await call(pid, request_)
        await scope.stop_recording(pid)

    path = tmp_path / "x.rec"
    with ClusterSimulation(0, nodes=1, app=facades()) as cluster:
        cluster.form()
        cluster.advance(3)
        cluster.run("a", body, str(path))
    monkeypatch.setattr(Changing, "change", change)
    replay = scope.replay(path)
    replay.run()
    assert replay.divergence is not None
    assert replay.divergence.what == what, replay.divergence
    assert text in str(replay.divergence)
    assert "scope.record says" in str(replay.divergence) or what == "connection"


def test_a_recording_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "old.rec").write_bytes(b"foundation replay 1\n")
    with pytest.raises(scope.ReplayError, match="was made by another version of foundation"):
        scope.replay(tmp_path / "old.rec")
