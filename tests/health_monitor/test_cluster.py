"""The health monitors of simulated clusters: what they measure is what has happened."""

from __future__ import annotations

import asyncio

import pytest

from foundation import process_manager, service_mesh
from foundation.cluster import pubsub
from foundation.cluster.config import ClusterConfig
from foundation.cluster.registry import register, unregister
from foundation.errors import NoProc
from foundation.health_monitor import (
    SERVER,
    ClusterMetrics,
    Measure,
)
from foundation.kernel.values import Pid
from foundation.otp import call, cast, me, receive
from tests.health_monitor.simkit import Worker, health, metrics, monitored


@pytest.mark.parametrize("seed", range(3))
def test_a_quiet_cluster_is_healthy_and_its_members_are_counted(seed: int) -> None:
    with monitored(seed, workers=2) as cluster:
        cluster.form()
        cluster.advance(40.0)
        for node in "abc":
            found = metrics(cluster, node)
            assert (found.node_count, found.connected_nodes, found.healthy_nodes) == (3, 3, 3)
            assert found.complete
            assert (found.partitions, found.duplicates, found.orphans) == (1, (), ())
            assert found.stale_names == found.silent_hosts == ()
            hosts = [host.host for one in found.nodes for host in one.hosts]
            assert hosts == [f"{n}/{h}" for n in "abc" for h in ("control", "w1", "w2")]
            live = sum(len(cluster.processes(n)) for n in "abc")
            assert abs(found.processes - live) <= 4  # those that measure
            assert found.memory_bytes > 0
        assert health(cluster).status == "healthy"


def test_joins_leaves_and_changes_are_counted_and_age() -> None:
    with monitored(4, nodes=4) as cluster:
        for name in "abc":
            cluster.start(name)
        cluster.until(cluster.formed)
        cluster.advance(70.0)
        assert metrics(cluster).joins_per_minute == 0.0
        cluster.start("d")
        cluster.until(cluster.formed)
        cluster.advance(1.0)
        for node in "ad":  # also one that has just come is told by who has watched longest
            found = metrics(cluster, node)
            assert (found.joins_per_minute, found.leaves_per_minute) == (1.0, 0.0)
            assert found.topology_changes_per_minute >= 1.0
            assert found.last_topology_change_seconds is not None
            assert found.last_topology_change_seconds < 10.0
        cluster.crash("d")
        cluster.until(cluster.formed)
        cluster.advance(1.0)
        assert metrics(cluster).leaves_per_minute == 1.0
        cluster.advance(70.0)
        found = metrics(cluster)
        assert (found.joins_per_minute, found.leaves_per_minute) == (0.0, 0.0)
        assert found.last_topology_change_seconds is not None
        assert found.last_topology_change_seconds > 70.0


def test_a_lost_node_is_missed_one_that_left_is_not() -> None:
    with monitored(5, nodes=3) as cluster:
        cluster.form()
        cluster.advance(10.0)
        cluster.crash("c")
        cluster.until(cluster.agreed)
        cluster.advance(1.0)
        found = health(cluster)
        assert (found.metrics.expected_nodes, found.metrics.healthy_nodes) == (3, 2)
        assert found.status == found.cluster == "degraded"
        cluster.crash("b")
        cluster.until(cluster.agreed)
        cluster.advance(1.0)
        assert health(cluster).status == "critical"
    with monitored(5, nodes=3) as cluster:
        cluster.form()
        cluster.advance(10.0)
        cluster.nodes["c"].agent.leave()
        cluster.advance(0.1)
        cluster.crash("c")
        cluster.until(cluster.agreed)
        cluster.advance(1.0)
        found = health(cluster)
        assert found.metrics.expected_nodes == 2
        assert found.status == "healthy"


def test_an_expected_size_counts_from_the_start() -> None:
    sized = ClusterConfig(strategies=(), expected_size=5)
    with monitored(6, nodes=2, config=sized) as cluster:
        cluster.form()
        found = health(cluster)
        assert found.metrics.expected_is_set
        assert found.status == "critical"  # two of five
        assert found.metrics.expected_sizes == {"a": 5, "b": 5}


