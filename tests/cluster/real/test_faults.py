"""Processes of nodes are killed and stopped."""

from __future__ import annotations

import signal
import time

import pytest

from foundation.cluster import NodeDown, NodeUp
from foundation.otp import CallExit
from tests.cluster.real.kit import RealCluster, eventually, free_port, watching

pytestmark = pytest.mark.real


def test_a_killed_program_takes_its_node_with_it(cluster: RealCluster) -> None:
    a, b, c = cluster.form("abc", app="counter")
    pid = a.run("start_counter", "a/w1")
    assert len(a.processes()) >= 4
    for other in (b, c):
        other.record()
    down = [watching(b, pid), watching(c, pid)]
    killed = a.kill()
    for other, watched in zip((b, c), down, strict=True):
        at, event = other.event(NodeDown, "a")
        assert event.reason == "killed"
        message, when = watched.result(20)
        assert (message.reason, message.object) == ("noconnection", pid)
        print(f"kill -9 to NodeDown {at - killed:.3f} s, to Down {when - killed:.3f} s")
    cluster.agreed("bc")
    a.wait_gone()
    with pytest.raises(CallExit) as error:
        b.run("call_it", pid, 1)
    assert error.value.reason in ("noconnection", "noproc")
    assert error.value.definite


def test_a_killed_control_host_is_a_new_life_of_its_node(cluster: RealCluster) -> None:
    a = cluster.start("a", app="counter", hosts=2, port=free_port())  # which it must get again
    b, c = (cluster.start(name, app="counter") for name in "bc")
    cluster.agreed("abc")
    for node in (a, b, c):
        node.record()
    before = b.view().member("a")
    assert before is not None
    pid = a.do("whereis", "counter")
    down = watching(b, pid)
    killed = a.kill("control")
    for other in (b, c):
        at, _ = other.event(NodeDown, "a")
        up, again = other.event(NodeUp, "a")
        assert at < up
        print(f"control killed: down after {at - killed:.3f} s, up after {up - killed:.3f} s")
        assert again.member.generation > before.generation
    message, _ = down.result(20)
    assert message.reason == "noconnection"
    cluster.agreed("abc")
    assert eventually(lambda: a.do("whereis", "counter")) != pid
    assert b.run("call_patiently", ("counter", "a"), "node") == "a"
    assert a.run("call_patiently", ("counter", "b"), "node") == "b"
    assert [type(e) for _, e in a.events()].count(NodeDown) == 2  # to itself, the others went


def test_a_killed_worker_is_replaced_and_the_node_stays(cluster: RealCluster) -> None:
    a, b, _ = cluster.form("abc", hosts=2)
    b.record()
    pid = b.run("start_counter", "a/w2")
    named = b.run("start_counter", "a/w2", "named")
    assert b.run("call_it", ("named", "a"), "node") == "a"
    down = watching(b, pid)
    old = a.pid("w2")
    a.kill("w2")
    message, _ = down.result(20)
    assert message.reason == "killed"
    with pytest.raises(CallExit) as error:
        b.run("call_it", named, 1)
    assert error.value.definite
    with pytest.raises(CallExit):
        b.run("call_it", ("named", "a"), 1)
    eventually(lambda: a.do("hosts").get("a/w2") not in (None, old), what="the new worker")
    new = eventually(lambda: b.run("try_start", "a/w2"), what="a start in the new worker")
    assert b.run("call_it", new, "node") == "a"
    assert new.incarnation > pid.incarnation
    assert [e for _, e in b.events() if isinstance(e, NodeDown)] == []


def test_a_stopped_worker_does_not_make_its_node_look_dead(cluster: RealCluster) -> None:
    a, b, c = cluster.form("abc", hosts=2)
    for node in (b, c):
        node.record()
    pid = b.run("start_counter", "a/w2")
    down = watching(b, pid)
    stopped = a.signal(signal.SIGSTOP, "w2")
    message, when = down.result(30)
    print(f"stopped worker: Down({message.reason}) after {when - stopped:.2f} s")
    assert message.reason == "killed"  # by its control host, which found it stopped
    new = eventually(lambda: b.run("try_start", "a/w2"), what="a start in the new worker")
    assert b.run("call_it", new, "node") == "a"
    assert time.monotonic() - stopped > 3
    for node in (b, c):
        assert [e for _, e in node.events() if isinstance(e, (NodeDown, NodeUp))] == []


