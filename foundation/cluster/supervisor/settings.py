"""Which distributed supervisors there are, and their settings, as every host knows them."""

from __future__ import annotations

from foundation.cluster.host import SERVICES, ClusterHost
from foundation.cluster.supervisor.checks import check_name
from foundation.cluster.supervisor.options import ChildOptions
from foundation.cluster.supervisor.records import table_of
from foundation.errors import StartError


class UnknownSupervisor(StartError, LookupError):
    """No node runs a distributed supervisor of that name."""

    def __init__(self, name: str) -> None:
        super().__init__("unknown_supervisor", name)
        self.args = (name,)
        self.name = name

    def __str__(self) -> str:
        return unknown(self.name)


def unknown(name: str) -> str:
    """Say that there is no distributed supervisor *name*, and what to do."""
    return (
        f"unknown supervisor: no node runs the distributed supervisor {name!r}; list "
        f"DistributedSupervisor.spec(name={name!r}) in the application of each node that is to "
        "run children"
    )


def service_key(name: str) -> str:
    """Return the key in the table ``services`` that says that a node runs *name*."""
    return f"sup:{name}"


def settings_of(cluster: ClusterHost, name: str) -> ChildOptions:
    """Return the defaults for children of the supervisor *name*.

    Raises:
        TypeError, ValueError: that cannot be the name of one.
        UnknownSupervisor: no node runs it.
    """
    check_name(name)
    table, key = cluster.table(SERVICES), service_key(name)
    for node in (cluster.node, *table.nodes()):
        found = table.of(node).get(key)
        if found is not None:
            max_restarts, max_seconds, on_minority = found
            return ChildOptions(limits=(max_restarts, max_seconds), on_minority=on_minority)
    raise UnknownSupervisor(name)


def check_known(cluster: ClusterHost, name: str) -> None:
    """Raise unless a node runs the supervisor *name*, or one did and this host has seen it.

    Raises:
        TypeError, ValueError: that cannot be the name of one.
        UnknownSupervisor: no node runs it.
    """
    check_name(name)
    table = table_of(name)
    if not declared(cluster, name) and all(one.name != table for one in cluster.tables):
        raise UnknownSupervisor(name)


def declared(cluster: ClusterHost, name: str) -> bool:
    """Whether a node runs the supervisor *name*."""
    table, key = cluster.table(SERVICES), service_key(name)
    return any(key in table.of(node) for node in (cluster.node, *table.nodes()))
