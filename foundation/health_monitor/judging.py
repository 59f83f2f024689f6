"""Judging metrics: how well the cluster does, why, and what to do. Pure.

The rules, of the design that this follows: as many healthy nodes as expected is healthy, half of
them degraded, fewer critical; the whole is as bad as the worst of members, services and
infrastructure. Loads are said and do not change the status.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from foundation.health_monitor.values import (
    CRITICAL,
    DEGRADED,
    HEALTHY,
    STATUSES,
    ClusterMetrics,
    HealthReport,
)

LATE_US = 5_000_000.0  # names that take so long to be seen elsewhere are late
LAG = 100  # entries by which a copy may differ while it follows
IMBALANCE = 2.0  # times as many children on one node as on another
IMBALANCE_LEAST = 10  # children on the fuller node
SHOWN = 3  # names in one sentence


@dataclass
class Findings:
    """What is being found of one part."""

    status: str = HEALTHY
    reasons: list[str] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)

    def bad(self, status: str, reason: str, advice: str = "") -> None:
        """Note that *reason* makes it at least as bad as *status*."""
        self.status = worst(self.status, status)
        self.reasons.append(reason)
        if advice:
            self.advice.append(advice)


def worst(*statuses: str) -> str:
    """Return the worst of some statuses."""
    return max(statuses, key=STATUSES.index)


def by_share(good: int, wanted: int) -> str:
    """Return the status of *good* out of *wanted*: all, at least half, or fewer."""
    if good >= wanted:
        return HEALTHY
    return DEGRADED if 2 * good >= wanted else CRITICAL


def judge(metrics: ClusterMetrics) -> HealthReport:
    """Return the judgement of *metrics*."""
    cluster, services = _cluster(metrics), _services(metrics)
    infrastructure, loads = _infrastructure(metrics), _loads(metrics)
    parts = (cluster, services, infrastructure)
    advice = [text for part in (*parts, loads) for text in part.advice]
    return HealthReport(
        status=worst(*(part.status for part in parts)),
        cluster=cluster.status,
        services=services.status,
        infrastructure=infrastructure.status,
        reasons=tuple(reason for part in parts for reason in part.reasons),
        recommendations=tuple(dict.fromkeys(advice)),
        score=score(metrics, infrastructure.status),
        metrics=metrics,
        checked_at=metrics.checked_at,
        check_duration_ms=metrics.check_duration_ms,
    )


def score(metrics: ClusterMetrics, infrastructure: str) -> float:
    """Return the share of healthy nodes times that of healthy services.

    Times 0.75 when the infrastructure is degraded, 0.25 when it is critical.
    """
    nodes = min(1.0, metrics.healthy_nodes / max(1, metrics.expected_nodes))
    total = metrics.services_total
    services = metrics.services_healthy / total if total else 1.0
    factor = {HEALTHY: 1.0, DEGRADED: 0.75, CRITICAL: 0.25}[infrastructure]
    return round(nodes * services * factor, 4)


def _cluster(metrics: ClusterMetrics) -> Findings:
    found = Findings()
    status = by_share(metrics.healthy_nodes, metrics.expected_nodes)
    if status != HEALTHY:
        found.bad(
            status,
            f"{metrics.healthy_nodes} of {metrics.expected_nodes} expected nodes are healthy",
            "start the missing nodes, or look with `foundation cluster` why they do not join",
        )
    if metrics.suspect_nodes:
        found.reasons.append(f"nodes {_some(metrics.suspect_nodes)} are suspected to be down")
    if metrics.not_answering:
        names = _some(metrics.not_answering)
        found.bad(
            DEGRADED,
            f"the health monitors of nodes {names} do not answer",
            f"see whether nodes {names} are overloaded, or run without facades",
        )
    if metrics.partitions > 1:
        found.bad(
            DEGRADED,
            f"the cluster is in {metrics.partitions} parts that do not see each other",
            "mend the network between the parts; each goes on by itself meanwhile",
        )
    if metrics.node_count > 1 and not metrics.expected_is_set:
        found.advice.append(
            f"set ClusterConfig(expected_size={metrics.expected_nodes}): without it a minority "
            "cannot know that it is one, and a loss is judged by the most nodes seen so far"
        )
    return found


def _services(metrics: ClusterMetrics) -> Findings:
    found = Findings()
    status = by_share(metrics.services_healthy, metrics.services_total)
    if status != HEALTHY:
        names = [one.name for one in metrics.services if one.healthy < one.total]
        found.bad(
            status,
            f"{metrics.services_unhealthy} of {metrics.services_total} instances of services fail "
            f"their health checks: {_some(names)}",
            f"look at the logs of {_some(names)}",
        )
    return found


def _infrastructure(metrics: ClusterMetrics) -> Findings:
    found = Findings()
    _invariants(metrics, found)
    _registries(metrics, found)
    _calls(metrics, found)
    _hosts(metrics, found)
    return found


def _invariants(metrics: ClusterMetrics, found: Findings) -> None:
    if metrics.duplicates:
        found.bad(
            CRITICAL,
            f"children run twice: {_some(metrics.duplicates)}",
            "after a split both may go on with on_minority='keep'; use 'stop' where that is wrong",
        )
    if metrics.orphans:
        found.bad(
            DEGRADED,
            f"children run that no supervisor knows: {_some(metrics.orphans)}",
            "end them by foundation.otp.exit(pid, 'kill'), and report it: that is a fault here",
        )
    if metrics.stale_names:
        found.bad(
            DEGRADED,
            f"names of dead processes are still listed: {_some(metrics.stale_names)}",
            "report it with the log: that is a fault here; a restart of the node clears them",
        )


def _registries(metrics: ClusterMetrics, found: Findings) -> None:
    if metrics.registry_replica_lag > LAG:
        found.bad(
            DEGRADED,
            f"copies of registries differ by {metrics.registry_replica_lag} entries",
            "look for an overloaded control host: `foundation top` shows their load",
        )
    delay = metrics.registry_propagation_p99_us
    if delay is not None and delay > LATE_US:
        found.bad(
            DEGRADED,
            f"names take {delay / 1e6:.1f} s (p99) to be seen on other nodes",
            "look for a slow network or an overloaded control host",
        )
    if not metrics.settled:
        found.reasons.append("the members are just agreeing on who is there")


def too_many_fail(metrics: ClusterMetrics) -> bool:
    """Whether too large a part of the calls fails, and not of a handful of them."""
    settings = metrics.settings
    enough = metrics.calls_failed_per_minute >= settings.error_least
    return enough and metrics.error_rate_percent > settings.error_percent


def _calls(metrics: ClusterMetrics, found: Findings) -> None:
    if too_many_fail(metrics):
        found.bad(
            DEGRADED,
            f"{metrics.error_rate_percent:.0f} % of calls fail "
            f"({metrics.calls_failed_per_minute:.0f} in a minute)",
            "see the log for crashes, raise timeouts, or add capacity where calls are too slow",
        )


def _hosts(metrics: ClusterMetrics, found: Findings) -> None:
    if metrics.silent_hosts:
        found.bad(
            DEGRADED,
            f"hosts {_some(metrics.silent_hosts)} did not answer within a second",
            "something blocks them: see the log for 'has hogged host'",
        )
    if metrics.hogs_per_minute:
        often = metrics.hogs_per_minute
        found.bad(
            DEGRADED,
            f"handlers have hogged their hosts: {often:.3g} in a minute",
            "make these callbacks `async def`, or give the child isolation='host'; see the log",
        )
    limit = metrics.settings.mailbox_limit
    full = [box for box in metrics.longest_mailboxes if box.messages >= limit]
    growing = [box for box in metrics.growing_mailboxes if box.messages >= limit / 10]
    if full:
        found.bad(
            DEGRADED,
            f"mailboxes of {_some(box.label for box in full)} have {limit} messages or more",
            "these servers get more than they can do: share the work (start_partitioned), or slow "
            "the senders by call instead of cast",
        )
    elif growing:
        found.bad(DEGRADED, f"mailboxes of {_some(box.label for box in growing)} grow steadily")


def _loads(metrics: ClusterMetrics) -> Findings:
    found, settings = Findings(), metrics.settings
    for node in metrics.nodes:
        if node.cpu_percent is not None and node.cpu_percent > settings.cpu_percent:
            found.advice.append(
                f"node {node.node} uses {node.cpu_percent:.0f} % of its processors: add nodes"
            )
        if node.memory_percent is not None and node.memory_percent > settings.memory_percent:
            found.advice.append(
                f"{node.memory_percent:.0f} % of the memory of node {node.node}'s machine is in use"
            )
    uneven = imbalance(metrics)
    if uneven is not None:
        full, empty = uneven
        found.advice.append(
            f"node {full} runs more than {IMBALANCE:g} times as many children as {empty}: see "
            "`plan`, or move some with process_manager.migrate"
        )
    return found


def imbalance(metrics: ClusterMetrics) -> tuple[str, str] | None:
    """Return the nodes with the most and the fewest children where these are too uneven."""
    loads = [(node.children, node.node) for node in metrics.nodes if node.children is not None]
    if len(loads) < 2:
        return None
    least, most = min(loads), max(loads)
    uneven = most[0] > IMBALANCE * least[0] and most[0] >= IMBALANCE_LEAST
    return (most[1], least[1]) if uneven else None


def _some(names: object) -> str:
    listed = list(names)  # type: ignore[call-overload]
    rest = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return ", ".join(map(str, listed[:SHOWN])) + rest
