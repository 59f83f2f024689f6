"""Being told of children, waiting for one, and asking what is wanted."""

from __future__ import annotations

from typing import Any

import pytest

from foundation.cluster.supervisor import (
    ChildChanged,
    UnknownSupervisor,
    WantedChild,
    await_child,
    move_child,
    start_child,
    subscribe_children,
    terminate_child,
    unsubscribe_children,
    wanted_children,
    whereis_child,
)
from foundation.otp import call, me, receive, send, spawn
from foundation.testing.cluster_sim import ClusterSimulation
from tests.cluster.supervisor.supkit import Jobs, Plain, Worker


def test_a_subscriber_is_told_of_all_that_happens_to_a_child_on_any_node() -> None:
    with ClusterSimulation(1, nodes=2) as cluster:
        jobs = Jobs(cluster)
        jobs.form()

        async def body() -> list[tuple[str, str, str]]:
            subscribe_children("jobs", "w")
            subscribe_children("jobs", "w")  # told once all the same
            await start_child("jobs", Worker.spec(), id="w")
            await start_child("jobs", Worker.spec(), id="other")
            pid = await await_child("jobs", "w")
            home = pid.host.partition("/")[0]
            await move_child("jobs", "w", "b" if home == "a" else "a")
            await terminate_child("jobs", "w")
            told: list[ChildChanged] = []
            while not told or told[-1].status or told[-1].node == home:
                told.append(await receive(lambda m: isinstance(m, ChildChanged)))
            assert all(event.id == "w" for event in told)
            return [(event.node == home, event.status) for event in told]  # type: ignore[misc]

        told = cluster.run("a", body)
        first = [status for at_home, status in told if at_home]
        then = [status for at_home, status in told if not at_home]
        assert first[:2] == ["starting", "running"]
        assert first[-1] == ""
        assert "running" in then
        assert then[-1] == ""


def test_who_has_unsubscribed_or_ended_is_told_nothing() -> None:
    with ClusterSimulation(2, nodes=1) as cluster:
        jobs = Jobs(cluster)
        jobs.form()

        async def body() -> Any:
            subscribe_children("jobs")
            unsubscribe_children("jobs")

            def short() -> None:
                subscribe_children("jobs")

            spawn(short)
            await start_child("jobs", Worker.spec(), id="w")
            send(me(), "last")
            return await receive()

        assert cluster.run("a", body) == "last"
        watchers = cluster.kernel("a").tables["cluster.supervisor.watchers"]
        assert watchers._by_pid == {} or list(watchers._by_pid.values()) == [{}]
        assert watchers._by_topic == {}


def test_a_child_can_be_waited_for_before_it_is_started() -> None:
    with ClusterSimulation(3, nodes=2) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        waiting = cluster.spawn("b", lambda: await_child("jobs", "w", timeout=60))
        cluster.advance(1)
        assert not waiting.ended
        pid = jobs.start("a", Worker.spec(5), id="w")
        cluster.until(lambda: waiting.ended)
        assert waiting.result() == pid
        assert cluster.run("b", lambda: call(whereis_child("jobs", "w"), "get")) == 5


def test_waiting_ends_in_time_and_leaves_nothing_behind() -> None:
    with ClusterSimulation(4, nodes=1) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        table = cluster.kernel("a").tables["cluster"].table("sup:jobs")
        before = list(table.listeners)
        text = "await_child of child 'w' of 'jobs': it runs nowhere after 2"
        with pytest.raises(TimeoutError, match=text):
            cluster.run("a", lambda: await_child("jobs", "w", timeout=2))
        assert table.listeners == before


def test_what_is_wanted_is_listed_with_its_options() -> None:
    with ClusterSimulation(5, nodes=2) as cluster:
        jobs = Jobs(cluster)
        jobs.form()
        jobs.start("a", Worker.spec(), id="one")
        jobs.start("a", Worker.spec(restart="transient"), id="all", every_node=True)
        jobs.start("a", Plain, id="p", partitions=2)
        cluster.run("a", lambda: move_child("jobs", "one", "b"))
        cluster.advance(0.1)
        wanted = cluster.run("b", lambda: wanted_children("jobs"))
        assert sorted(wanted, key=lambda w: str(w.id)) == [
            WantedChild(("p", 0), "p", False, {}, "permanent", "keep", None),
            WantedChild(("p", 1), "p", False, {}, "permanent", "keep", None),
            WantedChild("all", None, True, {}, "transient", "keep", None),
            WantedChild("one", None, False, {}, "permanent", "keep", "b"),
        ]


def test_an_unknown_supervisor_is_refused_by_all() -> None:
    with ClusterSimulation(6, nodes=1) as cluster:
        cluster.form()
        for refused in (
            lambda: subscribe_children("none"),
            lambda: unsubscribe_children("none"),
            lambda: await_child("none", "w"),
            lambda: wanted_children("none"),
        ):
            with pytest.raises(UnknownSupervisor):
                cluster.run("a", refused)
