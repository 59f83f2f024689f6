"""``foundation.start``: what its arguments come to. Few of these start processes."""

from __future__ import annotations

import logging
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

import foundation
from foundation import health_monitor, optimizer
from foundation.cluster import ClusterConfig, await_cluster, nodes
from foundation.cluster.config import ALONE
from foundation.cluster.discovery import Loopback, StaticList
from foundation.cluster.modes import SettingError, resolve
from foundation.cluster.registry import DistributedRegistry
from foundation.entry import Facades
from foundation.errors import NodeError
from foundation.transport import TransportConfig, open_system
from tests.cluster.real.kit import eventually


def config_of(application: foundation.Application) -> ClusterConfig | None:
    """Return the cluster that an application would be started in."""
    extensions = application._options.host_options.extensions
    return extensions[0] if extensions else None


def started(**options: Any) -> ClusterConfig | None:
    return config_of(foundation.start(None, **options))


def alone(config: ClusterConfig | None) -> bool:
    """Whether *config* is that of a cluster of one, which nobody can join."""
    return config is not None and config.name.startswith(ALONE) and config.strategies == ()


def test_nothing_said_is_a_node_alone() -> None:
    assert alone(started())
    assert alone(started(cluster=False))
    assert started(cluster=False, facades=False) is None
    assert started(hosts=0) is None
    assert started(stock=True) is None


def optimizer_of(**options: Any) -> Any:
    """Return the mode in which the optimizer of a node would begin."""
    parts = foundation.start(None, **options)._root
    specs = Facades().init(*parts[0].start[1])
    return next(spec.start[1][0].mode for spec in specs if spec.id == optimizer.SERVER)


