"""REG-13 to REG-15, REG-21, REG-24 to REG-27: dispatch, listeners, ends, locks, partitions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from foundation.errors import AlreadyRegistered
from foundation.kernel.ops import (
    call,
    cast,
    exit,
    me,
    monitor,
    receive,
    send,
    spawn,
    spawn_link,
    trap_exit,
)
from foundation.kernel.ops import register as register_name
from foundation.kernel.values import Down, ExitMsg
from foundation.otp.gen_server import GenServer
from foundation.otp.registry import (
    Registry,
    count,
    dispatch,
    keys,
    lock,
    lookup,
    match,
    register,
    select,
    unregister,
    update_value,
    via,
)
from foundation.otp.supervisor import Supervisor
from foundation.testing import eventually
from tests.otp.regkit import ask, down, everywhere, holder, is_event, open_registry


@everywhere
async def test_reg_13_dispatch_calls_in_the_caller_s_process() -> None:
    await open_registry(keys="duplicate")
    seen: list[Any] = []
    dispatch("reg", "k", lambda found: seen.append((me(), found)))
    assert seen == []
    await register("reg", "k", 1)
    other = await holder()
    await ask(other, "register", "reg", "k", 2)
    dispatch("reg", "k", lambda found: seen.append((me(), sorted(found))))
    assert seen == [(me(), sorted([(me(), 1), (other, 2)]))]


@everywhere
async def test_reg_13_what_the_function_raises_is_raised_to_the_caller() -> None:
    await open_registry()
    await register("reg", "k", 1)

    def fail(found: Any) -> None:
        raise ValueError("boom")

    async def fail_later(found: Any) -> None:
        raise ValueError("boom later")

    with pytest.raises(ValueError, match="boom"):
        dispatch("reg", "k", fail)
    with pytest.raises(ValueError, match="boom later"):
        await dispatch("reg", "k", fail_later)
    await dispatch("reg", "zz", fail_later)


@everywhere
async def test_reg_14_dispatch_calls_once_for_each_partition_with_entries() -> None:
    await open_registry(keys="duplicate", partitions=3)
    holders = [await holder() for _ in range(6)]
    for number, pid in enumerate(holders):
        await ask(pid, "register", "reg", "k", number)
    groups: list[Any] = []
    dispatch("reg", "k", groups.append)
    assert 1 < len(groups) <= 3
    assert sorted(pair for group in groups for pair in group) == sorted(lookup("reg", "k"))
    await register("reg", "alone")
    groups.clear()
    dispatch("reg", "alone", groups.append)
    assert groups == [[(me(), None)]]


@everywhere
async def test_reg_14_dispatch_runs_in_parallel_on_request() -> None:
    await open_registry(keys="duplicate", partitions=3)
    for pid in [await holder() for _ in range(6)]:
        await ask(pid, "register", "reg", "k")
    groups: list[Any] = []
    await dispatch("reg", "k", _into(groups))
    running = 0
    most = 0

    async def visit(found: Any) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1

    await dispatch("reg", "k", visit)
    assert most == 1
    await dispatch("reg", "k", visit, parallel=True)
    assert most == len(groups)


def _into(groups: list[Any]) -> Any:
    async def visit(found: Any) -> None:
        groups.append(found)

    return visit


@everywhere
async def test_reg_15_publish_to_the_subscribers_of_a_topic() -> None:
    await open_registry(keys="duplicate")
    parent = me()

    async def subscriber(times: int) -> None:
        for number in range(times):
            await register("reg", "topic", number)
        send(parent, "ready")
        while True:
            send(parent, ("got", me(), await receive()))

    trap_exit()
    pids = [spawn_link(subscriber, times) for times in (1, 2)]
    dead = spawn_link(subscriber, 1)
    for _ in range(3):
        await receive(lambda m: m == "ready", timeout=5)
    exit(dead, "kill")
    await down(dead)

    def publish(found: Any) -> None:
        for pid, _ in found:
            send(pid, "news")

    await eventually(lambda: len(lookup("reg", "topic")) == 3)
    dispatch("reg", "topic", publish)
    late = spawn_link(subscriber, 1)
    await receive(lambda m: m == "ready", timeout=5)
    got = [(await receive(is_event("got"), timeout=5))[1] for _ in range(3)]
    assert sorted(got) == sorted([pids[0], pids[1], pids[1]])
    with pytest.raises(TimeoutError):
        await receive(is_event("got"), timeout=0.05)
    for pid in (*pids, late):
        exit(pid, "kill")
        await down(pid)


@everywhere
async def test_reg_21_listeners_are_told() -> None:
    trap_exit()
    await register_name("listener")
    await open_registry(keys="duplicate", listeners=["listener", "nobody"])
    other = await holder()
    await ask(other, "register", "reg", "k", [1])
    assert await receive(is_event("register"), timeout=5) == ("register", "reg", "k", other, [1])
    await ask(other, "register", "reg", "k", 2)
    await receive(is_event("register"), timeout=5)
    await ask(other, "unregister", "reg", "k")
    for _ in range(2):
        event = await receive(is_event("unregister"), timeout=5)
        assert event == ("unregister", "reg", "k", other)
    await ask(other, "register", "reg", "l")
    await receive(is_event("register"), timeout=5)
    cast(other, "boom")
    await down(other)
    with pytest.raises(TimeoutError):
        await receive(is_event("unregister"), timeout=0.05)


@everywhere
async def test_reg_24_the_end_of_the_registry_ends_who_registered() -> None:
    trap_exit()
    registry = await open_registry()
    first = await holder(name=via("reg", "a"))
    second = await holder()
    await ask(second, "register", "reg", "b")
    stranger = await holder()
    refs = [monitor(first), monitor(second)]
    for pid in (first, second):  # the monitors have arrived when this is answered
        assert await call(pid, "ping") == "pong"
    exit(registry, "kill")
    for ref in refs:
        message = await receive(lambda m, r=ref: isinstance(m, Down) and m.ref == r, timeout=5)
        assert message.reason == "killed"
    assert await call(stranger, "ping") == "pong"
    message = await receive(lambda m: isinstance(m, ExitMsg) and m.pid == registry, timeout=5)
    assert message.reason == "killed"
    await open_registry()
    assert count("reg") == 0
    again = await holder(name=via("reg", "a"))
    assert lookup("reg", "a") == [(again, None)]


@everywhere
async def test_reg_24_a_crash_of_a_holder_does_not_end_the_registry() -> None:
    trap_exit()
    registry = await open_registry()
    first = await holder(name=via("reg", "a"))
    await register("reg", "mine")
    cast(first, "boom")
    await down(first)
    assert keys("reg", me()) == ["mine"]
    ref = monitor(registry)
    with pytest.raises(TimeoutError):
        await receive(lambda m: isinstance(m, Down) and m.ref == ref, timeout=0.05)


class User(GenServer):
    """Registers when it starts, and looks itself up when it ends."""

    async def init(self, log: Any, key: str) -> None:
        trap_exit()
        self.log, self.key = log, key
        await register("reg", key)
        send(log, ("up", key, len(lookup("reg", key))))

    def terminate(self, reason: Any) -> None:
        send(self.log, ("down", self.key, len(lookup("reg", self.key))))


class Tree(Supervisor):
    """A registry and its users."""

    def init(self, log: Any) -> list[Any]:
        return [
            Registry.spec(name="reg"),
            User.spec(log, "a", id="a"),
            User.spec(log, "b", id="b", name=via("reg", ("name", "b"))),
        ]


@everywhere
async def test_reg_25_the_registry_is_up_before_and_down_after_its_users() -> None:
    trap_exit()
    tree = await Tree.start_link(me())
    events = [await receive(lambda m: isinstance(m, tuple), timeout=5) for _ in range(2)]
    assert events == [("up", "a", 1), ("up", "b", 1)]
    assert _keys() == ["'a'", "'b'", "('name', 'b')"]
    exit(tree, "shutdown")
    assert await down(tree) in ("shutdown", "noproc")
    events = [await receive(lambda m: isinstance(m, tuple), timeout=5) for _ in range(2)]
    assert events == [("down", "b", 1), ("down", "a", 1)]


def _keys() -> list[str]:
    return sorted(repr(key) for key, _, _ in select("reg"))


async def _use_lock(parent: Any, name: str, key: Any, hold: float) -> None:
    async with lock("reg", key):
        send(parent, ("in", name))
        await asyncio.sleep(hold)
        send(parent, ("out", name))


@everywhere
async def test_reg_26_one_at_a_time() -> None:
    await open_registry()
    pids = [spawn(_use_lock, me(), n, "k", 0.01) for n in "abc"]
    events = [await receive(lambda m: isinstance(m, tuple), timeout=5) for _ in range(6)]
    assert [what for what, _ in events] == ["in", "out"] * 3
    assert [name for _, name in events[::2]] == [name for _, name in events[1::2]]
    for pid in pids:
        await down(pid)


@everywhere
async def test_reg_26_released_when_the_holder_raises() -> None:
    await open_registry()
    with pytest.raises(ValueError):
        async with lock("reg", "k"):
            raise ValueError
    async with lock("reg", "k"):
        pass


@everywhere
async def test_reg_26_released_when_the_holder_dies_and_dead_waiters_are_skipped() -> None:
    await open_registry()
    first = spawn(_use_lock, me(), "first", "k", 1000)
    assert await receive(is_event("in"), timeout=5) == ("in", "first")
    second = spawn(_use_lock, me(), "second", "k", 1000)
    await asyncio.sleep(0.05)
    third = spawn(_use_lock, me(), "third", "k", 0.0)
    await asyncio.sleep(0.05)
    exit(second, "kill")
    await down(second)
    exit(first, "kill")
    assert await receive(is_event("in"), timeout=5) == ("in", "third")
    await down(third)
    async with asyncio.timeout(5), lock("reg", "k"):
        pass


@everywhere
async def test_reg_26_different_keys_do_not_block_each_other() -> None:
    await open_registry()
    async with lock("reg", 1), lock("reg", 1.0), lock("reg", "k"):
        pass


@everywhere
async def test_reg_26_a_wait_can_be_given_up() -> None:
    await open_registry()
    first = spawn(_use_lock, me(), "first", "k", 1000)
    await receive(is_event("in"), timeout=5)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05), lock("reg", "k"):
            raise AssertionError("not granted")
    exit(first, "kill")
    async with asyncio.timeout(5), lock("reg", "k"):
        pass


@pytest.mark.parametrize("partitions", [1, 2, 7])
@pytest.mark.parametrize("kind", ["unique", "duplicate"])
def test_reg_27_partitions_change_nothing_else(run: Any, partitions: int, kind: str) -> None:
    async def body() -> None:
        await open_registry(keys=kind, partitions=partitions)
        other = await holder()
        for number in range(6):
            await register("reg", number, number)
        if kind == "unique":
            with pytest.raises(AlreadyRegistered):
                await ask(other, "register", "reg", 1)
        else:
            await ask(other, "register", "reg", 1)
        await unregister("reg", 3)
        if kind == "unique":
            await update_value("reg", 4, lambda value: value * 10)
            assert lookup("reg", 4) == [(me(), 40)]
        assert sorted(keys("reg", me())) == [0, 1, 2, 4, 5]
        assert len(lookup("reg", 1)) == (1 if kind == "unique" else 2)
        assert match("reg", 5, 5) == [(me(), 5)]
        assert count("reg") == (5 if kind == "unique" else 6)
        seen: list[Any] = []
        dispatch("reg", 1, seen.extend)
        assert sorted(seen) == sorted(lookup("reg", 1))

    run(body)
