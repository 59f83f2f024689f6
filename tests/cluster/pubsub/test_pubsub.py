"""Topics in a cluster where nothing goes wrong, or one thing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from foundation.cluster.pubsub import (
    Published,
    broadcast,
    broadcast_from,
    direct_broadcast,
    local_broadcast,
    nodes_interested,
    patterns,
    subscribe,
    subscribers,
    topics,
    unsubscribe,
)
from foundation.errors import NoConnection, Unsendable
from foundation.otp import GenServer, call, me, receive
from foundation.testing.cluster_sim import ClusterSimulation, Faults
from tests.cluster.pubsub.actors import Listener, ask, kill, ops_sent, publish


@pytest.fixture(params=range(5))
def cluster(request: pytest.FixtureRequest) -> Iterator[ClusterSimulation]:
    with ClusterSimulation(seed=request.param, nodes=3, workers=2) as made:
        made.form()
        yield made


def listen(cluster: ClusterSimulation, where: str, *args: Any, **options: Any) -> Listener:
    listener = Listener(cluster, *where.split("/"), *args, **options)
    cluster.until(lambda: listener.subscribed)
    return listener


def test_every_subscriber_gets_one_copy(cluster: ClusterSimulation) -> None:
    places = ("a/w1", "a/w2", "a/control", "b/w1", "c/w2")
    listeners = [listen(cluster, place, "t") for place in places]
    other = listen(cluster, "b/w1", "other")
    assert publish(cluster, "a", "t", 1, {"two": [2]}) == [1, 1]  # those of its own host
    assert all(listener.got == [1, {"two": [2]}] for listener in listeners)
    assert other.got == []


def test_only_hosts_with_subscribers_are_sent_anything(cluster: ClusterSimulation) -> None:
    listen(cluster, "b/w1", "t")
    listen(cluster, "b/w1", "t")
    listen(cluster, "c/w2", pattern="t?")
    counts = ops_sent(cluster, "ps")
    publish(cluster, "a", "t", *range(10))
    assert counts == {"b/w1": 10}
    publish(cluster, "a", "t1", 1)
    assert counts == {"b/w1": 10, "c/w2": 1}
    publish(cluster, "a", "nobody", 1)
    assert counts == {"b/w1": 10, "c/w2": 1}


def test_what_is_broadcast_after_subscribe_returned_arrives(cluster: ClusterSimulation) -> None:
    got: list[Any] = []

    async def subscribe_and_go() -> None:
        await subscribe("t")
        for node in "bac":
            cluster.spawn(node, lambda n=node: broadcast("t", n), host="w2")
        got.extend([await receive(timeout=1) for _ in range(3)])

    cluster.run("a", subscribe_and_go)
    assert sorted(got) == ["a", "b", "c"]


def test_the_second_subscriber_of_a_host_waits_for_the_first(cluster: ClusterSimulation) -> None:
    cluster.network.faults = Faults(delay=(0.1, 0.1))
    first = Listener(cluster, "a", "w1", "t")
    cluster.advance(0.05)
    second = Listener(cluster, "a", "w1", "t")
    cluster.advance(0.05)
    assert not second.subscribed
    cluster.until(lambda: first.subscribed and second.subscribed, 1)
    third = Listener(cluster, "a", "w1", "t")
    cluster.advance(0.001)
    assert third.subscribed  # all know already


def test_a_process_gets_a_message_once(cluster: ClusterSimulation) -> None:
    async def body() -> list[Any]:
        await subscribe("orders.new")
        await subscribe("orders.new")
        await subscribe(pattern="orders.*")
        await subscribe(pattern="*.new")
        broadcast("orders.new", 1)
        broadcast("orders.old", 2)
        found = [await receive(timeout=1), await receive(timeout=1)]
        unsubscribe("orders.new")
        broadcast("orders.new", 3)  # by the patterns
        found.append(await receive(timeout=1))
        assert unsubscribe(pattern="orders.*")
        assert unsubscribe(pattern="*.new")
        assert not unsubscribe(pattern="*.new")
        assert not unsubscribe("orders.new")
        broadcast("orders.new", 4)
        with pytest.raises(TimeoutError):
            await receive(timeout=1)
        return found

    assert cluster.run("a", body) == [1, 2, 3]


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("orders.*", ["orders.", "orders.1.new", "orders.a\nb"], ["orders", "Orders.1"]),
        ("room:?", ["room:1"], ["room:", "room:12"]),
        ("[ab]", ["a", "b"], ["c", "ab"]),
        ("*", ["x", "any thing"], []),
        ("a+b", ["a+b"], ["aab"]),
    ],
)
def test_patterns_are_shell_globs_over_the_whole_topic(
    pattern: str, yes: list[str], no: list[str]
) -> None:
    with ClusterSimulation(seed=1, nodes=2) as cluster:
        cluster.form()
        listener = listen(cluster, "b/w1", pattern=pattern, tagged=True)
        for topic in yes + no:
            publish(cluster, "a", topic, 1)
        assert [published.topic for published in listener.got] == yes


def test_tagged_subscribers_get_topic_and_publisher(cluster: ClusterSimulation) -> None:
    here = listen(cluster, "a/w1", "t", tagged=True)
    there = listen(cluster, "b/w1", pattern="*", tagged=True)

    async def body() -> Any:
        broadcast("t", [1])
        return me()

    publisher = cluster.run("a", body)
    cluster.advance(0.1)
    assert here.got == there.got == [Published("t", [1], publisher)]


def test_broadcast_from_spares_one_process(cluster: ClusterSimulation) -> None:
    here = listen(cluster, "a/w1", "t")
    there = listen(cluster, "b/w1", "t")

    async def body() -> list[Any]:
        await subscribe("t")
        assert broadcast_from("t", 1) == 1
        assert broadcast_from("t", 2, from_=there.pid) == 2
        return [await receive(timeout=1)]

    assert cluster.run("a", body) == [2]
    cluster.advance(0.1)
    assert (here.got, there.got) == ([1, 2], [1])


def test_local_broadcast_stays_on_the_node(cluster: ClusterSimulation) -> None:
    listeners = [listen(cluster, place, "t") for place in ("a/w1", "a/w2", "b/w1")]
    assert ask(cluster, "a", local_broadcast, "t", 1) == 1
    cluster.advance(0.1)
    assert [listener.got for listener in listeners] == [[1], [1], []]


def test_direct_broadcast_goes_to_one_node(cluster: ClusterSimulation) -> None:
    listeners = [listen(cluster, place, "t") for place in ("a/w1", "b/w1", "b/w2", "c/w1")]
    assert ask(cluster, "a", direct_broadcast, "b", "t", 1) == 0
    assert ask(cluster, "a", direct_broadcast, "a", "t", 2) == 1
    cluster.advance(0.1)
    assert [listener.got for listener in listeners] == [[2], [1], [1], []]
    with pytest.raises(NoConnection, match="nowhere"):
        ask(cluster, "a", direct_broadcast, "nowhere", "t", 1)
    cluster.crash("b")
    cluster.until(cluster.agreed)
    with pytest.raises(NoConnection):
        ask(cluster, "a", direct_broadcast, "b", "t", 1)


def test_who_is_interested(cluster: ClusterSimulation) -> None:
    one = listen(cluster, "a/w1", "t")
    two = listen(cluster, "b/w2", pattern="t*")
    assert ask(cluster, "a", subscribers, "t") == [one.pid]
    assert ask(cluster, "b", subscribers, "t", host="w2") == [two.pid]
    for node in "abc":
        assert ask(cluster, node, topics) == ["t"]
        assert ask(cluster, node, patterns) == ["t*"]
        assert ask(cluster, node, nodes_interested, "t") == ["a", "b"]
        assert ask(cluster, node, nodes_interested, "u") == []


def test_the_interest_of_the_dead_ends(cluster: ClusterSimulation) -> None:
    one = listen(cluster, "b/w1", "one")
    listen(cluster, "b/w2", "two")
    listen(cluster, "c/w1", "three")
    counts = ops_sent(cluster, "ps")
    kill(one.kernel, one.pid)
    cluster.advance(0.1)
    assert ask(cluster, "a", topics) == ["three", "two"]
    cluster.nodes["b"].crash_host("w2")
    cluster.advance(0.1)
    assert ask(cluster, "a", topics) == ["three"]
    cluster.crash("c")
    cluster.until(cluster.agreed)
    assert ask(cluster, "a", topics) == []
    for topic in ("one", "two", "three"):
        publish(cluster, "a", topic, 1)
    assert counts == {}


def test_a_split_and_a_heal(cluster: ClusterSimulation) -> None:
    listener = listen(cluster, "c/w1", "t")
    cluster.isolate(["c"])
    cluster.until(lambda: len(cluster.nodes["a"].agent.view) == 2)
    assert ask(cluster, "a", topics) == []
    publish(cluster, "a", "t", "lost")
    cluster.network.heal()
    cluster.until(cluster.agreed)
    cluster.advance(0.1)
    publish(cluster, "a", "t", "found")
    assert listener.got == ["found"]


def test_a_new_host_and_a_new_node_learn_of_all_interests(cluster: ClusterSimulation) -> None:
    listener = listen(cluster, "c/w1", "t")
    cluster.nodes["a"].crash_host("w2")
    cluster.crash("b")
    cluster.until(cluster.agreed)
    cluster.start("b")
    cluster.until(cluster.agreed)
    cluster.advance(0.1)
    publish(cluster, "a", "t", 1, host="w2")
    publish(cluster, "b", "t", 2)
    assert listener.got == [1, 2]


def test_a_new_agent_is_told_again(cluster: ClusterSimulation) -> None:
    """As when the control host of a node has been restarted, and its table is empty."""
    listener = listen(cluster, "b/w1", "t")
    agent = cluster.nodes["b"].agent
    agent.kernel.turn(agent.delete, "ps:pubsub", ("b/w1", 0, "t"))
    cluster.advance(0.1)
    assert ask(cluster, "a", topics) == []
    agent.kernel.turn(agent.kernel.remote.op, "b/w1", ("ps_again",))
    cluster.advance(0.1)
    publish(cluster, "a", "t", 1)
    assert listener.got == [1]


def test_subscribers_share_nothing_mutable(cluster: ClusterSimulation) -> None:
    message = {"list": []}
    listeners = [listen(cluster, place, "t") for place in ("a/w1", "a/w1", "b/w1", "b/w1")]
    publish(cluster, "a", "t", message)
    for listener in listeners:
        listener.got[0]["list"].append(1)
    assert message == {"list": []}
    assert all(listener.got == [{"list": [1]}] for listener in listeners)


def test_what_cannot_be_sent_reaches_nobody(cluster: ClusterSimulation) -> None:
    listeners = [listen(cluster, place, "t") for place in ("a/w1", "b/w1")]
    with pytest.raises(Unsendable):
        ask(cluster, "a", broadcast, "t", (x for x in ()))
    cluster.advance(0.1)
    assert [listener.got for listener in listeners] == [[], []]


def test_a_slow_subscriber_keeps_nobody_waiting(cluster: ClusterSimulation) -> None:
    quick = listen(cluster, "b/w1", "t")

    async def slow() -> int:
        await subscribe("t")
        await receive(lambda message: message == "last")
        return len([await receive(timeout=0.1) for _ in range(100)])

    body = cluster.spawn("b", slow)
    cluster.advance(0.1)
    publish(cluster, "a", "t", *range(100))
    assert quick.got == list(range(100))
    assert not body.ended
    publish(cluster, "a", "t", "last")
    assert body.result() == 100


class Plain(GenServer):
    """Subscribes in a plain ``def`` callback."""

    def init(self) -> None:
        self.got: list[Any] = []
        subscribe("t")

    def handle_info(self, message: Any) -> None:
        self.got.append(message)

    def handle_call(self, request: Any, caller: Any) -> Any:
        return list(self.got)


def test_a_plain_callback_subscribes_without_waiting(cluster: ClusterSimulation) -> None:
    async def body() -> Any:
        server = await Plain.start_link()
        broadcast("t", 1)
        return await call(server, "got")

    assert cluster.run("a", body) == [1]


def test_names_are_apart(cluster: ClusterSimulation) -> None:
    one = listen(cluster, "b/w1", "t", name="one")
    two = listen(cluster, "b/w1", "t", name="two")
    ask(cluster, "a", lambda: broadcast("t", 1, name="one"))
    cluster.advance(0.1)
    assert (one.got, two.got) == ([1], [])


def test_a_thousand_topics_of_fifty_subscribers() -> None:
    with ClusterSimulation(seed=3, nodes=2, workers=1) as cluster:
        cluster.form()
        got: list[int] = []

        async def crowd(topic: str) -> None:
            await subscribe(topic)
            while True:
                got.append(await receive())

        for number in range(1000):
            for node in "ab" * 25:
                cluster.spawn(node, crowd, f"topic{number}")
        cluster.advance(2)
        assert len(ask(cluster, "a", topics)) == 1000

        async def all_topics() -> int:
            return sum(broadcast(f"topic{number}", number) for number in range(1000))

        assert cluster.run("a", all_topics) == 25_000
        cluster.advance(1)
        assert sorted(got) == sorted(list(range(1000)) * 50)
