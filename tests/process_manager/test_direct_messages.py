"""The blocks of direct messages in docstrings that are no functions of the facade itself."""

from __future__ import annotations

from typing import Any

import pytest

from foundation.entry import Facades
from foundation.facade import explain
from foundation.otp import whereis
from foundation.process_manager import (
    PartitionSet,
    ReplicaSet,
    start_partitioned,
    start_replicated,
    start_singleton,
    via,
)
from foundation.testing.cluster_sim import ClusterSimulation
from tests.facades.contract import compiled
from tests.process_manager.pmkit import Part, Worker


async def started() -> dict[type, Any]:
    """Start one of each kind of set."""
    return {
        ReplicaSet: await start_replicated(Worker, name="each"),
        PartitionSet: await start_partitioned(Part, partitions=3, name="many"),
    }


def in_cluster(body: Any) -> Any:
    app = [Facades.spec(id="facades", host="control")]
    with ClusterSimulation(11, nodes=2, app=app) as cluster:
        cluster.form()
        return cluster.run("a", body)


@pytest.mark.parametrize("kind", [ReplicaSet, PartitionSet])
@pytest.mark.parametrize("name", ["complete", "stop"])
def test_a_method_of_a_set_does_what_its_block_does(kind: Any, name: str) -> None:
    method = getattr(kind, name)

    async def by_method() -> Any:
        found = (await started())[kind]
        before = sorted(found.pids())
        with explain() as plan:
            result = await method(found)
        return result, before, sorted(found.pids()), [step.function.__name__ for step in plan]

    async def by_block() -> Any:
        found = (await started())[kind]
        before = sorted(found.pids())
        names = {"self": found, "timeout": 30.0, "at_least": 0}
        return await compiled(method, names)(), before, sorted(found.pids())

    *outcome, called = in_cluster(by_method)
    assert outcome == list(in_cluster(by_block))
    assert outcome[1]
    assert bool(outcome[2]) == (name == "complete")
    assert [f"{each}(" in (method.__doc__ or "") for each in called] == [True]


def test_a_name_means_what_its_block_finds() -> None:
    async def body() -> Any:
        pid = await start_singleton(Worker, name="one")
        return pid, whereis(via("one")), await compiled(via, {"name": "one"})()

    pid, named, direct = in_cluster(body)
    assert pid == named == direct
