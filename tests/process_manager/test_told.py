"""What callers are told: of starts that take too long, of names of partitions, of what stops."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

import foundation
from foundation.cluster.config import ClusterConfig
from foundation.errors import CannotMove, InvalidChildSpec
from foundation.otp import GenServer, call, exit, receive, trap_exit
from foundation.process_manager import (
    ChildChanged,
    PartitionSet,
    ProcessState,
    lookup,
    migrate,
    start_partitioned,
    start_replicated,
    start_singleton,
    state,
    stop,
    via,
    wait_for,
    watch,
)
from tests.process_manager.pmkit import Part, Worker, facades, listed, node_of


class Slow(Worker):
    """Takes its time to start, and to end."""

    async def init(self, n: int = 0) -> None:
        trap_exit()
        await asyncio.sleep(3)
        super().init(n)

    async def terminate(self, reason: Any) -> None:
        await asyncio.sleep(1)


class Crashing(GenServer):
    """Starts, and crashes soon."""

    def init(self) -> Any:
        from foundation.otp import Continue

        return Continue("crash")

    def handle_continue(self, argument: Any) -> Any:
        raise RuntimeError("the disk is full")


def test_a_start_that_is_late_names_the_child_and_says_what_it_is_doing() -> None:
    with facades(1, nodes=1) as cluster:
        cluster.form()
        with pytest.raises(TimeoutError) as told:
            cluster.run("a", lambda: start_singleton(Slow, name="slow", timeout=0.5))
        assert str(told.value) == (
            "start_child of child 'slow' of 'foundation.processes': it is starting on node 'a' "
            "after 0.5 s"
        )


def test_a_start_of_one_in_quarantine_says_so_and_why() -> None:
    with facades(2, nodes=1) as cluster:
        cluster.form()
        cluster.spawn("a", lambda: start_singleton(Crashing, name="c"))
        cluster.until(lambda: cluster.run("a", lambda: state("c")) is ProcessState.QUARANTINED)
        for waiting in (
            lambda: start_singleton(Crashing, name="c", timeout=2),
            lambda: wait_for("c", 2),
        ):
            with pytest.raises(TimeoutError, match=r"quarantined on node 'a' .*the disk is full"):
                cluster.run("a", waiting)


def test_an_instance_in_place_of_a_class_is_refused() -> None:
    with facades(3, nodes=1) as cluster:
        cluster.form()
        for start in (
            lambda: start_singleton(Worker()),
            lambda: start_replicated(Worker()),
            lambda: start_partitioned(Worker(), partitions=2),
        ):
            with pytest.raises(InvalidChildSpec, match="from a server class or a ChildSpec, got"):
                cluster.run("a", start)
        assert cluster.run("a", listed) == []


def test_who_means_a_part_must_say_which() -> None:
    with facades(4, nodes=2) as cluster:
        cluster.form()
        waiting = cluster.spawn("b", lambda: wait_for("p", 3))
        cluster.run("a", lambda: start_partitioned(Part, partitions=2, name="p"))
        cluster.advance(0.1)
        for function in (
            lambda: lookup("p"),
            lambda: wait_for("p", 1),
            lambda: migrate("p", "b"),
        ):
            with pytest.raises(ValueError, match=r"'p' is the name of partitions.*\('p', 0\)"):
                cluster.run("b", function)
        cluster.until(lambda: waiting.ended)
        with pytest.raises(ValueError, match="is the name of partitions"):
            waiting.result()
        assert cluster.run("b", lambda: wait_for(("p", 1))) is not None
        assert node_of(cluster.run("b", lambda: migrate(("p", 1), "a"))) == "a"
        assert cluster.run("b", lambda: lookup("q")) is None


def test_who_watches_partitions_is_told_of_each_part_also_when_they_start_later() -> None:
    with facades(5, nodes=2) as cluster:
        cluster.form()

        async def body() -> list[Any]:
            assert watch("p") is ProcessState.ABSENT
            await start_partitioned(Part, partitions=3, name="p")
            await start_singleton(Worker, name="other")
            started = {e.id for e in await _told() if e.status == "running"}
            assert started == {("p", 0), ("p", 1), ("p", 2)}
            pid = PartitionSet("p", 3).pids()[1]
            exit(pid, "kill")
            return [e.id for e in await _told()]

        ids = cluster.run("a", body)
        assert ids
        assert set(ids) == {("p", 1)}


async def _told() -> list[ChildChanged]:
    found: list[ChildChanged] = []
    with contextlib.suppress(TimeoutError):
        while True:
            found.append(await receive(timeout=0.5))
    return found


def test_what_is_stopping_is_listed_until_it_has_ended() -> None:
    with facades(6, nodes=2) as cluster:
        cluster.form()
        cluster.run("a", lambda: start_singleton(Slow, name="s", restart="transient"))
        stopping = cluster.spawn("a", lambda: stop("s"))
        cluster.advance(0.3)
        assert not stopping.ended
        for node in "ab":
            (info,) = cluster.run(node, listed)
            assert (info.name, info.pattern, info.restart) == ("s", "singleton", "transient")
            assert [one.state for one in info.instances] == [ProcessState.STOPPING]
            assert cluster.run(node, lambda: state("s")) is ProcessState.STOPPING
        # What stops is in nobody's way.
        found = cluster.run("b", lambda: start_replicated(Worker, name="s"))
        assert cluster.run("b", found.pids)
        cluster.until(lambda: stopping.ended)
        assert [info.pattern for info in cluster.run("a", listed)] == ["replicated"]


def test_with_a_size_each_node_may_start_it_at_once_and_it_is_started_once() -> None:
    config = ClusterConfig(strategies=(), expected_size=3)
    with facades(7, config=config) as cluster:
        starts = []
        for name in "abc":
            cluster.start(name)
            cluster.until(lambda name=name: cluster.started(name))  # type: ignore[misc]
            starts.append(cluster.spawn(name, lambda: start_singleton(Counted, name="job")))
            cluster.advance(0.2)
        cluster.until(lambda: all(body.ended for body in starts), 20)
        assert len({body.result(): None for body in starts}) == 1
        assert Counted.inits == 1


class Counted(GenServer):
    """Counts its starts."""

    inits = 0

    def init(self) -> None:
        Counted.inits += 1


def test_in_a_minority_a_start_waits_for_the_others_and_says_so_when_it_is_late() -> None:
    config = ClusterConfig(strategies=(), expected_size=3)
    with facades(8, config=config) as cluster:
        cluster.start("a")
        cluster.until(lambda: cluster.started("a"))
        text = "start_child of child 'job' .*: 2 nodes are a majority, and only a are there after 2"
        with pytest.raises(TimeoutError, match=text):
            cluster.run("a", lambda: start_singleton(Worker, name="job", timeout=2))


def test_waiting_for_all_members_is_shown_in_the_plan() -> None:
    with facades(9, nodes=2) as cluster:
        cluster.form()

        async def body() -> list[str]:
            with foundation.explain() as plan:
                await start_singleton(Worker, name="w", wait_for_sync=True)
            return [step.function.__name__ for step in plan]

        assert cluster.run("a", body)[:2] == ["start_child", "multi_call"]


class AtHome(Worker):
    """Starts on one node only, which is where it was started first."""

    home = ""

    def init(self, n: int = 0) -> None:
        from foundation.cluster import node

        AtHome.home = AtHome.home or node()
        if node() != AtHome.home:
            raise RuntimeError("cannot run here")
        super().init(n)


def test_a_migration_that_fails_leaves_the_process_with_its_state_and_says_why() -> None:
    with facades(10, nodes=2) as cluster:
        cluster.form()
        AtHome.home = ""

        async def body() -> str:
            await start_singleton(AtHome, 50, name="w")
            await call(via("w"), "count")
            to = "b" if AtHome.home == "a" else "a"
            with pytest.raises(CannotMove) as told:
                await migrate("w", to)
            assert await call(await wait_for("w"), "get") == 51
            assert state("w") is ProcessState.ACTIVE
            return str(told.value)

        text = cluster.run("a", body)
        assert "cannot run here" in text
        assert text.endswith(f"; it goes on on {AtHome.home!r}, with its state")