def test_a_node_that_is_cut_off_is_another_part() -> None:
    with monitored(7, nodes=3) as cluster:
        cluster.form()
        cluster.advance(10.0)
        cluster.isolate(["c"])
        cluster.until(lambda: all(len(cluster.nodes[n].agent.view) == 2 for n in "ab"))
        cluster.advance(1.0)
        found = health(cluster)
        assert found.metrics.partitions == 2
        assert any("2 parts" in reason for reason in found.reasons)
        cluster.network.heal()
        cluster.until(cluster.formed, 60.0)
        cluster.advance(1.0)
        assert metrics(cluster).partitions == 1


def test_changes_of_registries_are_counted_by_their_owners_once() -> None:
    async def change(times: int) -> None:
        for number in range(times):
            await register("r", (me(), number))
        for number in range(times):
            await unregister("r", (me(), number))

    with monitored(8, nodes=2) as cluster:
        cluster.form()
        cluster.advance(70.0)
        quiet = metrics(cluster)
        assert (quiet.registry_changes_per_minute, quiet.registry_churn_rate) == (0.0, "low")
        cluster.run("a", change, 7)
        cluster.run("b", change, 4)
        cluster.advance(0.5)
        for node in "ab":
            found = metrics(cluster, node)
            assert found.registry_changes_per_minute == 22.0
            assert found.registry_churn_rate == "high"
        cluster.advance(70.0)
        assert metrics(cluster).registry_changes_per_minute == 0.0


def test_entries_of_registries_are_counted_and_copies_compared() -> None:
    with monitored(9, nodes=2) as cluster:
        cluster.form()

        async def hold() -> None:
            for number in range(5):
                await register("r", number)
            await receive()

        cluster.spawn("a", hold)
        cluster.advance(1.0)
        found = metrics(cluster, "b")
        assert found.registry_entries["r"] == 5
        assert found.registry_replica_lag == 0


def test_the_propagation_of_names_is_measured_between_nodes() -> None:
    with monitored(10, nodes=3) as cluster:
        cluster.form()
        cluster.advance(40.0)
        found = metrics(cluster)
        assert found.registry_propagation_p50_us is not None
        assert found.registry_propagation_p99_us is not None
        # At least one way through the network, and what tables are held back; not yet a second.
        assert 1_000 < found.registry_propagation_p50_us <= found.registry_propagation_p99_us
        assert found.registry_propagation_p99_us < 1_000_000
    with monitored(10, nodes=1) as alone:
        alone.form()
        alone.advance(40.0)
        assert metrics(alone).registry_propagation_p50_us is None


def test_a_slower_network_shows_in_the_latencies() -> None:
    def measured(delay: tuple[float, float]) -> ClusterMetrics:
        with monitored(11, nodes=2) as cluster:
            cluster.form()
            cluster.network.faults = type(cluster.network.faults)(delay=delay)
            cluster.advance(150.0)
            return metrics(cluster)

    fast, slow = measured((0.001, 0.002)), measured((0.05, 0.06))
    assert fast.message_latency_p99_us is not None
    assert slow.message_latency_p99_us is not None
    assert slow.message_latency_p99_us > 100_000  # there and back
    assert fast.message_latency_p99_us < 20_000
    assert slow.latency_samples > 10
    assert slow.registry_propagation_p50_us is not None
    assert slow.registry_propagation_p50_us > 50_000


def test_messages_that_servers_take_are_counted() -> None:
    with monitored(12, nodes=1) as cluster:
        cluster.form()
        cluster.advance(120.0)
        before = metrics(cluster)

        async def work() -> None:
            server = await Worker.start_link()
            for _ in range(600):
                cast(server, "x")
            for _ in range(300):
                await call(server, "x")

        cluster.run("a", work)
        cluster.advance(31.0)
        found = metrics(cluster)
        mine = found.messages_total - before.messages_total
        assert 900 <= mine <= 900 + 2 * before.messages_received_per_minute
        assert found.messages_received_per_minute > 100
        assert found.throughput_per_second == pytest.approx(
            found.messages_received_per_minute / 60
        )


def test_failed_calls_and_crashes_are_counted() -> None:
    with monitored(13, nodes=1) as cluster:
        cluster.form()
        cluster.advance(70.0)
        assert metrics(cluster).error_rate_percent == 0.0

        async def fail() -> None:
            for _ in range(3):
                server = await Worker.start()
                with pytest.raises(Exception, match="told to"):
                    await call(server, "crash")
                with pytest.raises(NoProc):
                    await call(server, "x")

        cluster.run("a", fail)
        cluster.advance(1.0)
        found = metrics(cluster)
        assert found.crashes_per_minute > 0.0
        assert found.error_rate_percent > 0.0
        totals = cluster.run("a", lambda: call(SERVER, Measure())).totals
        assert (totals["crashes"], totals["calls_failed"]) == (3, 6)


