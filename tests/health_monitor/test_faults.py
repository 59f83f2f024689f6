"""What is wrong is found: faults put into simulated clusters, and none where none are."""

from __future__ import annotations

import asyncio

import pytest

from foundation import process_manager
from foundation.cluster.registry import DistributedRegistry, register
from foundation.cluster.registry.keys import encode_key, encode_value
from foundation.cluster.supervisor.ids import key_of
from foundation.cluster.supervisor.records import Entry
from foundation.errors import NotInCluster
from foundation.facade import Failed
from foundation.health_monitor import (
    SERVER,
    CheckConnectivity,
    HealthMonitor,
    JudgeCluster,
    Measure,
    MeasureCluster,
    Settings,
    check_connectivity,
    cluster_health,
    cluster_metrics,
    get_cluster_health,
    health_history,
)
from foundation.kernel.remote import CALL
from foundation.kernel.values import Pid
from foundation.otp import call, me, receive, send, spawn
from foundation.runtime.inspect import PARTS
from foundation.testing.cluster_sim import ClusterSimulation
from foundation.testing.simulator import Simulation
from tests.health_monitor.simkit import SUPERVISOR, Worker, health, metrics, monitored


def test_a_child_that_runs_twice_is_found_unless_it_is_a_replica() -> None:
    with monitored(18, nodes=2) as cluster:
        cluster.form()

        async def start() -> Pid:
            await process_manager.start_replicated(Worker, name="each")
            return await process_manager.start_singleton(Worker, name="one")

        pid = cluster.run("a", start)
        other = "b" if pid.host.startswith("a/") else "a"
        entry = Entry("running", 7, Pid(f"{other}/w1", 1000, 99), (1, other))
        cluster.nodes[other].agent.put(f"sup:{SUPERVISOR}", key_of("one"), entry)
        cluster.advance(0.1)
        found = health(cluster)
        assert found.metrics.duplicates == (f"{SUPERVISOR}: 'one'",)
        assert found.status == "critical"
        cluster.nodes[other].agent.delete(f"sup:{SUPERVISOR}", key_of("one"))
        cluster.advance(0.1)
        assert metrics(cluster).duplicates == ()


def test_a_child_that_its_nodes_table_does_not_name_is_an_orphan() -> None:
    with monitored(19, nodes=2) as cluster:
        cluster.form()
        pid = cluster.run("a", lambda: process_manager.start_singleton(Worker, name="one"))
        home = pid.host.partition("/")[0]
        assert metrics(cluster).orphans == ()
        agent = cluster.nodes[home].agent
        another = Entry("moving", 7, pid._replace(serial=9999), (1, home))
        agent.put(f"sup:{SUPERVISOR}", key_of("one"), another)
        cluster.advance(0.5)
        assert metrics(cluster).orphans == ()  # news may be under way for so long
        cluster.advance(1.0)
        (orphan,) = metrics(cluster).orphans
        assert orphan.startswith(f"{SUPERVISOR}: 'one' {home}/w1.")


def test_an_entry_whose_process_is_dead_is_a_stale_name() -> None:
    with monitored(20, nodes=2) as cluster:
        cluster.form()
        dead = Pid("a/w1", cluster.kernel("a").incarnation, 12345)
        agent = cluster.nodes["a"].agent
        agent.put("reg:r", encode_key("ghost"), (dead, 1, encode_value(None)))
        cluster.advance(0.5)
        assert metrics(cluster, "b").stale_names == ()
        cluster.advance(1.0)
        found = health(cluster, "b")
        (stale,) = found.metrics.stale_names
        assert stale.startswith("r: 'ghost' a/w1.")
        assert (found.infrastructure, found.status) == ("degraded", "degraded")
        gone = Pid("a/w9", 5, 1)  # of a host that is no more: the control host says so
        agent.put("reg:r", encode_key("ghost"), (gone, 1, encode_value(None)))
        cluster.advance(1.0)
        metrics(cluster)
        cluster.advance(1.5)
        (stale,) = metrics(cluster).stale_names
        assert "a/w9" in stale


def test_names_of_the_living_are_never_stale_while_they_come_and_go() -> None:
    async def come_and_go() -> None:
        async def brief() -> None:
            await register("r", me())
            await asyncio.sleep(0.05)

        for _ in range(100):
            spawn(brief)
            await asyncio.sleep(0.1)

    with monitored(21, nodes=2) as cluster:
        cluster.form()
        cluster.spawn("a", come_and_go)
        for _ in range(20):
            cluster.advance(0.7)
            found = metrics(cluster)
            assert found.stale_names == found.orphans == found.duplicates == ()


def test_a_host_that_does_not_answer_is_named_and_the_others_are_measured() -> None:
    with monitored(22, nodes=2, workers=2) as cluster:
        cluster.form()
        cluster.kernel("b", "w2").remote.handlers["poll"] = lambda *args: None
        found = health(cluster)
        assert found.metrics.silent_hosts == ("b/w2",)
        assert found.status == "degraded"
        there = found.metrics.get("b")
        assert there is not None
        assert [host.host for host in there.hosts] == ["b/control", "b/w1"]


def test_a_member_whose_health_monitor_does_not_answer_is_named() -> None:
    with monitored(23, nodes=2) as cluster:
        cluster.form()
        cluster.kernel("b").remote.handlers[CALL] = lambda *call: None  # its host is stuck
        found = health(cluster)
        assert found.metrics.not_answering == ("b",)
        assert not found.metrics.complete
        assert found.status == "degraded"
        there = cluster.run("a", check_connectivity)
        assert (there.connected, there.silent, there.complete) == (("a",), ("b",), False)


