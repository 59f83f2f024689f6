"""What processes ask of the process manager: one, one on each node, or so many."""

from __future__ import annotations

from typing import Any

from foundation.cluster.api import cluster_of, node
from foundation.cluster.host import TABLE
from foundation.cluster.supervisor import (
    await_child,
    move_child,
    subscribe_children,
    terminate_child,
    wanted_children,
    whereis_child,
    which_children,
)
from foundation.cluster.supervisor.api import find_child
from foundation.facade import note, send_through, watching
from foundation.kernel.ops import current
from foundation.kernel.process import CURRENT
from foundation.kernel.values import Pid
from foundation.process_manager.values import (
    SUPERVISOR,
    Instance,
    Managed,
    ProcessInfo,
    ProcessState,
    check_name,
    check_whole,
    overall,
    state_of,
)


def lookup(name: str) -> Pid | None:
    """Return the pid of the singleton *name*, or of the nearest replica; None when there is none.

    A local read. On the node that started it, the process is found at once; on others a few
    milliseconds later.

    Raises:
        UnknownSupervisor: this cluster runs no facades.
        TypeError: that can be no name.
        ValueError: it is empty; or it is that of partitions, of which one is to be named:
            ``(name, number)``, or ``PartitionSet.route(key)``.

    What this does:
        Reads this host's copy of the supervisor's table. Of replicas the local one is preferred.

    Equivalent direct messages::

        from foundation.cluster.supervisor import whereis_child
        whereis_child("foundation.processes", name)

    When to bypass:
        Any time: this is that call.
    """
    if watching.plans:
        note(whereis_child, SUPERVISOR, name)
    if type(name) is not str or not name:
        check_name(name)
    process = CURRENT.get() or current()
    cluster = process.kernel.tables.get(TABLE) or cluster_of(process)
    found = find_child(cluster, SUPERVISOR, name)  # as ``whereis_child``
    if found is None:
        check_whole(cluster, name)
    return found


async def wait_for(name: str, timeout: float = 10.0) -> Pid:
    """Wait until the singleton *name*, or a replica, runs; return its pid.

    Args:
        name: it need not have been started yet.
        timeout: seconds to wait.

    Raises:
        TimeoutError: it did not run in time; it says what it is doing, and why.
        others as ``lookup``.

    What this does:
        Looks into this host's copy of the supervisor's table at each of its changes.

    Equivalent direct messages::

        from foundation.cluster.supervisor import await_child
        await await_child("foundation.processes", name, timeout=timeout)

    When to bypass:
        To hear of every change rather than the first: ``subscribe_children``.
    """
    check_name(name)
    check_whole(cluster_of(current()), name)
    try:
        return await send_through(await_child, SUPERVISOR, name, timeout=timeout)
    except TimeoutError:
        check_whole(cluster_of(current()), name)
        raise


async def stop(name: str, timeout: float = 10.0) -> None:
    """Stop the singleton, or all replicas or partitions, of that name; the name is free then.

    Args:
        name: as it was started.
        timeout: seconds until they have to be gone.

    Raises:
        ChildNotFound: there is none.
        TimeoutError: not all have ended yet; they are wanted no longer all the same.
        others as ``lookup``.

    What this does:
        Has the distributed supervisor terminate the child, by its shutdown rule.

    Equivalent direct messages::

        from foundation.cluster.supervisor import terminate_child
        await terminate_child("foundation.processes", name, timeout=timeout)

    When to bypass:
        To end one process without ending the wish for it: ``exit`` or ``restart_child``.
    """
    if isinstance(name, tuple):
        raise TypeError(f"partitions are stopped together, by their name, got {name!r}")
    check_name(name)
    await send_through(terminate_child, SUPERVISOR, name, timeout=timeout)


async def migrate(name: Any, to: str | None, timeout: float = 30.0) -> Pid:
    """Move a singleton, or one part ``(name, number)``, to the node *to*, with its state.

    Args:
        name: as it was started.
        to: a node; None: wherever it belongs.
        timeout: seconds until it has to run there.

    Returns:
        Its pid there.

    Raises:
        CannotMove: it is a replica, is temporary, or that node may not run it; its state could not
            be exported; or it did not start there, or could not import its state. It says where
            the process goes on, and that it does so without its state, where that is lost.
        ValueError: it is the name of partitions, of which one is to be named: ``(name, number)``.
        ChildNotFound, TimeoutError: as ``stop``; after the time it still moves.

    What this does:
        Writes into the child's record the node that it prefers. That is then its place, so it ends
        where it is, passes its state on (``export_state``, ``import_state``) and starts there. A
        process whose state cannot be exported does not end. One that does not start there goes
        back, with its state; it begins without it only where it cannot import it there either.
        (A drain and an orderly stop of its node cannot refuse: then a notice in the log says so.)

    Equivalent direct messages::

        from foundation.cluster.supervisor import move_child
        await move_child("foundation.processes", name, to, timeout=timeout)

    When to bypass:
        To empty a node: ``drain`` moves all that is on it.
    """
    check_name(name)
    check_whole(cluster_of(current()), name)
    return await send_through(move_child, SUPERVISOR, name, to, timeout=timeout)


