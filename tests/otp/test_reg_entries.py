"""REG-01 to REG-12, REG-16 to REG-18, T-19: entries, keys, values."""

from __future__ import annotations

import asyncio

import pytest

from foundation.errors import (
    AlreadyRegistered,
    BlockingCall,
    NotRegistered,
    NotUnique,
    UnknownRegistry,
)
from foundation.kernel.ops import cast, current, me, trap_exit
from foundation.otp.registry import (
    ANY,
    count,
    count_match,
    delete_meta,
    keys,
    lookup,
    match,
    meta,
    put_meta,
    register,
    select,
    unregister,
    unregister_match,
    update_value,
    values,
)
from foundation.testing import eventually
from tests.otp.regkit import Plain, ask, down, everywhere, holder, open_registry


@everywhere
async def test_reg_01_second_registration_names_the_holder() -> None:
    await open_registry()
    other = await holder()
    await register("reg", "hello", 1)
    with pytest.raises(AlreadyRegistered) as caught:
        await ask(other, "register", "reg", "hello", 2)
    assert caught.value.pid == me()
    with pytest.raises(AlreadyRegistered) as caught:
        await register("reg", "hello", 3)
    assert caught.value.pid == me()
    assert "'hello'" in str(caught.value)
    assert lookup("reg", "hello") == [(me(), 1)]


@everywhere
async def test_reg_04_lookup_finds_all_entries_or_none() -> None:
    await open_registry(keys="duplicate")
    assert lookup("reg", "k") == []
    other = await holder()
    await register("reg", "k", 1)
    await register("reg", "k", 2)
    await ask(other, "register", "reg", "k", 3)
    assert sorted(lookup("reg", "k")) == sorted([(me(), 1), (me(), 2), (other, 3)])
    assert lookup("reg", "other") == []


@everywhere
async def test_reg_06_register_succeeds_right_after_a_down() -> None:
    await open_registry()
    trap_exit()
    for _ in range(5):
        first = await holder()
        await ask(first, "register", "reg", "k")
        cast(first, "boom")
        await down(first)
        assert lookup("reg", "k") == []
        await register("reg", "k", "mine")
        await unregister("reg", "k")


@everywhere
async def test_reg_06_it_succeeds_for_a_third_party_too() -> None:
    await open_registry()
    trap_exit()
    second = await holder()
    for _ in range(5):
        await register("reg", "mine")
        first = await holder()
        await ask(first, "register", "reg", "k")
        cast(first, "boom")
        await down(first)
        await ask(second, "register", "reg", "k")
        await ask(second, "unregister", "reg", "k")
        await unregister("reg", "mine")


@everywhere
async def test_reg_10_unregister_removes_own_entries_only() -> None:
    await open_registry(keys="duplicate")
    other = await holder()
    await register("reg", "k", 1)
    await register("reg", "k", 2)
    await register("reg", "l", 3)
    await ask(other, "register", "reg", "k", 4)
    await unregister("reg", "k")
    assert lookup("reg", "k") == [(other, 4)]
    assert lookup("reg", "l") == [(me(), 3)]
    await unregister("reg", "k")
    await unregister("reg", "unknown")


@everywhere
async def test_reg_10_unregister_in_a_unique_registry() -> None:
    await open_registry()
    other = await holder()
    await register("reg", "k", 1)
    await ask(other, "unregister", "reg", "k")
    assert lookup("reg", "k") == [(me(), 1)]
    await unregister("reg", "k")
    assert lookup("reg", "k") == []
    await ask(other, "register", "reg", "k", 2)


@everywhere
async def test_reg_10_who_unregisters_all_is_linked_no_more() -> None:
    trap_exit()
    registry = await open_registry()
    other = await holder()
    await ask(other, "register", "reg", "k", 1)
    await ask(other, "register", "reg", "l", 1)
    await ask(other, "unregister", "reg", "k")
    await ask(other, "unregister", "reg", "l")
    from foundation.kernel.ops import call, exit

    exit(registry, "kill")
    await down(registry)
    assert await call(other, "ping") == "pong"


