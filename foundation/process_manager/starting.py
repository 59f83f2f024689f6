"""Starting processes by their pattern: one, one on each node, or so many."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from foundation.cluster.api import cluster_of
from foundation.cluster.supervisor import (
    await_child,
    start_child,
    wanted_children,
    whereis_child,
    which_children,
)
from foundation.errors import AlreadyStarted, InvalidChildSpec
from foundation.facade import Failed, send_through
from foundation.kernel.ops import current
from foundation.kernel.values import Pid
from foundation.otp import multi_call
from foundation.otp.child_spec import ChildSpec, to_spec
from foundation.process_manager.functions import infos
from foundation.process_manager.sets import PartitionSet, ReplicaSet
from foundation.process_manager.values import SERVER, SUPERVISOR, ProcessInfo, check_name


async def start_singleton(
    cls: Any,
    *args: Any,
    name: str | None = None,
    restart: str = "permanent",
    timeout: float = 10.0,
    labels: Mapping[str, str] | None = None,
    on_minority: str | None = None,
    wait_for_sync: bool = False,
    **kwargs: Any,
) -> Pid:
    """Have one process of *cls* run in the whole cluster; return its pid.

    Nodes that have not met yet are clusters of their own, and each runs one until they have met;
    then one of them stays. So call this after ``await_cluster(n)``; or set ``expected_size``, with
    which it waits until there is a majority, and there is never more than one.

    A crash or the loss of its node loses its state, unless the server keeps it elsewhere: another
    one is started. Only a planned move (``migrate``, a drain, an orderly stop) takes the state
    along, by ``export_state`` and ``import_state``.

    Args:
        cls: a server class; or a ``ChildSpec``, which says its arguments and *restart* itself.
        *args: for its ``init``.
        name: of the singleton; default: module and qualified name of the class.
        restart: ``"permanent"``, ``"transient"`` or ``"temporary"``.
        timeout: seconds until it has to run.
        labels: that its node must have.
        on_minority: ``"stop"``: never two of it, none in a minority; ``"keep"``: one in each part
            of a split. Default: ``"stop"`` where ``ClusterConfig.expected_size`` is set.
        wait_for_sync: return only when every member sees it.
        **kwargs: for its ``init``; for one that has a name of the above, give a ``ChildSpec``.

    Returns:
        Its pid; of the running one when there is one already, whatever the arguments say.

    Raises:
        InvalidChildSpec, TypeError, ValueError, Unsendable: at once: an argument is wrong.
        StartError: it did not start; nothing is kept.
        TimeoutError: it does not run yet, and may start still; it says what it is doing, and why.
            That is also what a minority gets. With *wait_for_sync*: it runs, but not all see it.
        UnknownSupervisor: this cluster runs no facades.

    What this does:
        Has the distributed supervisor ``foundation.processes`` start a child whose id is *name*.
        The id is taken, the process started, and the answer given in this order by the node that
        owns the name, so of any number of callers on all nodes one starts it and the others get
        its pid. No registry is written: the supervisor's table is what ``lookup`` reads. A name
        that replicas or partitions have is refused (``wanted_children``, ``which_children``).
        With *wait_for_sync* it then has the process manager of each member ``WaitFor`` the name
        (``await_child``), by a ``multi_call``.

    Equivalent direct messages::

        from foundation.cluster.supervisor import start_child
        from foundation.process_manager import policy
        await start_child("foundation.processes", cls.spec(*args, restart=restart),
                          id=name, labels=labels, on_minority=policy(on_minority),
                          timeout=timeout)

    When to bypass:
        To put children under a supervisor of your own, with other restart limits, or to be told
        ``AlreadyStarted`` rather than be given the running one.
    """
    spec = _spec_of(cls, args, kwargs, restart)
    name = name_of(spec, name)
    options = {"labels": labels, "on_minority": policy(on_minority), "timeout": timeout}
    if whereis_child(SUPERVISOR, (name, 0)) is not None:
        await _check_free(name, "singleton")
    pid: Pid | None
    try:
        pid = await send_through(start_child, SUPERVISOR, spec, id=name, **options)
    except AlreadyStarted as error:
        await _check_free(name, "singleton")
        pid = error.pid
        if pid is None:  # it is in quarantine, or its init ignored the start
            pid = await send_through(await_child, SUPERVISOR, name, timeout=timeout)
    if not isinstance(pid, Pid):
        raise InvalidChildSpec(f"the init of singleton {name!r} returned Ignore(): nothing runs")
    if wait_for_sync:
        await _seen_everywhere(name, pid, timeout)
    return pid


async def start_replicated(
    cls: Any,
    *args: Any,
    name: str | None = None,
    restart: str = "permanent",
    timeout: float = 30.0,
    labels: Mapping[str, str] | None = None,
    **kwargs: Any,
) -> ReplicaSet:
    """Have one process of *cls* run on each node, also on those that join later.

    A replica goes with its node: it is not started elsewhere.

    Args:
        cls: as for ``start_singleton``, and *args*, *name*, *restart*, *labels*, **kwargs** too.
        timeout: seconds until one has to run on each node that may run it.

    Returns:
        A live view of them: ``pids()``, ``local()``, ``missing()``, ``stop()``. Of the running ones
        when they have been started already.

    Raises:
        TimeoutError: not all nodes run one yet; they may start still.
        others as ``start_singleton``.

    What this does:
        Has the distributed supervisor ``foundation.processes`` start a child with the id *name* on
        every node, and waits until its table shows them. First it refuses a name of another
        pattern (``wanted_children``, ``which_children``).

    Equivalent direct messages::

        from foundation.cluster.supervisor import (
            await_children, eligible_nodes, start_child, which_children)

        def running():
            return {child.node: child.pid for child in which_children("foundation.processes")
                    if child.id == name and child.status == "running"}

        def complete():
            return sorted(running()) == eligible_nodes("foundation.processes", labels)

        await start_child("foundation.processes", cls.spec(*args, restart=restart),
                          id=name, labels=labels, every_node=True, on_minority="keep",
                          timeout=timeout)
        await await_children("foundation.processes", complete, timeout=timeout)
        running()

    When to bypass:
        When a process is wanted on each node from the start: list it in the application.
    """
    spec = _spec_of(cls, args, kwargs, restart)
    name = name_of(spec, name)
    options = {"labels": labels, "on_minority": "keep", "timeout": timeout}
    await _check_free(name, "replicated")
    with contextlib.suppress(AlreadyStarted):
        await send_through(start_child, SUPERVISOR, spec, id=name, every_node=True, **options)
    there = await _check_free(name, "replicated")
    found = ReplicaSet(name, dict(labels or {}) if there is None else there.labels)
    await found.complete(timeout)
    return found


async def start_partitioned(
    cls: Any,
    *args: Any,
    partitions: int,
    name: str | None = None,
    restart: str = "permanent",
    timeout: float = 30.0,
    labels: Mapping[str, str] | None = None,
    on_minority: str | None = None,
    **kwargs: Any,
) -> PartitionSet:
    """Have *partitions* processes of *cls* run, spread over the nodes; route keys to them.

    Args:
        cls: as for ``start_singleton``, and *args*, *name*, *restart*, *labels*, *on_minority*,
            **kwargs** too. Its ``init`` gets its number as ``partition=``.
        partitions: how many; 1 or more. It cannot be changed later: ``stop`` and start anew.
        timeout: seconds until all have to run.

    Returns:
        A live view of them: ``route(key)``, ``pids()``, ``stop()``. Of the running ones when they
        have been started already, and are as many.

    Raises:
        InvalidChildSpec: also when other partitions of that name run, in another number.
        others as ``start_singleton``.

    What this does:
        Has the distributed supervisor ``foundation.processes`` start the children ``(name, 0)`` …
        one by one on the nodes that own these ids, and waits until this host sees them
        (``await_children``). ``route`` takes the number from a hash of the key that is the same in
        every interpreter. First it refuses a name of another pattern, or of another number of parts
        (``wanted_children``, ``which_children``).

    Equivalent direct messages::

        from foundation.cluster.supervisor import start_child
        from foundation.process_manager import policy
        pids = await start_child("foundation.processes", cls.spec(*args, restart=restart),
                                 id=name, partitions=partitions, labels=labels,
                                 on_minority=policy(on_minority), timeout=timeout)
        dict(enumerate(pids))

    When to bypass:
        For partitions within one host, where a call costs a microsecond: ``PartitionSupervisor``.
    """
    spec = _spec_of(cls, args, kwargs, restart)
    name = name_of(spec, name)
    options = {"labels": labels, "on_minority": policy(on_minority), "timeout": timeout}
    await _check_free(name, "partitioned", partitions)
    with contextlib.suppress(AlreadyStarted):
        await send_through(start_child, SUPERVISOR, spec, id=name, partitions=partitions, **options)
    await _check_free(name, "partitioned", partitions)
    found = PartitionSet(name, partitions)
    await found.complete(timeout)
    return found


def policy(on_minority: str | None) -> str:
    """Return what a process does in a minority: *on_minority*, where the caller says it.

    Else ``"stop"`` where ``ClusterConfig.expected_size`` says what a majority is, and ``"keep"``
    where nothing does.
    """
    if on_minority is not None:
        return on_minority
    return "keep" if cluster_of(current()).config.majority is None else "stop"


def _spec_of(
    cls: Any, args: tuple[Any, ...], kwargs: dict[str, Any], restart: str
) -> ChildSpec:
    if isinstance(cls, ChildSpec):
        if args or kwargs:
            raise InvalidChildSpec("a ChildSpec has its arguments in it; give none beside it")
        return cls
    make = getattr(cls, "spec", None)
    if make is None or not isinstance(cls, type):
        raise InvalidChildSpec(
            f"a process is started from a server class or a ChildSpec, got {cls!r:.200}; arguments "
            "for its init come after the class"
        )
    return to_spec(make(*args, restart=restart, **kwargs))


def name_of(spec: ChildSpec, name: Any) -> str:
    """Return the name of what is started.

    Raises:
        TypeError, ValueError: *name* is no text.
    """
    if name is None:
        target = spec.start[0]
        return f"{target.__module__}.{getattr(target, '__qualname__', 'process')}"
    if isinstance(name, tuple):
        raise TypeError(f"the name of a process must be a str, got {name!r}")
    check_name(name)
    return str(name)


async def _check_free(name: str, pattern: str, count: int = 1) -> ProcessInfo | None:
    """Return what has *name*, which may be only *count* of *pattern*; None when nothing has.

    It is looked at before a start and after it: of callers that start different things under one
    name at once, those that see each other's get the error, and what runs is to be stopped.

    Raises:
        InvalidChildSpec: it is the name of something else.
    """
    mine = None
    wanted = await send_through(wanted_children, SUPERVISOR)
    for info in infos(wanted, send_through(which_children, SUPERVISOR)):
        if info.name != name:
            continue
        if (info.pattern, info.count) != (pattern, count):
            raise InvalidChildSpec(
                f"{name!r} is the name of a {info.pattern} process ({info.count}) already, and "
                f"cannot be that of a {pattern} one ({count}): stop it first, or choose another"
            )
        mine = info
    return mine


async def _seen_everywhere(name: str, pid: Pid, timeout: float) -> None:
    """Wait until every member has *name*.

    Raises:
        TimeoutError: some have not; the process runs all the same.
    """
    from foundation.process_manager.messages import (
        WaitFor,  # it stands for functions of this module
    )

    servers = [(SERVER, node) for node in cluster_of(current()).view.names]
    asked = WaitFor(name, timeout)
    answers, missing = await send_through(multi_call, servers, asked, timeout=timeout)
    late = [node for (_, node), answer in answers if isinstance(answer, Failed)]
    late += [node for _, node in missing]
    late = [node for node in late if node in cluster_of(current()).view]
    if late:
        raise TimeoutError(
            f"singleton {name!r} runs as {pid!r}, but nodes {', '.join(sorted(late))} did not see "
            f"it within {timeout} s"
        )
