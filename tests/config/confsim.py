"""Simulated clusters with configuration servers."""

from __future__ import annotations

from typing import Any

from foundation import config
from foundation.cluster import ClusterConfig
from foundation.config.names import SERVER
from foundation.config.server import Config
from foundation.testing.cluster_sim import ClusterSimulation

PATH = "limits.rate"


def cluster(
    seed: int = 0, nodes: int = 3, *, expected: int | None = 3, workers: int = 1, **options: Any
) -> ClusterSimulation:
    """Return a cluster, not formed yet."""
    settings = ClusterConfig(strategies=(), expected_size=expected)
    return ClusterSimulation(
        seed, nodes=nodes, workers=workers, config=settings, app=config.specs(), **options
    )


def form(c: ClusterSimulation) -> None:
    """Start all nodes, wait until all take part, and declare ``PATH``."""
    c.form()
    c.until(lambda: joined(c))
    for node in c.live():
        c.run(node.name, declare)


async def declare() -> None:
    """Declare ``PATH`` on this node."""
    await config.declare(PATH, int, 100, validator=_positive)


def _positive(rate: int) -> bool:
    return rate > 0


def server(c: ClusterSimulation, node: str) -> Config:
    """Return the server of *node*."""
    kernel = c.kernel(node, "control")
    pid = kernel.names.lookup(SERVER)
    found: Config = kernel.procs[pid].server
    return found


def joined(c: ClusterSimulation) -> bool:
    """Whether the servers of all nodes that are up are available, in one configuration."""
    live = [node.name for node in c.live()]
    if not all(c.started(name) for name in live):
        return False
    machines = [server(c, name).machine for name in live]
    lives = {machine.me for machine in machines}
    ids = {machine.acceptor.configuration.id for machine in machines}
    members = machines[0].acceptor.configuration.members
    return all(m.available for m in machines) and len(ids) == 1 and lives <= {*members}


def seen(c: ClusterSimulation, path: str = PATH) -> dict[str, Any]:
    """Return what ``get`` returns in each host of each node that is up."""
    return {
        host.address: c.run(node.name, lambda: _get(path), host=name)
        for node in c.live()
        for name, host in node.hosts.items()
        if host.up
    }


async def _get(path: str) -> Any:
    return config.get(path)


async def write(value: int, timeout: float = 5.0) -> Any:
    """Set ``PATH`` cluster-wide; return the version, or the error."""
    try:
        return await config.set_cluster_wide(PATH, value, timeout=timeout)
    except config.ConfigError as error:
        return error


async def agreed(timeout: float = 5.0) -> Any:
    """Return what a majority agrees ``PATH`` has, or the error."""
    try:
        return await config.get(PATH, consistency="quorum", timeout=timeout)
    except config.ConfigError as error:
        return error
