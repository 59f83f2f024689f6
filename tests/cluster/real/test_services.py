"""Names, topics, presence and distributed children, while nodes are killed and stopped."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from foundation.cluster import NodeDown, NodeUp
from tests.cluster.real.jobs import lives, overlaps
from tests.cluster.real.kit import RealCluster, RealNode, eventually

pytestmark = pytest.mark.real
BODIES = "tests.cluster.real.service_bodies"
APP = f"{BODIES}:services"
COUNT = 30


def formed(cluster: RealCluster, names: str = "abc") -> list[RealNode]:
    """Start nodes with everything."""
    nodes = cluster.form(names, app=APP)
    for node in nodes:
        node.record()
    return nodes


def all_run(cluster: RealCluster, nodes: str, name: str = "jobs", count: int = COUNT) -> float:
    """Wait until all children run, on *nodes*, as all of these see it; return how long it took."""
    began = time.monotonic()

    def seen(at: str) -> bool:
        jobs = cluster.nodes[at].run(f"{BODIES}:jobs_of", name)
        return [(id, status) for id, _, status in jobs] == [
            (id, "running") for id in range(count)
        ] and {node for _, node, _ in jobs} <= set(nodes)

    for node in nodes:
        try:
            eventually(lambda node: seen(node), node, what=f"all children at {node}", seconds=30)
        except AssertionError as error:
            told = [cluster.nodes[n].run(f"{BODIES}:explained", name, count) for n in nodes]
            raise AssertionError(f"{error}: {dict(zip(nodes, told, strict=True))}") from None
    return time.monotonic() - began


def balanced(cluster: RealCluster, nodes: str, name: str = "jobs") -> None:
    """Wait until each of *nodes* has children."""

    def having() -> set[str]:
        return {node for _, node, _ in cluster.nodes[nodes[0]].run(f"{BODIES}:jobs_of", name)}

    eventually(lambda: having() == set(nodes), what="children on each node", seconds=30)


def answers(
    cluster: RealCluster, node: str, name: str = "jobs", count: int = COUNT
) -> Counter[str | None]:
    """Call all children; count by node."""
    return Counter(cluster.nodes[node].run(f"{BODIES}:call_jobs", name, count))


def test_children_of_a_killed_node_run_elsewhere_once(cluster: RealCluster) -> None:
    a, b, _ = formed(cluster)
    folder = Path(cluster.folder)
    assert a.run(f"{BODIES}:start_jobs", "jobs", COUNT, str(folder)) == COUNT
    all_run(cluster, "abc")
    balanced(cluster, "abc")
    first = answers(cluster, "b")
    killed = a.kill()
    b.event(NodeDown, "a")
    all_run(cluster, "bc")
    print(f"kill -9 to all children running: {time.monotonic() - killed:.2f} s, were {first}")
    assert set(answers(cluster, "b")) == {"b", "c"}
    cluster.start("a", app=APP)
    b.event(NodeUp, "a")
    balanced(cluster, "abc")
    print(f"again balanced: all running after {all_run(cluster, 'abc'):.2f} s")
    cluster.nodes["a"].kill("control")
    b.event(NodeDown, "a", 2)
    b.event(NodeUp, "a", 2)
    balanced(cluster, "abc")
    all_run(cluster, "abc")
    cluster.nodes["c"].kill("w1")
    eventually(lambda: None not in answers(cluster, "b"), what="answers of all children")
    all_run(cluster, "abc")
    assert overlaps(folder) == []
    assert len(lives(folder)) == COUNT


def test_children_move_away_when_a_node_leaves(cluster: RealCluster) -> None:
    a, b, _ = formed(cluster)
    folder = Path(cluster.folder)
    a.run(f"{BODIES}:start_jobs", "jobs", COUNT, str(folder))
    all_run(cluster, "abc")
    balanced(cluster, "abc")
    began = time.monotonic()
    assert a.stop() == 0
    print(f"an orderly stop with children took {time.monotonic() - began:.2f} s")
    _, event = b.event(NodeDown, "a")
    assert event.reason == "left"
    all_run(cluster, "bc")
    assert overlaps(folder) == []


def test_children_of_a_stopped_node(cluster: RealCluster) -> None:
    a, b, _ = formed(cluster)
    folder = Path(cluster.folder)
    a.run(f"{BODIES}:start_jobs", "jobs", COUNT, str(folder))
    all_run(cluster, "abc")
    balanced(cluster, "abc")
    a.freeze()
    b.event(NodeDown, "a")
    all_run(cluster, "bc")
    a.thaw()
    b.event(NodeUp, "a")
    cluster.agreed("abc")
    all_run(cluster, "abc")
    balanced(cluster, "abc")
    all_run(cluster, "abc")
    settled = time.monotonic()
    eventually(lambda: time.monotonic() > settled + 0.5)
    counts = Counter(answers(cluster, "c"))
    assert sum(counts.values()) == COUNT
    assert None not in counts
    # "keep": two may have run while a was away, and until it knew; none since.
    assert overlaps(folder, since=settled) == []


def test_names_are_unique_and_go_with_their_node(cluster: RealCluster) -> None:
    nodes = formed(cluster)
    keys = [("key", number) for number in range(60)]
    for node in nodes:
        node.begin(f"{BODIES}:race", keys)
    eventually(lambda: sum(len(n.do(f"{BODIES}:won")) for n in nodes) == len(keys), what="all won")
    won = {key: node.name for node in nodes for key in node.do(f"{BODIES}:won")}
    tokens = {key: token for node in nodes for key, token in node.do(f"{BODIES}:won").items()}
    wanted = [won[key] for key in keys]
    for node in nodes:
        eventually(
            lambda node: node.run(f"{BODIES}:holders", keys) == wanted, node, what="same holders"
        )
    a, b, c = nodes
    mine = [key for key in keys if won[key] == "a"]
    print("won", Counter(won.values()))
    a.kill()
    for node in (b, c):
        node.event(NodeDown, "a")
        assert set(node.run(f"{BODIES}:holders", mine)) <= {None}
        others = [key for key in keys if key not in mine]
        assert node.run(f"{BODIES}:holders", others) == [won[key] for key in others]
    a = cluster.start("a", app=APP)
    cluster.agreed("abc")
    a.begin(f"{BODIES}:race", keys)
    eventually(lambda: set(a.do(f"{BODIES}:won")) == set(mine), what="the free names")
    again = a.do(f"{BODIES}:won")
    assert all(again[key] > tokens[key] for key in mine)
    eventually(lambda: c.run(f"{BODIES}:holders", keys) == [won[key] for key in keys])


def test_topics_and_presence(cluster: RealCluster) -> None:
    nodes = formed(cluster)
    for node in nodes:
        node.begin(f"{BODIES}:listen", "room")
        eventually(lambda node: node.do(f"{BODIES}:news"), node, what="the subscription")
    users = ["user-a", "user-b", "user-c"]
    for node in nodes:
        eventually(
            lambda node: node.run(f"{BODIES}:present", "room") == users, node, what="presence"
        )
        node.run(f"{BODIES}:say", "room", [(node.name, number) for number in range(200)])
    for node in nodes:
        eventually(
            lambda node: len(node.do(f"{BODIES}:news")) == 601, node, what="all that was said"
        )
        news = node.do(f"{BODIES}:news")[1:]
        for name in "abc":  # in the order of each publisher, each once
            assert [m for m in news if m[0] == name] == [(name, n) for n in range(200)]
    a, b, c = nodes
    a.kill()
    for node in (b, c):
        node.event(NodeDown, "a")
        assert node.run(f"{BODIES}:present", "room") == ["user-b", "user-c"]
    b.run(f"{BODIES}:say", "room", [("b", "after")])
    eventually(lambda: ("b", "after") in c.do(f"{BODIES}:news"))
    a = cluster.start("a", app=APP)
    a.begin(f"{BODIES}:listen", "room")
    eventually(lambda: a.do(f"{BODIES}:news"), what="the subscription")
    eventually(lambda: c.run(f"{BODIES}:present", "room") == users, what="presence again")
    c.run(f"{BODIES}:say", "room", [("c", "again")])
    eventually(lambda: ("c", "again") in a.do(f"{BODIES}:news"))


def test_a_rolling_restart_under_load_loses_no_call(cluster: RealCluster) -> None:
    a, _, _ = formed(cluster)
    folder = Path(cluster.folder)
    a.run(f"{BODIES}:start_ledger", str(folder))
    watchers = [cluster.start(name, app=APP) for name in "x"]
    cluster.agreed("abcx")
    x = watchers[0]
    clients = [x.begin(f"{BODIES}:client", f"x{number}") for number in range(3)]
    began = time.monotonic()
    for name in "abc":
        assert cluster.nodes[name].stop() == 0
        cluster.start(name, app=APP)
        cluster.agreed("abcx")
        eventually(lambda: (folder / "ledger").exists())
    eventually(lambda: time.monotonic() > began + 5)
    x.do(f"{BODIES}:stop_clients")
    results = [client.result(40) for client in clients]
    took = time.monotonic() - began
    acknowledged = [request for result in results for request in result["acknowledged"]]
    print(f"{len(acknowledged)} increments in {took:.1f} s, "
          f"retries {[r['retries'] for r in results]}, "
          f"longest wait {max(r['longest'] for r in results):.2f} s")  # fmt: skip
    assert [r["texts"] for r in results] == [[], [], []]
    assert [r["unsure"] for r in results] == [[], [], []]
    written = [line.split()[0] for line in (folder / "ledger").read_text().splitlines()]
    assert sorted(written) == sorted(acknowledged)
    assert max(r["count"] for r in results) == len(written)  # the state moved, too