async def list_processes(pattern: str | None = None) -> list[ProcessInfo]:
    """Return what is wanted and what there is of it, sorted by name.

    Args:
        pattern: ``"singleton"``, ``"replicated"`` or ``"partitioned"``; None: all.

    Raises:
        ValueError: *pattern* is none of these.
        UnknownSupervisor: this cluster runs no facades.

    What this does:
        Asks this node's agent what is wanted, or is being stopped, and reads this host's copy of
        the supervisor's table.

    Equivalent direct messages::

        from foundation.cluster.supervisor import wanted_children, which_children
        from foundation.process_manager import infos
        infos(await wanted_children("foundation.processes", ending=True),
              which_children("foundation.processes"), pattern)

    When to bypass:
        For children of supervisors of your own.
    """
    check_pattern(pattern)
    wanted = await send_through(wanted_children, SUPERVISOR, ending=True)
    return infos(wanted, send_through(which_children, SUPERVISOR), pattern)


def infos(wanted: Any, there: Any, pattern: str | None = None) -> list[ProcessInfo]:
    """Return what ``wanted_children`` and ``which_children`` say, put together by name."""
    by_id: dict[Any, list[Instance]] = {}
    for child in there:
        made = Instance(child.node, child.pid, state_of(child.status), child.reason)
        by_id.setdefault(child.id, []).append(made)
    found: dict[Any, ProcessInfo] = {}  # by name and pattern
    for one in wanted:
        name = one.id if one.group is None else one.group
        kind = "partitioned" if one.group is not None else "singleton"
        kind = "replicated" if one.every_node else kind
        slot, instances = (name, kind), tuple(by_id.get(one.id, ()))
        options = (one.restart, one.on_minority, one.labels)
        if slot in found:
            before = found[slot]
            instances = (*before.instances, *instances)
            found[slot] = ProcessInfo(name, kind, before.count + 1, instances, *options)
        else:
            found[slot] = ProcessInfo(name, kind, 1, instances, *options)
    chosen = [info for info in found.values() if pattern in (None, info.pattern)]
    return sorted(chosen, key=lambda info: str(info.name))


def check_pattern(pattern: Any) -> None:
    """Raise ValueError unless *pattern* is one."""
    if pattern not in (None, "singleton", "replicated", "partitioned"):
        raise ValueError(
            "pattern must be 'singleton', 'replicated', 'partitioned' or None, "
            f"got {pattern!r}"
        )


def state(name: str) -> ProcessState:
    """Return what the singleton *name*, or a part ``(name, number)``, is doing now: a local read.

    Of replicas: the state of the local one, or of another. Of partitions: that of the worst part.

    Raises: as ``lookup``.

    What this does:
        Reads this host's copy of the supervisor's table: what the nodes have of the child.

    Equivalent direct messages::

        from foundation.cluster.supervisor import which_children
        from foundation.process_manager import overall
        from foundation.cluster import node
        overall(which_children("foundation.processes"), name, node())

    When to bypass:
        ``foundation.cluster.supervisor.explain`` says in words what a child waits for.
    """
    check_name(name)
    return overall(send_through(which_children, SUPERVISOR), name, node())


def watch(name: str) -> ProcessState:
    """Have this process told of every change of *name*, from now on: ``ChildChanged`` messages.

    Args:
        name: of a singleton, of replicas, or of partitions, then of all parts; or one part,
            ``(name, number)``. It need not have been started yet.

    Returns:
        Its present state.

    Raises: as ``lookup``.

    What this does:
        Subscribes to the supervisor's table in this host.

    Equivalent direct messages::

        from foundation.cluster.supervisor import subscribe_children, which_children
        from foundation.process_manager import overall
        from foundation.cluster import node
        subscribe_children("foundation.processes", name)
        overall(which_children("foundation.processes"), name, node())

    When to bypass:
        To be told of all children: ``subscribe_children`` without an id.
    """
    check_name(name)
    send_through(subscribe_children, SUPERVISOR, name)
    return state(name)


def via(name: Any) -> Managed:
    """Return a name for the singleton *name*: it is looked up at each use.

    Usable wherever a pid or a name is: ``await call(via("scheduler"), "next")``. After a restart
    or a move it means the process of now.

    Args:
        name: as it was started; of a part: ``(name, number)``.

    What this does:
        Sends nothing, and so is no message to the server either: it makes a value, which is
        looked up in the host that uses it.

    Equivalent direct messages::

        from foundation.cluster.supervisor import whereis_child

        whereis_child("foundation.processes", name)

    When to bypass:
        For one use: the block above is what each use of the name does.
    """
    check_name(name)
    return Managed(name)
