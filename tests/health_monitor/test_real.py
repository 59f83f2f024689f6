"""The health of real nodes: operating-system processes, a hog, a node that is killed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from tests.cluster.real.conftest import ended
from tests.cluster.real.kit import RealCluster, RealNode, eventually

pytestmark = pytest.mark.real
BODIES = "tests.health_monitor.real_bodies"


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> Iterator[RealCluster]:
    """A cluster without nodes yet."""
    failed = request.session.testsfailed
    with ended() as made:
        yield made
        if request.session.testsfailed > failed:
            made.show()


def run(node: RealNode, function: str, *args: object) -> Any:
    """Run a body in the program of *node*."""
    return node.run(f"{BODIES}:{function}", *args, timeout=40.0)


def test_what_is_measured_of_real_nodes_is_so(cluster: RealCluster) -> None:
    a, b = cluster.form("ab", app=f"{BODIES}:app", hosts=2)

    # At once: the hosts are the operating-system processes that the nodes have.
    found = run(a, "health").metrics
    assert (found.node_count, found.healthy_nodes, found.complete) == (2, 2, True)
    for node in (a, b):
        there = found.get(node.name)
        assert there is not None
        by_name = {host.host.partition("/")[2]: host for host in there.hosts}
        assert {"control", "w1", "w2"} <= set(by_name)
        for name in ("w1", "w2"):
            host = by_name[name]
            assert host.os_pid == node.pid(name)
            resident = psutil.Process(host.os_pid).memory_info().rss
            assert host.memory_bytes == pytest.approx(resident, rel=0.5)
        assert there.cores == len(os.sched_getaffinity(0))
        assert there.memory_percent is not None
        assert 0 < there.memory_percent < 100

    # After the first probes: calls between hosts and nodes take a real time.
    found = eventually(
        lambda: (m := run(a, "health").metrics).registry_propagation_p50_us and m, what="probes"
    )
    assert 10 < found.message_latency_p50_us < 1_000_000
    assert 10 < found.registry_propagation_p50_us < 5_000_000
    assert found.throughput_per_second > 0
    assert found.duplicates == found.orphans == found.stale_names == ()

    # A callback that hogs its host is counted, and while it does the host is missed.
    before = found.hogs_total
    hogging = b.begin(f"{BODIES}:hog", 3.0)
    silent = eventually(lambda: run(a, "health").metrics.silent_hosts, what="a silent host")
    assert silent == ("b/w2",)
    assert hogging.result(30) == b.pid("w2")
    report = eventually(
        lambda: (r := run(a, "health")).metrics.hogs_total > before and r, what="the hog"
    )
    assert any("hogged" in reason for reason in report.reasons)
    eventually(lambda: run(a, "checks") >= 1, what="the first check of a by itself")

    # The optimizer runs, and what it would tune is tuned in the control hosts.
    assert ("set_expected_size", 2) in run(b, "advice")
    assert run(a, "tune", 0.01) == {"a": 0.01, "b": 0.01}

    # A node that is killed is missed.
    assert "foundation_cluster_nodes 2\n" in run(a, "text")
    b.kill()
    report = eventually(
        lambda: (r := run(a, "health")).metrics.node_count == 1 and r, what="the end of b"
    )
    assert (report.cluster, report.metrics.expected_nodes) == ("degraded", 2)
    assert run(a, "connected") == ("a",)
