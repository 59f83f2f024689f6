"""Nodes find each other and agree; those that do not belong together do not."""

from __future__ import annotations

import socket
import time

import pytest

from foundation.cluster import NodeDown, NodeUp
from foundation.cluster.discovery import StaticList
from foundation.errors import ClusterTimeout
from tests.cluster.real.bodies import Failing
from tests.cluster.real.kit import RealCluster, Refused, eventually, free_port

pytestmark = pytest.mark.real


@pytest.mark.parametrize("names", ["abc", "abcde"])
def test_nodes_find_each_other_on_one_machine(cluster: RealCluster, names: str) -> None:
    began = time.monotonic()
    cluster.form(names)
    print(f"{len(names)} nodes started and formed in {time.monotonic() - began:.2f} s")
    for name in names:
        view = cluster.nodes[name].run("wait_for_nodes", len(names), 10.0)
        assert "".join(view.names) == names
    assert len({cluster.nodes[name].view().digest for name in names}) == 1


@pytest.mark.parametrize("names", ["abc", "abcde"])
def test_nodes_find_each_other_by_a_list(cluster: RealCluster, names: str) -> None:
    first = free_port()
    began = time.monotonic()
    for name in names:  # only the first is listed: it tells of the others
        port = first if name == "a" else 0
        cluster.begin(name, port=port, strategies=(StaticList([f"127.0.0.1:{first}"]),))
    for node in cluster.lives:
        node.ready()
    cluster.agreed(names)
    print(f"{len(names)} nodes started and formed by a list in {time.monotonic() - began:.2f} s")


def test_too_few_nodes(cluster: RealCluster) -> None:
    a, _ = cluster.form("ab")
    with pytest.raises(ClusterTimeout) as error:
        a.run("wait_for_nodes", 3, 0.5)
    assert "3 nodes were waited for, 2 are there" in str(error.value)
    assert "(a, b)" in str(error.value)


def test_a_wrong_cookie_is_refused_and_logged(cluster: RealCluster) -> None:
    a, b = cluster.form("ab")
    x = cluster.start("x", cookie="another cookie, long enough")
    eventually(
        lambda: "refused a connection" in a.text() + b.text(), what="a warning about the cookie"
    )
    eventually(lambda: "cookie" in x.text(), what="a warning at the stranger")
    assert a.settled("ab")
    assert x.settled("x")


def test_another_cluster_is_refused_and_logged(cluster: RealCluster) -> None:
    port = free_port()
    strategies = (StaticList([f"127.0.0.1:{port}"]),)
    a = cluster.start("a", port=port, strategies=strategies)
    x = cluster.start("x", of="another", strategies=strategies)
    wanted = f"this is cluster '{cluster.name}', not 'another'"
    eventually(lambda: wanted in x.text().replace("\\", ""), what="the refusal at x")
    assert a.settled("a")
    assert x.settled("x")


def test_a_name_that_is_taken_is_refused(cluster: RealCluster) -> None:
    a, b = cluster.form("ab")
    b.record()
    again = cluster.start("a")
    eventually(
        lambda: "the name 'a' is taken by the live node at" in again.text().replace("\\", "")
    )
    assert not again.settled("a")  # it must not go on alone: it would run everything again
    assert a.settled("ab")
    assert b.settled("ab")
    assert b.events() == []
    a.stop()  # the name is free
    b.event(NodeDown, "a")
    b.event(NodeUp, "a")
    assert again.settled("ab")


def test_a_port_that_is_taken_is_refused(cluster: RealCluster) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        began = time.monotonic()
        with pytest.raises(Refused) as error:
            cluster.start("a", port=port)
        print(f"after {time.monotonic() - began:.2f} s: {error.value}")
        assert "NodeError" in str(error.value)
        assert str(port) in str(error.value)
        assert "another port" in str(error.value)


def test_discovery_that_fails_drops_nobody(cluster: RealCluster) -> None:
    switch = cluster.folder / "switch"
    switch.write_text("")
    port = free_port()
    modes = ("raise", "empty", "nonsense", "hang")
    strategies = tuple(Failing((f"127.0.0.1:{port}",), str(switch), mode) for mode in modes)
    a = cluster.begin("a", port=port, strategies=strategies)
    b = cluster.begin("b", strategies=strategies)
    for node in (a.ready(), b.ready()):
        eventually(lambda node: node.settled("ab"), node, what="a and b")
        node.record()
    switch.write_text("fail")
    eventually(lambda: "403 forbidden" in b.text(), what="a warning")
    eventually(lambda: "expected a list of addresses, got 7" in b.text(), what="a warning")
    for node in (a, b):
        assert node.settled("ab")
        assert not [e for _, e in node.events() if isinstance(e, (NodeDown, NodeUp))]
    switch.write_text("")
    b.kill()
    cluster.start("b", strategies=strategies)  # some have to work for it
    cluster.agreed("ab")