@everywhere
async def test_reg_11_keys_and_values_of_a_process() -> None:
    await open_registry(keys="duplicate")
    other = await holder()
    assert keys("reg", me()) == []
    await register("reg", "a", 1)
    await register("reg", "a", 2)
    await register("reg", "b", 3)
    assert sorted(keys("reg", me())) == ["a", "a", "b"]
    assert sorted(values("reg", "a", me())) == [1, 2]
    assert values("reg", "z", me()) == []
    assert keys("reg", other) == []
    assert values("reg", "a", other) == []


@everywhere
async def test_reg_11_the_dead_have_no_keys() -> None:
    await open_registry()
    trap_exit()
    other = await holder()
    await ask(other, "register", "reg", "a", 1)
    assert keys("reg", other) == ["a"]
    assert values("reg", "a", other) == [1]
    cast(other, "boom")
    await down(other)
    assert keys("reg", other) == []
    assert values("reg", "a", other) == []
    assert count("reg") == 0


@everywhere
async def test_reg_12_count_and_count_match() -> None:
    await open_registry()
    assert count("reg") == 0
    other = await holder()
    await register("reg", "a", (1, "x"))
    await ask(other, "register", "reg", "b", 2)
    assert count("reg") == 2
    assert count_match("reg", "a", (int, ANY)) == 1
    assert count_match("reg", "a", (str, ANY)) == 0
    assert count_match("reg", "zz", ANY) == 0


@everywhere
async def test_reg_16_update_value_by_the_owner() -> None:
    await open_registry()
    await register("reg", "k", 1)
    new, old = await update_value("reg", "k", lambda value: value + 1)
    assert (new, old) == (2, 1)
    assert lookup("reg", "k") == [(me(), 2)]


@everywhere
async def test_reg_16_update_value_by_others_is_an_error() -> None:
    await open_registry()
    other = await holder()
    await ask(other, "register", "reg", "k", 1)
    with pytest.raises(NotRegistered, match="'k'"):
        await update_value("reg", "k", lambda value: value + 1)
    with pytest.raises(NotRegistered):
        await update_value("reg", "unknown", lambda value: value + 1)
    assert lookup("reg", "k") == [(other, 1)]


@everywhere
async def test_reg_16_update_value_in_a_duplicate_registry_is_an_error() -> None:
    await open_registry(keys="duplicate")
    await register("reg", "k", 1)
    with pytest.raises(NotUnique, match="duplicate") as caught:
        await update_value("reg", "k", lambda value: value + 1)
    assert isinstance(caught.value, ValueError)


@everywhere
async def test_reg_17_match_by_pattern_and_predicate() -> None:
    await open_registry(keys="duplicate")
    await register("reg", "k", ("red", 1))
    await register("reg", "k", ("blue", 2))
    await register("reg", "k", {"size": 3, "name": "x"})
    await register("reg", "l", ("red", 4))
    assert match("reg", "k", ("red", ANY)) == [(me(), ("red", 1))]
    assert match("reg", "k", (str, lambda n: n > 1)) == [(me(), ("blue", 2))]
    assert match("reg", "k", {"size": 3}) == [(me(), {"size": 3, "name": "x"})]
    assert match("reg", "k", ("red", True)) == []
    assert len(match("reg", "k", ANY)) == 3


@everywhere
async def test_reg_17_select_goes_through_all_entries() -> None:
    await open_registry()
    for number in range(5):
        await register("reg", ("n", number), number * 10)
    found = select("reg", lambda key, pid, value: value > 20)
    assert sorted(found) == [(("n", 3), me(), 30), (("n", 4), me(), 40)]
    assert select("reg", key=("n", 1)) == [(("n", 1), me(), 10)]
    assert select("reg", value=40, pid=me()) == [(("n", 4), me(), 40)]
    assert len(select("reg")) == 5


@everywhere
async def test_reg_18_unregister_match_removes_own_matching_entries() -> None:
    await open_registry(keys="duplicate")
    other = await holder()
    await register("reg", "k", 1)
    await register("reg", "k", 2)
    await ask(other, "register", "reg", "k", 1)
    await unregister_match("reg", "k", 1)
    assert sorted(lookup("reg", "k")) == sorted([(me(), 2), (other, 1)])
    await unregister_match("reg", "k", lambda value: value > 5)
    assert count("reg") == 2