def test_the_mode_of_the_optimizer_may_be_set_where_the_cluster_is(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert optimizer_of() == optimizer_of(cluster=True) == "recommend"
    (bare / "foundation.toml").write_text('[cluster]\noptimizer = "off"\n')
    assert optimizer_of() == optimizer_of(cluster=True) == "off"
    monkeypatch.setenv("FOUNDATION_OPTIMIZER", "auto")
    assert optimizer_of() == "auto"
    assert optimizer_of(cluster={"strategy": "loopback", "optimizer": "off"}) == "off"
    monkeypatch.setenv("FOUNDATION_OPTIMIZER", "on")
    with pytest.raises(SettingError, match="one of off, recommend, auto"):
        foundation.start(None)


def test_what_else_the_facades_begin_with_may_be_set_there_too(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begun() -> tuple[Any, Any]:
        parts = foundation.start(None)._root
        specs = {spec.id: spec for spec in Facades().init(*parts[0].start[1])}
        found = [specs[server].start[1][0] for server in (health_monitor.SERVER, optimizer.SERVER)]
        return found[0], found[1]

    assert begun() == (health_monitor.Settings(), optimizer.Options())
    (bare / "foundation.toml").write_text(
        '[cluster]\nhealth_interval = 10\noptimizer_modules = ["shop.rules"]\n'
    )
    monkeypatch.setenv("FOUNDATION_OPTIMIZER_INTERVAL", "900")
    wanted = optimizer.Options(interval=900.0, modules=("shop.rules",))
    assert begun() == (health_monitor.Settings(interval=10.0), wanted)
    for wrong in ("0", "-1", "inf", "nan", "soon"):
        monkeypatch.setenv("FOUNDATION_HEALTH_INTERVAL", wrong)
        with pytest.raises(SettingError, match="a number of seconds above 0"):
            foundation.start(None)


def test_a_keyword_a_dict_and_strategies() -> None:
    assert started(cluster=True) == ClusterConfig(strategies=(Loopback(),))
    assert started(cluster="loopback") == ClusterConfig(strategies=(Loopback(),))
    options = {"strategy": "loopback", "directory": "/d", "name": "shop", "expected_nodes": 3}
    expected = ClusterConfig(name="shop", expected_size=3, strategies=(Loopback("/d"),))
    assert started(cluster=options) == expected
    mine = StaticList(["127.0.0.1:7000"])
    assert started(strategies=[mine]) == ClusterConfig(strategies=(mine,))
    assert started(cluster=ClusterConfig(name="x")) == ClusterConfig(name="x")


def test_the_environment_clusters_a_program_that_says_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FOUNDATION_CLUSTER", "true")
    monkeypatch.setenv("FOUNDATION_APP_NAME", "shop")
    assert started() == ClusterConfig(name="shop", strategies=(Loopback(),))
    assert alone(started(cluster=False))
    assert started(cluster=ClusterConfig(name="x")) == ClusterConfig(name="x")


def test_a_file_clusters_it_too(bare: Path) -> None:
    (bare / "foundation.toml").write_text('[cluster]\nstrategy = "loopback"\nname = "filed"\n')
    assert started() == ClusterConfig(name="filed", strategies=(Loopback(),))
    assert alone(started(cluster=False))
    (bare / "foundation.toml").write_text("clutser = true\n")
    with pytest.raises(SettingError, match="did you mean 'cluster'"):
        foundation.start(None)
    assert alone(started(cluster=False))


@pytest.mark.parametrize("options", [{"hosts": 0}, {"stock": True}])
def test_what_cannot_be_in_a_cluster_says_who_asked_for_one(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    monkeypatch.setenv("FOUNDATION_CLUSTER", "true")
    with pytest.raises(NodeError, match="FOUNDATION_CLUSTER says true") as caught:
        foundation.start(None, **options)
    assert "cluster=False keeps it alone" in str(caught.value)
    assert started(cluster=False, **options) is None


def test_the_name_of_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    def name(**options: Any) -> str:
        return foundation.start(None, **options)._options.name

    assert name(cluster=True) == f"node-{os.getpid()}"
    # Process ids are the same in many containers.
    wide = ClusterConfig(bind="10.0.0.1")
    assert name(cluster=wide, cookie="c" * 32) == f"{socket.gethostname()}-{os.getpid()}"
    monkeypatch.setenv("FOUNDATION_NODE_NAME", "pod-7")
    assert name(cluster=True) == "pod-7"
    assert name() == "pod-7"
    assert name(cluster=True, name="mine") == "mine"


def test_a_host_name_is_looked_up_when_a_node_is_started_and_not_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def look_up(host: str, *more: Any) -> Any:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    env = {"FOUNDATION_BIND": "db.example.invalid", "FOUNDATION_COOKIE": "c" * 32}
    found = resolve(env, True)
    assert found.config is not None
    assert (found.config.bind, asked) == ("db.example.invalid", [])
    with pytest.raises(NodeError, match=r"bind must be .*looked up here.*'db\.example\.invalid'"):
        foundation.start(None, cluster=found.config, cookie="c" * 32)
    assert set(asked) == {"db.example.invalid"}


def test_the_reasons_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    level = logging.getLogger("foundation").level
    try:
        foundation.start(None, cluster=True, log_level=logging.INFO)
    finally:
        logging.getLogger("foundation").setLevel(level)
    said = [r.getMessage() for r in caplog.records if r.levelno == logging.INFO]
    assert "cluster settings: argument says true: a cluster" in said
    assert any("Loopback(" in text for text in said)


def test_the_cookie_may_be_in_a_file(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from foundation.errors import CookieError
    from foundation.transport import load_cookie

    monkeypatch.setenv("FOUNDATION_COOKIE_FILE", str(bare / "cookie"))
    with pytest.raises(CookieError, match="FOUNDATION_COOKIE_FILE"):
        load_cookie()
    (bare / "cookie").write_text("f" * 32 + "\n")
    assert load_cookie() == (b"f" * 32, True)
    assert load_cookie("a" * 32) == (b"a" * 32, True)
    monkeypatch.setenv("FOUNDATION_COOKIE", "e" * 32)
    assert load_cookie() == (b"e" * 32, True)


# With processes


@pytest.fixture
def secret(bare: Path) -> str:
    return "a secret of this test " + bare.name


@pytest.mark.real
def test_gossip_by_a_dict_forms_and_survives_the_death_of_a_host(
    monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    monkeypatch.setenv("FOUNDATION_GOSSIP_SECRET", secret)
    monkeypatch.setenv("FOUNDATION_GOSSIP_INTERVAL", "0.1")
    settings = {"strategy": "gossip", "name": secret, "bind": "127.0.0.1"}

    async def names() -> tuple[str, ...]:
        await await_cluster(2)
        return nodes()

    with (
        foundation.start(None, name="a", hosts=1, cluster=settings) as a,
        foundation.start(None, name="b", hosts=1, cluster=settings) as b,
    ):
        assert a.run(names) == b.run(names) == ("a", "b")
        # A host that starts later is told the settings, with strategies that run by now.
        before = a.hosts()["a/w1"]
        os.kill(before, signal.SIGKILL)
        eventually(lambda: a.hosts().get("a/w1", before) != before, what="a new worker host")


async def _put_and_look() -> tuple[Any, ...]:
    await await_cluster(2)
    from foundation.kernel.ops import me

    await DistributedRegistry.register("names", "key", me())
    return nodes()


@pytest.mark.real
def test_a_cluster_on_actor_systems_of_the_users(secret: str) -> None:
    config = TransportConfig(cookie=secret.encode())
    mine, other = open_system(config), open_system(config)
    try:
        cluster = {"strategy": "loopback", "name": secret}
        app = [DistributedRegistry.spec(name="names")]
        with (
            foundation.start(app, name="a", hosts=1, cluster=cluster, actor_system=mine) as a,
            foundation.start(app, name="b", hosts=1, cluster=cluster, actor_system=other) as b,
        ):
            assert a.run(_put_and_look) == ("a", "b")
            assert b.actor_system is other
    finally:
        mine.shutdown()
        other.shutdown()
