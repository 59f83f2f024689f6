"""The functions of all facades, each with arguments to try it with."""

from __future__ import annotations

import asyncio
from types import ModuleType
from typing import Any

from contract import Case

from foundation import channels, config, optimizer
from foundation import health_monitor as health
from foundation import process_manager as pm
from foundation import service_mesh as mesh
from foundation.cluster.supervisor import wanted_children
from foundation.otp import GenServer, receive, spawn


class Worker(GenServer):
    """Does nothing."""

    def init(self, partition: int = 0) -> None:
        self.partition = partition


async def started() -> None:
    """Start one of each pattern."""
    await pm.start_singleton(Worker, name="one")
    await pm.start_replicated(Worker, name="each")
    await pm.start_partitioned(Worker, partitions=3, name="many")


def pids(found: Any) -> Any:
    """Return the processes of a live set."""
    return found.pids()


async def wanted() -> Any:
    """Return what is wanted of the process manager."""
    found = await wanted_children("foundation.processes")
    return sorted(found, key=lambda child: str(child.id))


class Echo(GenServer):
    """Answers what it is asked."""

    def handle_call(self, request: Any, caller: Any) -> Any:
        return request


async def offered() -> None:
    """Register some services, and this process as one."""
    await mesh.register("echo", await Echo.start(), capabilities=("x", "y"))
    await mesh.register("other", spawn(receive), metadata={"zone": "eu"})
    await mesh.register("mine")


async def listening() -> None:
    """Subscribe this process to a channel."""
    await channels.subscribe("events")


def stamp(envelope: channels.Envelope, next: channels.Next) -> Any:
    """Middleware that changes nothing."""
    return next(envelope)


async def declared() -> None:
    """Declare some paths, and set them."""
    while not (await config.status()).available:
        await asyncio.sleep(0.05)
    await config.declare("limits.rate", int, 100)
    await config.set("limits.rate", 7)
    await config.declare("feature.enabled", bool, False)
    await config.set_cluster_wide("feature.enabled", True)


async def watching() -> None:
    """Subscribe."""
    await config.subscribe("limits")


def members(found: Any) -> Any:
    """Return what does not depend on when it was measured."""
    return (found.node, found.node_count, [one.node for one in found.nodes], found.healthy_nodes)


def judgement(found: Any) -> Any:
    """Return the parts of a report that do not depend on when it was measured."""
    return (found.status, found.reasons, members(found.metrics))


def reached(found: Any) -> Any:
    """Return who answered."""
    return (found.node, found.connected, found.silent)


async def optimizing() -> None:
    """Wait until the optimizer runs."""
    await pm.wait_for(optimizer.SINGLETON)


def proposals(found: Any) -> Any:
    """Return what is recommended."""
    return [(one.rule, one.current, one.proposed) for one in found]


def of_users(infos: Any) -> Any:
    """Leave out what foundation itself starts, sooner or later."""
    return [info for info in infos if not info.name.startswith("foundation.")]


PACKAGES: list[ModuleType] = [channels, pm, mesh, config, health, optimizer]

# Functions that send nothing, or are compared in tests of their own.
SHOWN_BY_HAND = {
    "infos": "pure",
    "policy": "reads the configuration; part of the blocks of the starts",
    "overall": "pure",
    "is_service": "pure",
    "via": "a name; test_singleton.py, service_mesh/test_facade.py",
    "breaker_states": "what this host remembers",
    "channels": "sends nothing; channels/test_contract.py, as all of channels",
    "current_trace": "sends nothing",
    "explain_route": "sends nothing",
    "installed": "sends nothing",
    "statistics": "sends nothing",
    **dict.fromkeys(("churn_level", "combine", "exposition", "judge", "objection"), "pure"),
    "optimizer_rule": "a decorator",
}

CASES = [
    Case(channels.broadcast, ("events", {"n": 1}), before=listening),
    Case(channels.broadcast, ("data", "x" * 20_000)),
    Case(channels.broadcast, ("control", 1), {"compress": True, "include_local": False}),
    Case(channels.subscribe, ("events",)),
    Case(channels.subscribe, ("events",), {"match": str}),
    Case(channels.subscribe, ("events", print)),
    Case(channels.unsubscribe, ("events",), before=listening),
    Case(channels.route, (("telemetry", 1),)),
    Case(channels.route, ("x" * 20_000,)),
    Case(channels.declare, ("video",), {"bulk": True}),
    Case(channels.use, (stamp,), given={"config": {}}),
    Case(channels.remove, ("no such",)),
    Case(channels.drained),
    Case(config.get, ("limits.rate",), before=declared),
    Case(config.set, ("limits.rate", 8), before=declared),
    Case(config.set_cluster_wide, ("limits.rate", 8), before=declared),
    Case(config.reset, ("limits.rate",), before=declared),
    Case(config.reset_cluster_wide, ("feature.enabled",), before=declared),
    Case(config.declare, ("new", str, "x"), before=declared),
    Case(config.validate, ("limits.rate", 8), before=declared),
    Case(config.subscribe, ("limits",)),
    Case(config.unsubscribe, ("limits",), before=watching),
    Case(config.paths, (), before=declared),
    Case(config.version, ("feature.enabled",), before=declared),
    Case(config.status, (), before=declared),
    Case(pm.start_singleton, (Worker,), {"name": "s"}, left=wanted),
    Case(pm.start_singleton, (Worker,), {"name": "s", "wait_for_sync": True}),
    Case(pm.start_replicated, (Worker,), {"name": "r"}, view=pids, left=wanted),
    Case(pm.start_partitioned, (Worker,), {"partitions": 3, "name": "p"}, view=pids, left=wanted),
    Case(pm.lookup, ("one",), before=started),
    Case(pm.wait_for, ("one",), before=started),
    Case(pm.state, ("one",), before=started),
    Case(pm.watch, ("one",), before=started),
    Case(pm.stop, ("each",), before=started),
    Case(pm.migrate, ("one", "b"), before=started),
    Case(pm.list_processes, before=started, part=of_users),
    Case(pm.list_processes, ("replicated",), before=started),
    Case(mesh.register, ("s",), {"metadata": {"zone": "eu"}}),
    Case(mesh.deregister, ("mine",), before=offered),
    Case(mesh.discover_services, before=offered),
    Case(mesh.discover_services, ("echo",), before=offered),
    Case(mesh.discover_services, (None, ("y",)), before=offered),
    Case(mesh.list_services, before=offered),
    Case(mesh.wait_for, ("echo",), before=offered),
    Case(mesh.call, ("echo", ("hello", 1)), before=offered),
    Case(mesh.route, ("echo", "hello"), before=offered),
    Case(health.cluster_metrics, part=members),
    Case(health.cluster_health, part=judgement),
    Case(health.check_connectivity, part=reached),
    Case(health.health_history, part=len),
    Case(health.health_history, ("b",), part=len),
    Case(optimizer.run_once, before=optimizing, part=proposals),
    Case(optimizer.recommendations, before=optimizing, part=proposals),
    Case(optimizer.history, before=optimizing, part=proposals),
    Case(optimizer.options, before=optimizing),
    Case(optimizer.configure, kwargs={"mode": "auto"}, before=optimizing),
    Case(optimizer.live_settings),
]
