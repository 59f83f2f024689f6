"""Processes of different nodes: the same bodies run between hosts of one node and of two."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from foundation.otp import CallExit, HostUnavailable, StartError
from tests.cluster.real.conftest import ended
from tests.cluster.real.kit import RealCluster, eventually

pytestmark = pytest.mark.real
REMOTE = "tests.cluster.real.remote_bodies"
SECRET = """
from foundation.otp import GenServer

class Secret(GenServer):
    def init(self):
        self.n = 0
    def handle_call(self, request, caller):
        self.n += request
        return self.n

async def started(host, ship):
    return await Secret.start(host=host, ship=ship)

async def used(host):
    from foundation.otp import call
    pid = await Secret.start(host=host, ship=True)
    return [await call(pid, 2), await call(pid, 3)]
"""


@pytest.fixture(scope="module")
def trio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    """Three nodes, unharmed; a knows a module that the others do not, and c accepts code."""
    folder = tmp_path_factory.mktemp("secret")
    Path(folder / "only_at_a.py").write_text(SECRET)
    with ended() as cluster:
        cluster.begin("a", hosts=2, app="counter", path=(str(folder),))
        cluster.begin("b", hosts=2, app="counter", accept_code=False)
        cluster.begin("c", hosts=1, app="counter", accept_code=True)
        for node in cluster.lives:
            node.ready()
        cluster.agreed("abc")
        yield cluster


BEGINNINGS: dict[str, list[Any]] = {
    "calls": [[True] * 10, True, True, ("CallTimeout", "timeout", False), "still there"],
    "messages": [True],
    "links": [("CallExit", "ValueError")],
    "monitors": [True, True],
    "starts": ["StartError", "ValueError", True, True, []],
}


@pytest.mark.parametrize("body", BEGINNINGS)
def test_between_nodes_as_between_hosts(trio: RealCluster, body: str) -> None:
    a = trio.nodes["a"]
    within, between = (a.run(f"{REMOTE}:{body}", host) for host in ("a/w2", "b/w2"))
    assert between == within
    expected = BEGINNINGS[body]
    assert between[: len(expected)] == expected


def test_names_of_other_nodes(trio: RealCluster) -> None:
    outcome = trio.nodes["a"].run(f"{REMOTE}:names", "b")
    nobody = ("NoProc", "noproc", True)
    assert outcome == [
        nobody, [("cast", 1), ("info", 2)], True, ("remote-named", "b"), "normal", nobody,
    ]  # fmt: skip


def test_multi_call_and_abcast(trio: RealCluster) -> None:
    replies, bad = trio.nodes["a"].run(f"{REMOTE}:everywhere", ["a", "b", "c"])
    assert replies == [(("remote-many", node), [("cast", "all")]) for node in "abc"]
    assert bad == [("remote-many", "nowhere")]


def test_a_start_on_a_node_that_cannot_import_the_class(trio: RealCluster) -> None:
    a = trio.nodes["a"]
    with pytest.raises(StartError) as error:
        a.run("only_at_a:started", "b/worker", False)
    text = str(error.value)
    assert "b/w1" in text
    assert "only_at_a" in text
    assert "ship=True" in text


def test_a_class_is_shipped_where_the_node_accepts_code(trio: RealCluster) -> None:
    a = trio.nodes["a"]
    assert a.run("only_at_a:used", "c/worker") == [2, 5]
    assert a.run("only_at_a:used", "a/w2") == [2, 5]
    with pytest.raises(StartError) as error:
        a.run("only_at_a:started", "b/worker", True)
    assert "by value are refused" in str(error.value)


def test_starts_on_hosts_that_are_not_there(trio: RealCluster) -> None:
    a = trio.nodes["a"]
    with pytest.raises(HostUnavailable) as error:
        a.run("start_counter", "nowhere/worker")
    assert "nodes are a, b, c" in str(error.value)
    with pytest.raises(HostUnavailable) as error:
        a.run("start_counter", "c/w7")
    assert "c/w1" in str(error.value)
    spread = {a.run("start_counter", "b/spread").host for _ in range(4)}
    assert spread == {"b/w1", "b/w2"}
    assert a.run("start_counter", "c/control").host == "c/control"


def test_no_plain_name_of_one_node_is_one_of_another(trio: RealCluster) -> None:
    a, b = trio.nodes["a"], trio.nodes["b"]
    mine = a.run("start_linked_and_look", "b/w1", "private")
    assert mine == (True, None)  # known as (name, node), not as name
    assert a.run("call_it", "counter", "node") == "a"
    assert a.run("call_it", ("counter", "b"), "node") == "b"
    eventually(lambda: b.do("whereis", "private") is None)
    with pytest.raises(CallExit):
        a.run("call_it", "private", "node")
