"""Services on real nodes: operating-system processes, TCP, kill -9."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from foundation.service_mesh import ServiceDown, ServiceUp
from tests.cluster.real.conftest import ended
from tests.cluster.real.kit import RealCluster, RealNode, eventually

pytestmark = pytest.mark.real
BODIES = "tests.service_mesh.real_bodies"


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> Iterator[RealCluster]:
    """A cluster without nodes yet."""
    failed = request.session.testsfailed
    with ended() as made:
        yield made
        if request.session.testsfailed > failed:
            made.show()


def run(node: RealNode, function: str, *args: object) -> object:
    """Run a body in the program of *node*."""
    return node.run(f"{BODIES}:{function}", *args, timeout=40.0)


def test_services_are_found_called_and_missed_over_real_nodes(cluster: RealCluster) -> None:
    a, b, c = cluster.form("abc", app=f"{BODIES}:app", hosts=2)
    for node in (a, c):
        node.begin(f"{BODIES}:listen")
        eventually(lambda node=node: node.do(f"{BODIES}:heard"), what="the listener")

    # Found on each node, by metadata of a class that the control hosts never import.
    infos = run(a, "wait", 6)
    assert len(infos) == 6  # type: ignore[arg-type]
    pids = [info.pid for info in infos]  # type: ignore[attr-defined]
    for node in (a, b, c):
        eventually(lambda node=node: run(node, "find", None) == infos, what="all six")
        there = run(node, "find", "b")
        assert {info.node for info in there} == {"b"}  # type: ignore[attr-defined]
        assert len(there) == 2  # type: ignore[arg-type]
        assert run(node, "known_to_control") is False

    # Called in turn; near ones first; by way of another node's server.
    assert run(c, "call_many", 12, "round_robin") == dict.fromkeys(pids, 2)
    near = run(c, "call_many", 4, "local_first")
    assert {pid.host.partition("/")[0] for pid in near} == {"c"}  # type: ignore[attr-defined]
    pid, process, request = run(a, "elsewhere", "b")  # type: ignore[misc]
    assert (pid.host.partition("/")[0], request) == ("b", "hello")
    assert process in (b.pid("w1"), b.pid("w2"))

    # Health checks run beside the instances, and all nodes follow their verdict.
    (cluster.folder / "sick").write_text("b")
    for node in (a, b, c):
        eventually(lambda node=node: len(run(node, "find", "b", False)) == 2, what="b is sick")  # type: ignore[arg-type]
    assert {p.host[0] for p in run(a, "call_many", 8, "round_robin")} == {"a", "c"}  # type: ignore[attr-defined]
    (cluster.folder / "sick").unlink()
    eventually(lambda: len(run(a, "find", "b")) == 2, what="b is well")  # type: ignore[arg-type]

    # A worker host is killed: its instances go, and come back with their supervisor.
    gone = [pid for pid in pids if pid.host == "c/w2"]
    assert len(gone) == 1
    c.kill("w2")
    eventually(lambda: set(gone) <= set(a.do(f"{BODIES}:downs")), what="the end of c/w2's")
    infos = eventually(lambda: (f := run(a, "wait", 6)) and len(f) == 6 and f, what="six again")  # type: ignore[arg-type]
    assert gone[0] not in [info.pid for info in infos]

    # A node is killed: each of the others hears of its services once.
    before = [info.pid for info in infos if info.node == "b"]
    b.kill()
    for node in (a, c):
        eventually(lambda node=node: set(before) <= set(node.do(f"{BODIES}:downs")), what="b's end")
        eventually(lambda node=node: len(run(node, "find", None)) == 4, what="four are left")  # type: ignore[arg-type]
    assert sum(run(a, "call_many", 20, "round_robin").values()) == 20  # type: ignore[attr-defined]
    for node in (a, c):
        downs = node.do(f"{BODIES}:downs")
        assert len(downs) == len(set(downs)), "an end was announced twice"
        ups = [e.service.pid for e in node.do(f"{BODIES}:heard") if isinstance(e, ServiceUp)]
        assert len(ups) == len(set(ups)), "a beginning was announced twice"
    assert ServiceDown in {type(e) for e in a.do(f"{BODIES}:heard")}
