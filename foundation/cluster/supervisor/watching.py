"""Telling processes of changes of distributed children, as their host sees them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from foundation.cluster.api import cluster_of
from foundation.cluster.audience import Audience, Topic
from foundation.cluster.host import ClusterHost
from foundation.cluster.slices import GONE
from foundation.cluster.supervisor.api import whereis_child
from foundation.cluster.supervisor.asking import ask_about_all, late
from foundation.cluster.supervisor.checks import check_timeout
from foundation.cluster.supervisor.events import ChildChanged, WantedChild
from foundation.cluster.supervisor.ids import group_of, id_of, key_of
from foundation.cluster.supervisor.records import table_of
from foundation.cluster.supervisor.settings import check_known
from foundation.kernel.ops import FutureSink, current
from foundation.kernel.process import Process
from foundation.kernel.values import Pid
from foundation.otp.registry_match import ANY

TABLE = "cluster.supervisor.watchers"  # where a kernel keeps its Watchers

T = TypeVar("T")


class Watchers(Audience):
    """Who in one host is told of which children."""

    def __init__(self, cluster: ClusterHost) -> None:
        super().__init__()
        self._cluster = cluster
        self._followed: dict[str, None] = {}

    def join(self, process: Process, topic: Topic) -> None:
        """As ``Audience.join``; *topic* is a supervisor and the key of a child, or None for all.

        A child with partitions stands for all its parts.
        """
        self._follow(topic[0])
        super().join(process, topic)

    def _follow(self, supervisor: str) -> None:
        if supervisor in self._followed:
            return
        self._followed[supervisor] = None

        def changed(node: str, key: bytes, new: Any, old: Any) -> None:
            self._changed(supervisor, node, key, new, old)

        self._cluster.table(table_of(supervisor)).listeners.append(changed)

    def _changed(self, supervisor: str, node: str, key: bytes, new: Any, old: Any) -> None:
        if not self:
            return
        pids = self.of((supervisor, key), (supervisor, group_of(key) or key), (supervisor, None))
        if not pids:
            return
        before = "" if old is GONE else old.status
        if new is GONE:
            event = ChildChanged(supervisor, id_of(key), node, before, "", None, 0)
        else:
            now = (new.status, new.pid, new.generation, new.note)
            event = ChildChanged(supervisor, id_of(key), node, before, *now)
        for pid in pids:
            self._cluster.kernel.deliver(pid, event)


def subscribe_children(supervisor: str, id: Any = ANY) -> None:
    """Have this process told of changes of a child, or of all, on any node: ``ChildChanged``.

    Look at ``which_children`` after subscribing, and nothing is missed.

    Args:
        supervisor: name of the distributed supervisor.
        id: of the child; of one with partitions: all its parts, each with its own id; or of one
            part, ``(id, number)``. Default: all.

    Raises:
        UnknownSupervisor: no node runs it.
        TypeError, ValueError: that can be no name or id.
        NotInProcess, NotInCluster: as ``which_children``.
    """
    process = current()
    cluster = cluster_of(process)
    check_known(cluster, supervisor)
    _watchers(cluster).join(process, _topic(supervisor, id))


def unsubscribe_children(supervisor: str, id: Any = ANY) -> None:
    """Undo ``subscribe_children`` with the same arguments."""
    process = current()
    cluster = cluster_of(process)
    check_known(cluster, supervisor)
    _watchers(cluster).leave(process.pid, _topic(supervisor, id))


def _topic(supervisor: str, id: Any) -> Topic:
    return (supervisor, None if id is ANY else key_of(id))


def _watchers(cluster: ClusterHost) -> Watchers:
    found: Watchers | None = cluster.kernel.tables.get(TABLE)
    if found is None:
        found = cluster.kernel.tables[TABLE] = Watchers(cluster)
    return found


async def await_children(
    supervisor: str, condition: Callable[[], T], *, timeout: float = 10.0
) -> T:
    """Wait until *condition* holds; it is looked at now, and whenever a child has changed.

    Args:
        supervisor: name of the distributed supervisor.
        condition: what it returns is false, or is what is waited for. It may call
            ``which_children``, ``whereis_child`` and the like.
        timeout: seconds to wait.

    Raises:
        TimeoutError: it did not hold in time.
        UnknownSupervisor, TypeError, ValueError: as ``subscribe_children``.
    """
    check_timeout(timeout)
    cluster = cluster_of(current())
    check_known(cluster, supervisor)
    driver, listeners = cluster.kernel.driver, cluster.table(table_of(supervisor)).listeners
    deadline = driver.now() + timeout
    sink = FutureSink(driver.new_future())

    def changed(node: str, key: bytes, new: Any, old: Any) -> None:
        sink.resolve(None, True, None)

    def late() -> Exception:
        return TimeoutError(f"the children of {supervisor!r} are not so after {timeout} s")

    listeners.append(changed)
    try:
        while not (found := condition()):
            await sink.wait(cluster.kernel, deadline - driver.now(), late)
            sink = FutureSink(driver.new_future())
        return found
    finally:
        listeners.remove(changed)


async def await_child(supervisor: str, id: Any, *, timeout: float = 10.0) -> Pid:
    """Wait until a child runs, as this host sees it; return its pid.

    Of one that runs on every node: as ``whereis_child``.

    Args:
        supervisor: name of the distributed supervisor.
        id: of the child; it need not have been started yet.
        timeout: seconds to wait.

    Raises:
        TimeoutError: it did not run in time; it says what it is doing, and why.
        UnknownSupervisor, TypeError, ValueError: as ``subscribe_children``.
    """
    try:
        found = await await_children(
            supervisor, lambda: whereis_child(supervisor, id), timeout=timeout
        )
    except TimeoutError:
        raise late("await_child", supervisor, id, timeout) from None
    assert found is not None
    return found


async def wanted_children(
    supervisor: str, *, ending: bool = False, timeout: float = 10.0
) -> list[WantedChild]:
    """Return what this node's agent knows to be wanted, whether it runs or not.

    Args:
        supervisor: name of the distributed supervisor.
        ending: also what is wanted no longer and has not ended yet on some node.
        timeout: seconds to wait.

    Raises:
        UnknownSupervisor: no node runs it.
        TypeError, ValueError: at once: an argument is wrong.
    """
    check_timeout(timeout)
    check_known(cluster_of(current()), supervisor)
    return await ask_about_all(  # type: ignore[no-any-return]
        f"wanted_children of {supervisor!r}", "sup_wanted", supervisor, ending, timeout=timeout
    )
