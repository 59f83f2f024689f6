"""What must hold of the children of a distributed supervisor in a simulated cluster."""

from __future__ import annotations

from collections.abc import Iterator

from foundation.cluster.supervisor.ids import id_of
from foundation.cluster.supervisor.managed_process import CHILD
from foundation.cluster.supervisor.service import SupervisorService
from foundation.kernel.process import Process
from foundation.testing.cluster_sim import ClusterSimulation, SimNode


def service_of(node: SimNode) -> SupervisorService:
    """Return the service in the agent of *node*."""
    found: SupervisorService = node.agent.kernel.tables["cluster.supervisor"]
    return found


def copies(cluster: ClusterSimulation, supervisor: str) -> dict[bytes, list[tuple[str, Process]]]:
    """Return the processes of each child that live on nodes that can run."""
    found: dict[bytes, list[tuple[str, Process]]] = {}
    for node, process in _processes(cluster):
        child = process.get_extra(CHILD)
        if child is not None and child[0] == supervisor:
            found.setdefault(child[1], []).append((node.name, process))
    return found


def _processes(cluster: ClusterSimulation) -> Iterator[tuple[SimNode, Process]]:
    for node in cluster.live():
        if not node.paused:
            for process in cluster.processes(node.name):
                if process.state != "dead" and process.exiting.__class__.__name__ == "Unset":
                    yield node, process


def problems(cluster: ClusterSimulation, supervisor: str) -> list[str]:
    """Return where not every desired child runs exactly once, on a node that may run it."""
    running = copies(cluster, supervisor)
    services = [service_of(node) for node in cluster.live()]
    first = services[0].coordinator(supervisor)
    found = [
        f"{service.agent.node} wants other children than {services[0].agent.node}"
        for service in services[1:]
        if service.coordinator(supervisor).desired.digest != first.desired.digest
    ]
    wanted = first.desired.live()
    found += [
        f"{id_of(key)!r} runs but is not wanted"
        for key in running
        if first.desired.wanted(key) is None
    ]
    for key in wanted:
        record = first.desired.wanted(key)
        assert record is not None
        nodes = [node for node, _ in running.get(key, ())]
        eligible = first.candidates.eligible(record.labels)
        if record.every_node:
            expected = sorted(eligible)
        else:
            owner = first.candidates.owner(key, record.labels, record.prefers)
            expected = [] if owner is None else [owner]
        resting = [e for e in first.observed.get(key, {}).values() if e.status == "quarantined"]
        if sorted(nodes) != expected and not resting:
            found.append(f"{id_of(key)!r} runs on {sorted(nodes)}, not on {expected}")
    return found


def check_exactly_once(cluster: ClusterSimulation, supervisor: str) -> None:
    """Raise ``AssertionError`` unless every desired child runs once, where it should."""
    found = problems(cluster, supervisor)
    assert not found, (found[:10], cluster.where())


def check_never_twice(cluster: ClusterSimulation, supervisor: str) -> None:
    """Raise ``AssertionError`` when two copies of a child run at this instant."""
    known = [service_of(node).coordinator(supervisor).desired for node in cluster.live()]
    for key, processes in copies(cluster, supervisor).items():
        records = [desired.get(key) for desired in known]
        if any(record is not None and record.every_node for record in records):
            continue
        nodes = [node for node, _ in processes]
        assert len(nodes) < 2, (id_of(key), nodes, cluster.where())
