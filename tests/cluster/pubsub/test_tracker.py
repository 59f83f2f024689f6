"""Presence in a cluster where nothing goes wrong, or one thing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from foundation.cluster.pubsub import AlreadyTracked, NotTracked, Tracker
from foundation.errors import NoProc, Unsendable
from foundation.otp import me, monitor, receive
from foundation.testing.cluster_sim import ClusterSimulation
from tests.cluster.pubsub.actors import Watcher, ask, kill, sleep_for_ever


@pytest.fixture(params=range(5))
def cluster(request: pytest.FixtureRequest) -> Iterator[ClusterSimulation]:
    with ClusterSimulation(seed=request.param, nodes=3, workers=2) as made:
        made.form()
        yield made


def guest(cluster: ClusterSimulation, node: str, key: Any, meta: Any, host: str = "w1") -> Any:
    """Start a process that is tracked in the room for ever; return its pid."""

    async def body() -> None:
        await Tracker.track("room", key, meta)
        await sleep_for_ever()

    pid = cluster.spawn(node, body, host=host).pid
    cluster.advance(0.1)
    return pid


def values(cluster: ClusterSimulation, node: str, host: str = "w1") -> dict[Any, list[Any]]:
    listed = ask(cluster, node, Tracker.list, "room", host=host)
    return {key: [meta.value for meta in metas] for key, metas in listed.items()}


def test_all_hosts_list_who_is_tracked(cluster: ClusterSimulation) -> None:
    guest(cluster, "a", "ann", {"on": "phone"})
    guest(cluster, "b", "ann", {"on": "desk"}, host="control")
    bob = guest(cluster, "c", ("bob", 1), None)
    for node in "abc":
        for host in ("control", "w1", "w2"):
            listed = values(cluster, node, host)
            assert sorted(map(str, listed["ann"])) == ["{'on': 'desk'}", "{'on': 'phone'}"]
            assert listed[("bob", 1)] == [None]
            assert len(listed) == 2
    assert ask(cluster, "a", Tracker.count, "room") == 2
    assert [m.pid for m in ask(cluster, "a", Tracker.get, "room", ("bob", 1))] == [bob]
    assert ask(cluster, "a", Tracker.get, "room", "eve") == []
    assert ask(cluster, "a", Tracker.topics) == ["room"]


def test_what_was_awaited_is_seen_everywhere(cluster: ClusterSimulation) -> None:
    def there(node: str) -> Any:
        return cluster.spawn(node, lambda: Tracker.list("room"), host="w2")

    async def body() -> list[Any]:
        await Tracker.track("room", "ann", 1)
        tracked = [there(node) for node in "abc"]
        await Tracker.update("room", "ann", 2)
        updated = [there(node) for node in "abc"]
        await Tracker.untrack("room", "ann")
        return [tracked, updated, [there(node) for node in "abc"]]

    found = cluster.run("a", body)
    cluster.advance(0.1)
    seen = [[[m.value for m in b.result().get("ann", [])] for b in bodies] for bodies in found]
    assert all(found in ([1], [2]) for found in seen[0])  # it may look after the update
    assert all(found in ([2], []) for found in seen[1])
    assert seen[2] == [[]] * 3


def test_diffs_say_what_has_changed_once(cluster: ClusterSimulation) -> None:
    watchers = [Watcher(cluster, node, "w2", "room") for node in "abc"]
    cluster.advance(0.01)

    async def body() -> None:
        await Tracker.track("room", "ann", [1])
        await Tracker.update("room", "ann", lambda old: [*old, 2])
        await Tracker.track("elsewhere", "ann", 0)

    cluster.run("a", body)
    cluster.advance(0.1)
    for watcher in watchers:
        assert watcher.alive
        told = [
            (
                {key: [m.value for m in metas] for key, metas in diff.joins.items()},
                {key: [m.value for m in metas] for key, metas in diff.leaves.items()},
            )
            for diff in watcher.diffs
        ]
        assert told == [
            ({"ann": [[1]]}, {}),
            ({"ann": [[1, 2]]}, {"ann": [[1]]}),
            ({}, {"ann": [[1, 2]]}),  # its process has ended
        ]


def test_who_subscribes_gets_the_state_from_which_diffs_go_on(cluster: ClusterSimulation) -> None:
    guest(cluster, "a", "ann", 1)
    watcher = Watcher(cluster, "b", "w1", "room")
    cluster.advance(0.1)
    assert list(watcher.values().values()) == [1]
    assert watcher.diffs == []
    guest(cluster, "c", "bob", 2)
    assert sorted(watcher.values().values()) == [1, 2]
    assert len(watcher.diffs) == 1


def test_unsubscribe(cluster: ClusterSimulation) -> None:
    async def body() -> None:
        Tracker.subscribe("room")
        assert Tracker.unsubscribe("room")
        assert not Tracker.unsubscribe("room")
        await Tracker.track("room", "ann")
        with pytest.raises(TimeoutError):
            await receive(timeout=1)

    cluster.run("a", body)


def test_track_many_is_one_step(cluster: ClusterSimulation) -> None:
    watcher = Watcher(cluster, "b", "w1", "room")

    async def body() -> None:
        await Tracker.track_many([("room", number, number) for number in range(500)])
        with pytest.raises(AlreadyTracked):
            Tracker.track_many([("room", 1000, 0), ("room", 7, 0)])
        with pytest.raises(AlreadyTracked):
            Tracker.track_many([("room", 1000, 0), ("room", 1000, 1)])
        assert Tracker.count("room") == 500
        await sleep_for_ever()

    cluster.spawn("a", body)
    cluster.advance(0.5)
    assert watcher.alive
    assert len(watcher.here) == 500


def test_track_update_untrack_of_what_is_not_there(cluster: ClusterSimulation) -> None:
    async def body() -> None:
        with pytest.raises(NotTracked, match=r"Tracker\.track first"):
            Tracker.update("room", "ann", 1)
        await Tracker.untrack("room", "ann")
        await Tracker.untrack()
        await Tracker.track("room", "ann", 1)
        with pytest.raises(AlreadyTracked, match=r"Tracker\.update"):
            Tracker.track("room", "ann", 2)
        await Tracker.track("room", "bob", 1)
        await Tracker.track("hall", "ann", 1)
        await Tracker.untrack("room", "ann")
        assert list(Tracker.list("room")) == ["bob"]
        await Tracker.untrack()
        assert Tracker.list("room") == Tracker.list("hall") == {}
        await Tracker.track("room", "ann", 3)  # it may come back
        assert Tracker.get("room", "ann")[0].value == 3

    cluster.run("a", body)


def test_the_dead_leave_at_once(cluster: ClusterSimulation) -> None:
    pids = [guest(cluster, "b", 1, 1), guest(cluster, "b", 2, 2, "w2"), guest(cluster, "c", 3, 3)]
    watcher = Watcher(cluster, "a", "w1", "room")
    kill(cluster.kernel("b"), pids[0])
    cluster.advance(0.05)
    assert values(cluster, "a") == {2: [2], 3: [3]}
    cluster.nodes["b"].crash_host("w2")
    cluster.advance(0.05)
    assert values(cluster, "a") == {3: [3]}
    cluster.crash("c")
    cluster.until(lambda: not values(cluster, "a"), 1, step=0.01)
    assert watcher.alive
    assert watcher.here == {}
    assert [list(diff.leaves) for diff in watcher.diffs] == [[1], [2], [3]]


def test_a_process_known_dead_is_not_listed(cluster: ClusterSimulation) -> None:
    pid = guest(cluster, "b", "ann", 1)

    async def body() -> Any:
        monitor(pid)
        await receive()
        return Tracker.list("room")

    seen = [cluster.spawn(node, body, host=host) for node, host in (("a", "w1"), ("b", "w2"))]
    cluster.advance(0.05)
    kill(cluster.kernel("b"), pid)
    cluster.until(lambda: all(body.ended for body in seen))
    assert [body.result() for body in seen] == [{}, {}]


def test_a_node_that_is_only_suspected_stays(cluster: ClusterSimulation) -> None:
    guest(cluster, "b", "ann", 1)
    watcher = Watcher(cluster, "a", "w1", "room")
    cluster.advance(0.1)
    cluster.pause("b", 0.8)
    cluster.advance(3)
    assert watcher.alive
    assert watcher.diffs == []
    assert values(cluster, "a") == {"ann": [1]}


def test_a_split_is_a_leave_and_a_heal_is_a_join(cluster: ClusterSimulation) -> None:
    guest(cluster, "a", "ann", 1)
    guest(cluster, "c", "carl", 3)
    watchers = [Watcher(cluster, node, "w1", "room") for node in "abc"]
    cluster.advance(0.1)
    cluster.isolate(["c"])
    cluster.advance(10)
    assert [sorted(w.values().values()) for w in watchers] == [[1], [1], [3]]
    cluster.network.heal()
    cluster.until(cluster.agreed)
    cluster.advance(0.5)
    assert [sorted(w.values().values()) for w in watchers] == [[1, 3]] * 3
    for watcher, other in zip(watchers, ("carl", "carl", "ann"), strict=True):
        assert watcher.alive
        assert [(list(d.joins), list(d.leaves)) for d in watcher.diffs] == [
            ([], [other]),
            ([other], []),
        ]


def test_a_new_agent_is_told_again(cluster: ClusterSimulation) -> None:
    """As when the control host of a node has been restarted, and its table is empty."""
    pid = guest(cluster, "b", "ann", 1)
    agent = cluster.nodes["b"].agent
    agent.kernel.turn(agent.delete, "tr:presence", ("room", "ann", pid))
    cluster.advance(0.1)
    assert values(cluster, "a") == {}
    agent.kernel.turn(agent.kernel.remote.op, "b/w1", ("ps_again",))
    cluster.advance(0.1)
    assert values(cluster, "a") == {"ann": [1]}


def test_nothing_remains_of_nodes_that_have_gone() -> None:
    with ClusterSimulation(seed=1, nodes=2) as cluster:
        cluster.form()
        for _ in range(20):
            guest(cluster, "b", "ann", 1)
            cluster.crash("b")
            cluster.until(cluster.agreed)
            cluster.start("b")
            cluster.until(cluster.agreed)
        view = cluster.kernel("a").tables["pubsub"].presences("presence").view
        assert (view._topics, view._by_pid, view._watched) == ({}, {}, {})


def test_another_process_of_the_host_can_be_tracked(cluster: ClusterSimulation) -> None:
    async def body() -> Any:
        await Tracker.track("room", "ann", 1, pid=guest_pid)
        return me()

    guest_pid = cluster.spawn("a", sleep_for_ever).pid
    far = cluster.spawn("b", sleep_for_ever).pid
    cluster.run("a", body)
    assert values(cluster, "b") == {"ann": [1]}
    kill(cluster.kernel("a"), guest_pid)
    cluster.advance(0.05)
    assert values(cluster, "b") == {}
    with pytest.raises(NoProc):
        ask(cluster, "a", lambda: Tracker.track("room", "x", 1, pid=far))


def test_what_is_said_is_nobodys_to_change(cluster: ClusterSimulation) -> None:
    async def body() -> None:
        said = {"list": [1]}
        await Tracker.track("room", "ann", said)
        said["list"].append(2)
        Tracker.list("room")["ann"][0].value["list"].append(3)
        assert Tracker.get("room", "ann")[0].value == {"list": [1]}

    cluster.run("a", body)


@pytest.mark.parametrize("key", [1.0, True, None, [1], ("a", 1.5), {"a"}])
def test_keys_that_could_be_mistaken_are_refused(key: Any) -> None:
    with ClusterSimulation(seed=1, nodes=1) as cluster:
        cluster.form()
        with pytest.raises(TypeError, match="a presence's key must be"):
            ask(cluster, "a", Tracker.track, "room", key)


def test_wrong_arguments() -> None:
    with ClusterSimulation(seed=1, nodes=1) as cluster:
        cluster.form()
        for error, function in (
            (TypeError, lambda: Tracker.track(7, "ann")),
            (ValueError, lambda: Tracker.list("")),
            (TypeError, lambda: Tracker.list("room", name=7)),
            (TypeError, lambda: Tracker.get("room", [])),
            (ValueError, lambda: Tracker.untrack(key="ann")),
            (Unsendable, lambda: Tracker.track("room", "ann", (x for x in ()))),
            (TypeError, lambda: Tracker.spec(7)),
        ):
            with pytest.raises(error):
                ask(cluster, "a", function)
        assert ask(cluster, "a", Tracker.list, "room") == {}
