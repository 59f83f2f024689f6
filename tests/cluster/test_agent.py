"""Agents: views, events, tables, settled epochs, relays, bounded state."""

import pytest

from foundation.cluster import (
    ClusterConfig,
    NodeDown,
    NodeUp,
    ViewChanged,
    await_cluster,
    nodes,
    subscribe,
    view,
)
from foundation.cluster.host import HOSTS, SERVICES
from foundation.errors import ClusterTimeout
from foundation.otp import CallExit, Down, GenServer, call, monitor, receive, trap_exit
from foundation.testing.cluster_sim import ClusterSimulation, Faults


class Echo(GenServer):
    def handle_call(self, request, caller):
        return request


async def start_echo():
    return await Echo.start(name="echo")


def listen(cluster, node, host="w1"):
    """Return a list that fills with the events that a process on *node* is told."""
    heard = []

    async def body():
        subscribe()
        while True:
            heard.append(await receive())

    cluster.spawn(node, body, host=host)
    cluster.advance(0.01)
    return heard


def kinds(heard):
    return [(type(e).__name__, e.node) for e in heard if not isinstance(e, ViewChanged)]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 9])
def test_nodes_that_find_each_other_agree(count):
    with ClusterSimulation(count, nodes=count, workers=2) as cluster:
        assert cluster.form() < 1.5
        cluster.advance(0.05)
        for node in cluster.live():
            for name in ("control", "w1", "w2"):
                seen = node.hosts[name].kernel.tables["cluster"]
                assert seen.view.names == tuple(cluster.nodes)
                assert seen.settled
        digests = {node.agent.view.digest for node in cluster.live()}
        assert len(digests) == 1


def test_events_tell_of_nodes_that_come_leave_die_and_fall_silent():
    with ClusterSimulation(1, nodes=["a", "b", "c", "d"]) as cluster:
        cluster.start("a")
        heard = listen(cluster, "a")
        for name in ("b", "c", "d"):
            cluster.start(name)
            cluster.until(cluster.agreed)
        assert kinds(heard) == [("NodeUp", "b"), ("NodeUp", "c"), ("NodeUp", "d")]
        heard.clear()
        cluster.nodes["b"].agent.leave()
        cluster.until(lambda: len(cluster.nodes["a"].agent.view) == 3)
        cluster.crash("b", refused=False)
        cluster.crash("c")
        cluster.until(lambda: len(cluster.nodes["a"].agent.view) == 2)
        start = cluster.now
        cluster.crash("d", refused=False)
        cluster.until(lambda: len(cluster.nodes["a"].agent.view) == 1, step=0.01)
        assert cluster.now - start < 3
        downs = [(e.node, e.reason) for e in heard if isinstance(e, NodeDown)]
        assert downs == [("b", "left"), ("c", "killed"), ("d", "silent")]
        views = [e.view for e in heard if isinstance(e, ViewChanged)]
        assert [v.version for v in views] == sorted({v.version for v in views})


@pytest.mark.parametrize("seed", range(20))
def test_after_node_up_both_sides_can_talk_from_every_host(seed):
    faults = Faults(delay=(0.001, 0.05), loss=0.05, reorder=0.1, duplicate=0.05)
    with ClusterSimulation(seed, nodes=2, workers=2, faults=faults) as cluster:
        cluster.start("a")
        pid = cluster.run("a", start_echo, host="w2")

        async def on_up():
            subscribe()
            while not isinstance(await receive(timeout=60), NodeUp):
                pass
            return await call(pid, "hello"), await call(("echo", "a"), "name")

        cluster.start("b")
        assert cluster.run("b", on_up) == ("hello", "name")


def test_node_down_comes_after_what_crossed_to_the_node_was_settled():
    with ClusterSimulation(2, nodes=2) as cluster:
        cluster.form()
        pid = cluster.run("a", start_echo)

        async def watch():
            trap_exit()
            subscribe()
            monitor(pid)
            order = []
            while len(order) < 2:
                message = await receive()
                if not isinstance(message, ViewChanged):
                    order.append(type(message))
            with pytest.raises(CallExit):
                await call(("echo", "a"), "gone")
            return order

        body = cluster.spawn("b", watch)
        cluster.advance(0.1)
        cluster.crash("a")
        cluster.until(lambda: body.ended)
        assert body.result() == [Down, NodeDown]


