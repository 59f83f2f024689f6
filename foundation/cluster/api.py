"""Asking the cluster, from inside processes: who is in it, and being told of changes."""

from __future__ import annotations

from typing import Any

from foundation.cluster.host import TABLE, ClusterHost
from foundation.cluster.timing import is_number
from foundation.cluster.values import View
from foundation.errors import CallExit, ClusterTimeout, NotInCluster
from foundation.kernel.ops import FutureSink, current
from foundation.kernel.process import Process
from foundation.kernel.values import Pid


def cluster_of(process: Process) -> ClusterHost:
    """Return the cluster as the host of *process* sees it.

    Raises:
        NotInCluster: its node was started without one.
    """
    found: ClusterHost | None = process.kernel.tables.get(TABLE)
    if found is None:
        raise NotInCluster(
            f"node {process.kernel.address.partition('/')[0]!r} is not part of a cluster; start "
            "it with foundation.start(..., cluster=True) or cluster=ClusterConfig(...), without "
            "hosts=0 and stock=True, and with no actor_system on a stock base: open the system "
            "with foundation.transport.open_system(TransportConfig(cookie=...)) instead of "
            "ActorSystem(...)"
        )
    return found


def node(pid: Pid | None = None) -> str:
    """Return the name of this node, or of the node where *pid* lives.

    Works without a cluster, too.

    Args:
        pid: a process, alive or not; None: this one.

    Raises:
        TypeError: *pid* is neither.
        NotInProcess: it was called outside a process, without *pid*.
    """
    if pid is not None and not isinstance(pid, Pid):
        raise TypeError(f"node() takes a pid or nothing, got {pid!r}")
    return (current().pid if pid is None else pid).host.partition("/")[0]


def view() -> View:
    """Return who is in the cluster, as this node sees it: a local read.

    Raises:
        NotInProcess: it was called outside a process.
        NotInCluster: this node is not part of a cluster.
    """
    return cluster_of(current()).view


def nodes() -> tuple[str, ...]:
    """Return the names of the members, this node included, sorted: a local read.

    Raises:
        NotInProcess, NotInCluster: as ``view``.
    """
    return view().names


def subscribe() -> View:
    """Have this process told of ``NodeUp``, ``NodeDown`` and ``ViewChanged``, until it ends.

    They come as messages, each once, however often it subscribes.

    Returns:
        The view from which on it is told: nothing is missed in between.

    Raises:
        NotInProcess, NotInCluster: as ``view``.
    """
    process = current()
    cluster = cluster_of(process)
    cluster.subscribe(process)
    return cluster.view


def unsubscribe() -> None:
    """Tell this process no more; what is in its mailbox stays there.

    Does nothing when it has not subscribed.

    Raises:
        NotInProcess, NotInCluster: as ``view``.
    """
    process = current()
    cluster_of(process).unsubscribe(process.pid)


async def await_cluster(n: int, timeout: float = 30.0) -> View:
    """Wait until at least *n* nodes, this one included, are members and agree on it.

    Args:
        n: how many; 1 or more.
        timeout: seconds, above 0 and finite.

    Returns:
        The view; it may have more members than *n*.

    Raises:
        TypeError, ValueError: an argument is no such number.
        ClusterTimeout: they were not in time; it says who is there, and what to look at.
        NotInProcess, NotInCluster: as ``view``.
    """
    if not isinstance(n, int) or isinstance(n, bool):
        raise TypeError(f"await_cluster: n must be an int, got {n!r}")
    if n < 1:
        raise ValueError(f"await_cluster: n must be 1 or more, got {n!r}")
    if not isinstance(timeout, (int, float)) or isinstance(timeout, bool):
        raise TypeError(f"await_cluster: timeout must be seconds, a number, got {timeout!r}")
    if not is_number(timeout) or timeout <= 0:
        raise ValueError(f"await_cluster: timeout must be finite and above 0, got {timeout!r}")
    process = current()
    cluster = cluster_of(process)

    def formed() -> bool:
        return cluster.settled and len(cluster.view) >= n

    def done(ok: bool, found: Any) -> None:
        if not sink.future.done():
            sink.future.set_result((ok, found))

    sink = FutureSink(process.kernel.driver.new_future())
    cluster.wait_until(formed, timeout, done)
    ok, found = await sink.future
    if not ok:
        raise ClusterTimeout(n, timeout, found, cluster.settled, cluster.refused)
    return found  # type: ignore[no-any-return]


async def ask_agent(service: str, *args: Any, timeout: float | None = 5.0) -> Any:
    """Have the agent of this node serve a request; see ``ClusterHost.request``.

    Args:
        service: names a function in ``Agent.serves``.
        args: of the request: plain values, pids and bytes.
        timeout: seconds; None waits as long as it takes.

    Returns:
        What the agent answers.

    Raises:
        CallExit: it refused, with the reason.
        TimeoutError: no answer in *timeout* seconds.
        NotInProcess, NotInCluster: as ``view``.
    """
    process = current()
    cluster = cluster_of(process)
    sink = FutureSink(process.kernel.driver.new_future())

    def done(ok: bool, value: Any) -> None:
        sink.resolve(None, ok, value if ok else CallExit(value, "the cluster", service))

    number = cluster.request(service, args, done)

    def late() -> Exception:
        cluster.forget(number)
        return TimeoutError(f"the agent has not answered {service!r} within {timeout} s")

    return await sink.wait(process.kernel, timeout, late)
