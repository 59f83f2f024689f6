"""REG-06, REG-24, H1 to H3: registries when hosts come, go and disagree; in the simulator."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from foundation.errors import AlreadyStarted, StartError
from foundation.kernel.ops import (
    call,
    cast,
    current,
    exit,
    me,
    monitor,
    receive,
    send,
    spawn,
    trap_exit,
    unlink,
)
from foundation.kernel.values import Down, Pid
from foundation.otp.registry import Registry, count, lookup, meta, put_meta, register, via
from foundation.testing import Simulation, eventually
from tests.otp.regkit import Holder, ask, down, is_event

DELAY = (0.0001, 0.02)


def tables(simulation: Simulation, name: str = "reg") -> dict[str, Any]:
    """Return what each host thinks is registered."""
    return {
        host.address: {
            (entry.id, entry.key, entry.pair)
            for entry in host.kernel.tables["registries"].by_name[name]
        }
        for host in simulation.live_hosts()
    }


def agreed(simulation: Simulation) -> bool:
    """Whether all hosts think the same."""
    found = list(tables(simulation).values())
    return all(table == found[0] for table in found)


@pytest.mark.parametrize("seed", range(5))
def test_reg_h1_an_awaited_registration_is_visible_in_every_host(seed: int) -> None:
    async def body() -> None:
        trap_exit()
        await Registry.start_link(name="reg", host="w1")
        pids = [await Holder.start_link(host=f"w{n}") for n in (1, 2, 3)]
        for number, pid in enumerate(pids[1:]):
            await ask(pid, "register", "reg", number)
            for reader in (*pids, pid):
                assert await ask(reader, "lookup", "reg", number) == [(pid, None)]
        named = await Holder.start_link(host="w3", name=via("reg", "name"))
        for reader in pids:
            assert await ask(reader, "lookup", "reg", "name") == [(named, None)]

    with Simulation(seed, hosts=4, delay=DELAY) as simulation:
        simulation.run(body)
        assert simulation.settle() == []


@pytest.mark.parametrize("seed", range(5))
def test_reg_h2_the_entries_of_a_lost_host_are_gone(seed: int) -> None:
    with Simulation(seed, hosts=4, delay=DELAY) as simulation:

        async def body() -> None:
            trap_exit()
            await Registry.start_link(name="reg", host="w1")
            lost = await Holder.start_link(host="w2", name=via("reg", "a"))
            kept = await Holder.start_link(host="w3", name=via("reg", "b"))
            ref = monitor(lost)
            simulation.crash_host("w2", notice=(0.0, 0.1))
            await receive(lambda m: isinstance(m, Down) and m.ref == ref, timeout=5)
            assert lookup("reg", "a") == []
            # The registry's host, or the claimant's, may not have noticed yet.
            again = await start_until_free(via("reg", "a"), "w3")
            assert lookup("reg", "a") == [(again, None)]
            assert lookup("reg", "b") == [(kept, None)]
            await eventually(lambda: agreed(simulation))

        simulation.run(body)
        assert simulation.settle() == []


async def start_until_free(name: Any, host: str) -> Pid:
    """Start a holder; retry while hosts have not noticed the loss of another."""
    while True:
        try:
            return await Holder.start_link(host=host, name=name)
        except AlreadyStarted as error:
            await down(error.pid)


@pytest.mark.parametrize("seed", range(5))
def test_reg_h2_a_third_host_s_claim_is_checked_with_the_holder_s(seed: int) -> None:
    """The claim may overtake the news of the holder's death: the owner asks before refusing."""
    with Simulation(seed, hosts=4, delay=DELAY) as simulation:

        async def body() -> None:
            trap_exit()
            await Registry.start_link(name="reg", host="w1")
            # The way from the holder's host to the registry's is slow.
            simulation.network.link("sim/w2", "sim/w1").delay = 1.0
            for _ in range(3):
                first = await Holder.start_link(host="w2", name=via("reg", "a"))
                cast(first, "boom")
                await down(first)
                second = await Holder.start_link(host="w3", name=via("reg", "a"))
                assert lookup("reg", "a") == [(second, None)]
                cast(second, "normal")
                await down(second)

        simulation.run(body)
        assert simulation.settle() == []


@pytest.mark.parametrize("seed", range(5))
def test_reg_h3_the_loss_of_the_registry_s_host_ends_who_registered(seed: int) -> None:
    with Simulation(seed, hosts=3, delay=DELAY) as simulation:

        async def body() -> None:
            trap_exit()
            await Registry.start_link(name="reg", host="w1")
            pid = await Holder.start_link(host="w2", name=via("reg", "a"))
            ref = monitor(pid)
            assert await call(pid, "ping") == "pong"
            simulation.crash_host("w1", notice=(0.0, 0.1))
            message = await receive(lambda m: isinstance(m, Down) and m.ref == ref, timeout=5)
            assert message.reason == "killed"
            await eventually(lambda: not current().kernel.tables["registries"].by_name)
            await Registry.start_link(name="reg", host="w2")
            again = await Holder.start_link(host="w2", name=via("reg", "a"))
            assert lookup("reg", "a") == [(again, None)]

        simulation.run(body)
        assert simulation.settle() == []


