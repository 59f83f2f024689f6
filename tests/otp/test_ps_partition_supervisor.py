"""PS-01 to PS-07: partition supervisors."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from foundation.errors import InvalidChildSpec, NoProc, StartError
from foundation.kernel.ops import call, cast, me, monitor, send, trap_exit, whereis
from foundation.otp.dynamic_supervisor import DynamicSupervisor
from foundation.otp.partition_key import partition_index
from foundation.otp.partition_supervisor import PartitionSupervisor, partition
from foundation.otp.partition_table import partitions_of
from foundation.otp.supervision import ChildCounts
from foundation.otp.supervisor import Supervisor
from foundation.testing import Simulation
from tests.ids import plain
from tests.otp.supkit import (
    Probe,
    Script,
    actor,
    events,
    exit_of,
    kill,
    pid_of,
    pids,
    script,
    until,
)


async def start(**options):
    """Start a partition supervisor of probes, linked to the body, which traps exits."""
    trap_exit()
    return await PartitionSupervisor.start_link(Probe.spec(me(), "p"), **options)


def test_ps_01_n_children(run):
    async def body():
        sup = await start(name="parts", partitions=3)
        assert await events(3) == [("init", "p")] * 3
        assert list(await pids(sup)) == [0, 1, 2]
        assert await PartitionSupervisor.partitions("parts") == 3
        before = await pids(sup)
        await kill(before[1])
        after = await pids(sup)
        assert (after[0], after[2]) == (before[0], before[2])

    run(body)


def test_ps_01_defaults(run):
    async def body():
        sup = await start(name="parts")
        assert len(await pids(sup)) == os.cpu_count()
        for _ in range(3):
            await kill(await pid_of(sup, 0))
        for _ in range(1):
            await kill(await pid_of(sup, 0))
        assert await exit_of(sup) == "shutdown"

    run(body)


def test_ps_01_options_of_a_supervisor(run):
    async def body():
        sup = await start(name="parts", partitions=2, strategy="one_for_all", max_restarts=1)
        before = await pids(sup)
        await kill(before[1])
        after = await pids(sup)
        assert not set(before.values()) & set(after.values())

    run(body)


def test_ps_02_the_same_key_goes_to_the_same_partition(run):
    async def body():
        sup = await start(name="parts", partitions=4)
        found = await pids(sup)
        for key in range(-9, 9):
            assert whereis(partition("parts", key)) == found[abs(key) % 4]
        for key in ("ann", b"bob", ("a", 1), None, 2.5):
            assert whereis(partition("parts", key)) == whereis(partition("parts", key))
            assert await call(partition("parts", key), "label") == "p"
        hit = {whereis(partition("parts", f"user {n}")) for n in range(100)}
        assert hit == set(found.values())

    run(body)


def test_ps_02_cast_send_and_monitor(run):
    async def body():
        sup = await start(name="parts", partitions=2)
        await events(2)
        send(partition("parts", 1), "hello")
        assert await events(1) == [("info", "p", "hello")]
        pid = (await pids(sup))[1]
        monitor(partition("parts", 1))
        cast(partition("parts", 1), "bad")
        assert await events(2) == [("terminate", "p", "bad"), ("init", "p")]
        await until(lambda: _changed("parts", 1, pid))

    run(body)


def test_ps_02_the_hash_is_stable_across_interpreters():
    code = (
        "from foundation.otp.partition_key import partition_index as f;"
        "print([f(k, 1000) for k in ('ann', b'bob', ('a', 1), None, 2.5, 'caf\\xe9', -7)])"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    mine = [partition_index(k, 1000) for k in ("ann", b"bob", ("a", 1), None, 2.5, "café", -7)]
    assert answers == {f"{mine}\n"}
    assert mine[-1] == 7


def test_ps_03_a_restarted_partition(run):
    async def body():
        sup = await start(name="parts", partitions=2)
        old = whereis(partition("parts", 1))
        await kill(old)
        new = await pid_of(sup, 1)
        assert new != old
        assert await until(lambda: _resolves("parts", 1, new))
        assert await call(partition("parts", 1), "label") == "p"

    run(body)


async def _resolves(name, key, pid):
    return whereis(partition(name, key)) == pid


def test_ps_04_with_arguments(run):
    async def body():
        await start(name="parts", partitions=3, with_arguments=numbered)
        assert await events(3) == [("init", ("p", n)) for n in range(3)]
        assert await call(partition("parts", 2), "label") == ("p", 2)
        with pytest.raises(StartError, match="with_arguments"):
            await start(name="other", partitions=3, with_arguments=garbage)

    run(body)


def numbered(args, index):
    log, label = args
    return [log, (label, index)]


def garbage(args, index):
    return "garbage"


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"name": None}, "name"),
        ({"partitions": 0}, "partitions"),
        ({"partitions": 1.5}, "partitions"),
        ({"auto_shutdown": "never"}, "auto_shutdown"),
        ({"child": None}, "child"),
    ],
    ids=plain,
)
def test_ps_05_wrong_arguments(run, options, word):
    given = {"child": Probe, "name": "parts", **options}
    with pytest.raises(InvalidChildSpec, match=word):
        PartitionSupervisor.spec(**given)

    async def body():
        with pytest.raises(InvalidChildSpec, match=word):
            await PartitionSupervisor.start_link(**given)

    run(body)


def test_ps_06_resize(run):
    async def body():
        sup = await start(name="parts", partitions=3)
        before = await pids(sup)
        assert await PartitionSupervisor.resize("parts", 1) == 3
        assert await pids(sup) == {0: before[0]}
        for key in range(5):
            assert whereis(partition("parts", key)) == before[0]
        assert await PartitionSupervisor.resize("parts", 3) == 1
        after = await pids(sup)
        assert list(after) == [0, 1, 2]
        assert whereis(partition("parts", 5)) == after[2] != before[2]
        for wrong in (4, -1, 1.5):
            with pytest.raises(InvalidChildSpec, match="from 0 to 3"):
                await PartitionSupervisor.resize("parts", wrong)
        assert await PartitionSupervisor.resize("parts", 0) == 3
        with pytest.raises(InvalidChildSpec, match="resized to 0"):
            await call(partition("parts", 1), "label")

    run(body)


@pytest.mark.parametrize("how", ["temporary", "deleted"])
def test_ps_06_resize_when_a_partition_has_gone(run, how):
    async def body():
        trap_exit()
        restart = "temporary" if how == "temporary" else "permanent"
        child = Probe.spec(me(), "p", restart=restart)
        sup = await PartitionSupervisor.start_link(child, name="parts", partitions=3)
        if how == "deleted":
            await Supervisor.terminate_child(sup, 2)
            await Supervisor.delete_child(sup, 2)
        else:
            await kill(await pid_of(sup, 2))
            await until(lambda: _children_are(sup, {0, 1}))
        assert await PartitionSupervisor.resize("parts", 1) == 3
        assert await PartitionSupervisor.resize("parts", 3) == 1
        assert await call(partition("parts", 2), "label") == "p"

    run(body)


async def _children_are(sup, ids):
    return set(await pids(sup)) == ids


def test_ps_06_resize_that_fails(run):
    async def body():
        trap_exit()
        todo = await script()
        child = actor(todo, "a")
        sup = await PartitionSupervisor.start_link(child, name="parts", partitions=3)
        await PartitionSupervisor.resize("parts", 1)
        await call(todo, ("a", ["ok", "fail"]))
        with pytest.raises(StartError):
            await PartitionSupervisor.resize("parts", 3)
        assert list(await pids(sup)) == [0, 1]
        assert await PartitionSupervisor.partitions(sup) == 2

    run(body)


def test_ps_07_as_a_supervisor(run):
    async def body():
        sup = await start(name="parts", partitions=2)
        assert await PartitionSupervisor.count_children("parts") == ChildCounts(2, 2, 0, 2)
        found = await PartitionSupervisor.which_children("parts")
        assert [child.id for child in found] == [1, 0]
        await PartitionSupervisor.stop("parts")
        assert await exit_of(sup) == "normal"
        for operation in (
            PartitionSupervisor.which_children,
            PartitionSupervisor.count_children,
            PartitionSupervisor.stop,
        ):
            with pytest.raises(NoProc):
                await operation("parts")
        with pytest.raises(NoProc):
            await call(partition("parts", 1), "label")
        cast(partition("parts", 1), "nobody hears it")

    run(body)


def test_ps_07_in_a_tree_with_dynamic_supervisors(run):
    async def body():
        trap_exit()
        spec = PartitionSupervisor.spec(DynamicSupervisor, name="pool", partitions=2)
        assert (spec.type, spec.id) == ("supervisor", "pool")
        top = await Supervisor.start_link([spec])
        pid = await DynamicSupervisor.start_child(partition("pool", 1), Script.spec(me()))
        found = await DynamicSupervisor.which_children(partition("pool", 1))
        assert [child.pid for child in found] == [pid]
        assert await DynamicSupervisor.which_children(partition("pool", 2)) == []
        await Supervisor.stop(top)

    run(body)


def test_partitions_are_known_in_every_host():
    async def body():
        trap_exit()
        child = Probe.spec(me(), "p")
        await PartitionSupervisor.start_link(child, name="parts", partitions=2, host="w1")
        await events(2)
        await until(lambda: _known("parts", 1))
        pid = whereis(partition("parts", 1))
        assert pid.host == "sim/w1"
        assert await call(partition("parts", 1), "label") == "p"
        await kill(pid)
        await until(lambda: _changed("parts", 1, pid))
        assert await call(partition("parts", 1), "label") == "p"
        assert partitions_of(simulation.host("w2").kernel)["parts"].size == 2
        late = simulation.add_host()
        await until(lambda: _known_in(late.kernel))
        simulation.crash_host("w1")
        await until(lambda: _unknown("parts", 1))

    with Simulation(7, hosts=3, delay=(0.001, 0.01)) as simulation:
        simulation.run(body)


async def _known(name, key):
    return whereis(partition(name, key)) is not None


async def _unknown(name, key):
    return whereis(partition(name, key)) is None


async def _changed(name, key, pid):
    found = whereis(partition(name, key))
    return found not in (None, pid)


async def _known_in(kernel):
    return kernel.resolve(partition("parts", 1)) is not None
