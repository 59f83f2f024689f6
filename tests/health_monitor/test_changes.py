"""Starts, failures and migrations of children, from their entries in the table."""

from __future__ import annotations

from typing import Any

from foundation.cluster.slices import GONE, Table
from foundation.cluster.supervisor import ChildState
from foundation.cluster.supervisor.records import Entry
from foundation.health_monitor.changes import ChildEvents
from foundation.health_monitor.invariants import twice
from foundation.kernel.values import Pid

KEY = b"x"


def pid(node: str, serial: int = 1) -> Pid:
    return Pid(f"{node}/w1", 1, serial)


class World:
    """A table, and what the node ``a`` notes of it."""

    def __init__(self, *replicated: bytes) -> None:
        self.noted: list[str] = []
        self.table = Table("sup:s")

        def elsewhere(key: bytes, node: str) -> bool:
            entry = self.table.get(node, key)
            return entry is not GONE and entry.status == "running"

        events = ChildEvents("a", self.noted.append, elsewhere, lambda key: key in replicated)
        self.table.listeners.append(events.entry)

    def set(self, node: str, status: str, generation: int = 1, pid: Any = None) -> None:
        self.table.set(node, KEY, Entry(status, generation, pid, (1, node)))


def test_a_start_is_counted_once_where_it_runs() -> None:
    world = World()
    world.set("a", "starting")
    world.set("a", "running", pid=pid("a"))
    world.set("a", "running", pid=pid("a"))
    assert world.noted == ["started"]
    other = World()
    other.set("b", "running", pid=pid("b"))
    assert other.noted == []


def test_a_restart_is_a_failure_and_a_start() -> None:
    world = World()
    world.set("a", "running", 1, pid("a"))
    world.set("a", "starting", 2)
    world.set("a", "running", 2, pid("a", 2))
    assert world.noted == ["started", "failed", "started"]


def test_quarantine_and_the_loss_of_a_worker_host_are_failures() -> None:
    world = World()
    world.set("a", "running", 1, pid("a"))
    world.set("a", "quarantined", 1)
    world.set("a", "holding", 1)
    assert world.noted == ["started", "failed"]
    world = World()
    world.set("a", "running", 1, pid("a"))
    world.set("a", "holding", 1)
    assert world.noted == ["started", "failed"]


def test_what_ran_elsewhere_before_has_migrated() -> None:
    world = World()
    world.set("b", "running", 1, pid("b"))
    world.set("b", "leaving", 1, pid("b"))
    world.set("a", "holding", 1)
    world.table.drop("b")
    world.set("a", "running", 2, pid("a"))
    assert world.noted == ["started", "migrated"]


def test_what_runs_after_the_death_of_its_node_has_migrated() -> None:
    world = World()
    world.set("b", "running", 1, pid("b"))
    world.table.drop("b")
    world.set("a", "running", 2, pid("a"))
    assert world.noted == ["started", "migrated"]


def test_what_was_terminated_and_started_again_has_not() -> None:
    world = World()
    world.set("b", "running", 1, pid("b"))
    world.set("b", "stopping", 1, pid("b"))
    world.table.unset("b", KEY)
    world.set("a", "running", 2, pid("a"))
    assert world.noted == ["started"]


def test_replicas_do_not_migrate() -> None:
    world = World(KEY)
    world.set("b", "running", 1, pid("b"))
    world.table.drop("b")
    world.set("a", "running", 1, pid("a"))
    assert world.noted == ["started"]


def test_two_that_run_beside_each_other_are_no_migration() -> None:
    world = World()
    world.set("b", "running", 1, pid("b"))
    world.set("a", "running", 1, pid("a"))
    assert world.noted == ["started"]


def state(id: Any, node: str, status: str = "running") -> ChildState:
    return ChildState(id, node, pid(node) if status == "running" else None, status, 1)


def test_what_runs_on_two_nodes_and_is_no_replica_runs_twice() -> None:
    rows = [state("x", "a"), state("x", "b"), state("y", "a"), state("y", "b"), state("z", "a")]
    assert twice(rows, ["y"]) == {"x": (pid("a"), pid("b"))}
    assert twice([state("x", "a"), state("x", "b", "leaving")], []) == {}