def test_await_cluster_waits_and_says_who_is_missing():
    with ClusterSimulation(3, nodes=3) as cluster:
        cluster.start("a")

        async def wait(n, timeout):
            return (await await_cluster(n, timeout)).names

        assert cluster.run("a", wait, 1, 1) == ("a",)
        with pytest.raises(ClusterTimeout, match=r"3 nodes were waited for, 1 are there.*\(a\)"):
            cluster.run("a", wait, 3, 2)
        body = cluster.spawn("a", wait, 3, 30)
        cluster.start("b")
        cluster.start("c")
        cluster.until(lambda: body.ended)
        assert body.result() == ("a", "b", "c")

        async def look():
            return nodes(), view().member("b").address

        assert cluster.run("c", look) == (("a", "b", "c"), "b:1")


def test_every_host_has_a_copy_of_every_slice_and_a_new_host_too():
    with ClusterSimulation(4, nodes=3, workers=2) as cluster:
        cluster.form()
        for name, node in cluster.nodes.items():
            for number in range(300):
                node.agent.put("test", f"{name}{number}", number)
            node.agent.delete("test", f"{name}7")
        cluster.advance(1)

        def copies():
            return {
                host.address: sorted(host.kernel.tables["cluster"].tables["test"].items())
                for node in cluster.live()
                for host in node.hosts.values()
                if host.up
            }

        found = copies()
        assert len(found) == 9
        assert all(entries == found["a/control"] for entries in found.values())
        assert len(found["a/control"]) == 3 * 299
        cluster.nodes["b"].crash_host("w1")
        cluster.advance(0.5)
        assert copies()["b/w1"] == found["a/control"]
        cluster.crash("c")
        cluster.until(cluster.agreed)
        cluster.advance(0.1)
        assert all({e[0] for e in entries} == {"a", "b"} for entries in copies().values())
        cluster.start("c")
        cluster.until(cluster.agreed)
        assert {e[0] for e in copies()["a/w1"]} == {"a", "b"}  # a new life owns nothing


def test_a_worker_host_that_dies_is_killed_for_other_nodes_and_comes_back():
    with ClusterSimulation(5, nodes=2) as cluster:
        cluster.form()
        pid = cluster.run("a", start_echo)
        heard = listen(cluster, "b")

        async def watch():
            monitor(pid)
            return await receive()

        body = cluster.spawn("b", watch)
        cluster.advance(0.1)
        cluster.nodes["a"].crash_host("w1")
        cluster.until(lambda: body.ended)
        assert body.result().reason == "killed"
        cluster.advance(1)
        pid = cluster.run("a", start_echo)

        async def ask():
            return await call(pid, "again")

        assert cluster.run("b", ask) == "again"
        assert heard == []


def test_a_node_that_restarts_is_a_new_life_whose_old_pids_are_dead():
    with ClusterSimulation(6, nodes=2) as cluster:
        cluster.form()
        old = cluster.run("a", start_echo)
        cluster.crash("a")
        cluster.start("a")  # before anybody has noticed
        cluster.until(cluster.agreed)
        cluster.run("a", start_echo)
        cluster.advance(0.2)

        async def ask():
            with pytest.raises(CallExit):
                await call(old, "anybody?", timeout=2)
            return await call(("echo", "a"), "new")

        assert cluster.run("b", ask) == "new"


def test_an_epoch_is_settled_only_when_all_agree_on_the_services_too():
    with ClusterSimulation(7, nodes=3) as cluster:
        cluster.form()
        seen = []
        agent = cluster.nodes["a"].agent
        agent.on_settled.append(lambda: seen.append(dict(agent.tables[SERVICES].of("b"))))
        cluster.nodes["b"].agent.put(SERVICES, ("sup", "x"), "options")
        cluster.network.cut("b", "c")  # c hears of it through a, later
        cluster.advance(0.01)
        assert seen == [] or seen == [{("sup", "x"): "options"}]
        cluster.until(lambda: seen and agent.settled, 20)
        assert seen[-1] == {("sup", "x"): "options"}
        cluster.until(cluster.agreed)


