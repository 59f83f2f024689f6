"""Which partitions there are: one table per node, a replica in every host.

The host of a partition supervisor owns its entry: it sends it to the other hosts when it
changes and to hosts that come up, and a host that is lost takes its entries with it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from foundation.kernel.codec import register
from foundation.kernel.kernel import Kernel
from foundation.kernel.values import Pid

_TABLE = "partitions"
_ADDED, _REMOVED = "partitions", "partitions_gone"


class Partitions(NamedTuple):
    """The partitions of one supervisor, as seen by routing."""

    supervisor: Pid
    size: int
    pids: tuple[Pid | None, ...]


def partitions_of(kernel: Kernel) -> dict[Any, Partitions]:
    """Return the table of *kernel*."""
    table = kernel.tables.get(_TABLE)
    return install(kernel) if table is None else table


def install(kernel: Kernel) -> dict[Any, Partitions]:
    """Make *kernel* keep a replica; call it before hosts meet. Return the table."""
    known: dict[Any, Partitions] | None = kernel.tables.get(_TABLE)
    if known is not None:
        return known
    table: dict[Any, Partitions] = {}
    kernel.tables[_TABLE] = table
    remote = kernel.remote

    def on_added(host: str, name: Any, entry: Partitions) -> None:
        table[name] = entry

    def on_removed(host: str, name: Any, supervisor: Pid) -> None:
        if name in table and table[name].supervisor == supervisor:
            del table[name]

    def on_host(host: str, up: bool) -> None:
        for name, entry in list(table.items()):
            if up and entry.supervisor.host == kernel.address:
                remote.op(host, (_ADDED, name, entry))
            elif not up and entry.supervisor.host == host:
                del table[name]

    remote.handlers[_ADDED] = on_added
    remote.handlers[_REMOVED] = on_removed
    remote.on_host.append(on_host)
    return table


def publish(kernel: Kernel, name: Any, entry: Partitions, *, everywhere: bool) -> None:
    """Set the entry of a supervisor of this host, here and in the other hosts."""
    partitions_of(kernel)[name] = entry
    if everywhere:
        kernel.remote.broadcast((_ADDED, name, entry))


def withdraw(kernel: Kernel, supervisor: Pid) -> None:
    """Remove the entry of *supervisor*, which has ended."""
    table = partitions_of(kernel)
    for name in [n for n, entry in table.items() if entry.supervisor == supervisor]:
        del table[name]
        kernel.remote.broadcast((_REMOVED, name, supervisor))


register(Partitions, 61)
