"""A server that is restarted has what its host knows: declarations, values, versions."""

from __future__ import annotations

from typing import Any

import pytest

from foundation import config
from foundation.cluster import ClusterConfig
from foundation.config import ConfigChanged, ConfigVersion, InvalidValue, UnknownPath
from foundation.config.declarations import unknown
from foundation.entry import Facades
from foundation.kernel.ops import exit, receive
from foundation.kernel.values import Pid
from foundation.testing.cluster_sim import ClusterSimulation
from tests.config.confsim import PATH, agreed, cluster, declare, form, joined, seen, server, write

PARTS = [config.SERVER, config.TABLE]


def _kill(c: ClusterSimulation, part: str, *nodes: str) -> None:
    """End *part* of all *nodes* at once; wait until all take part again."""
    old = [server(c, node).machine.me for node in nodes]

    async def kill(pid: Pid) -> None:
        exit(pid, "kill")

    for node in nodes:
        c.spawn(node, kill, c.kernel(node, "control").names.lookup(part))
    c.advance(0.1)
    c.until(lambda: joined(c))
    assert all(server(c, node).machine.me not in old for node in nodes)


async def _refused(value: Any) -> Any:
    try:
        await config.set(PATH, value)
    except InvalidValue as error:
        return str(error)
    return None


async def _state() -> Any:
    return config.get(PATH), config.version(PATH), config.paths(), config.get("other")


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("nodes", [1, 3])
def test_a_restarted_server_has_declarations_and_values(part: str, nodes: int) -> None:
    async def other() -> None:
        await config.declare("other", str, "x")
        await config.set("other", "mine")

    with cluster(2, nodes=nodes, expected=None if nodes == 1 else nodes, workers=2) as c:
        form(c)
        c.run("a", other)
        assert c.run("a", write, 7) == ConfigVersion(1, "a")
        before = c.run("a", _state)
        assert before == (7, ConfigVersion(1, "a"), (PATH, "other"), "mine")
        _kill(c, part, "a")
        for host in ("control", "w1", "w2"):
            assert c.run("a", _state, host=host) == before
        assert c.run("a", agreed) == 7
        refused = c.run("a", _refused, -1)
        assert "validator _positive returned False" in refused
        assert c.run("a", write, 8) == ConfigVersion(2, "a")
        assert c.run("a", config.reset, "other") is None
        assert c.run("a", _state) == (8, ConfigVersion(2, "a"), (PATH, "other"), "x")


def test_subscribers_of_a_node_whose_server_is_restarted_hear_only_of_changes() -> None:
    heard: list[ConfigChanged] = []

    async def listen() -> None:
        await config.subscribe()
        while True:
            heard.append(await receive())

    with cluster(3) as c:
        form(c)
        c.run("a", write, 7)
        c.advance(0.5)
        c.spawn("b", listen)
        c.advance(0.5)
        _kill(c, config.SERVER, "b")
        c.run("a", write, 8)
        c.advance(0.5)
        assert [(each.old, each.new) for each in heard] == [(7, 8)]


def test_all_servers_restarted_one_by_one_or_at_once_lose_nothing() -> None:
    with cluster(4) as c:
        form(c)
        assert c.run("a", write, 7).number == 1
        c.until(lambda: set(seen(c).values()) == {7})
        for node in "abc":
            _kill(c, config.SERVER, node)
        assert c.run("b", write, 8) == ConfigVersion(2, "b")
        c.until(lambda: set(seen(c).values()) == {8})
        _kill(c, config.SERVER, *"abc")
        assert c.run("c", agreed) == 8
        assert c.run("c", write, 9) == ConfigVersion(3, "c")


def test_a_node_that_is_started_anew_has_no_declarations() -> None:
    with cluster(5) as c:
        form(c)
        assert c.run("b", write, 7).number == 1
        c.crash("b")
        c.start("b")
        c.until(lambda: c.formed() and joined(c))
        error = c.run("b", write, 8)
        assert isinstance(error, UnknownPath)
        c.run("b", declare)
        assert c.run("b", write, 8) == ConfigVersion(2, "b")


def test_the_error_never_proposes_the_path_that_it_is_about() -> None:
    assert unknown("k", ["k", "k1"]).near == ("k1",)
    assert "did you mean" not in str(unknown("k", ["k"]))


def test_the_loss_of_a_worker_host_loses_neither_declarations_nor_values() -> None:
    app = [Facades.spec(id="facades", host="control")]
    config_ = ClusterConfig(strategies=(), expected_size=3)
    with ClusterSimulation(6, nodes=3, workers=2, config=config_, app=app) as c:
        form(c)
        assert c.run("a", write, 7).number == 1
        c.nodes["a"].crash_host("w1")
        c.until(lambda: c.started("a") and joined(c))
        c.advance(2.0)
        c.until(lambda: joined(c))
        assert c.run("a", write, 8) == ConfigVersion(2, "a")
        c.until(lambda: set(seen(c).values()) == {8})
        assert c.run("a", config.paths, host="w1") == (PATH,)
