"""Joining, admission, restarts, leaving, and who is told what."""

from __future__ import annotations

from random import Random

import pytest
from simnet import Net

from foundation.cluster.membership import Record, Swim
from foundation.cluster.timing import Timing


def kinds(node: object) -> list[str]:
    return [event[0] for _, event in node.log]  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [1, 2, 3, 10, 30])
def test_nodes_that_know_one_address_find_all(size: int) -> None:
    net = Net(size, encode=size <= 10)
    nodes = net.cluster(size)
    net.run(20)
    for node in nodes:
        assert kinds(node) == ["up"] * (size - 1)
        assert node.swim.view().names == tuple(sorted(net.nodes))
        assert len({n.swim.view().digest for n in nodes}) == 1
        assert node.swim.counters["pauses"] == 0
        assert node.swim.malformed == 0


def test_all_start_at_once_and_name_each_other() -> None:
    net = Net(3)
    for name in "abcde":
        net.add(name)
    addresses = [node.address for node in net.nodes.values()]
    for node in net.running():
        node.do("candidates", addresses)
    net.until(net.agreed, 3)
    net.run(30)
    for node in net.running():
        assert kinds(node) == ["up"] * 4
        assert len(node.swim.joining) == 0


def test_discovery_naming_us_or_members_does_nothing() -> None:
    net = Net(4)
    net.cluster(3)
    net.run(1)
    node = net.nodes["n1"]
    before = node.swim.counters["joins"]
    node.do("candidates", [n.address for n in net.running()])
    net.run(1)
    assert node.swim.counters["joins"] == before


def test_candidates_are_retried_with_back_off_and_forgotten() -> None:
    net = Net(5)
    node = net.add("a")
    node.do("candidates", ["10.9.9.9:1"])
    net.run(10)
    assert 4 <= node.swim.counters["joins"] <= 8
    net.run(300)
    assert len(node.swim.joining) == 0
    assert node.swim.counters["joins"] < 25


def test_a_lost_join_is_tried_again() -> None:
    net = Net(6)
    net.add("a")
    net.add("b")
    net.split(["a"], ["b"])
    net.nodes["b"].do("candidates", [net.nodes["a"].address])
    net.run(1)
    net.heal()
    net.until(net.agreed, 4)


def test_another_cluster_is_refused_and_told_once() -> None:
    net = Net(7)
    net.add("a")
    b = net.add("b", cluster="other", seeds=["a"])
    net.run(60)
    refused = [event for _, event in b.log]
    assert len(refused) == 1
    assert refused[0][:2] == ("refused", net.nodes["a"].address)
    assert "set the same cluster name on both" in refused[0][2]
    assert b.names() == ["b"]
    assert net.nodes["a"].names() == ["a"]


def test_protocol_versions() -> None:
    net = Net(8)
    net.add("a", versions=(1, 2))
    net.add("b", versions=(2, 4), seeds=["a"])
    c = net.add("c", versions=(3, 4), seeds=["a"])
    net.run(5)
    assert net.nodes["a"].names() == ["a", "b"]
    assert "no common protocol version" in c.log[0][1][2]


def test_a_taken_name_is_refused_until_its_holder_is_gone() -> None:
    net = Net(9)
    net.cluster(3)
    first = net.nodes["n2"]
    thief = net.add("n2", address="10.1.1.1:7000", generation=5, seeds=["n0"])
    net.nodes["n2"] = first
    net.run(3)
    assert thief.log[0][1][0] == "refused"
    assert "is taken by the live node at 10.0.0.n2:7000" in thief.log[0][1][2]
    assert net.nodes["n0"].swim.record("n2").address == first.address
    net.crash("n2")
    net.nodes["n2"] = thief
    net.until(net.agreed, 20)


@pytest.mark.parametrize("generation", [1, 2, 3, 9])
@pytest.mark.parametrize("noticed", [False, True])
def test_a_restart_is_a_new_life(generation: int, noticed: bool) -> None:
    """Whatever generation it is given: a stale or equal one is raised."""
    net = Net(10 + generation)
    net.add("n0")
    net.add("n1", seeds=["n0"])
    net.add("n2", seeds=["n0"], generation=3)
    net.until(net.agreed, 5)
    net.run(1)
    net.crash("n2")
    net.run(5 if noticed else 0.05)
    at = net.now
    again = net.add("n2", seeds=["n0"], generation=generation)
    net.until(net.agreed, 1)
    assert again.swim.generation > 3
    expected = 9 if generation == 9 else 4
    assert again.swim.generation == expected
    net.run(30)
    for name in ("n0", "n1"):
        node = net.nodes[name]
        downs, ups = node.happened("down", "n2"), node.happened("up", "n2")
        assert [record.generation for _, record in downs] == [3]
        assert [record.generation for _, record in ups] == [3, expected]
        assert downs[0][1].reason == ("silent" if noticed else "killed")
        assert noticed or downs[0][0] - at < 0.2
    if generation != 9:
        assert ("generation", 4) in [event for _, event in again.log]


def test_a_new_name_at_the_address_of_a_member_ends_that_member() -> None:
    net = Net(20)
    net.cluster(3)
    net.crash("n2")
    net.nodes.pop("n2")
    net.add("other", address="10.0.0.n2:7000", seeds=["n0"])
    net.until(net.agreed, 1)
    assert net.nodes["n1"].happened("down", "n2")[0][1].reason == "killed"