@pytest.mark.parametrize("seed", range(5))
def test_reg_a_new_host_gets_to_know_the_registries(seed: int) -> None:
    with Simulation(seed, hosts=2, delay=DELAY) as simulation:

        async def body() -> None:
            trap_exit()
            await Registry.start_link(name="reg", host="w1", meta={"m": 1}, keys="duplicate")
            await put_meta("reg", "n", 2)
            await register("reg", "k", "v")
            await register("reg", "k", "w")
            simulation.add_host()
            pid = await Holder.start_link(host="w2")
            await eventually(lambda: agreed(simulation))
            assert sorted(await ask(pid, "lookup", "reg", "k")) == [(me(), "v"), (me(), "w")]
            assert await ask(pid, "meta", "reg", "n") == 2
            assert meta("reg", "m") == 1

        simulation.run(body)
        assert simulation.settle() == []


@pytest.mark.parametrize("seed", range(5))
def test_reg_a_start_in_a_host_that_has_not_heard_of_the_registry_yet(seed: int) -> None:
    with Simulation(seed, hosts=2, delay=DELAY) as simulation:

        async def body() -> None:
            trap_exit()
            await Registry.start_link(name="reg", host="w1")
            simulation.add_host()
            pid = await Holder.start_link(host="w2", name=via("reg", "a"))
            assert lookup("reg", "a") == [(pid, None)]
            simulation.add_host()
            pid = await Holder.start_link(host="w3")
            await ask(pid, "register", "reg", "b")
            assert lookup("reg", "b") == [(pid, None)]
            with pytest.raises(StartError, match="unknown registry 'nope'"):
                await Holder.start_link(host="w3", name=via("nope", "a"))

        simulation.run(body)
        assert simulation.settle() == []


def test_reg_h3_the_owner_hears_of_a_death_without_a_link_too() -> None:
    with Simulation(0, hosts=3, delay=DELAY) as simulation:

        async def body() -> None:
            trap_exit()
            owner = await Registry.start_link(name="reg", host="w1")

            async def loner() -> None:
                await register("reg", "k")
                unlink(owner)

            await down(spawn(loner))
            await register("reg", "k", "mine")
            await eventually(lambda: agreed(simulation))
            assert lookup("reg", "k") == [(me(), "mine")]

        simulation.run(body)
        assert simulation.settle() == []


@pytest.mark.parametrize("end", ["claimant", "claimant's host", "holder's host"])
def test_reg_h2_who_ends_while_the_holder_is_asked_for_is_not_registered(end: str) -> None:
    with Simulation(0, hosts=4, delay=DELAY) as simulation:

        async def starter() -> None:
            await Holder.start_link(host="w3", name=via("reg", "a"))
            await receive()

        async def body() -> None:
            trap_exit()
            await Registry.start_link(name="reg", host="w1")
            simulation.network.link("sim/w2", "sim/w1").delay = 1.0
            first = await Holder.start_link(host="w2", name=via("reg", "a"))
            cast(first, "boom")
            await down(first)
            pid = spawn(starter)
            await asyncio.sleep(0.2)
            assert simulation.host("w1").kernel.tables["registries"]._probes
            if end == "claimant":
                [claimant] = simulation.host("w3").kernel.procs
                simulation.kill(claimant)
            else:
                simulation.crash_host("w3" if end == "claimant's host" else "w2")
            await asyncio.sleep(3)
            assert not simulation.host("w1").kernel.tables["registries"]._probes
            assert agreed(simulation)
            assert count("reg") == (1 if end == "holder's host" else 0)
            exit(pid, "kill")
            await down(pid)

        simulation.run(body)
        assert simulation.settle() == []


async def churn(parent: Pid, rounds: int, host: str) -> None:
    """Claim a key that others want too, again and again."""
    trap_exit()
    for number in range(rounds):
        try:
            pid = await Holder.start(host=host, name=via("reg", number % 3))
        except (AlreadyStarted, StartError):
            continue
        cast(pid, "boom" if number % 2 else "normal")
        await down(pid)
    send(parent, ("done", host))


@pytest.mark.parametrize("seed", range(10))
def test_reg_all_tables_agree_after_a_storm(seed: int) -> None:
    with Simulation(seed, hosts=4, delay=DELAY) as simulation:

        async def body() -> None:
            trap_exit()
            owner = await Registry.start_link(name="reg", host="w1")
            for host in ("w1", "w2", "w3"):
                spawn(churn, me(), 20, host)
            simulation.crash_randomly(
                per_second=20,
                until=simulation.now + 1,
                victims=lambda p: p.pid != owner and p.kind == "server",
            )
            for _ in range(3):
                await receive(is_event("done"), timeout=60)
            await eventually(lambda: agreed(simulation) and count("reg") == 0)
            for host in simulation.live_hosts():
                kernel = host.kernel
                assert not kernel.tables["registries"]._probes
                assert not kernel.tables["registries"].sync._open
            exit(owner, "shutdown")
            await down(owner)

        simulation.run(body)
        assert simulation.settle() == []
