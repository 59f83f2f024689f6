"""One look at one node shows the cluster; who does not answer in time is named."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from foundation.cluster import pubsub
from foundation.cluster.config import ClusterConfig
from foundation.kernel.ops import exit, receive, register
from foundation.observer import parts
from foundation.observer.picture import picture
from foundation.process_manager import lookup, start_partitioned, start_replicated, start_singleton
from foundation.runtime.messages import Look
from foundation.runtime.overview import NODE_SECONDS, add_part
from foundation.testing.cluster_sim import ClusterSimulation
from tests.observer.kit import Idle, distributed, facades, look
from tests.process_manager.pmkit import Part, Worker

JOB = 64 * 1024  # bytes that are a small look


def test_a_look_at_one_node_shows_all_nodes_and_hosts() -> None:
    with facades() as cluster:
        cluster.form()
        made = picture(look(cluster))
        assert [row["name"] for row in made["nodes"]] == ["a", "b", "c"]
        assert all(row["answered"] and row["state"] == "up" for row in made["nodes"])
        hosts = ["a/control", "a/w1", "b/control", "b/w1", "c/control", "c/w1"]
        assert [row["host"] for row in made["hosts"]] == hosts
        assert made["missing"] == {"nodes": [], "hosts": []}
        assert made["cluster"]["settled"]
        assert made["health"]["reasons"] == []


def test_any_node_shows_the_same() -> None:
    with facades() as cluster:
        cluster.form()
        cluster.run("a", lambda: start_partitioned(Part, partitions=5, name="shards"))
        cluster.advance(1.0)
        seen = [picture(look(cluster, node)) for node in "abc"]
        for name in ("distributed", "registries"):
            assert seen[0][name] == seen[1][name] == seen[2][name]
        assert len({tuple(p["pid"] for p in one["processes"]) for one in seen}) == 1


def test_a_node_alone_is_asked_alone() -> None:
    with facades() as cluster:
        cluster.form()
        found = look(cluster, whole=False)
        assert list(found["nodes"]) == ["a"]
        assert found["missing"] == []


def test_a_silent_node_is_named_in_time_and_the_others_are_shown() -> None:
    with facades() as cluster:
        cluster.form()
        cluster.pause("b", 1.9)
        start = cluster.now
        found = look(cluster)
        assert cluster.now - start <= NODE_SECONDS + 0.06
        assert found["missing"] == ["b"]
        assert list(found["nodes"]) == ["a", "c"]
        made = picture(found)
        assert made["missing"]["nodes"] == ["b"]
        assert made["health"]["status"] == "degraded"
        cluster.until(lambda: look(cluster)["missing"] == [])


def test_a_node_that_cannot_be_reached_is_named() -> None:
    with facades() as cluster:
        cluster.form()
        cluster.network.cut("a", "c")
        made = picture(look(cluster))
        assert made["missing"]["nodes"] == ["c"]


def test_a_silent_host_of_another_node_is_named() -> None:
    with facades() as cluster:
        cluster.form()
        host = cluster.nodes["b"].hosts["w1"]
        del host.kernel.remote.handlers["ov_host"]  # it hears, and says nothing
        found = look(cluster)
        assert found["nodes"]["b"]["missing"] == ["b/w1"]
        assert picture(found)["missing"] == {"nodes": [], "hosts": ["b/w1"]}


def test_two_looks_at_a_time_do_not_disturb_each_other() -> None:
    with facades() as cluster:
        cluster.form()
        overlook = cluster.nodes["a"].hosts["control"].overlook
        told: list[Any] = []
        for rows in (1, 50):
            overlook.gather_whole(Look(rows), told.append)
        cluster.until(lambda: len(told) == 2)
        sizes = [len(one["nodes"]["c"]["hosts"]["c/w1"]["processes"]) for one in told]
        assert sizes[0] == 1 < sizes[1]
        assert overlook._open == {}


def test_singletons_replicas_and_partitions_are_shown_with_their_nodes() -> None:
    with facades() as cluster:
        cluster.form()
        cluster.run("a", lambda: start_singleton(Worker, name="one"))
        cluster.run("b", lambda: start_replicated(Worker, name="every"))
        cluster.run("c", lambda: start_partitioned(Part, partitions=4, name="shards"))
        cluster.advance(0.5)
        made = picture(look(cluster))
        rows = distributed(cluster)
        shown = {r["name"]: (r["pattern"], r["status"], r["running"]) for r in rows}
        assert shown == {
            "every": ("replicated", "running", 3),
            "one": ("singleton", "running", 1),
            "shards": ("partitioned", "running", 4),
        }
        (shards,) = [r for r in rows if r["name"] == "shards"]
        assert [each["part"] for each in shards["instances"]] == [0, 1, 2, 3]
        known = [p["known_as"] for p in made["processes"] if p["known_as"]]
        known = [name for name in known if not name.startswith("foundation.")]
        assert sorted(known) == ["every"] * 3 + ["one"] + [f"shards[{n}]" for n in range(4)]


def test_a_child_in_quarantine_needs_attention() -> None:
    class Failing(Idle):
        def init(self) -> None:
            if not self.works:
                raise RuntimeError("no such table")

        works = True

    config = ClusterConfig(strategies=(), accept_code=True)
    with facades(config=config) as cluster:
        cluster.form()
        cluster.run("a", lambda: start_singleton(Failing, name="failing"))
        Failing.works = False
        (row,) = distributed(cluster)
        owner = row["nodes"][0]

        async def shoot() -> None:
            exit(lookup("failing"), "killed")

        cluster.run(owner, shoot)
        cluster.until(lambda: distributed(cluster)[0]["status"] == "quarantined")
        found = look(cluster)
        found["answers"]["facades"]["value"].pop("health", None)  # as without a health monitor
        health = picture(found)["health"]
        assert health["status"] == "degraded"
        assert "quarantined: distributed child failing" in health["reasons"]
        assert "no such table" in distributed(cluster)[0]["instances"][0]["reason"]


def test_topics_are_shown_with_subscribers_of_all_hosts() -> None:
    async def listen() -> None:
        await pubsub.subscribe("foundation:events")
        await pubsub.subscribe("orders")
        await pubsub.subscribe(pattern="stock.*")
        await receive()

    with facades(nodes=2) as cluster:
        cluster.form()
        bodies = [cluster.spawn(node, listen) for node in ("a", "a", "b")]
        cluster.advance(1.0)
        rows = picture(look(cluster))["channels"]
        mine = [r for r in rows if r["topic"] in ("foundation:events", "orders", "stock.*")]
        shown = [(r["channel"], r["topic"], r["pattern"], r["nodes"]) for r in mine]
        assert shown == [
            ("events", "foundation:events", False, ["a", "b"]),
            (None, "orders", False, ["a", "b"]),
            (None, "stock.*", True, ["a", "b"]),
        ]
        assert [r["subscribers"] for r in mine[1:]] == [3, 3]
        assert not any(body.ended for body in bodies)


def test_a_look_at_many_processes_is_small_and_tells_how_many() -> None:
    with facades(nodes=2) as cluster:
        cluster.form()
        kernel = cluster.kernel("b")
        before = len(kernel.procs)
        for _ in range(20_000):
            kernel.spawn(Idle.__process_class__, (Idle, (), {}))
        cluster.advance(1.0)
        found = look(cluster)
        assert found["nodes"]["b"]["hosts"]["b/w1"]["process_count"] == before + 20_000
        assert found["nodes"]["b"]["hosts"]["b/w1"]["classes"]["Idle"] == 20_000
        assert len(json.dumps(found)) < JOB


def test_a_process_among_many_is_found_by_its_name() -> None:
    async def hide() -> None:
        await register("needle")
        await receive()

    with facades(nodes=2) as cluster:
        cluster.form()
        kernel = cluster.kernel("b")
        for _ in range(5_000):
            kernel.spawn(Idle.__process_class__, (Idle, (), {}))
        cluster.spawn("b", hide)
        cluster.advance(1.0)
        assert "needle" not in [p["name"] for p in picture(look(cluster, rows=10))["processes"]]
        made = picture(look(cluster, rows=10, match="NEEDLE"))
        assert "needle" in [p["name"] for p in made["processes"]]
        assert made["matches"] == 1


def test_a_part_that_fails_says_so_and_the_others_are_shown() -> None:
    def broken(rows: int) -> Any:
        raise ValueError("no")

    with facades(nodes=1) as cluster:
        cluster.form()
        kernel = cluster.kernel("a", "control")
        add_part(kernel, "mine", lambda rows: {"rows": rows}, whole=True)
        add_part(kernel, "broken", broken, whole=True)
        found = look(cluster, rows=7)
        assert found["parts"]["mine"] == {"rows": 7}
        assert found["parts"]["broken"] == {"error": "ValueError('no')"}
        assert found["parts"]["cluster"]["members"]
        assert any("'broken' of the overview failed" in str(r) for _, r in cluster.reports)


def test_distributed_children_are_in_the_trees_below_their_supervisors_servers() -> None:
    async def start() -> None:
        await start_singleton(Worker, name="one")
        await start_replicated(Worker, name="all")
        await start_partitioned(Part, partitions=4, name="parts")

    with facades() as cluster:
        cluster.form()
        cluster.run("a", start)
        cluster.advance(2.0)
        rows = picture(look(cluster, rows=200))["tree"]
        servers = [row["pid"] for row in rows if row["name"] == "foundation.processes"]
        assert len(servers) == 3
        shown = [row["known_as"] for row in rows if row["parent"] in servers]
        names = [name for name in shown if not name.startswith("foundation.")]
        assert sorted(names) == ["all"] * 3 + ["one"] + [f"parts[{n}]" for n in range(4)]
        assert not [row for row in rows if row["kind"] == "runner"]


def test_without_facades_hosts_and_processes_are_shown() -> None:
    with ClusterSimulation(1, nodes=2) as cluster:
        cluster.form()
        found = look(cluster)
        assert found["answers"]["facades"] == {"ok": False, "value": "noproc"}
        made = picture(found)
        assert made["notes"] == []
        assert len(made["hosts"]) == 4


@pytest.fixture
def own_parts() -> Any:
    before = dict(parts._parts)
    yield
    parts._parts.clear()
    parts._parts.update(before)


@pytest.mark.usefixtures("own_parts")
def test_parts_of_other_packages_are_shown_as_they_are() -> None:
    async def slow(rows: int) -> Any:
        await asyncio.sleep(60)

    def broken(rows: int) -> Any:
        raise ValueError("no")

    def absent(rows: int) -> Any:
        raise parts.Absent

    async def queues(rows: int) -> Any:
        await asyncio.sleep(0.01)
        return {"queues": [("mail", 3), {"a", "b"}], "rows": rows}

    for part in (queues, slow, broken, absent):
        parts.add(part.__name__, part)
    with facades(nodes=1) as cluster:
        cluster.form()
        made = picture(look(cluster, rows=9))
        assert made["parts"] == {"queues": {"queues": [["mail", 3], ["a", "b"]], "rows": 9}}
        assert made["notes"] == ["broken: ValueError('no')", "slow: it did not answer in 1.0 s"]


def test_services_are_shown_with_their_instances() -> None:
    mesh = pytest.importorskip("foundation.service_mesh")

    async def serve() -> None:
        await mesh.register("thumbs", capabilities=("webp",), metadata={"zone": "eu"})
        await receive()

    with facades(nodes=2) as cluster:
        cluster.form()
        bodies = [cluster.spawn(node, serve) for node in ("b", "a")]
        cluster.advance(1.0)
        rows = picture(look(cluster))["services"]
        shown = [(r["name"], r["node"], r["healthy"], r["capabilities"]) for r in rows]
        assert shown == [("thumbs", "a", True, ["webp"]), ("thumbs", "b", True, ["webp"])]
        assert rows[0]["metadata"] == {"zone": "eu"}
        assert rows[0]["breaker"] == "closed"
        assert not any(body.ended for body in bodies)
