"""REG-06 to REG-09, REG-22, REG-23: names kept by a registry."""

from __future__ import annotations

from typing import Any

import pytest

from foundation.errors import (
    AlreadyStarted,
    InvalidChildSpec,
    NoProc,
    NotUnique,
    StartError,
    UnknownRegistry,
)
from foundation.kernel.codec import dumps, loads
from foundation.kernel.isolation import isolate
from foundation.kernel.ops import (
    call,
    cast,
    current,
    me,
    monitor,
    receive,
    send,
    send_after,
    spawn,
    trap_exit,
    whereis,
)
from foundation.kernel.ops import register as register_name
from foundation.kernel.ops import unregister as unregister_name
from foundation.kernel.values import Down
from foundation.otp.registry import Registry, Via, count, lookup, via
from tests.otp.regkit import Collector, Holder, down, everywhere, holder, host_of, open_registry


@everywhere
async def test_reg_06_start_with_the_same_via_right_after_a_down() -> None:
    await open_registry()
    trap_exit()
    name = via("reg", "k")
    for _ in range(5):
        first = await holder(name=name)
        assert whereis(name) == first
        cast(name, "boom")
        await down(first)
        assert whereis(name) is None
        assert whereis(name) is None
        second = await Holder.start_link(name=name)
        assert await call(name, "ping") == "pong"
        cast(second, "normal")
        await down(second)


@everywhere
async def test_reg_07_a_server_is_started_under_a_via() -> None:
    await open_registry()
    pid = await holder(name=via("reg", "a"))
    assert lookup("reg", "a") == [(pid, None)]
    other = await holder(name=via("reg", "b", {"role": "x"}))
    assert lookup("reg", "b") == [(other, {"role": "x"})]
    assert await call(via("reg", "a"), "ping") == "pong"
    collector = await Collector.start_link(me(), name=via("reg", "c"))
    send(via("reg", "c"), ("hello", 1))
    assert await receive(timeout=5) == ("hello", 1)
    send_after(0.01, via("reg", "c"), ("hello", 2))
    assert await receive(timeout=5) == ("hello", 2)
    assert whereis(via("reg", "c")) == collector
    with pytest.raises(AlreadyStarted) as caught:
        await holder(name=via("reg", "a"))
    assert caught.value.pid == pid
    with pytest.raises(AlreadyStarted) as caught:
        await Holder.start_link(name=Via("reg", "a", "value does not matter"))
    assert caught.value.pid == pid
    assert count("reg") == 3


@everywhere
async def test_reg_07_cast_and_monitor_by_via() -> None:
    await open_registry()
    trap_exit()
    pid = await holder(name=via("reg", "a"))
    ref = monitor(via("reg", "a"))
    cast(via("reg", "a"), "bye")
    message = await receive(lambda m: isinstance(m, Down), timeout=5)
    assert (message.ref, message.object, message.reason) == (ref, via("reg", "a"), "bye")
    assert pid not in [p for p, _ in lookup("reg", "a")]


@everywhere
async def test_reg_07_register_and_unregister_this_process_by_via() -> None:
    await open_registry()
    await register_name(via("reg", "me", 5))
    assert lookup("reg", "me") == [(me(), 5)]
    unregister_name(via("reg", "me"))
    assert lookup("reg", "me") == []
    await register_name(via("reg", "me", 6))
    assert lookup("reg", "me") == [(me(), 6)]


@everywhere
async def test_reg_08_a_via_on_a_duplicate_registry_is_an_error() -> None:
    await open_registry(keys="duplicate")
    with pytest.raises(StartError, match="NotUnique"):
        await holder(name=via("reg", "a"))
    with pytest.raises(NotUnique, match="'reg'"):
        send(via("reg", "a"), "x")
    with pytest.raises(NotUnique):
        await call(via("reg", "a"), "x")
    with pytest.raises(NotUnique):
        whereis(via("reg", "a"))
    with pytest.raises(NotUnique):
        await register_name(via("reg", "a"))


@everywhere
async def test_reg_09_messages_to_a_missing_key() -> None:
    await open_registry()
    with pytest.raises(NoProc):
        send(via("reg", "zz"), "x")
    with pytest.raises(NoProc) as caught:
        await call(via("reg", "zz"), "x")
    assert caught.value.reason == "noproc"
    assert cast(via("reg", "zz"), "x") is None


@everywhere
async def test_reg_22_a_via_of_an_unknown_registry_is_an_error() -> None:
    name = via("nope", "k")
    with pytest.raises(StartError, match="unknown registry 'nope'"):
        await holder(name=name)
    for use in (whereis, lambda n: send(n, 1), monitor):
        with pytest.raises(UnknownRegistry, match="'nope'"):
            use(name)
    with pytest.raises(UnknownRegistry):
        await call(name, 1)
    with pytest.raises(UnknownRegistry):
        await register_name(name)
    from foundation.kernel.ops import alive, process_info

    assert alive(me())
    assert process_info(me())["name"] is None  # type: ignore[index]


@everywhere
async def test_reg_22_a_timer_for_an_ended_registry_harms_nobody() -> None:
    send_after(0.01, via("nope", "k"), "x")
    send_after(0.02, me(), "second")
    assert await receive(timeout=5) == "second"


@everywhere
async def test_reg_23_a_second_registry_of_one_name_is_already_started() -> None:
    first = await open_registry()
    with pytest.raises(AlreadyStarted) as caught:
        await open_registry(keys="duplicate")
    assert caught.value.pid == first
    with pytest.raises(AlreadyStarted):
        await Registry.start_link(name="reg")
    second = await open_registry("reg2")
    assert second != first
    await holder(name=via("reg", "k"))
    assert lookup("reg2", "k") == []


def test_reg_via_is_a_value(run: Any) -> None:
    name = via("reg", ("a", 1), [1])
    assert name == Via("reg", ("a", 1))
    assert hash(name) == hash(Via("reg", ("a", 1), 2))
    copy: Any = loads(dumps(name))
    assert (copy, copy.value) == (name, [1])
    assert isolate(name) == name
    with pytest.raises(TypeError, match="hashable"):
        via("reg", ["a"])
    run(lambda: None)


def test_reg_wrong_options_are_errors_where_they_are_written() -> None:
    for options in (
        {},
        {"name": 5},
        {"name": "r", "keys": "uniq"},
        {"name": "r", "partitions": 0},
        {"name": "r", "listeners": "x"},
        {"name": "r", "restart": "always"},
    ):
        with pytest.raises(InvalidChildSpec):
            Registry.spec(**options)
    assert Registry.spec(name="r").id == "r"


@everywhere
async def test_reg_a_start_without_a_name_is_an_error() -> None:
    with pytest.raises(InvalidChildSpec, match="name="):
        await Registry.start_link(keys="unique")


@everywhere
async def test_reg_06_a_holder_that_dies_while_its_start_is_under_way() -> None:
    """Whatever the timing, the name is free when the starter has gone."""
    await open_registry()
    trap_exit()

    async def starter() -> None:
        await holder(name=via("reg", "k"))
        await receive()

    for _ in range(3):
        pid = spawn(starter)
        from foundation.kernel.ops import exit

        exit(pid, "kill")
        await down(pid)
    final = None
    while final is None:
        try:
            final = await holder(name=via("reg", "k"))
        except AlreadyStarted as error:
            await down(error.pid)
    assert lookup("reg", "k") == [(final, None)]
    assert current().pid == me()
    assert host_of("holder") is None or final.host == "sim/w2"
