"""What processes ask of the health monitor: the cluster in numbers, and a judgement."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from foundation.cluster.api import cluster_of
from foundation.cluster.registry import select
from foundation.cluster.supervisor.checks import check_timeout
from foundation.errors import CallExit, UnknownDistributedRegistry
from foundation.facade import send_through
from foundation.health_monitor.combining import Asked, combine
from foundation.health_monitor.invariants import find_duplicates
from foundation.health_monitor.judging import judge
from foundation.health_monitor.messages import History, Measure
from foundation.health_monitor.server import PING
from foundation.health_monitor.settings import SERVER, Settings
from foundation.health_monitor.values import (
    ClusterMetrics,
    Connectivity,
    HealthReport,
    NodeReport,
    ServiceMetrics,
)
from foundation.kernel.ops import current
from foundation.otp import call, multi_call

SERVICES = "foundation.services"  # the registry of ``foundation.service_mesh``


async def cluster_metrics(
    timeout: float = 5.0, *, within: float | None = None
) -> ClusterMetrics:
    """Return the cluster in numbers, measured now, as this node sees it.

    Args:
        timeout: seconds that nodes may take to answer.
        within: let rates, latencies and delays be of the last so many seconds only, as far as
            there are readings of these: what was before does not count. None: see below.

    Returns:
        See below; ``complete`` is False and ``not_answering`` names who did not answer, when
        some did not. Sums are of those that did.

    Raises:
        NotInCluster, NotInProcess: as ``foundation.cluster.view``.
        TypeError, ValueError: *timeout*, or *within*, is no number of seconds above 0.

    What this does:
        Calls the health monitors of all members twice: ``"ping"`` (``call``), which gives the round
        trips, and ``Measure(within)`` (``multi_call``); each of them polls the hosts of its node.
        Looks into this host's copies of the registry of services (``select``) and of the tables
        of the distributed supervisors (``which_children``, ``wanted_children``). How the numbers
        come about:

        members      ``node_count`` is the size of this node's view; a member is ``healthy`` when it
            answered and nobody suspects it. ``expected_nodes`` is ``ClusterConfig.expected_size``;
            without one the most members that any node has seen at a time, less those that left in
            order. ``partitions``: members are in one part when each sees the other; those that
            fell silent count as one part more.
        topology     ``joins``, ``leaves`` and ``topology_changes`` are of the last minute, from
            the events ``NodeUp``, ``NodeDown`` and ``ViewChanged`` at the node that has
            watched longest.
        registries   ``registry_changes`` are entries that came, changed or went in the last minute,
            counted by their owners; the level is of changes per node (``Settings.churn_low``,
            ``churn_high``). ``registry_replica_lag`` is the largest difference between how many
            entries a node has and how many of them another one has.
            ``registry_propagation`` is measured by probe entries (``prober.py``).
        topics       ``broadcasts`` are counted where they are said, by topic, for topics that
            somebody subscribes to by name or by a pattern; beyond 500 topics in a host the others
            are ``"(other)"``. ``bulk_utilisation`` is how full the fullest bulk lane is
            (``bulk_fullest``; 1.0: 64 MiB wait for one host), ``bulk_dropped`` what found one full.
        services     from the registry ``"foundation.services"``; ``service_discovery_us`` is how
            long looking through all of it took here.
        processes    light processes of all hosts; ``started``, ``failures`` and ``migrations``
            are of distributed children (singletons, replicas and partitions alike), by the changes
            of their entries; ``crashes`` are all processes that ended by an exception, theirs or
            that of one they are linked to.
        messages     ``received`` are calls, casts and other messages that servers took from their
            mailboxes; ``sent`` are those and the ones that came to wait. ``operations``,
            ``frames`` and ``bytes`` are between hosts; ``bytes_per_broadcast`` is all bytes by all
            broadcasts.
        latencies    ``message_latency`` is of calls that users' processes made in the window,
            from the call until its caller goes on: queues, wire, and what the server did. Of
            those that had to wait for their reply one in 0.1 s in each host is timed
            (``latency_samples``); what an idle server beside its caller answers at once is
            not, what timed out is, with the time it waited. Where no call was timed it is
            ``probe_latency``: of calls of the health monitors to servers in other hosts
            and nodes that do nothing (``prober.py``), measured at each check in any case.
        errors       ``calls`` are all that were made, but for probes that were answered;
            ``calls_failed`` those whose server was dead, gone or too slow; ``error_rate_percent``
            is their share.
        mailboxes    the longest ones; *growing* ones have grown at each of the latest checks.
        faults       ``duplicates``: children that run on two nodes at two looks; ``orphans``: child
            processes that their node's table does not name; ``stale_names``: entries whose process
            is dead, both for at least a second; ``hogs``: slices that the watchdog found too long.
        clocks       ``clock_skew_seconds``: how far the wall clocks of two nodes are apart at
            most, by what each showed when it answered (Cristian's algorithm); 0.0 where that is
            less than the round trips could explain.
        machine      load average, processors and memory from the operating system.

        Rates come from two readings at least a window (``Settings.window``) apart where there are
        such, and from what there is otherwise: shortly after the start they are too low, never
        extrapolated. With *within* they are of the time between the readings.

    Equivalent direct messages::

        from foundation.cluster import view
        from foundation.health_monitor import Asked, Connectivity, Measure, combine
        from foundation.otp import call, multi_call

        members = view().names
        for member in members:
            await call(("foundation.health_monitor", member), "ping", timeout=timeout)
        servers = [("foundation.health_monitor", member) for member in members]
        answers, missing = await multi_call(servers, Measure(within), timeout=timeout)
        reports = {server[1]: report for server, report in answers}
        reached = Connectivity(members[0], tuple(reports), (), {}, {})
        combine(Asked(members, True, None, reached), reports)

    When to bypass:
        For one node alone: ``await call(("foundation.health_monitor", node), Measure())``.
    """
    check_timeout(timeout)
    if within is not None:
        check_timeout(within, "within")
    process = current()
    cluster = cluster_of(process)
    now = process.kernel.driver.now
    start = now()
    connectivity = await check_connectivity(timeout)
    servers = [(SERVER, node) for node in connectivity.connected]
    answers, _ = await send_through(multi_call, servers, Measure(within), timeout=timeout)
    reports = {server[1]: one for server, one in answers if isinstance(one, NodeReport)}
    supervisors = {name: None for report in reports.values() for name in report.children}
    duplicates = await find_duplicates(sorted(supervisors))
    looked = now()
    services = _services()
    return combine(
        Asked(
            view=cluster.view.names,
            settled=cluster.settled,
            expected=cluster.config.expected_size,
            connectivity=connectivity,
            services=services or (),
            discovery_us=None if services is None else (now() - looked) * 1e6,
            duplicates=duplicates,
            checked_at=time.time(),
            duration_ms=(now() - start) * 1e3,
            settings=reports[cluster.node].settings if cluster.node in reports else Settings(),
        ),
        reports,
    )


def _services() -> tuple[ServiceMetrics, ...] | None:
    """Return the services that there are; None when this node has no service mesh."""
    try:
        rows = send_through(select, SERVICES)
    except UnknownDistributedRegistry:
        return None
    found: dict[str, list[bool]] = {}
    for key, _, value in rows:
        found.setdefault(str(key), []).append(bool(getattr(value, "healthy", True)))
    return tuple(ServiceMetrics(name, len(all_), sum(all_)) for name, all_ in sorted(found.items()))


async def cluster_health(timeout: float = 5.0) -> HealthReport:
    """Return how well the cluster does, why, and what to do.

    ``get_cluster_health`` is another name for it.

    Args:
        timeout: seconds that nodes may take to answer.

    Returns:
        ``status`` is the worst of three. *cluster*: as many healthy nodes as expected is
        ``"healthy"``, at least half ``"degraded"``, fewer ``"critical"``. *services*: the same with
        instances. *infrastructure*: by duplicates (critical), orphans, stale names, hogs, silent
        hosts, full mailboxes, late registries, failing calls (degraded).

    Raises: as ``cluster_metrics``.

    What this does:
        Judges ``cluster_metrics()`` by the rules of ``judge``, which is pure. So it sends what
        that sends: ``call``, ``multi_call``, ``select``, ``which_children``, ``wanted_children``.

    Equivalent direct messages::

        from foundation.health_monitor import cluster_metrics, judge
        judge(await cluster_metrics(timeout))

    When to bypass:
        To judge by rules of your own: they are functions of ``ClusterMetrics``.
    """
    return judge(await cluster_metrics(timeout))


get_cluster_health = cluster_health


async def check_connectivity(timeout: float = 5.0) -> Connectivity:
    """Call the health monitors of all members at once; return who answered, and how soon.

    Args:
        timeout: seconds that they may take.

    Raises: as ``cluster_metrics``.

    What this does:
        Calls ``"foundation.health_monitor"`` of each member with ``"ping"`` (``call``), all at a
        time. A member is connected when its worker host, its control host and the links between
        work.

    Equivalent direct messages::

        from foundation.cluster import node, view
        from foundation.health_monitor import Connectivity
        from foundation.otp import CallExit, call

        connected, silent = [], []
        for member in view().names:
            try:
                await call(("foundation.health_monitor", member), "ping", timeout=timeout)
                connected.append(member)
            except CallExit:
                silent.append(member)
        Connectivity(node(), tuple(connected), tuple(silent), {}, {})

    When to bypass:
        ``foundation.cluster.view()`` says who is a member, by the failure detector: a local read.
    """
    check_timeout(timeout)
    cluster = cluster_of(current())
    names = cluster.view.names
    under_way = [_trip(node, timeout) for node in names]
    try:
        all_trips = await asyncio.gather(*under_way)
    except GeneratorExit:  # this host ends: what has not begun never will, which is no mistake
        for one in under_way:
            one.close()
        raise
    trips = {node: one for node, one in zip(names, all_trips, strict=True) if one is not None}
    return Connectivity(
        node=cluster.node,
        connected=tuple(trips),
        silent=tuple(node for node in names if node not in trips),
        ping_us={node: us for node, (us, _) in trips.items()},
        clock_ahead_seconds={node: ahead for node, (_, ahead) in trips.items()},
    )


async def _trip(node: str, timeout: float) -> tuple[float, float] | None:
    """Call the health monitor of *node*.

    Returns:
        The microseconds that it took, and by how many seconds the wall clock of *node* is ahead
        of ours, on the assumption that both ways took the same (Cristian's algorithm: wrong by
        half the round trip at most). None: it did not answer.
    """
    driver = current().kernel.driver
    start, wall = driver.now(), driver.wall()
    try:
        theirs = await send_through(call, (SERVER, node), PING, timeout=timeout)
    except CallExit:
        return None
    took = driver.now() - start
    return took * 1e6, theirs - (wall + took / 2)


async def health_history(node: str | None = None, timeout: float = 5.0) -> list[NodeReport]:
    """Return the latest checks of *node* by itself, the oldest first.

    Args:
        node: a member; None: this one.
        timeout: seconds to wait.

    Raises:
        CallExit: it has no health monitor, or did not answer.
        NotInCluster, NotInProcess, TypeError, ValueError: as ``cluster_metrics``.

    What this does:
        Calls its health monitor with ``History()``.

    Equivalent direct messages::

        from foundation.cluster import node as here
        from foundation.health_monitor import History
        from foundation.otp import call
        await call(("foundation.health_monitor", node or here()), History(), timeout=timeout)

    When to bypass:
        Any time: this is that call.
    """
    check_timeout(timeout)
    server: Any = (SERVER, cluster_of(current()).node if node is None else node)
    return await send_through(call, server, History(), timeout=timeout)
