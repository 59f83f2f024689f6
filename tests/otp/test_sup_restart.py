"""SUP-21 to SUP-33: restart types, strategies."""

from __future__ import annotations

import asyncio

import pytest

from foundation.kernel.ops import alive, call, cast, exit, send, send_after
from foundation.kernel.values import Crash, Shutdown
from foundation.otp.supervision import (
    FORGET,
    KEEP,
    RESTART,
    after_exit,
    restart_group,
)
from foundation.otp.supervisor import Supervisor
from tests.otp.supkit import (
    TEMPORARY,
    TRANSIENT,
    actor,
    events,
    kill,
    no_event,
    pid_of,
    pids,
    probe,
    script,
    supervisor,
    until,
)

CLEAN = ["normal", "shutdown", Shutdown("done")]
UNCLEAN = ["boom", "killed", Crash("ValueError", "boom"), "noproc"]


@pytest.mark.parametrize(
    ("restart", "clean", "unclean"),
    [
        ("permanent", RESTART, RESTART),
        ("transient", KEEP, RESTART),
        ("temporary", FORGET, FORGET),
    ],
)
def test_what_to_do_with_a_child_that_ended(restart, clean, unclean):
    assert {after_exit(restart, reason) for reason in CLEAN} == {clean}
    assert {after_exit(restart, reason) for reason in UNCLEAN} == {unclean}


@pytest.mark.parametrize(
    ("strategy", "group"),
    [("one_for_one", "b"), ("one_for_all", "abc"), ("rest_for_one", "bc")],
)
def test_what_restarts_together(strategy, group):
    assert restart_group(strategy, list("abc"), "b") == list(group)


async def end(pid, reason):
    """End a probe with *reason*, by itself."""
    cast(pid, "boom" if reason == "boom" else reason)


@pytest.mark.parametrize("reason", ["normal", "shutdown", Shutdown(1), "bad", "boom"], ids=repr)
def test_sup_21_permanent_is_always_restarted(run, reason):
    async def body():
        async with supervisor([probe("a")]) as sup:
            pid = await pid_of(sup, "a")
            await end(pid, reason)
            assert await events(3) == [
                ("init", "a"),
                ("terminate", "a", pytest_any),
                ("init", "a"),
            ]
            again = await pid_of(sup, "a")
            assert again != pid
            assert await call(again, "label") == "a"

    run(body)


class _Any:
    def __eq__(self, other):
        return True

    __hash__ = None


pytest_any = _Any()


@pytest.mark.parametrize("reason", ["normal", "shutdown", Shutdown(1)], ids=repr)
def test_sup_22_transient_that_ends_cleanly_stays_down(run, reason):
    async def body():
        async with supervisor([probe("a", TRANSIENT), probe("b")]) as sup:
            await end(await pid_of(sup, "a"), reason)
            await events(3)
            await until(lambda: _down(sup, "a"))
            await no_event(sup)
            assert list(await pids(sup)) == ["a", "b"]

    run(body)


async def _down(sup, id):
    return (await pids(sup)).get(id, "gone") is None


async def _forgotten(sup, id):
    return id not in await pids(sup)


@pytest.mark.parametrize("reason", ["bad", "boom", "kill"])
def test_sup_22_transient_that_crashes_is_restarted(run, reason):
    async def body():
        async with supervisor([probe("a", TRANSIENT)]) as sup:
            pid = await pid_of(sup, "a")
            exit(pid, reason)
            assert await events(2) == [("init", "a"), ("init", "a")]
            assert await pid_of(sup, "a") != pid

    run(body)


@pytest.mark.parametrize("reason", ["normal", "shutdown", "bad", "boom"])
def test_sup_23_temporary_is_forgotten(run, reason):
    async def body():
        async with supervisor([probe("a", TEMPORARY), probe("b")]) as sup:
            await end(await pid_of(sup, "a"), reason)
            await events(3)
            await until(lambda: _forgotten(sup, "a"))
            await no_event(sup)

    run(body)


def test_sup_24_one_for_one_leaves_siblings_alone(run):
    async def body():
        async with supervisor([probe("a"), probe("b"), probe("c")]) as sup:
            before = await pids(sup)
            await kill(before["b"])
            await events(4)
            after = await pids(sup)
            assert list(after) == ["a", "b", "c"]
            assert (after["a"], after["c"]) == (before["a"], before["c"])
            assert after["b"] != before["b"]

    run(body)


def test_sup_25_one_for_all(run):
    async def body():
        children = [probe(x, trap=True) for x in "abc"]
        async with supervisor(children, strategy="one_for_all") as sup:
            before = await pids(sup)
            await events(3)
            await kill(before["b"])
            assert await events(5) == [
                ("terminate", "c", "shutdown"),
                ("terminate", "a", "shutdown"),
                ("init", "a"),
                ("init", "b"),
                ("init", "c"),
            ]
            after = await pids(sup)
            assert list(after) == ["a", "b", "c"]
            assert not set(after.values()) & set(before.values())

    run(body)