@everywhere
async def test_reg_22_an_unknown_registry_is_an_error_that_names_it() -> None:
    def error_of(function: object, *args: object) -> str:
        with pytest.raises(UnknownRegistry) as caught:
            function(*args)  # type: ignore[operator]
        return str(caught.value)

    assert "'nope'" in error_of(lookup, "nope", "k")
    for function, args in (
        (keys, (me(),)),
        (values, ("k", me())),
        (count, ()),
        (match, ("k", 1)),
        (select, ()),
        (unregister_match, ("k", 1)),
        (update_value, ("k", int)),
        (meta, ("k",)),
    ):
        assert "'nope'" in error_of(function, "nope", *args)
    for change, args in ((register, ("k",)), (unregister, ("k",)), (put_meta, ("k", 1))):
        with pytest.raises(UnknownRegistry, match="'nope'"):
            await change("nope", *args)


@everywhere
async def test_reg_meta_is_known_in_every_host() -> None:
    await open_registry(meta={"a": [1]})
    assert meta("reg", "a") == [1]
    await put_meta("reg", ("b", 1), "x")
    assert meta("reg", ("b", 1)) == "x"
    assert meta("reg", ("b", 1.0)) is None
    assert meta("reg", "zz", "default") == "default"
    await delete_meta("reg", "a")
    assert meta("reg", "a") is None
    await delete_meta("reg", "a")


@everywhere
async def test_t_19_keys_of_different_types_are_different() -> None:
    await open_registry()
    for number, key in enumerate((1, 1.0, True, (1,), (1.0,), (True,), ((1,), "a"), ((1.0,), "a"))):
        await register("reg", key, number)
    assert lookup("reg", 1) == [(me(), 0)]
    assert lookup("reg", 1.0) == [(me(), 1)]
    assert lookup("reg", True) == [(me(), 2)]
    assert lookup("reg", (True,)) == [(me(), 5)]
    assert lookup("reg", ((1.0,), "a")) == [(me(), 7)]
    assert lookup("reg", tuple(me())) == []
    await register("reg", me(), "pid")
    assert lookup("reg", tuple(me())) == []
    assert lookup("reg", me()) == [(me(), "pid")]
    assert [repr(key) for key in keys("reg", me())][:3] == ["1", "1.0", "True"]


@everywhere
async def test_proc_08_readers_do_not_share_mutable_values() -> None:
    await open_registry()
    value = [1]
    await register("reg", "k", value)
    value.append(2)
    lookup("reg", "k")[0][1].append(3)
    values("reg", "k", me())[0].append(4)
    assert lookup("reg", "k") == [(me(), [1])]


@everywhere
async def test_reg_an_unhashable_key_is_an_error() -> None:
    await open_registry()
    with pytest.raises(TypeError, match="hashable"):
        await register("reg", ["k"])
    assert count("reg") == 0


@everywhere
async def test_reg_several_tasks_of_a_process_register() -> None:
    await open_registry()
    await asyncio.gather(*(register("reg", n, n) for n in range(10)))
    assert sorted(keys("reg", me())) == list(range(10))
    with pytest.raises(AlreadyRegistered):
        await asyncio.gather(register("reg", "k"), register("reg", "k"))
    await eventually(lambda: count("reg") == 11)


@pytest.mark.foundation_drivers("simulator", "interpreter")
def test_reg_plain_callbacks_may_write_in_the_registry_s_host(run) -> None:
    async def body() -> None:
        from foundation.kernel.ops import call

        await open_registry()
        pid = await Plain.start_link("k", 1)
        assert lookup("reg", "k") == [(pid, 1)]
        assert await call(pid, ("register", "reg", "k")) == "AlreadyRegistered"
        assert await call(pid, ("update_value", "reg", "k", abs)) == (1, 1)
        assert await call(pid, ("unregister", "reg", "k")) is None
        assert lookup("reg", "k") == []

    run(body)


def test_reg_plain_callbacks_elsewhere_are_told_to_await() -> None:
    from foundation.testing import Simulation

    async def body() -> None:
        from foundation.errors import StartError

        await open_registry()
        with pytest.raises(StartError, match="BlockingCall"):
            await Plain.start("k")
        assert current().kernel.tables["registries"].by_name["reg"].owner.host == "sim/w1"
        assert issubclass(BlockingCall, RuntimeError)

    with Simulation(0, hosts=2) as simulation:
        simulation.run(body)
