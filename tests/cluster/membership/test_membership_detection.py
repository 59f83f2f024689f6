"""Finding the dead, and leaving the living in peace."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from simnet import Net, Node, steady_state_bytes

WORST = 3.0


def silence(size: int, seed: int, loss: float, deaths: int = 1) -> float:
    """Return the longest time from the last sign of life of a node to an event on another."""
    net = Net(seed, loss=loss, check=False)
    net.cluster(size)
    net.run(3 + net.rng.random())
    victims = net.rng.sample(sorted(net.nodes), deaths)
    at = net.now
    for name in victims:
        net.crash(name)
    signs = {name: net.last_sign[net.nodes[name].address] for name in victims}

    def seen(node: Node, name: str) -> list[float]:
        return [when for when, _ in node.happened("down", name) if when >= at]

    net.until(lambda: all(seen(n, v) for n in net.running() for v in victims), 10)
    # Nobody was paused, so nobody must have given the dead more time.
    assert not [n.name for n in net.running() if n.swim.counters["pauses"]], f"seed {seed}"
    return max(seen(n, v)[0] - signs[v] for n in net.running() for v in victims)


@pytest.mark.parametrize(
    ("size", "trials"), [(2, 60), (3, 60), (5, 40), (10, 20), (20, 6), (50, 3)]
)
@pytest.mark.parametrize("loss", [0.0, 0.02])
def test_a_silent_node_is_found_in_time(size: int, trials: int, loss: float) -> None:
    times = {silence(size, seed, loss): seed for seed in range(trials)}
    assert max(times) < WORST, f"{max(times):.2f} s with seed {times[max(times)]}"


@pytest.mark.parametrize(("size", "deaths"), [(3, 2), (5, 2), (10, 4), (50, 5)])
def test_several_that_die_at_once_are_found_in_time(size: int, deaths: int) -> None:
    times = {silence(size, seed, 0.0, deaths): seed for seed in range(100 // size)}
    assert max(times) < WORST, f"{max(times):.2f} s with seed {times[max(times)]}"


@pytest.mark.parametrize("size", [2, 3, 10, 50])
def test_a_killed_process_is_known_everywhere_at_once(size: int) -> None:
    """One node alone sees the refused connection; the others hear of it."""
    for seed in range(5 if size < 50 else 2):
        net = Net(seed, check=size < 50)
        net.cluster(size)
        net.run(3)
        net.crash("n1")
        at = net.now
        net.nodes["n0"].do("lost", net.nodes["n1"].address, True)
        net.run(1)
        for node in net.running():
            ((when, record),) = node.happened("down")
            assert record.reason == "killed"
            assert when - at < 0.2, f"{when - at:.3f} s, seed {seed}"
        net.run(5)
        assert len(net.nodes["n0"].happened("down")) == 1


def test_who_is_wrongly_said_to_be_killed_is_up_again() -> None:
    for size in (2, 5):
        net = Net(size)
        nodes = net.cluster(size)
        net.run(1)
        nodes[0].do("lost", nodes[1].address, True)
        assert nodes[0].happened("down", "n1")[0][1].reason == "killed"
        assert net.until(net.agreed, 3) < 1
        assert len(nodes[0].happened("up", "n1")) == 2
        assert nodes[1].swim.counters["refutations"] >= 1
        assert nodes[1].swim.generation == 1


def test_a_broken_connection_is_suspicion_at_once_and_refuted_at_once() -> None:
    net = Net(1)
    nodes = net.cluster(5)
    net.run(1)
    at = net.now
    nodes[0].do("lost", nodes[1].address, False)
    net.run(2)
    assert nodes[0].happened("suspect", "n1")[0][0] == at
    assert nodes[0].happened("alive", "n1")[0][0] - at < 0.02
    net.crash("n1")
    at = net.now
    nodes[0].do("lost", nodes[1].address, False)
    net.until(lambda: all(node.happened("down", "n1") for node in net.running()), 1.6)


def test_a_paused_observer_does_not_accuse() -> None:
    for seed in range(20):
        net = Net(seed)
        node = net.cluster(4)[0]
        for _ in range(4):
            net.run(3 * net.rng.random())
            pause = net.rng.choice([0.3, 1.0, 10.0])
            net.pause("n0", pause)
            net.run(pause + 1)
        wrong = [event for _, event in node.log if event[0] in ("suspect", "down")]
        blamed = [event for event in wrong if event[1].name != "n0"]
        assert not blamed, f"seed {seed}: {blamed}"
        net.until(net.agreed, 20)


def test_a_node_paused_long_is_down_and_then_up_again() -> None:
    net = Net(2)
    nodes = net.cluster(3)
    net.pause("n2", 10)
    net.run(9)
    assert nodes[0].names() == ["n0", "n1"]
    net.run(1)
    assert net.until(net.agreed, 2) < 1
    assert nodes[2].swim.generation == 1
    assert not nodes[2].happened("down")


def test_a_driver_that_is_always_late_still_finds_the_dead() -> None:
    net = Net(3)
    nodes = net.cluster(2)
    net.crash("n1")
    node, at = nodes[0], net.now
    node.paused = True  # driven by hand: each tick comes 80 ms after it was wanted
    while not node.happened("down"):
        net.run(max(0.0, node.swim.next_wake - net.now) + 0.08)
        node.do("tick")
        assert net.now - at < 5


def test_other_traffic_spares_probes() -> None:
    net = Net(4)
    nodes = net.cluster(3)
    net.run(1)
    before = {node.name: node.swim.counters["probes"] for node in nodes}
    for _ in range(100):
        net.run(0.1)
        for node in nodes:
            for other in nodes:
                node.do("heard", other.name, 1)
    assert all(node.swim.counters["probes"] - before[node.name] <= 1 for node in nodes)
    assert nodes[0].swim.last_heard("n1") == net.now
    assert nodes[0].swim.last_heard("nobody") == float("-inf")


def test_traffic_of_one_thought_dead_lets_it_refute() -> None:
    net = Net(5)
    nodes = net.cluster(2)
    nodes[0].do("lost", nodes[1].address, True)
    nodes[0].do("heard", "n1", 1)
    net.run(0.02)
    assert net.agreed()


def cut_names(net: Net, pairs: Iterable[tuple[str, str]]) -> None:
    for a, b in pairs:
        net.cut([a], [b])


@pytest.mark.parametrize("pairs", [[("n0", "n2")], [("n2", "n0")], [("n0", "n2"), ("n2", "n0")]])
@pytest.mark.parametrize("size", [3, 8])
def test_a_link_broken_in_one_or_both_directions_drops_nobody(
    pairs: list[tuple[str, str]], size: int
) -> None:
    net = Net(6 + size)
    nodes = net.cluster(size)
    cut_names(net, pairs)
    net.run(60)
    for node in nodes:
        assert not node.happened("down")
        assert net.now - node.swim.last_heard(nodes[0].name) < 20 or node is nodes[0]
    one, other = nodes[0], nodes[2]
    relays = [n.address for n in nodes if n not in (one, other)]
    assert one.swim.reach("n2", net.now) in relays
    assert other.swim.reach("n0", net.now) in relays
    assert one.swim.reach("n1", net.now) == nodes[1].address
    assert one.swim.reach("nobody", net.now) is None
    net.heal()
    net.run(10)
    assert one.swim.reach("n2", net.now) == other.address
    assert other.swim.reach("n0", net.now) == one.address


def test_a_deaf_node_is_declared_down() -> None:
    net = Net(9)
    nodes = net.cluster(5)
    net.cut([n.name for n in nodes if n is not nodes[4]], ["n4"])
    net.run(6)
    for node in nodes[:4]:
        assert node.happened("down", "n4")


def test_a_split_heals_and_both_sides_are_up_again() -> None:
    for seed in range(4):
        net = Net(seed, loss=0.02)
        nodes = net.cluster(8)
        ones, others = ["n0", "n1", "n2"], ["n3", "n4", "n5", "n6", "n7"]
        net.split(ones, others)
        net.run(100)
        assert nodes[0].names() == ones
        assert nodes[7].names() == others
        net.heal()
        at = net.now
        assert net.until(net.agreed, 13) < 13, f"seed {seed}"
        for node in nodes:
            side = ones if node.name in ones else others
            for name in side:
                assert not node.happened("down", name), f"seed {seed}: {node.name} lost {name}"
            assert all(when > at for when, _ in node.happened("up")[7:])


def test_lost_gossip_is_repaired_by_comparing() -> None:
    net = Net(10)
    nodes = net.cluster(4)
    net.run(1)
    nodes[0].swim.update(net.now, labels=(("a", "b"),))
    nodes[0].swim.news.clear()
    net.after(nodes[0])
    net.run(60)
    assert all(node.swim.record("n0").labels == (("a", "b"),) for node in nodes)


def test_the_cost_of_a_quiet_cluster_does_not_grow_with_its_size() -> None:
    per_node = {size: steady_state_bytes(size, 60) for size in (3, 10, 50)}
    assert per_node[50] < 1.3 * per_node[3], per_node
    assert max(per_node.values()) < 600, per_node


def no_false_alarm(size: int, hours: float, seed: int) -> None:
    net = Net(seed, loss=0.02, check=False)
    nodes = net.cluster(size)

    def pause() -> None:
        net.pause(net.rng.choice(sorted(net.nodes)), 0.2)
        net.later(net.rng.expovariate(1 / 5), pause)

    pause()
    net.run(hours * 3600)
    downs = [(at, event) for node in nodes for at, event in node.log if event[0] == "down"]
    assert not downs, f"seed {seed}: {downs[:3]}"
    assert net.agreed() or net.until(net.agreed, 5)


@pytest.mark.parametrize("size", [2, 3, 5])
def test_no_false_alarm_in_two_hours(size: int) -> None:
    no_false_alarm(size, 2, seed=size)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("size", [2, 3, 5])
def test_no_false_alarm_in_ten_hours(size: int) -> None:
    no_false_alarm(size, 10, seed=100 + size)