def test_sup_26_rest_for_one(run):
    async def body():
        children = [probe(x, trap=True) for x in "abcd"]
        async with supervisor(children, strategy="rest_for_one") as sup:
            before = await pids(sup)
            await events(4)
            await kill(before["b"])
            assert await events(5) == [
                ("terminate", "d", "shutdown"),
                ("terminate", "c", "shutdown"),
                ("init", "b"),
                ("init", "c"),
                ("init", "d"),
            ]
            after = await pids(sup)
            assert after["a"] == before["a"]
            assert list(after) == list("abcd")

    run(body)


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_sup_28_a_temporary_sibling_is_forgotten(run, strategy):
    async def body():
        children = [probe("a"), probe("b", TEMPORARY, trap=True), probe("c")]
        async with supervisor(children, strategy=strategy) as sup:
            await events(3)
            await kill(await pid_of(sup, "a"))
            assert await events(3) == [
                ("terminate", "b", "shutdown"),
                ("init", "a"),
                ("init", "c"),
            ]
            assert list(await pids(sup)) == ["a", "c"]

    run(body)


def test_sup_29_a_sibling_that_is_down_is_started_again(run):
    async def body():
        children = [probe("a"), probe("b", TRANSIENT), probe("c")]
        async with supervisor(children, strategy="one_for_all") as sup:
            await end(await pid_of(sup, "b"), "normal")
            await events(4)
            await until(lambda: _down(sup, "b"))
            await Supervisor.terminate_child(sup, "c")
            assert (await pids(sup))["c"] is None
            await kill(await pid_of(sup, "a"))
            assert await events(3) == [("init", "a"), ("init", "b"), ("init", "c")]
            assert None not in (await pids(sup)).values()

    run(body)


def test_sup_30_two_that_die_together_are_one_restart(run):
    async def body():
        children = [probe(x) for x in "abc"]
        flags = {"strategy": "one_for_all", "max_restarts": 1, "max_seconds": 60}
        async with supervisor(children, **flags) as sup:
            found = await pids(sup)
            await events(3)
            exit(found["a"], "kill")
            exit(found["b"], "kill")
            assert await events(3) == [("init", "a"), ("init", "b"), ("init", "c")]
            await no_event(sup)
            assert alive(sup)

    run(body)


def test_sup_31_one_for_all_stops_again_what_it_had_restarted(run):
    async def body():
        todo = await script()
        children = [
            actor(todo, "a"),
            actor(todo, "b"),
            probe("x", trap=True),
            actor(todo, "c"),
        ]
        async with supervisor(children, strategy="one_for_all", max_restarts=5) as sup:
            await events(4)
            await call(todo, ("c", ["fail"]))
            await kill(await pid_of(sup, "a"))
            assert await events(10) == [
                ("terminate", "x", "shutdown"),
                ("ok", "a"),
                ("ok", "b"),
                ("init", "x"),
                ("fail", "c"),
                ("terminate", "x", "shutdown"),
                ("ok", "a"),
                ("ok", "b"),
                ("init", "x"),
                ("ok", "c"),
            ]
            await no_event(sup)

    run(body)


def test_sup_31_rest_for_one_goes_on_from_the_failed_child(run):
    async def body():
        todo = await script()
        children = [actor(todo, x) for x in "abcd"]
        async with supervisor(children, strategy="rest_for_one", max_restarts=5) as sup:
            await events(4)
            await call(todo, ("c", ["fail", "raise"]))
            before = await pids(sup)
            await kill(before["b"])
            assert await events(5) == [
                ("ok", "b"),
                ("fail", "c"),
                ("raise", "c"),
                ("ok", "c"),
                ("ok", "d"),
            ]
            await no_event(sup)
            assert (await pids(sup))["a"] == before["a"]

    run(body)


def test_sup_32_a_restart_is_a_fresh_start(run):
    async def body():
        async with supervisor([probe("a")]) as sup:
            pid = await pid_of(sup, "a")
            before = await call(pid, "vars")
            await call(pid, ("colour", "red"))
            await call(pid, ("label", "changed"))
            send_after(0.03, pid, "timer of the old one")
            await kill(pid)
            again = await pid_of(sup, "a")
            assert await call(again, "vars") == before
            send(pid, "for the old one")
            await asyncio.sleep(0.05)
            assert await events(2) == [("init", "a"), ("init", "a")]
            await no_event(sup)

    run(body)


def test_sup_33_ignoring_on_a_restart(run):
    async def body():
        todo = await script()
        async with supervisor([actor(todo, "a")]) as sup:
            await events(1)
            await call(todo, ("a", ["ignore!"]))
            await kill(await pid_of(sup, "a"))
            assert await events(1) == [("ignore", "a")]
            assert await pids(sup) == {"a": None}
            await no_event(sup)

    run(body)
