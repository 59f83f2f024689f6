"""The functions of the distributed supervisor, for use inside processes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from foundation.cluster.api import cluster_of
from foundation.cluster.host import SERVICES, ClusterHost
from foundation.cluster.slices import GONE, Table
from foundation.cluster.supervisor.asking import ask, ask_about_all, late
from foundation.cluster.supervisor.checks import check_node, check_timeout, nodes_of
from foundation.cluster.supervisor.events import ChildState, Move
from foundation.cluster.supervisor.ids import id_of, key_of
from foundation.cluster.supervisor.managed_process import CHILD
from foundation.cluster.supervisor.options import ChildOptions, records
from foundation.cluster.supervisor.placement import candidates
from foundation.cluster.supervisor.records import RUNNING, Record, table_of
from foundation.cluster.supervisor.server import needs_size
from foundation.cluster.supervisor.settings import check_known, service_key, settings_of
from foundation.cluster.values import labels_of
from foundation.errors import (
    AlreadyStarted,
    CallExit,
    CannotMove,
    ChildNotFound,
    InvalidChildSpec,
    StartError,
)
from foundation.kernel.codec import dumps
from foundation.kernel.kernel import Kernel
from foundation.kernel.ops import current
from foundation.kernel.peer import unpack_reason
from foundation.kernel.starting import start_error
from foundation.kernel.values import Pid
from foundation.otp.child_spec import ChildSpec, to_spec
from foundation.otp.results import IGNORED


async def start_child(
    supervisor: str,
    spec: Any,
    *,
    id: Any = None,
    timeout: float = 10.0,
    labels: Mapping[str, str] | None = None,
    every_node: bool = False,
    partitions: int | None = None,
    on_minority: str | None = None,
    max_restarts: int | None = None,
    max_seconds: float | None = None,
    ship: bool = False,
) -> Any:
    """Have the cluster run a child, and wait until it does.

    It goes on running, restarted and moved as need be, until ``terminate_child``. What was
    answered is not lost with one node; with ``ClusterConfig.expected_size`` not with any
    minority of the nodes, and in a minority this waits for the others to come. After a timeout it
    may start still.

    Nodes that have not met yet are clusters of their own: without ``expected_size``, call it after
    ``await_cluster(n)``, or each runs one until they have met.

    Args:
        supervisor: name of the distributed supervisor.
        spec: a ``ChildSpec``, a server class or ``(class, *args)``.
        id: under which it runs once: text, a number, bytes, or a tuple of these. Default: the id
            in the spec; if that is the class itself, a new one.
        timeout: seconds to wait.
        labels: that the node must have (``ClusterConfig.labels``).
        every_node: have one run on each eligible node; the answer is that of this node, or
            of another when this one is not eligible.
        partitions: have so many run, with the ids ``(id, 0)`` …, each with its number as
            ``partition=`` for its ``init``; the answer is the list of their pids.
        on_minority: ``"stop"`` or ``"keep"``; default: as the supervisor.
        max_restarts, max_seconds: its restart budget; default: as the supervisor.
        ship: its class need not be importable on the other nodes; it travels with the spec to
            those with ``ClusterConfig(accept_code=True)``.

    Returns:
        Its pid; ``Ignored()`` when its init returned ``Ignore()``, then nothing is kept.

    Raises:
        InvalidChildSpec, TypeError, ValueError, Unsendable: at once: an argument is wrong.
        UnknownSupervisor: at once: no node runs the supervisor.
        AlreadyStarted: there is one with this id.
        StartError: it did not start, then nothing is kept; or no node may run it; or it was
            terminated before it ran (``"terminated"``).
        TimeoutError: it did not start in time; it says what the child is doing, and why.
    """
    check_timeout(timeout)
    made = to_spec(spec)
    settings = settings_of(cluster_of(current()), supervisor)
    most, seconds = settings.limits or (3, 5.0)
    limits = (
        most if max_restarts is None else max_restarts,
        seconds if max_seconds is None else max_seconds,
    )
    asked = {} if labels is None else labels
    options = ChildOptions(asked, every_node, partitions, on_minority, limits, ship)
    found = records(made, _fresh_id(made, id), options, settings)
    if found[0][1].on_minority == "stop" and cluster_of(current()).config.majority is None:
        raise InvalidChildSpec(needs_size(supervisor))
    if partitions is None:
        return await _start(supervisor, *found[0], timeout)
    starts = (_start(supervisor, key, record, timeout) for key, record in found)
    outcomes = await asyncio.gather(*starts, return_exceptions=True)
    failures = [each for each in outcomes if isinstance(each, BaseException)]
    if not failures:
        return list(outcomes)
    for (key, _), outcome in zip(found, outcomes, strict=True):
        if not isinstance(outcome, BaseException):  # all parts, or none
            with contextlib.suppress(ChildNotFound, TimeoutError, CallExit):
                await terminate_child(supervisor, id_of(key), timeout=timeout)
    raise failures[0]


async def _start(supervisor: str, key: bytes, record: Record, timeout: float) -> Any:
    token = "/".join(map(str, current().kernel.new_ref()))
    # Encoded here, once: the agents on the way pass it on as it is.
    request = dumps(replace(record, token=token))
    where = (record.labels, record.every_node)
    args = (supervisor, key, request, *where, timeout)
    answer = await ask("start_child", supervisor, id_of(key), "sup_start", *args, timeout=timeout)
    what, *rest = answer
    if what == "started":
        return rest[0]
    if what == "ignored":
        return IGNORED
    name = f"child {id_of(key)!r} of {supervisor!r}"
    if what == "exists":
        raise AlreadyStarted(rest[0], name)
    if what == "refused":
        raise StartError(rest[0], name)
    raise start_error(unpack_reason(rest[0]), name)


def _fresh_id(spec: ChildSpec, id: Any) -> Any:
    found = spec.id if id is None else id
    if found is not spec.start[0]:
        return found
    host, incarnation, number = current().kernel.new_ref()
    return f"{getattr(found, '__qualname__', 'child')}@{host}.{incarnation}.{number}"


async def terminate_child(supervisor: str, id: Any, *, timeout: float = 10.0) -> None:
    """Stop a child by its shutdown rule and want it no longer; wait until it is gone.

    A ``start_child`` of it that has not been answered fails (``"terminated"``).

    Args:
        supervisor: name of the distributed supervisor.
        id: of the child; of a partitioned one: all its partitions.
        timeout: seconds to wait.

    Raises:
        ChildNotFound: there is none.
        UnknownSupervisor: no node runs the supervisor.
        TypeError, ValueError: at once: an argument is wrong.
        TimeoutError: it has not ended in time; it is wanted no longer all the same.
    """
    check_timeout(timeout)
    check_known(cluster_of(current()), supervisor)
    args = (supervisor, key_of(id), timeout)
    if not await ask("terminate_child", supervisor, id, "sup_terminate", *args, timeout=timeout):
        raise ChildNotFound(id)


async def restart_child(supervisor: str, id: Any, *, timeout: float = 10.0) -> None:
    """Stop a child and start it again; one in quarantine is tried at once.

    Raises:
        ChildNotFound: there is none.
        UnknownSupervisor: no node runs the supervisor.
        TypeError, ValueError: at once: an argument is wrong.
        TimeoutError: the nodes that have it did not answer in time.
    """
    check_timeout(timeout)
    check_known(cluster_of(current()), supervisor)
    args = (supervisor, key_of(id))
    if not await ask("restart_child", supervisor, id, "sup_restart", *args, timeout=timeout):
        raise ChildNotFound(id)


async def move_child(
    supervisor: str, id: Any, to: str | None, *, timeout: float = 30.0
) -> Pid:
    """Have a child run on the node *to*, with its state, and wait until it does.

    It moves as it would to a node that joins (``export_state``, ``import_state``), but not without
    its state: if that cannot be exported it runs on where it is; if the child does not start on the
    other node, or cannot import the state there, it goes back to where it was, with its state.
    From then on it prefers that node: when the node dies it runs elsewhere, and comes back with it.

    It ends only when it has exported its state, for which it waits as long as the child is busy.

    Args:
        supervisor: name of the distributed supervisor.
        id: of the child, or ``(id, number)`` of a part of one with partitions.
        to: a node; None: wherever it belongs, as if it had never been moved.
        timeout: seconds to wait.

    Returns:
        Its pid there.

    Raises:
        ChildNotFound: there is none.
        CannotMove: it does not move at all, that node may not run it, its state could not be
            exported, or it did not start there. It says where the child goes on, and whether with
            its state: that is lost when it fails where it goes back to as well.
        UnknownSupervisor: no node runs the supervisor.
        TypeError, ValueError: at once: an argument is wrong.
        TimeoutError: it does not run there yet; it still moves.
    """
    check_timeout(timeout)
    if to is not None:
        check_node(to)
    check_known(cluster_of(current()), supervisor)
    args = (supervisor, key_of(id), to or "", timeout)
    answer = await ask("move_child", supervisor, id, "sup_move", *args, timeout=timeout)
    what, *rest = answer
    if what == "late":
        raise late("move_child", supervisor, id, timeout)
    if what == "unknown":
        raise ChildNotFound(id)
    if what == "refused":
        raise CannotMove(id, to, rest[0])
    pid: Pid = rest[0]
    return pid


def which_children(supervisor: str) -> list[ChildState]:
    """Return what all nodes have of all children: a local read.

    Starts are here as soon as ``start_child`` has returned on this node. A child that is wanted
    but that no node has is not: see ``plan``.

    Raises:
        UnknownSupervisor: no node runs it.
        TypeError, ValueError: that is no name.
    """
    table = _table(supervisor)
    return [
        ChildState(id_of(key), node, entry.pid, entry.status, entry.generation, entry.note)
        for node, key, entry in table.items()
    ]


def count_children(supervisor: str) -> dict[str, int]:
    """Return how many children there are of each status, and in all (``"children"``).

    Raises: as ``which_children``.
    """
    table = _table(supervisor)
    counts: dict[str, int] = {"children": 0}
    for _, _, entry in table.items():
        counts["children"] += 1
        counts[entry.status] = counts.get(entry.status, 0) + 1
    return counts


def _table(supervisor: str) -> Table:
    cluster = cluster_of(current())
    check_known(cluster, supervisor)
    return cluster.table(table_of(supervisor))


def whereis_child(supervisor: str, id: Any) -> Pid | None:
    """Return the pid of a child that runs, or None: a local read.

    Of one that runs on every node: that of this node, if there is one. None, too, of one that
    is known here to be dead.

    Raises: as ``which_children``; also when *id* can be no id.
    """
    return find_child(cluster_of(current()), supervisor, id)


def find_child(cluster: ClusterHost, supervisor: str, id: Any) -> Pid | None:
    """As ``whereis_child``, in the host of *cluster*."""
    table = cluster.tables.find(f"sup:{supervisor}")  # as ``table_of``, without the call
    if table is None:
        check_known(cluster, supervisor)
        key_of(id)
        return None
    kernel, key = cluster.kernel, key_of(id)
    entry = table.get(cluster.node, key)
    if entry is not GONE and entry.status == RUNNING and _lives(kernel, entry.pid):
        return entry.pid  # type: ignore[no-any-return]
    for node in table.nodes():
        entry = table.get(node, key)
        if entry is not GONE and entry.status == RUNNING and _lives(kernel, entry.pid):
            return entry.pid  # type: ignore[no-any-return]
    return None


def _lives(kernel: Kernel, pid: Pid) -> bool:
    """Whether *pid* is not known here to be dead."""
    return pid in kernel.procs if pid.host == kernel.address else kernel.remote.reachable(pid)


def eligible_nodes(supervisor: str, labels: Mapping[str, str] | None = None) -> list[str]:
    """Return the nodes that may run a child that asks for *labels*: a local read.

    Raises: as ``which_children``.
    """
    cluster = cluster_of(current())
    check_known(cluster, supervisor)
    table, key = cluster.table(SERVICES), service_key(supervisor)
    running = [node for node in cluster.view.names if key in table.of(node)]
    return candidates(cluster.view, running).eligible(labels_of(dict(labels or {})))


async def plan(
    supervisor: str,
    *,
    without: Iterable[str] = (),
    draining: Iterable[str] = (),
    timeout: float = 10.0,
) -> list[Move]:
    """Return what would move until every child is where it belongs: a dry run.

    Args:
        supervisor: name of the distributed supervisor.
        without: as if these nodes had died.
        draining: as if these were drained.
        timeout: seconds to wait.

    Raises:
        UnknownSupervisor: no node runs the supervisor.
        TypeError, ValueError: at once: an argument is wrong.
    """
    check_timeout(timeout)
    args = (nodes_of(without, "without"), nodes_of(draining, "draining"))
    check_known(cluster_of(current()), supervisor)
    return await ask_about_all(  # type: ignore[no-any-return]
        f"plan of {supervisor!r}", "sup_plan", supervisor, *args, timeout=timeout
    )


async def explain(supervisor: str, id: Any, *, timeout: float = 10.0) -> str:
    """Say in words where a child is, where it belongs, and what it waits for.

    Raises: as ``plan``.
    """
    check_timeout(timeout)
    check_known(cluster_of(current()), supervisor)
    args = (supervisor, key_of(id))
    return await ask(  # type: ignore[no-any-return]
        "explain", supervisor, id, "sup_explain", *args, timeout=timeout
    )


async def drain(node: str, timeout: float = 30.0) -> list[tuple[str, Any, str]]:
    """Have *node* give away all its children, with their state, and take no new ones.

    A child whose state cannot be exported or imported goes without it; a notice at level
    ``error`` names it, the node and the reason.

    Args:
        node: a member.
        timeout: seconds to wait.

    Returns:
        ``(supervisor, id, why)`` of each child that is still there, none when all have gone.

    Raises:
        CallExit: there is no such node, or it went down.
        TypeError, ValueError: at once: an argument is wrong.
    """
    check_node(node)
    check_timeout(timeout)
    what, args = f"drain of node {node!r}", (node, True, timeout)
    left = await ask_about_all(what, "sup_drain", *args, timeout=timeout + 5.0)
    return [tuple(one) for one in left]


async def undrain(node: str, timeout: float = 10.0) -> None:
    """Let *node* take children again; arguments and errors are as those of ``drain``."""
    check_node(node)
    check_timeout(timeout)
    what, args = f"undrain of node {node!r}", (node, False, timeout)
    await ask_about_all(what, "sup_drain", *args, timeout=timeout + 5.0)


def generation() -> int:
    """Return the number of this start of a distributed child: a fencing token.

    It is above those of all earlier starts, and no count. A store that refuses writes with a lower
    number than it has seen keeps out a former copy that does not know yet that it was replaced.
    (With ``on_minority="keep"`` the two sides of a split may use one number.) An ordinary process
    gets 0.
    """
    found = current().get_extra(CHILD)
    return found[2] if found is not None else 0