def test_starts_failures_and_migrations_of_children_are_counted() -> None:
    with monitored(14, nodes=3) as cluster:
        cluster.form()
        cluster.advance(70.0)

        async def start() -> Pid:
            await process_manager.start_replicated(Worker, name="each")
            return await process_manager.start_singleton(Worker, name="one")

        pid = cluster.run("a", start)
        cluster.advance(1.0)
        found = metrics(cluster)
        assert found.processes_started_per_minute == 4.0  # one, and three replicas
        assert found.process_failures_per_minute == found.migrations_per_minute == 0.0

        async def crash() -> None:
            with pytest.raises(Exception, match="told to"):
                await call(pid, "crash")
            await process_manager.wait_for("one")

        cluster.run("a", crash)
        cluster.advance(1.0)
        found = metrics(cluster)
        assert (found.process_failures_per_minute, found.migrations_per_minute) == (1.0, 0.0)
        home = cluster.run("a", lambda: process_manager.lookup("one")).host.partition("/")[0]
        to = next(node for node in "abc" if node != home)
        cluster.run("a", lambda: process_manager.migrate("one", to))
        cluster.advance(1.0)
        assert metrics(cluster).migrations_per_minute == 1.0
        assert metrics(cluster).children == 5  # with the optimizer


def test_what_goes_on_elsewhere_after_a_crash_has_migrated_and_replicas_have_not() -> None:
    with monitored(15, nodes=3) as cluster:
        cluster.form()

        async def start() -> Pid:
            await process_manager.start_replicated(Worker, name="each")
            return await process_manager.start_singleton(Worker, name="one")

        pid = cluster.run("a", start)
        cluster.advance(100.0)
        home = pid.host.partition("/")[0]
        optimizer = cluster.run("a", lambda: process_manager.lookup("foundation.optimizer"))
        lost = 1 + (optimizer.host.partition("/")[0] == home)
        cluster.crash(home)
        cluster.until(cluster.agreed)
        other = next(node for node in "abc" if node != home)
        cluster.until(lambda: cluster.run(other, lambda: process_manager.lookup("one")) is not None)
        cluster.advance(1.0)
        assert metrics(cluster, other).migrations_per_minute == lost


def test_broadcasts_are_counted_by_topic() -> None:
    async def listen() -> None:
        await pubsub.subscribe("foundation:events")
        await asyncio.sleep(1000.0)

    async def say(times: int) -> None:
        for number in range(times):
            pubsub.broadcast("foundation:events", number)

    with monitored(16, nodes=2) as cluster:
        cluster.form()
        cluster.spawn("b", listen)
        cluster.advance(70.0)
        cluster.run("a", say, 90)
        cluster.run("b", say, 30)
        cluster.advance(30.0)
        totals = [
            cluster.run("a", lambda n=n: call((SERVER, n), Measure())).broadcasts for n in "ab"
        ]
        rates = [one["foundation:events"] for one in totals]
        assert rates[0] == pytest.approx(3 * rates[1], rel=1e-3)
        found = metrics(cluster)
        assert found.broadcasts_per_second["foundation:events"] == pytest.approx(
            sum(rates) / 60, rel=1e-3
        )
        assert found.broadcasts_per_minute >= 0.99 * sum(rates)
        assert found.pubsub_topics >= 1
        assert found.pubsub_subscriptions >= 1


def test_services_are_counted_by_health() -> None:
    async def serve() -> None:
        await service_mesh.register("thumbs")
        await asyncio.sleep(1000.0)

    async def sick() -> None:
        await register("foundation.services", "thumbs", service_mesh.ServiceEntry(healthy=False))
        await asyncio.sleep(1000.0)

    with monitored(17, nodes=2) as cluster:
        cluster.form()
        cluster.spawn("a", serve)
        cluster.spawn("b", sick)
        cluster.advance(2.0)
        found = health(cluster)
        counted = found.metrics
        assert (counted.services_total, counted.services_healthy) == (2, 1)
        assert [(s.name, s.total, s.healthy) for s in counted.services] == [("thumbs", 2, 1)]
        assert counted.service_discovery_us is not None
        assert (found.services, found.status) == ("degraded", "degraded")
