"""A node that is cut off on purpose."""

import pytest

from foundation.cluster import chaos
from foundation.errors import CallExit
from foundation.otp import GenServer, call
from foundation.testing.cluster_sim import ClusterSimulation


class Echo(GenServer):
    def handle_call(self, request, caller):
        return request


def test_a_cut_is_silent_both_ways_and_heals():
    with ClusterSimulation(1, nodes=3, workers=2) as cluster:
        cluster.form()

        async def start():
            await Echo.start(name="echo")

        async def ask():
            return await call(("echo", "c"), "hello", timeout=1)

        cluster.run("c", start, host="w2")
        cluster.advance(0.1)
        cluster.run("c", chaos.cut_off, "a", "b")
        with pytest.raises(CallExit):
            cluster.run("a", ask)
        names = {n: node.agent.view.names for n, node in cluster.nodes.items()}
        cluster.until(lambda: len(cluster.nodes["c"].agent.view) == 1)
        cluster.until(lambda: len(cluster.nodes["a"].agent.view) == 2)
        cluster.run("c", chaos.heal)
        cluster.until(cluster.agreed)
        assert cluster.run("a", ask) == "hello", names


def test_cutting_off_a_stranger_or_oneself_is_refused():
    with ClusterSimulation(2, nodes=2) as cluster:
        cluster.form()
        for names in (("zz",), ("a",)):
            with pytest.raises(CallExit, match="cannot cut a off"):
                cluster.run("a", chaos.cut_off, *names)