def test_clocks_of_nodes_are_compared() -> None:
    with monitored(26, nodes=3) as cluster:
        cluster.form()
        assert health(cluster).metrics.clock_skew_seconds == 0.0
        cluster.nodes["b"].clock += 90.0
        cluster.nodes["c"].clock += 30.0
        found = health(cluster).metrics
        ahead = [one.clock_ahead_seconds for one in found.nodes]
        assert ahead == pytest.approx([0.0, 90.0, 30.0], abs=0.01)
        assert found.clock_skew_seconds == pytest.approx(90.0, abs=0.02)


def test_hogs_are_those_that_the_watchdogs_count() -> None:
    with monitored(24, nodes=1) as cluster:
        cluster.form()
        cluster.advance(70.0)
        cluster.kernel("a").tables.setdefault(PARTS, {})["hogs"] = lambda: 3
        found = health(cluster)
        assert found.metrics.hogs_total == 3
        assert found.metrics.hogs_per_minute > 0
        assert any("hogged" in reason for reason in found.reasons)


def test_a_mailbox_that_grows_at_each_check_is_named() -> None:
    async def deaf() -> None:
        await receive(lambda message: message == "never")

    async def fill(pid: Pid, times: int) -> None:
        for number in range(times):
            send(pid, number)

    with monitored(25, nodes=1) as cluster:
        cluster.form()
        pid = cluster.run("a", lambda: spawn(deaf))
        cluster.advance(6.0)
        for _ in range(3):
            assert metrics(cluster).growing_mailboxes == ()
            cluster.run("a", fill, pid, 500)
            cluster.advance(30.0)
        cluster.run("a", fill, pid, 500)
        cluster.advance(28.0)
        (box,) = metrics(cluster).growing_mailboxes
        assert (box.messages, box.host) == (2000, "a/w1")
        assert box.growth == pytest.approx(1000.0, rel=0.1)  # 500 each half a minute
        assert any("grow" in reason for reason in health(cluster).reasons)
        cluster.advance(31.0)
        assert metrics(cluster).growing_mailboxes == ()
        assert metrics(cluster).messages_waiting == 2000


def test_the_latest_checks_are_kept() -> None:
    with monitored(26, nodes=2) as cluster:
        cluster.form()
        assert cluster.run("a", health_history) == []
        cluster.advance(6.0)
        assert len(cluster.run("a", health_history)) == 1
        cluster.advance(12 * 30.0)
        kept = cluster.run("a", lambda: health_history("b"))
        assert len(kept) == 10
        assert {report.node for report in kept} == {"b"}
        assert kept[-1].running - kept[-2].running == pytest.approx(30.0, abs=1.0)


def test_the_log_is_told_when_the_status_of_the_cluster_changes() -> None:
    with monitored(27, nodes=3) as cluster:
        cluster.form()
        cluster.advance(40.0)
        assert _told(cluster) == []
        cluster.crash("c")
        cluster.until(cluster.agreed)
        cluster.advance(100.0)
        (text,) = _told(cluster)  # once, by one node
        assert "2 of 3 expected nodes are healthy" in text


def _told(cluster: ClusterSimulation) -> list[str]:
    texts = [getattr(report, "text", "") for _, report in cluster.reports]
    return [text for text in texts if "is degraded" in text]


def test_each_function_is_a_message_to_the_server_of_a_node() -> None:
    with monitored(28, nodes=2) as cluster:
        cluster.form()

        async def body() -> None:
            there = (SERVER, "b")
            assert (await call(there, MeasureCluster(), timeout=10)).node == "b"
            assert (await call(there, JudgeCluster(), timeout=10)).status == "healthy"
            assert (await call(there, CheckConnectivity(), timeout=10)).connected == ("a", "b")
            assert (await call(there, Measure(), timeout=10)).node == "b"
            assert isinstance(await call(there, MeasureCluster(timeout=-1)), Failed)

        cluster.run("a", body)
        assert HealthMonitor.cluster_health is cluster_health is get_cluster_health


def test_arguments_are_looked_at_at_once() -> None:
    with monitored(29, nodes=1) as cluster:
        cluster.form()
        for function in (cluster_metrics, cluster_health, check_connectivity):
            with pytest.raises(ValueError, match="timeout"):
                cluster.run("a", lambda function=function: function(0))
            with pytest.raises(TypeError, match="timeout"):
                cluster.run("a", lambda function=function: function("soon"))


def test_it_survives_the_loss_of_its_host_and_its_probes_end_with_it() -> None:
    with monitored(30, nodes=2, workers=2) as cluster:
        cluster.form()
        cluster.advance(10.0)
        before = _probes(cluster)
        assert before == 2  # in the control host and in the other worker host
        cluster.nodes["a"].crash_host("w1")
        cluster.advance(10.0)
        assert _probes(cluster) == before
        found = metrics(cluster, "b")
        assert found.complete
        assert found.silent_hosts == ()


def _probes(cluster: ClusterSimulation) -> int:
    servers = [getattr(process, "server", None) for process in cluster.processes("a")]
    return sum(type(server).__name__ == "Probe" for server in servers)


def test_another_interval_can_be_chosen() -> None:
    quick = Settings(interval=1.0, first=0.5, history=3)
    specs = [
        DistributedRegistry.spec(name="foundation.health", keys="unique", on_conflict="message"),
        HealthMonitor.spec(quick),
    ]
    with ClusterSimulation(31, nodes=1, app=specs) as cluster:
        cluster.form()
        cluster.advance(5.0)
        assert len(cluster.run("a", health_history)) == 3
        assert metrics(cluster).settings == quick


def test_without_a_cluster_the_error_says_so() -> None:
    with Simulation(1) as simulation, pytest.raises(NotInCluster):
        simulation.run(cluster_metrics)
