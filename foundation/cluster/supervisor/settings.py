"""The settings of a distributed supervisor, as every host of every node knows them."""

from __future__ import annotations

from foundation.cluster.host import SERVICES, ClusterHost
from foundation.cluster.supervisor.options import ChildOptions
from foundation.errors import StartError


def service_key(name: str) -> str:
    """Return the key in the table ``services`` that says that a node runs *name*."""
    return f"sup:{name}"


def settings_of(cluster: ClusterHost, name: str) -> ChildOptions:
    """Return the defaults for children of the supervisor *name*.

    Raises:
        StartError: no node runs it.
    """
    table, key = cluster.table(SERVICES), service_key(name)
    for node in (cluster.node, *table.nodes()):
        found = table.of(node).get(key)
        if found is not None:
            max_restarts, max_seconds, on_minority = found
            return ChildOptions(limits=(max_restarts, max_seconds), on_minority=on_minority)
    raise StartError(
        f"no node runs the distributed supervisor {name!r}: list "
        f"DistributedSupervisor.spec(name={name!r}) in the application",
        "a distributed child",
    )
