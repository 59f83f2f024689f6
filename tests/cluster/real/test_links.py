"""Links between nodes are cut and healed; each node has a network namespace of its own."""

from __future__ import annotations

import time

import pytest

from foundation.cluster import NodeDown, NodeUp
from foundation.kernel.values import Pid
from foundation.otp import CallExit, CallTimeout, NoProc
from tests.cluster.real.kit import RealCluster, eventually, watching
from tests.cluster.real.netns import Lan, formed_in, options_in

pytestmark = pytest.mark.real


def recovered(cluster: RealCluster, healed: float) -> None:
    """Calls work again between all nodes, soon."""
    cluster.agreed("abc")
    print(f"heal to agreement {time.monotonic() - healed:.2f} s")
    for one in "abc":
        for other in "abc":
            assert cluster.nodes[one].run("call_patiently", ("counter", other), "node") == other
    print(f"heal to calls between all {time.monotonic() - healed:.2f} s")


def is_gone(cluster: RealCluster, pid: Pid) -> bool:
    """Whether the process *pid* has ended, as its own node sees it."""
    try:
        cluster.nodes[pid.host[0]].run("call_it", pid, 1)
    except NoProc:
        return True
    return False


@pytest.mark.parametrize("how", ["unplug", "carrier"])
def test_a_node_is_cut_off_and_comes_back(lan: Lan, cluster: RealCluster, how: str) -> None:
    a, b, c = formed_in(cluster, lan)
    pids = {name: cluster.nodes[name].do("whereis", "counter") for name in "abc"}
    there, back = watching(b, pids["a"]), watching(a, pids["b"])
    partners = a.run("start_counter", "a/w1"), c.run("start_counter", "c/w1")
    links = b.begin("linked_to", partners[0]), a.begin("linked_to", partners[1])
    same = watching(c, pids["b"])
    assert b.run("call_it", pids["a"], 1) == 1
    cut = lan.unplug("a") if how == "unplug" else lan.carrier("a", up=False)
    asked = b.begin("call_it", pids["a"], 1, 60.0)
    asked_back = a.begin("call_it", pids["c"], 1, 60.0)
    for node, gone in ((b, "a"), (c, "a"), (a, "b"), (a, "c")):
        at, event = node.event(NodeDown, gone)
        print(f"cut to NodeDown {gone} at {node.name} {at - cut:.2f} s")
        assert event.reason == "silent"
    for watched in (there, back):
        assert watched.result(20)[0].reason == "noconnection"
    for call in (asked, asked_back):
        with pytest.raises(CallExit) as error:
            call.result(20)
        assert error.value.reason == "noconnection"
    assert [link.result(20) for link in links] == [["noconnection"]] * 2
    for partner in partners:  # they saw the same, a little later perhaps, and trapped nothing
        eventually(lambda partner=partner: is_gone(cluster, partner))
    cluster.agreed("bc")
    assert c.run("call_it", pids["b"], "node") == "b"
    healed = lan.plug("a") if how == "unplug" else lan.carrier("a", up=True)
    for node, come in ((b, "a"), (c, "a"), (a, "b"), (a, "c")):
        at, _ = node.event(NodeUp, come)
        print(f"heal to NodeUp {come} at {node.name} {at - healed:.2f} s")
    recovered(cluster, healed)
    assert not same.done()
    assert [type(e) for _, e in b.events() if hasattr(e, "reason")] == [NodeDown]


def test_one_way_loss_to_one_node_is_bridged_by_others(lan: Lan, cluster: RealCluster) -> None:
    a, b, c = formed_in(cluster, lan)
    pid = b.do("whereis", "counter")
    cut = lan.misdirect("a", "b")
    # a cannot reach b, but c can reach both: nobody is dropped, and agents talk by way of c.
    call = a.begin("call_it", pid, "node", 3.0)
    late = a.run("start_counter", "a/w1", "late")
    eventually(lambda: b.do("resolve", "late", "a") == late, what="the name at b")
    print(f"a name told by way of a third node, {time.monotonic() - cut:.2f} s after the cut")
    with pytest.raises(CallTimeout):  # hosts do not talk by way of others
        call.result(20)
    for node in (a, b, c):
        assert not [e for _, e in node.events() if isinstance(e, NodeDown)]
    recovered(cluster, lan.direct("a", "b"))


@pytest.mark.soak  # much like the first test
def test_a_partition_of_one_against_two_heals(lan: Lan, cluster: RealCluster) -> None:
    a, b, c = formed_in(cluster, lan)
    cut = lan.split("a", "bc")
    for node, gone in ((b, "a"), (c, "a"), (a, "b"), (a, "c")):
        at, _ = node.event(NodeDown, gone)
        print(f"split to NodeDown {gone} at {node.name} {at - cut:.2f} s")
    recovered(cluster, lan.heal("a", "bc"))


def test_a_short_cut_loses_nothing_and_drops_nobody(lan: Lan, cluster: RealCluster) -> None:
    a, b, c = formed_in(cluster, lan)
    pid = a.do("whereis", "counter")
    assert b.run("call_it", pid, "node") == "a"
    lan.unplug("a")
    call = b.begin("call_it", pid, "node", 20.0)
    time.sleep(0.5)
    healed = lan.plug("a")
    assert call.result(20) == "a"
    print(f"a call over a cut of half a second: {time.monotonic() - healed:.2f} s after it")
    for node in (a, b, c):
        assert not [e for _, e in node.events() if isinstance(e, NodeDown)]


def test_nothing_hangs_while_the_link_goes_up_and_down(lan: Lan, cluster: RealCluster) -> None:
    a, b, _ = formed_in(cluster, lan)
    calls = [node.begin("call_for", ("counter", to), 6.0) for node, to in ((b, "a"), (a, "b"))]
    end = time.monotonic() + 5
    turn = 0
    while time.monotonic() < end:
        turn += 1
        lan.unplug("a")
        time.sleep(0.5 * turn)
        lan.plug("a")
        time.sleep(0.3)
    healed = time.monotonic()
    for call in calls:
        print("outcomes of calls under a flapping link", call.result(40))
    recovered(cluster, healed)
    eventually(lambda: a.view().digest == b.view().digest)


def test_a_node_loses_power_and_comes_back(lan: Lan, cluster: RealCluster) -> None:
    a, b, c = formed_in(cluster, lan)
    pids = [node.do("whereis", "counter") for node in (a, b, c)]
    assert b.run("call_it", pids[0], "node") == "a"  # over a connection that nobody will close
    down = [watching(node, pids[0]) for node in (b, c)]
    lan.unplug("a")
    a.crash()
    a.wait_gone()
    plugged = lan.plug("a")
    again = cluster.start("a", app="counter", **options_in(lan, "a"))
    for node, watched in ((b, down[0]), (c, down[1])):
        at, event = node.event(NodeUp, "a")
        print(f"power to NodeUp {at - plugged:.2f} s, {node.event(NodeDown, 'a')[1].reason}")
        assert watched.result(20)[0].reason == "noconnection"
        with pytest.raises(CallExit) as error:
            node.run("call_it", pids[0], 1)
        assert error.value.definite
        assert "was not sent" in str(error.value)
        assert again.view().member("a") == event.member
    recovered(cluster, plugged)
