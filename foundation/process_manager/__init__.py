"""Processes by their pattern: one in the cluster, one on each node, or so many.

Inside processes (from outside: ``node.run(start_singleton, Scheduler)``)::

    pid = await start_singleton(Scheduler)              # on one node; elsewhere if that dies
    monitors = await start_replicated(DiskMonitor)      # on each node, also on those to come
    shards = await start_partitioned(Shard, partitions=16)
    await call(shards.route("user-7"), Get("balance"))

These are names for what ``DistributedSupervisor`` does; it runs on every node as
``"foundation.processes"``, and what is started there directly is seen here, and the other way
round. See the functions for what each of them sends, and ``foundation.explain``.
"""

from __future__ import annotations

from foundation.cluster.supervisor import ChildChanged, DistributedSupervisor
from foundation.otp.child_spec import ChildSpec
from foundation.process_manager.functions import (
    infos,
    list_processes,
    lookup,
    migrate,
    state,
    stop,
    via,
    wait_for,
    watch,
)
from foundation.process_manager.messages import (
    ListProcesses,
    Lookup,
    Migrate,
    StartPartitioned,
    StartReplicated,
    StartSingleton,
    State,
    Stop,
    WaitFor,
)
from foundation.process_manager.server import ProcessManager
from foundation.process_manager.sets import PartitionSet, ReplicaSet
from foundation.process_manager.starting import (
    policy,
    start_partitioned,
    start_replicated,
    start_singleton,
)
from foundation.process_manager.values import (
    SERVER,
    SUPERVISOR,
    Instance,
    Managed,
    ProcessInfo,
    ProcessState,
    overall,
)

whereis = lookup


def specs() -> list[ChildSpec]:
    """Return what a node needs for this: a distributed supervisor and a server."""
    return [DistributedSupervisor.spec(name=SUPERVISOR), ProcessManager.spec()]


__all__ = [
    "SERVER",
    "SUPERVISOR",
    "ChildChanged",
    "Instance",
    "ListProcesses",
    "Lookup",
    "Managed",
    "Migrate",
    "PartitionSet",
    "ProcessInfo",
    "ProcessManager",
    "ProcessState",
    "ReplicaSet",
    "StartPartitioned",
    "StartReplicated",
    "StartSingleton",
    "State",
    "Stop",
    "WaitFor",
    "infos",
    "list_processes",
    "lookup",
    "migrate",
    "overall",
    "policy",
    "specs",
    "start_partitioned",
    "start_replicated",
    "start_singleton",
    "state",
    "stop",
    "via",
    "wait_for",
    "watch",
    "whereis",
]
