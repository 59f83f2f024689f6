"""Nodes that are not let in, and nodes that mean something else by the cluster."""

import pytest

from foundation.cluster import ClusterConfig, await_cluster
from foundation.cluster.admission import PATIENCE
from foundation.cluster.registry import DistributedRegistry, register
from foundation.cluster.supervisor import DistributedSupervisor, child, which_children
from foundation.errors import ClusterTimeout
from foundation.otp import GenServer
from foundation.testing.cluster_sim import ClusterSimulation, SimNode


class Job(GenServer):
    pass


def sized(size):
    return ClusterConfig(strategies=(), expected_size=size)


def running(cluster):
    found = {node.name: cluster.processes(node.name) for node in cluster.live()}
    return {
        name: sum(type(getattr(process, "server", None)) is Job for process in processes)
        for name, processes in found.items()
    }


def test_a_node_whose_name_is_taken_decides_nothing_and_gives_up():
    with ClusterSimulation(1, nodes=2) as cluster:
        cluster.form()
        thief = SimNode(cluster, "a", ClusterConfig(strategies=()), 1)
        thief.address = "thief:1"
        thief.life = 7
        cluster.nodes["thief"] = thief
        cluster.start("thief")
        for name in ("a", "b"):  # discovery tells all of it
            cluster.nodes[name].agent.candidates(["thief:1"])
        cluster.advance(1)
        assert not thief.agent.settled
        assert "taken" in thief.agent.refused

        async def wait():
            await await_cluster(1, 1)

        with pytest.raises(ClusterTimeout, match="the name 'a' is taken"):
            cluster.run("thief", wait, host="control")  # whose worker shares its address
        cluster.advance(PATIENCE)
        assert "the name 'a' is taken" in thief.failure
        for name in ("a", "b"):
            cluster.nodes[name].agent.candidates(["thief:1"])
            cluster.advance(5)
            found = cluster.nodes[name].agent.view.members
            assert [(m.name, m.address) for m in found] == [("a", "a:1"), ("b", "b:1")]


def test_a_name_that_becomes_free_in_time_is_given():
    with ClusterSimulation(2, nodes=2) as cluster:
        cluster.form()
        heir = SimNode(cluster, "a", ClusterConfig(strategies=()), 1)
        heir.address = "heir:1"
        heir.life = 5
        cluster.nodes["heir"] = heir
        cluster.crash("a", refused=False)  # its machine is gone: that takes seconds to find out
        cluster.start("heir")
        cluster.until(lambda: heir.agent.settled and len(heir.agent.view) == 2, 15)
        cluster.advance(PATIENCE)
        assert heir.failure == ""


@pytest.mark.parametrize("seed", range(3))
def test_nodes_of_different_sizes_run_nothing_that_must_not_run_twice(seed):
    jobs = [child(Job.spec(), id=n) for n in range(6)]
    app = [DistributedSupervisor.spec(name="jobs", on_minority="stop", children=jobs)]
    configs = {"a": sized(1), "b": sized(3), "c": sized(3)}
    with ClusterSimulation(seed, nodes=3, configs=configs, app=app) as cluster:
        cluster.form()
        cluster.advance(10)
        assert sum(running(cluster).values()) == 0
        texts = [str(report) for _, report in cluster.reports]
        assert any("expected_size is 1 there and 3 here" in text for text in texts)
        cluster.isolate(["a"])
        for _ in range(200):
            cluster.advance(0.05)
            assert sum(running(cluster).values()) <= 6
        cluster.network.heal()
        cluster.crash("a")
        cluster.nodes["a"].config = sized(3)
        cluster.start("a")
        cluster.until(lambda: sum(running(cluster).values()) == 6, 30)

        async def look():
            return sorted(state.status for state in which_children("jobs"))

        cluster.advance(0.1)
        assert cluster.run("b", look) == ["running"] * 6


def test_a_slice_with_large_values_is_sent_in_parts():
    app = [DistributedRegistry.spec(name="names")]
    with ClusterSimulation(4, nodes=2, app=app) as cluster:
        cluster.start("a")
        cluster.until(lambda: cluster.agreed() and cluster.started("a"))
        agent = cluster.nodes["a"].agent
        for number in range(300):
            agent.put("test", number, b"x" * 20_000)
        longest = 0
        send = cluster.network.send_message

        def measured(source, destination, payload):
            nonlocal longest
            longest = max(longest, len(payload))
            send(source, destination, payload)

        cluster.network.send_message = measured
        cluster.start("b")
        cluster.until(cluster.agreed)
        assert len(cluster.kernel("b").tables["cluster"].tables["test"].of("a")) == 300
        assert longest < 600_000


def test_a_host_that_is_blocked_does_not_hold_up_others():
    app = [DistributedRegistry.spec(name="names")]
    with ClusterSimulation(5, nodes=2, workers=2, app=app) as cluster:
        cluster.form()
        cluster.kernel("a", "w2").remote.handlers["sync"] = lambda host, number: None

        async def claim():
            return await register("names", "k", timeout=2)

        start = cluster.now
        assert cluster.run("a", claim) > 0
        assert cluster.now - start < 0.7
