"""Asking all hosts of a node at once, and settings that can be changed while they run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from foundation.cluster.live_settings import (
    HOLD_BACK,
    LiveSetting,
    LiveSettings,
    change_setting,
    read_settings,
    settings_of,
)
from foundation.cluster.polling import poll_hosts, serve_hosts
from foundation.cluster.registry import DistributedRegistry, lookup, register
from foundation.testing.cluster_sim import ClusterSimulation

HOSTS = ("control", "w1", "w2")


@contextmanager
def node(seed: int = 1, app: Any = None) -> Iterator[ClusterSimulation]:
    with ClusterSimulation(seed, nodes=2, workers=2, app=app) as cluster:
        cluster.form()
        yield cluster


def test_all_hosts_of_the_node_answer_and_no_others() -> None:
    with node() as cluster:
        for name in ("a", "b"):
            for host in HOSTS:
                kernel = cluster.kernel(name, host)
                serve_hosts(kernel, "who", lambda n, kernel=kernel: (kernel.address, n))
        polled = cluster.run("a", lambda: poll_hosts("who", 7))
        assert polled.answers == {f"a/{host}": (f"a/{host}", 7) for host in HOSTS}
        assert (polled.failures, polled.silent) == ({}, [])


def test_who_raises_or_knows_nothing_of_it_is_told_of_apart() -> None:
    with node() as cluster:
        serve_hosts(cluster.kernel("a", "w1"), "half", lambda: 1)
        serve_hosts(cluster.kernel("a", "w2"), "half", lambda: 1 // 0)
        polled = cluster.run("a", lambda: poll_hosts("half"))
        assert polled.answers == {"a/w1": 1}
        assert polled.failures["a/w2"].startswith("ZeroDivisionError")
        assert polled.failures["a/control"] == "KeyError: 'half'"


def test_who_is_silent_is_named_when_the_time_is_over() -> None:
    with node() as cluster:
        for host in HOSTS:
            serve_hosts(cluster.kernel("a", host), "who", lambda: 1)
        cluster.kernel("a", "w2").remote.handlers["poll"] = lambda *args: None
        before = cluster.now
        polled = cluster.run("a", lambda: poll_hosts("who", timeout=0.5))
        assert polled.silent == ["a/w2"]
        assert sorted(polled.answers) == ["a/control", "a/w1"]
        assert 0.5 <= cluster.now - before < 0.6


def test_what_is_set_is_read_back_on_all_hosts_that_have_it() -> None:
    with node() as cluster:
        values = {"w1": 1.0, "w2": 2.0}
        for host in values:
            get, put = partial(values.__getitem__, host), partial(values.__setitem__, host)
            settings = settings_of(cluster.kernel("a", host))
            settings.add(LiveSetting("x", "s", 0.0, 5.0, get, put))
        assert cluster.run("a", read_settings)["x"].value == 1.0
        assert cluster.run("a", lambda: change_setting("x", 3.0)) == 3.0
        assert values == {"w1": 3.0, "w2": 3.0}
        assert "x" not in cluster.run("b", read_settings)


@pytest.mark.parametrize(
    ("name", "value", "error", "words"),
    [
        (HOLD_BACK, 0.06, ValueError, "from 0.0 to 0.05 s, got 0.06"),
        (HOLD_BACK, -0.1, ValueError, "from 0.0"),
        (HOLD_BACK, float("nan"), TypeError, "must be a number"),
        (HOLD_BACK, "fast", TypeError, "must be a number"),
        (HOLD_BACK, True, TypeError, "must be a number"),
        ("no.such", 1.0, ValueError, "there are cluster.hold_back"),
    ],
)
def test_what_cannot_be_set_is_refused(name: str, value: Any, error: Any, words: str) -> None:
    with node() as cluster:
        with pytest.raises(error, match=words):
            cluster.run("a", lambda: change_setting(name, value))
        assert cluster.nodes["a"].agent.hosts.hold_back == 0.003


def test_a_setting_that_does_not_take_its_value_is_told_of() -> None:
    with node() as cluster:
        stuck = LiveSetting("x", "s", 0.0, 5.0, lambda: 1.0, lambda value: None)
        settings_of(cluster.kernel("a")).add(stuck)
        with pytest.raises(ValueError, match=r"host a/w1 has 1.0 after 2.0 was set"):
            cluster.run("a", lambda: change_setting("x", 2.0))


def test_a_host_that_does_not_answer_is_named() -> None:
    with node() as cluster:
        cluster.kernel("a", "w2").remote.handlers["poll"] = lambda *args: None
        with pytest.raises(TimeoutError, match="a/w2"):
            cluster.run("a", lambda: change_setting(HOLD_BACK, 0.01))


def test_bounds_are_inclusive() -> None:
    kept = [1.0]
    settings = LiveSettings()
    settings.add(LiveSetting("x", "s", 0.5, 2.0, lambda: kept[0], lambda v: kept.__setitem__(0, v)))
    assert settings.change("x", 0.5, "me") == 0.5
    assert settings.change("x", 2.0, "me") == 2.0
    assert settings.change("y", 1.0, "me") is None
    with pytest.raises(ValueError, match="must be from"):
        settings.change("x", 2.1, "me")


@pytest.mark.parametrize("seconds", [0.0, 0.003, 0.05])
def test_names_are_seen_later_by_what_is_held_back_and_none_is_lost(seconds: float) -> None:
    app = [DistributedRegistry.spec(name="r")]
    with node(2, app) as cluster:
        for name in ("a", "b"):
            cluster.run(name, lambda: change_setting(HOLD_BACK, seconds))

        async def hold() -> None:
            import asyncio

            for number in range(20):
                await register("r", number)
            await asyncio.sleep(100.0)

        cluster.spawn("a", hold)
        cluster.advance(5.0)
        for number in range(20):
            assert len(cluster.run("b", lambda number=number: lookup("r", number))) == 1
