"""The health monitors of simulated clusters: what they measure is what has happened."""

from __future__ import annotations

import asyncio

import pytest

from foundation import process_manager, service_mesh
from foundation.cluster import pubsub
from foundation.cluster.config import ClusterConfig
from foundation.cluster.registry import register, unregister
from foundation.errors import CallTimeout, NoProc
from foundation.health_monitor import (
    SERVER,
    ClusterMetrics,
    Measure,
    cluster_metrics,
)
from foundation.kernel.values import Pid
from foundation.otp import call, cast, me, receive
from tests.health_monitor.simkit import Sleeper, Worker, health, metrics, monitored


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
    assert slow.latency_samples == 0  # nobody but the probes calls anybody
    assert slow.message_latency_p99_us == slow.probe_latency_p99_us
    assert slow.registry_propagation_p50_us is not None
    assert slow.registry_propagation_p50_us > 50_000


@pytest.mark.parametrize("to", ["a/w1", "a/w2", "b/w1"])
def test_slow_calls_of_users_show_in_the_latencies(to: str) -> None:
    async def slow() -> None:
        server = await Sleeper.start(host=to)
        for _ in range(10):
            await call(server, 0.2)
        with pytest.raises(CallTimeout):
            await call(server, 50.0, timeout=3.0)

    with monitored(25, nodes=2, workers=2) as cluster:
        cluster.form()
        cluster.advance(10.0)
        cluster.run("a", slow)
        found = metrics(cluster, "b")
        assert found.message_latency_p50_us is not None
        assert 199_999 < found.message_latency_p50_us < 300_000
        assert found.message_latency_p99_us == pytest.approx(3e6, rel=0.01)  # what timed out
        assert found.latency_samples == 11
        assert found.probe_latency_p99_us is not None
        assert found.probe_latency_p99_us < 100_000
        cluster.advance(70.0)
        assert metrics(cluster).message_latency_p50_us == metrics(cluster).probe_latency_p50_us


def test_of_many_calls_some_are_timed_and_all_are_counted() -> None:
    async def many() -> None:
        server = await Sleeper.start(host="b/w1")
        for _ in range(100):
            await asyncio.gather(*(call(server, 0.0) for _ in range(20)))

    with monitored(26, nodes=2) as cluster:
        cluster.form()
        cluster.advance(40.0)
        before = metrics(cluster).calls_per_minute
        cluster.run("a", many)
        found = metrics(cluster)
        assert 2000 <= found.calls_per_minute - before < 2020
        assert 0 < found.latency_samples < 200


@pytest.mark.parametrize("seed", range(3))
def test_when_all_calls_of_an_application_fail_the_error_rate_says_so(seed: int) -> None:
    async def fail() -> None:
        server = await Sleeper.start()
        for _ in range(60):
            with pytest.raises(CallTimeout):
                await call(server, 1000.0, timeout=0.05)

    with monitored(seed, nodes=3) as cluster:
        cluster.form()
        cluster.advance(10.0)
        assert metrics(cluster).error_rate_percent == 0.0
        cluster.run("a", fail)
        found = health(cluster)
        assert found.metrics.calls_failed_per_minute == 60.0
        assert found.metrics.error_rate_percent > 50.0
        assert found.infrastructure == "degraded"
        assert any("% of calls fail (60 in a minute)" in reason for reason in found.reasons)


def test_shortly_after_the_start_nothing_is_extrapolated() -> None:
    async def work() -> None:
        await pubsub.subscribe("topic:a")
        await pubsub.subscribe(pattern="news:*")
        for number in range(100):
            pubsub.broadcast("topic:a", number)
            for name in "xyz":
                pubsub.broadcast(f"news:{name}", number)
            pubsub.broadcast("nobody", number)

    with monitored(27, nodes=1) as cluster:
        cluster.form()
        cluster.advance(2.0)
        metrics(cluster)
        cluster.advance(2.0)
        cluster.run("a", work)
        found = metrics(cluster)
        assert found.broadcasts_per_minute == pytest.approx(400.0)
        rates = {topic: 60 * rate for topic, rate in found.broadcasts_per_second.items()}
        wanted = dict.fromkeys(("topic:a", "news:x", "news:y", "news:z"), 100.0)
        assert rates == pytest.approx(wanted)
        assert found.bytes_per_broadcast is not None
        cluster.advance(20.0)
        assert metrics(cluster).broadcasts_per_minute == pytest.approx(400.0)
        cluster.advance(90.0)
        assert metrics(cluster).broadcasts_per_minute == 0.0


def test_what_was_before_does_not_count_where_that_is_asked() -> None:
    async def work() -> None:
        server = await Sleeper.start()
        for _ in range(100):
            await call(server, 0.02)
        await pubsub.subscribe("t")
        for number in range(100):
            pubsub.broadcast("t", number)

    async def lately(seconds: float) -> ClusterMetrics:
        return await cluster_metrics(within=seconds)

    with monitored(28, nodes=1) as cluster:
        cluster.form()
        cluster.advance(40.0)
        cluster.run("a", work)
        cluster.advance(1.0)
        metrics(cluster)  # a reading
        cluster.advance(10.0)
        whole, part = metrics(cluster), cluster.run("a", lately, 10.5)
        assert whole.broadcasts_per_minute == pytest.approx(100.0)
        assert whole.calls_per_minute > 100
        assert part.broadcasts_per_minute == part.latency_samples == 0
        assert part.calls_per_minute < 100
        assert part.message_latency_p99_us is None  # no probes came in this time
        with pytest.raises(ValueError, match="within"):
            cluster.run("a", lately, 0.0)


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
