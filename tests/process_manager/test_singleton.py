"""One process in the cluster: who starts it, who gets it, and what becomes of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from foundation.cluster.config import ClusterConfig
from foundation.errors import (
    CannotMove,
    ChildNotFound,
    InvalidChildSpec,
    StartError,
)
from foundation.facade import Failed
from foundation.otp import call, whereis
from foundation.process_manager import (
    SERVER,
    ListProcesses,
    Lookup,
    Migrate,
    ProcessManager,
    ProcessState,
    StartSingleton,
    State,
    Stop,
    WaitFor,
    lookup,
    migrate,
    start_replicated,
    start_singleton,
    state,
    stop,
    via,
    wait_for,
    watch,
)
from tests.process_manager.pmkit import Broken, Worker, facades, listed, node_of

NAME = f"{Worker.__module__}.Worker"


@pytest.mark.parametrize("seed", range(5))
def test_a_hundred_starts_from_all_nodes_give_one_instance(seed: int) -> None:
    with facades(seed) as cluster:
        cluster.form()
        bodies = [
            cluster.spawn("abc"[number % 3], lambda: start_singleton(Worker, 5))
            for number in range(100)
        ]
        cluster.until(lambda: all(body.ended for body in bodies))
        pids = {body.result(): None for body in bodies}
        assert len(pids) == 1
        (pid,) = pids
        cluster.advance(0.1)
        for node in "abc":
            assert cluster.run(node, lambda: lookup(NAME)) == pid
        infos = cluster.run("a", listed)
        assert [(i.name, i.pattern, len(i.instances)) for i in infos] == [(NAME, "singleton", 1)]


def test_it_is_found_at_once_on_the_node_that_started_it() -> None:
    with facades(1) as cluster:
        cluster.form()
        for number in range(20):

            async def start_and_look(number: int = number) -> bool:
                pid = await start_singleton(Worker, name=f"w{number}")
                return lookup(f"w{number}") == pid

            assert cluster.run("abc"[number % 3], start_and_look)


def test_with_wait_for_sync_every_node_has_it_at_the_return() -> None:
    with facades(2) as cluster:
        cluster.form()
        for number in range(10):

            async def start(number: int = number) -> Any:
                return await start_singleton(Worker, name=f"w{number}", wait_for_sync=True)

            pid = cluster.run("a", start)
            for node in "abc":
                assert cluster.run(node, lookup, f"w{number}") == pid


def test_another_node_takes_it_over_and_the_name_leads_there() -> None:
    with facades(3) as cluster:
        cluster.form()
        pid = cluster.run("a", lambda: start_singleton(Worker, 7))
        home = node_of(pid)
        watcher = next(node for node in "abc" if node != home)
        cluster.run(watcher, lambda: wait_for(NAME))
        cluster.crash(home)
        cluster.until(lambda: cluster.run(watcher, lambda: lookup(NAME)) not in (None, pid))
        assert cluster.run(watcher, lambda: call(via(NAME), "get")) == 7


def test_a_crash_loses_the_state_and_a_migration_takes_it_along() -> None:
    with facades(4) as cluster:
        cluster.form()

        async def body() -> list[Any]:
            pid = await start_singleton(Worker, 7)
            seen = [await call(via(NAME), "count")]
            to = next(node for node in "abc" if node != node_of(pid))
            moved = await migrate(NAME, to)
            assert node_of(moved) == to
            await wait_for(NAME)
            seen.append(await call(moved, "get"))
            return seen

        assert cluster.run("a", body) == [8, 8]


def test_states_are_seen_and_changes_are_told() -> None:
    with facades(5) as cluster:
        cluster.form()

        async def body() -> list[str]:
            from foundation.otp import receive
            from foundation.process_manager import ChildChanged

            seen = [str(watch("w"))]
            await start_singleton(Worker, name="w")
            seen.append(str(state("w")))
            await stop("w")
            while True:
                event: ChildChanged = await receive(lambda m: isinstance(m, ChildChanged))
                if event.status == "":
                    break
            seen.append(str(state("w")))
            return seen

        assert cluster.run("a", body) == ["absent", "active", "absent"]


def test_one_that_cannot_start_leaves_nothing_behind() -> None:
    with facades(6) as cluster:
        cluster.form()
        with pytest.raises(StartError, match="cannot start"):
            cluster.run("a", lambda: start_singleton(Broken))
        assert cluster.run("a", listed) == []
        pid = cluster.run("b", lambda: start_singleton(Worker, name=f"{Broken.__module__}.Broken"))
        assert pid is not None


def test_stop_frees_the_name() -> None:
    with facades(7) as cluster:
        cluster.form()
        first = cluster.run("a", lambda: start_singleton(Worker, 1))
        cluster.run("b", lambda: stop(NAME))
        cluster.advance(0.1)
        assert cluster.run("c", lambda: lookup(NAME)) is None
        second = cluster.run("c", lambda: start_singleton(Worker, 2))
        assert second != first
        with pytest.raises(ChildNotFound):
            cluster.run("a", lambda: stop("nobody"))


@pytest.mark.parametrize(
    ("args", "options", "error", "text"),
    [
        ((7,), {}, InvalidChildSpec, "a server class or a ChildSpec, got 7"),
        ((Worker.spec(), 1), {}, InvalidChildSpec, "has its arguments in it"),
        ((Worker,), {"name": 7}, TypeError, "must be a str, got 7"),
        ((Worker,), {"name": ""}, ValueError, "must not be empty"),
        ((Worker,), {"timeout": 0}, ValueError, "above 0"),
        ((Worker,), {"on_minority": "perhaps"}, InvalidChildSpec, "'stop' or 'keep'"),
        ((Worker,), {"on_minority": "stop"}, InvalidChildSpec, "expected_size"),
    ],
)
def test_wrong_arguments_are_refused_at_once(
    args: Any, options: Any, error: Any, text: str
) -> None:
    with facades(8, nodes=1) as cluster:
        cluster.form()
        with pytest.raises(error, match=text):
            cluster.run("a", lambda: start_singleton(*args, **options))
        assert cluster.run("a", listed) == []


def test_where_a_size_is_expected_a_minority_runs_no_singleton() -> None:
    sized = ClusterConfig(strategies=(), expected_size=3)
    with facades(9, config=sized) as cluster:
        cluster.form()
        pid = cluster.run("a", lambda: start_singleton(Worker, 7))
        home = node_of(pid)
        info = cluster.run("a", listed)[0]
        assert info.on_minority == "stop"
        others = [node for node in "abc" if node != home]
        cluster.isolate([home])
        cluster.until(lambda: cluster.run(others[0], lambda: lookup(NAME)) not in (None, pid))
        assert cluster.run(home, lambda: lookup(NAME)) is None


def test_each_function_is_a_message_to_the_server_of_a_node() -> None:
    with facades(10, nodes=2) as cluster:
        cluster.form()

        async def body() -> None:
            there = (SERVER, "b")
            pid = await call(there, StartSingleton(Worker, (3,), name="w"), timeout=10)
            assert await call(there, WaitFor("w")) == pid
            assert await call(there, Lookup("w")) == pid
            assert await call(there, State("w")) is ProcessState.ACTIVE
            names = [info.name for info in await call(there, ListProcesses())]
            assert [name for name in names if not name.startswith("foundation.")] == ["w"]
            to = "b" if node_of(pid) == "a" else "a"
            moved = await call(there, Migrate("w", to), timeout=30)
            assert node_of(moved) == to
            assert await call(there, Stop("w")) is None
            failed = await call(there, Stop("w"))
            assert isinstance(failed, Failed)
            assert isinstance(failed.error, ChildNotFound)

        cluster.run("a", body)


def test_a_slow_start_does_not_keep_the_server_from_answering_others() -> None:
    class Slow(Worker):
        async def init(self, n: int = 0) -> None:
            await asyncio.sleep(60)

    with facades(11, nodes=1) as cluster:
        cluster.form()
        slow = cluster.spawn(
            "a", lambda: call(SERVER, StartSingleton(Slow, name="s", timeout=90), timeout=100)
        )
        cluster.advance(0.1)
        assert cluster.run("a", lambda: call(SERVER, Lookup("nobody"))) is None
        assert not slow.ended
        cluster.until(lambda: slow.ended, 120)
        assert node_of(slow.result()) == "a"


def test_a_replica_does_not_migrate_and_the_class_has_the_functions() -> None:
    with facades(12, nodes=2) as cluster:
        cluster.form()
        cluster.run("a", lambda: start_replicated(Worker))
        with pytest.raises(CannotMove, match="on every node"):
            cluster.run("a", lambda: migrate(NAME, "b"))
        assert cluster.run("a", lambda: ProcessManager.lookup(NAME)) is not None
        assert cluster.run("a", lambda: whereis(SERVER)) is not None