@pytest.mark.parametrize("one_way", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_agents_that_cannot_reach_each_other_talk_through_a_third(seed, one_way):
    with ClusterSimulation(seed, nodes=3) as cluster:
        cluster.form()
        cluster.network.cut("a", "b", one_way=one_way)
        cluster.advance(20)
        assert cluster.agreed()
        cluster.nodes["a"].agent.put("test", "k", 1)
        cluster.nodes["b"].agent.put("test", "k", 2)
        for name, other, value in (("a", "b", 2), ("b", "a", 1), ("c", "a", 1)):
            table = cluster.kernel(name).tables["cluster"].tables["test"]
            cluster.until(lambda t=table, o=other, v=value: t.get(o, "k") == v, 20)
        cluster.network.heal()
        cluster.advance(20)
        assert cluster.agreed()


@pytest.mark.parametrize("seed", range(30))
def test_after_faults_and_healing_all_agree_and_have_the_same_tables(seed):
    faults = Faults(loss=0.1, duplicate=0.1, reorder=0.1, gap=0.01)
    with ClusterSimulation(seed, nodes=4, faults=faults) as cluster:
        cluster.form()
        rng = cluster.random
        number = 0
        for _ in range(25):
            for node in cluster.live():
                number += 1
                if number % 3:
                    node.agent.put("test", number % 20, number)
                else:
                    node.agent.delete("test", rng.randrange(20))
            names = list(cluster.nodes)
            act = rng.randrange(6)
            if act == 0 and len(cluster.live()) > 2:
                cluster.crash(rng.choice(names), refused=rng.random() < 0.5)
            elif act == 1:
                cluster.start(rng.choice(names))
            elif act == 2:
                cluster.network.cut(*rng.sample(names, 2), one_way=rng.random() < 0.5)
            elif act == 3:
                cluster.network.heal()
            elif act == 4:
                cluster.pause(rng.choice(names), rng.choice((0.2, 4.0)))
            else:
                cluster.isolate(rng.sample(names, 2))
            cluster.advance(rng.choice((0.05, 0.5, 3.0)))
        cluster.network.heal()
        for name in names:
            cluster.start(name)
        cluster.until(cluster.agreed, 60)
        cluster.network.faults = Faults()
        cluster.advance(5)
        assert cluster.agreed()
        for owner in cluster.live():
            own = owner.agent.tables["test"].of(owner.name)
            for node in cluster.live():
                for host in node.hosts.values():
                    tables = host.kernel.tables["cluster"].tables
                    assert tables["test"].of(owner.name) == own, (seed, owner.name, host.address)
                    peers = set(host.kernel.remote.peers) | {host.address}
                    wanted = {h.address for n in cluster.live() for h in n.hosts.values()}
                    assert peers == wanted, seed
            for peer in owner.agent.peers.values():
                peer.channel.check()


def test_state_stays_bounded_over_a_thousand_restarts():
    with ClusterSimulation(8, nodes=2) as cluster:
        cluster.form()
        agent, remote = cluster.nodes["a"].agent, cluster.kernel("a").remote

        def size():
            own = (agent.peers, agent.ready, agent.questions, agent.barriers._open)
            hosts = (remote.peers, remote.foreign._early, remote.foreign._severed, remote._buried)
            entries = sum(len(list(table.items())) for table in agent.tables)
            return [len(x) for x in (*own, *hosts, agent.swim.counters)] + [entries]

        for _ in range(5):
            cluster.crash("b")
            cluster.start("b")
            cluster.until(cluster.agreed, step=0.02)
        before = size()
        for _ in range(1000):
            cluster.crash("b")
            cluster.start("b")
            cluster.until(cluster.agreed, step=0.02)
            cluster.reports.clear()
        assert size() == before
        assert agent.tables[HOSTS].nodes() == ["a", "b"]


def test_a_node_of_another_cluster_name_is_refused():
    configs = {"b": ClusterConfig(name="other", strategies=())}
    with ClusterSimulation(9, nodes=2, configs=configs) as cluster:
        cluster.start("a")
        cluster.start("b")
        cluster.advance(5)
        assert [len(node.agent.view) for node in cluster.live()] == [1, 1]
        texts = [str(report) for _, report in cluster.reports]
        assert any("other" in text and "foundation" in text for text in texts), texts

        async def wait():
            await await_cluster(2, 1)

        with pytest.raises(ClusterTimeout, match=r"refused this node.*other"):
            cluster.run("a", wait)


@pytest.mark.parametrize("seed", range(10))
def test_paused_nodes_come_back_without_hanging_callers(seed):
    with ClusterSimulation(seed, nodes=3) as cluster:
        cluster.form()
        cluster.run("a", start_echo)
        cluster.advance(0.2)
        outcomes = []

        async def client():
            for number in range(20):
                try:
                    outcomes.append(await call(("echo", "a"), number, timeout=None))
                except CallExit as error:
                    outcomes.append(error.reason)

        body = cluster.spawn("b", client)
        cluster.pause("a", 6.0)
        cluster.until(lambda: body.ended, 60)
        cluster.until(cluster.agreed, 60)
        assert len(outcomes) == 20