def test_a_stopped_node_is_dropped_and_comes_back(cluster: RealCluster) -> None:
    a, b, c = cluster.form("abc", app="counter")
    for node in (a, b, c):
        node.record()
    pid = a.do("whereis", "counter")
    down = watching(b, pid)
    waiting = b.begin("call_it", pid, 1)
    waiting.result(20)
    stopped = a.freeze()
    waiting = b.begin("call_it", pid, 1, 30.0)
    for other in (b, c):
        at, event = other.event(NodeDown, "a")
        print(f"SIGSTOP to NodeDown {at - stopped:.2f} s")
        assert event.reason == "silent"
    assert down.result(20)[0].reason == "noconnection"
    with pytest.raises(CallExit) as error:
        waiting.result(20)
    assert error.value.reason == "noconnection"
    thawed = a.thaw()
    for other in (b, c):
        at, _ = other.event(NodeUp, "a")
        print(f"SIGCONT to NodeUp {at - thawed:.2f} s")
    cluster.agreed("abc")
    assert b.run("call_patiently", ("counter", "a"), "node") == "a"
    assert a.run("call_patiently", ("counter", "c"), "node") == "c"
    assert a.do("whereis", "counter") == pid  # it is the same life
    assert [e.reason for _, e in b.events() if isinstance(e, NodeDown)] == ["silent"]


def test_a_node_that_is_stopped_in_order_is_seen_to_leave(cluster: RealCluster) -> None:
    a, b, c = cluster.form("abc", app="counter")
    for node in (b, c):
        node.record()
    asked = a.term()
    for other in (b, c):
        at, event = other.event(NodeDown, "a")
        print(f"SIGTERM to NodeDown {at - asked:.3f} s")
        assert event.reason == "left"
    assert a.process.wait(20) == 0
    a.wait_gone()
    asked = b.signal(signal.SIGINT)
    at, event = c.event(NodeDown, "b")
    print(f"SIGINT to NodeDown {at - asked:.3f} s")
    assert event.reason == "left"
    assert b.process.wait(20) == 0
    cluster.agreed("c")


def test_a_node_restarts_five_times_quickly(cluster: RealCluster) -> None:
    cluster.form("abc", app="counter")
    b = cluster.nodes["b"]
    b.record()
    for turn in range(5):
        a = cluster.nodes["a"]
        if turn % 2:
            a.kill()
        else:
            a.term()
        a = cluster.start("a", app="counter")
        b.event(NodeUp, "a", turn + 1)
        assert b.run("call_patiently", ("counter", "a"), turn) == turn
    cluster.agreed("abc")
    ups = [e for _, e in b.events() if isinstance(e, (NodeUp, NodeDown))]
    kinds = [type(e) for e in ups]
    assert kinds == [NodeDown, NodeUp] * 5


def test_a_whole_node_killed_at_once(cluster: RealCluster) -> None:
    a, b, _ = cluster.form("abc")
    b.record()
    killed = a.crash()
    at, event = b.event(NodeDown, "a")
    print(f"crash of all processes to NodeDown {at - killed:.3f} s")
    assert event.reason == "killed"
    a.wait_gone()


def test_a_stopped_control_host_is_replaced(cluster: RealCluster) -> None:
    a, b, _ = cluster.form("abc", app="counter")
    b.record()
    stopped = a.signal(signal.SIGSTOP, "control")
    at, event = b.event(NodeDown, "a")
    assert event.reason == "silent"
    up, _ = b.event(NodeUp, "a")
    print(f"stopped control host: down after {at - stopped:.2f} s, up after {up - stopped:.2f} s")
    cluster.agreed("abc")
    assert b.run("call_patiently", ("counter", "a"), "node") == "a"
    assert a.run("call_patiently", ("counter", "b"), "node") == "b"