def test_late_messages_of_an_old_life_do_no_harm() -> None:
    net = Net(21)
    net.cluster(3)
    old = net.nodes["n2"].swim.record("n2")
    net.crash("n2")
    new = net.add("n2", seeds=["n0"], generation=2)
    net.until(net.agreed, 2)
    news = [(*_fields(old), "")]
    for late in (
        ("swim.ping", 1, "n2", 1, "n0", 1, news),
        ("swim.news", "n2", 1, news),
        ("swim.news", "n2", 1, [(*_fields(old)[:2], 1 << 40, "left", *_fields(old)[4:], "")]),
        ("swim.ack", 1, "n2", 1, "", ()),
    ):
        for name in ("n0", "n1"):
            net.nodes[name].do("receive", old.address, late)
    net.run(2)
    assert net.agreed()
    for name in ("n0", "n1"):
        assert net.nodes[name].swim.record("n2").generation == 2
        assert len(net.nodes[name].happened("down", "n2")) == 1
    assert new.running


def _fields(record: Record) -> tuple[object, ...]:
    return (
        record.name,
        record.generation,
        record.incarnation,
        record.status,
        record.address,
        record.labels,
        record.draining,
        record.reason,
        record.meta,
    )


def test_who_lost_its_name_in_a_partition_is_told() -> None:
    net = Net(22)
    a = net.add("a")
    b = net.add("b", seeds=["a"])
    net.until(net.agreed, 2)
    rival = net.add("x", address="10.0.0.r:1")
    net.nodes.pop("x")
    rival.swim = Swim(
        name="b", address="10.0.0.r:1", generation=7, cluster="c", rng=Random(1), timing=LAN_
    )
    rival.do("start")
    net.split(["a"], ["b"])
    net.until(lambda: a.names() == ["a"], 5)
    rival.do("candidates", [a.address])
    net.until(lambda: a.names() == ["a", "b"], 15)
    net.heal()
    net.run(20)
    conflicts = [event for _, event in b.log if event[0] == "conflict"]
    assert len(conflicts) == 1
    assert conflicts[0][1].address == "10.0.0.r:1"
    assert not [event for _, event in rival.log if event[0] == "conflict"]
    assert a.swim.record("b").address == "10.0.0.r:1"


LAN_ = Timing()


def test_an_alias_of_ourselves_and_of_a_member_is_recognised() -> None:
    net = Net(23)
    net.cluster(2)
    node = net.nodes["n0"]
    net.at["localhost:1"], net.at["localhost:2"] = node, net.nodes["n1"]
    net.run(1)
    for _ in range(20):
        node.do("candidates", ["localhost:1", "localhost:2"])
        net.run(1)
    # A join to itself is answered by nobody but itself; one to a member by its welcome.
    assert node.swim.counters["joins"] <= 4
    assert len(node.swim.joining) == 0
    assert node.names() == ["n0", "n1"]


def test_leaving_is_known_in_milliseconds_and_final() -> None:
    net = Net(24)
    nodes = net.cluster(10)
    net.run(2)
    joins = [node.swim.counters["joins"] for node in nodes]
    at = net.now
    nodes[3].do("leave")
    net.run(60)
    for node in nodes:
        if node is not nodes[3]:
            (when, record), *more = node.happened("down")
            assert when - at < 0.02
            assert (record.name, record.status, record.reason) == ("n3", "left", "")
            assert not more
            assert len(node.swim.members()) == 9
    assert joins == [node.swim.counters["joins"] for node in nodes]
    nodes[3].do("lost", nodes[0].address, False)
    nodes[3].do("candidates", ["h:1"])
    nodes[3].do("heard", "n0", 1)
    assert nodes[3].swim.next_wake == float("inf")
    nodes[3].do("receive", nodes[0].address, ("swim.ping", 1, "n0", 1, "n3", 1, ()))
    nodes[3].swim.outbox.clear()
    nodes[3].swim.receive(net.now, "x:1", ("swim.ping", 1, "n0", 1, "n3", 1, ()))
    ((address, message),) = nodes[3].swim.outbox
    assert (address, message[0], message[3][0][3]) == ("x:1", "swim.news", "left")
    assert nodes[3].swim.next_wake == float("inf")


def test_a_node_that_left_comes_back_as_a_new_life() -> None:
    net = Net(25)
    net.cluster(3)
    net.nodes["n2"].do("leave")
    net.run(0.5)
    net.crash("n2")
    net.add("n2", seeds=["n0"])
    net.until(net.agreed, 2)
    assert net.nodes["n2"].swim.generation == 2


def test_what_a_node_says_of_itself_is_told_to_all() -> None:
    net = Net(26, encode=True)
    nodes = net.cluster(5)
    versions = [node.swim.view().version for node in nodes]
    nodes[1].do("update", labels=(("zone", "a"),))
    nodes[1].do("update", draining=True, meta=b"m" * 1024)
    net.run(1)
    for node, version in zip(nodes, versions, strict=True):
        record = node.swim.record("n1")
        assert (record.labels, record.draining, record.meta) == (
            (("zone", "a"),),
            True,
            b"m" * 1024,
        )
        assert node.swim.view().member("n1").draining
        assert node.swim.view().version > version
        if node is not nodes[1]:
            assert node.happened("changed", "n1")
    with pytest.raises(ValueError, match="1025 bytes"):
        nodes[1].swim.update(net.now, meta=b"m" * 1025)


def test_suspicion_does_not_change_the_view() -> None:
    net = Net(27)
    nodes = net.cluster(3)
    version = nodes[0].swim.view().version
    nodes[0].do("lost", nodes[1].address, False)
    net.run(1)
    assert [event[0] for _, event in nodes[0].log][2:] == ["suspect", "alive"]
    assert nodes[0].swim.view().version == version
