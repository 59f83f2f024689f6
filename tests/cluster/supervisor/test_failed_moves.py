"""A move that was asked for and cannot be made: nothing is lost, and the caller is told."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from foundation.cluster import node as this_node
from foundation.cluster.supervisor import (
    drain,
    move_child,
    restart_child,
    terminate_child,
    wanted_children,
    whereis_child,
)
from foundation.cluster.supervisor import runner as runner_module
from foundation.errors import CannotMove, InvalidChildSpec
from foundation.otp import Ignore, Stop, call, cast, exit
from foundation.testing.cluster_sim import ClusterSimulation
from tests.cluster.supervisor.invariants import problems
from tests.cluster.supervisor.supkit import Jobs, Worker, config
from tests.cluster.supervisor.test_hostile import notices
from tests.cluster.supervisor.test_move_child import move, where


class OnlyOn(Worker):
    """Starts on some nodes only."""

    how = "raise"

    async def init(self, nodes: str, n: int = 0) -> Any:
        await asyncio.sleep(0.001)
        self.n = n
        if this_node() in nodes:
            return None
        if self.how == "ignore":
            return Ignore()
        if self.how == "stop":
            return Stop("not here")
        raise RuntimeError("cannot run here")


class Ignoring(OnlyOn):
    """Ignores the start elsewhere."""

    how = "ignore"


class Stopping(OnlyOn):
    """Stops at the start elsewhere."""

    how = "stop"


class ImportsOn(Worker):
    """Imports on some nodes only."""

    def init(self, nodes: str, n: int = 0) -> None:  # type: ignore[override]
        self.nodes, self.n = nodes, n

    def import_state(self, state: Any) -> None:
        if this_node() not in self.nodes:
            raise ValueError("cannot import here")
        self.n = state


class NoExport(Worker):
    """Cannot export."""

    def export_state(self) -> Any:
        raise ValueError("cannot export")


class Unsendable(Worker):
    """Exports what cannot be sent."""

    def export_state(self) -> Any:
        return (number for number in range(3))


class Large(Worker):
    """Exports too much."""

    def export_state(self) -> Any:
        return bytes(5000)


class Busy(Worker):
    """Takes its time for a message."""

    async def handle_cast(self, request: Any) -> None:
        await asyncio.sleep(request)
        self.n += 1


class BadEnd(Worker):
    """Fails when it ends."""

    def terminate(self, reason: Any) -> None:
        raise RuntimeError("at the end")


def started(jobs: Jobs, cls: Any, *args: Any, on: str | None = None, id: str = "w") -> str:
    """Start a child, count once, and return its node: *on*, if it is given."""
    jobs.start("a", cls.spec(*args), id=id)
    if on is not None and where(jobs, "a", id) != on:
        move(jobs, "a", id, on)
    jobs.whereis("a", id)
    jobs.cluster.run("a", lambda: call(whereis_child("jobs", id), "count"))
    home = where(jobs, "a", id)
    assert home is not None
    return home


def state_of(jobs: Jobs, id: str = "w") -> Any:
    jobs.whereis("a", id)  # a little later, when node a has heard of it
    return jobs.cluster.run("a", lambda: call(whereis_child("jobs", id), "get"))


def home_of(cluster: ClusterSimulation, id: str = "w") -> str:
    """Return the node that owns *id*."""
    from foundation.cluster.rendezvous import owner
    from foundation.cluster.supervisor.ids import key_of

    return owner(key_of(id), sorted(cluster.nodes)) or ""


@pytest.mark.parametrize("cls", [OnlyOn, Ignoring, Stopping, ImportsOn])
@pytest.mark.parametrize("owned", [True, False])
def test_a_child_that_does_not_start_there_goes_back_with_its_state(cls: Any, owned: bool) -> None:
    with ClusterSimulation(20, nodes=3) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        owner = home_of(cluster)
        first, second = (n for n in "abc" if n != owner)
        home, to = (owner, first) if owned else (first, second)
        # Where it is not at its owner's, it must be able to run there to come to its place.
        home = started(jobs, cls, home + owner, 40, on=home)
        with pytest.raises(CannotMove) as told:
            move(jobs, "b", "w", to)
        text = str(told.value)
        assert f"child 'w' was not moved to {to!r}: it did not start on {to!r}: " in text
        assert text.endswith(f"; it goes on on {home!r}, with its state")
        assert where(jobs, "a", "w") == home
        assert state_of(jobs) == 41
        cluster.advance(5)
        assert problems(cluster, "jobs") == []
        (child,) = cluster.run("a", lambda: wanted_children("jobs"))
        assert child.prefers == (None if owned else home)
        third = next(n for n in "abc" if n not in (home, to))
        if third in home + owner:
            move(jobs, "c", "w", third)  # and later it moves as ever
            assert state_of(jobs) == 41


def test_one_that_was_moved_and_cannot_go_back_stays_where_it_was_moved() -> None:
    with ClusterSimulation(21, nodes=3) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        owner = home_of(cluster)
        away = next(n for n in "abc" if n != owner)
        started(jobs, ImportsOn, away, on=away)
        with pytest.raises(CannotMove, match=r"where it belongs.*cannot import here.*with its st"):
            move(jobs, "b", "w", None)
        assert where(jobs, "a", "w") == away
        assert state_of(jobs) == 1


@pytest.mark.parametrize(
    ("cls", "why"),
    [
        (NoExport, "ValueError: cannot export"),
        (Unsendable, "cannot be sent"),
        (Large, "may have 1,000"),
    ],
)
def test_a_child_whose_state_cannot_be_exported_runs_on_where_it_is(
    cls: Any, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "MAX_STATE", 1000)
    with ClusterSimulation(22, nodes=2) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        home = started(jobs, cls, 40)
        pid = jobs.whereis("a", "w")
        to = "b" if home == "a" else "a"
        for node in "abab":
            with pytest.raises(CannotMove, match=f"could not be exported: .*{why}.*goes on on"):
                move(jobs, node, "w", to)
        assert jobs.whereis("a", "w") == pid
        assert state_of(jobs) == 41
        cluster.advance(5)
        assert jobs.whereis("a", "w") == pid
        assert problems(cluster, "jobs") == []
        assert not any("without its state" in text for text in notices(cluster))
        # It can still be ended, restarted, and drained: a drain cannot refuse.
        cluster.run("a", lambda: restart_child("jobs", "w"))
        cluster.until(lambda: jobs.whereis("a", "w") not in (None, pid))
        assert cluster.run("a", lambda: drain(home)) == []
        cluster.until(lambda: where(jobs, "a", "w") == to)
        assert sum("without its state" in text for text in notices(cluster)) == 1
        cluster.run("a", lambda: terminate_child("jobs", "w"))
        assert jobs.which("a") == {}


def test_one_that_cannot_import_anywhere_runs_without_its_state_and_the_error_says_so() -> None:
    with ClusterSimulation(23, nodes=2) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        home = started(jobs, ImportsOn, "", 40)
        to = "b" if home == "a" else "a"
        with pytest.raises(CannotMove, match=r"goes on on '[ab]', without its state: .*import"):
            move(jobs, "b", "w", to)
        assert where(jobs, "a", "w") == home
        assert state_of(jobs) == 40


def test_one_that_starts_nowhere_any_more_is_in_quarantine_and_the_error_says_so() -> None:
    with ClusterSimulation(24, nodes=2) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        Fickle.willing = True
        home = started(jobs, Fickle, 40)
        Fickle.willing = False
        to = "b" if home == "a" else "a"
        with pytest.raises(CannotMove, match=r"stopped there, without its state, which is lost"):
            move(jobs, "b", "w", to)
        assert jobs.which("a")["w"].status == "quarantined"
        Fickle.willing = True
        pid = move(jobs, "b", "w", to)  # where it can run again
        assert pid.host.partition("/")[0] == to


class Fickle(Worker):
    """Starts when it is willing."""

    willing = True

    def init(self, n: int = 0) -> None:
        if not Fickle.willing:
            raise RuntimeError("not now")
        super().init(n)


def test_one_in_quarantine_at_its_owner_s_is_started_where_it_is_moved_to() -> None:
    with ClusterSimulation(25, nodes=2) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        owner = home_of(cluster)
        other = next(n for n in "ab" if n != owner)
        jobs.start("a", OnlyOn.spec(owner), id="w")
        cluster.run("a", lambda: terminate_child("jobs", "w"))
        Fickle.willing = True
        jobs.start("a", Fickle, id="w")
        Fickle.willing = False
        jobs.whereis("a", "w")
        with contextlib.suppress(Exception):
            cluster.run("a", lambda: call(whereis_child("jobs", "w"), "crash"))
        cluster.until(lambda: jobs.which("a")["w"].status == "quarantined")
        Fickle.willing = True
        move(jobs, "a", "w", other)
        assert where(jobs, "a", "w") == other


def test_a_busy_child_is_waited_for_and_may_be_terminated_meanwhile() -> None:
    with ClusterSimulation(26, nodes=2) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        home = started(jobs, Busy, 40)
        to = "b" if home == "a" else "a"
        cluster.run("a", lambda: cast(whereis_child("jobs", "w"), 20))
        pid = move(jobs, "b", "w", to)  # more time than ``shutdown`` gives it
        assert state_of(jobs) == 42
        cluster.run("a", lambda: cast(whereis_child("jobs", "w"), 1000))
        moving = cluster.spawn("b", lambda: move_child("jobs", "w", home))
        cluster.advance(0.5)
        assert jobs.which("a")["w"].status == "leaving"
        cluster.run("a", lambda: terminate_child("jobs", "w"))
        assert pid not in [p.pid for n in "ab" for p in cluster.processes(n)]
        cluster.until(lambda: moving.ended, 40)


def test_state_is_taken_along_though_the_end_fails() -> None:
    with ClusterSimulation(27, nodes=2) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        home = started(jobs, BadEnd, 40)
        move(jobs, "b", "w", "b" if home == "a" else "a")
        assert state_of(jobs) == 41


def test_a_child_whose_export_is_async_is_refused_at_the_start() -> None:
    class Async(Worker):
        async def export_state(self) -> Any:
            return self.n

    with ClusterSimulation(28, nodes=1) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        with pytest.raises(InvalidChildSpec, match=r"export_state of .*Async is async def"):
            jobs.start("a", Async, id="w")
        assert jobs.which("a") == {}


def test_one_that_is_killed_before_it_was_exported_starts_anew_where_it_was() -> None:
    with ClusterSimulation(29, nodes=2) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        home = started(jobs, Busy, 40)
        cluster.run("a", lambda: cast(whereis_child("jobs", "w"), 1000))
        pid = jobs.whereis("a", "w")
        to = "b" if home == "a" else "a"
        moving = cluster.spawn("b", lambda: move_child("jobs", "w", to))
        cluster.advance(0.5)
        cluster.run("a", lambda: exit(pid, "kill"))
        cluster.until(lambda: moving.ended, 10)
        with pytest.raises(CannotMove, match="it ended before: killed; it goes on on"):
            moving.result()
        assert where(jobs, "a", "w") == home
        assert state_of(jobs) == 40


@pytest.mark.parametrize("size", [None, 3])
@pytest.mark.parametrize("seed", range(6))
def test_failing_moves_under_faults_never_make_two_of_it_and_leave_one(
    seed: int, size: Any
) -> None:
    """It may run on *a* and *b* only; nodes are cut off and crash; later it runs once there."""
    with ClusterSimulation(seed, nodes=3, config=config(expected_size=size)) as cluster:
        jobs = Jobs(cluster, on_minority="keep" if size is None else "stop")
        jobs.form()
        owner = home_of(cluster)
        good = owner + next(n for n in "abc" if n != owner)
        jobs.start("a", OnlyOn.spec(good, 5), id="w")
        random = cluster.random

        def running() -> list[str]:
            return [
                node.name
                for node in cluster.live()
                for process in cluster.processes(node.name)
                if isinstance(getattr(process, "server", None), OnlyOn)
                and process.state == "running"
            ]

        def advance(seconds: float) -> None:
            until = cluster.now + seconds
            while cluster.now < until:
                cluster.advance(0.0005)
                assert len(running()) <= 1, (running(), cluster.where())

        for _ in range(12):
            live = [node.name for node in cluster.live()]
            if live and random.random() < 0.9:
                to = random.choice([*"abc", None])
                cluster.spawn(random.choice(live), lambda to=to: _try_to_move(to))
            advance(random.choice((0.001, 0.004, 0.02)))
            if random.random() < 0.25 and len(live) == 3:
                cluster.crash(random.choice(live))
            elif len(live) < 3 and random.random() < 0.5:
                jobs.restart(next(n for n in "abc" if n not in live))
                # Records live in memory: a node is not lost before the last one has them again.
                cluster.until(lambda: jobs.registered() == ["a", "b", "c"] and cluster.agreed(), 30)
        for name in "abc":
            if name not in [node.name for node in cluster.live()]:
                jobs.restart(name)
        cluster.until(lambda: jobs.registered() == ["a", "b", "c"] and cluster.agreed(), 30)
        if not running() and [s for s in jobs.which("a").values() if s.status == "quarantined"]:
            cluster.run("a", lambda: _try_to_move(owner))
        cluster.until(lambda: len(running()) == 1 and running()[0] in good, 60)
        cluster.until(lambda: problems(cluster, "jobs") == [], 10)


async def _try_to_move(to: str | None) -> None:
    with contextlib.suppress(Exception):
        await move_child("jobs", "w", to, timeout=3)


@pytest.mark.parametrize("seed", range(8))
def test_without_a_crash_no_count_is_lost_whatever_moves_fail(seed: int) -> None:
    with ClusterSimulation(seed, nodes=3) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        owner = home_of(cluster)
        good = owner + next(n for n in "abc" if n != owner)
        jobs.start("a", OnlyOn.spec(good, 5), id="w")
        random = cluster.random
        bodies, counted = [], 0
        for _ in range(25):
            to = random.choice([*"abc", None])
            node = random.choice("abc")
            bodies.append(cluster.spawn(node, lambda to=to: _try_to_move(to)))
            cluster.advance(random.choice((0.0005, 0.002, 0.01)))
            jobs.whereis(node, "w")
            counted += cluster.run(node, _count)
        cluster.until(lambda: all(body.ended for body in bodies), 30)
        cluster.until(lambda: problems(cluster, "jobs") == [], 10)
        assert jobs.whereis("a", "w") is not None
        assert state_of(jobs) == 5 + counted


async def _count() -> int:
    pid = whereis_child("jobs", "w")
    if pid is None:
        return 0
    try:
        await call(pid, "count", timeout=1)
    except Exception:
        return 0
    return 1
