"""Which of argument, environment and file counts, and which mode follows."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from foundation.cluster import ClusterConfig
from foundation.cluster.discovery import Dns, Kubernetes, Loopback, StaticList, UdpGossip
from foundation.cluster.modes import FileSettings, Probes, SettingError, resolve
from foundation.transport import TransportConfig

SECRET = "s" * 20
COOKIE = {"FOUNDATION_COOKIE": "c" * 32}
HERE = Probes(own_address=lambda: "10.1.2.3")
DNS = {"FOUNDATION_DNS_SERVICE": "nodes.example.com"}
GOSSIP = {"gossip_secret": SECRET}


def file(**table: Any) -> FileSettings:
    return FileSettings("/etc/foundation.toml", table)


# argument, FOUNDATION_CLUSTER, cluster in the file -> mode, strategy
TABLE = [
    (None, None, None, "off", None),
    (None, "", None, "off", None),
    (None, "false", None, "off", None),
    (None, None, False, "off", None),
    (None, "true", None, "mortal", "loopback"),
    (None, "1", None, "mortal", "loopback"),
    (None, "YES", None, "mortal", "loopback"),
    (None, None, True, "mortal", "loopback"),
    (True, None, None, "mortal", "loopback"),
    (None, "loopback", None, "apprentice", "loopback"),
    (None, None, "loopback", "apprentice", "loopback"),
    (None, None, {"strategy": "loopback"}, "apprentice", "loopback"),
    ("loopback", None, None, "apprentice", "loopback"),
    ({"strategy": "loopback"}, None, None, "apprentice", "loopback"),
    ({"name": "shop"}, None, None, "mortal", "loopback"),
    # The first source that says yes or no counts.
    (False, "true", None, "off", None),
    (False, "loopback", True, "off", None),
    (True, "false", None, "mortal", "loopback"),
    (True, "false", False, "mortal", "loopback"),
    (None, "false", True, "off", None),
    (None, "false", "gossip", "off", None),
    (None, "true", False, "mortal", "loopback"),
    # The first that names a strategy counts, among those at all; True names none.
    ("loopback", "gossip", "dns", "apprentice", "loopback"),
    (True, "gossip", "dns", "apprentice", "gossip"),
    (True, None, "dns", "apprentice", "dns"),
    (True, "true", "dns", "apprentice", "dns"),
    (None, "true", "dns", "apprentice", "dns"),
    (None, "gossip", "dns", "apprentice", "gossip"),
    ({"name": "shop"}, "gossip", None, "apprentice", "gossip"),
    (True, "false", "dns", "apprentice", "dns"),
]


@pytest.mark.parametrize(("argument", "variable", "in_file", "mode", "strategy"), TABLE)
def test_mode_and_strategy(
    argument: Any, variable: str | None, in_file: Any, mode: str, strategy: str | None
) -> None:
    env = {} if variable is None else {"FOUNDATION_CLUSTER": variable}
    table: dict[str, Any] = {} if in_file is None else {"cluster": in_file}
    if "dns" in (variable, in_file) or "gossip" in (variable, in_file):
        env |= COOKIE  # what these need; the detection is not to see it elsewhere
        table |= {"dns_service": "nodes.example.com", **GOSSIP}
    found = resolve(env, argument, file=file(**table), probes=HERE)
    assert (found.mode, found.strategy) == (mode, strategy)
    assert (found.config is None) == (mode == "off")
    assert found.reasons


def test_a_setting_is_taken_from_the_argument_then_the_environment_then_the_file() -> None:
    env = {"FOUNDATION_LABELS": "zone=env", "FOUNDATION_CLUSTER_NAME": "env"}
    table = {"labels": {"zone": "file"}, "name": "file", "drain_seconds": 7}
    found = resolve(env, {"name": "argument"}, file=file(**table))
    assert found.config is not None
    assert found.config.name == "argument"
    assert found.config.labels == {"zone": "env"}
    assert found.config.drain_seconds == 7.0
    assert found.config.unix is True
    sources = {value.key: value.source for value in found.values}
    assert sources["name"] == "argument"
    assert sources["labels"] == "FOUNDATION_LABELS"
    assert sources["drain_seconds"] == "/etc/foundation.toml"
    assert sources["unix"] == "default"


def test_the_options_of_a_strategy_may_come_from_another_source_than_its_name() -> None:
    found = resolve({"FOUNDATION_GOSSIP_SECRET": SECRET}, "gossip", file=file(gossip_ttl=3))
    assert found.config is not None
    (gossip,) = found.config.strategies or ()
    assert isinstance(gossip, UdpGossip)
    assert (gossip.secret, gossip.ttl) == (SECRET.encode(), 3)
    assert found.options == {"gossip_secret": SECRET.encode(), "gossip_ttl": 3}


def test_own_strategies_beat_a_named_one_and_the_log_says_how_to_undo_it() -> None:
    mine = StaticList(["10.0.0.7:5000"])
    found = resolve({"FOUNDATION_CLUSTER": "gossip"}, strategies=[mine])
    assert (found.mode, found.strategy) == ("wizard", "static")
    assert found.config is not None
    assert found.config.strategies == (mine,)
    (said,) = [reason for reason in found.reasons if "'gossip'" in reason]
    assert "FOUNDATION_CLUSTER" in said
    assert "leave strategies= out" in said


def test_own_strategies_are_used_whatever_the_environment_says_and_with_its_settings() -> None:
    env = {"FOUNDATION_CLUSTER": "false", "FOUNDATION_CLUSTER_PORT": "7000"}
    found = resolve(env, strategies=(Loopback(), StaticList([])))
    assert (found.mode, found.strategy) == ("wizard", "loopback+static")
    assert found.config is not None
    assert (found.config.port, found.config.bind) == (7000, "127.0.0.1")


def test_a_cluster_config_says_everything() -> None:
    config = ClusterConfig(name="mine")
    env = {"FOUNDATION_CLUSTER": "nonsense", "FOUNDATION_CLUSTER_PORT": "nonsense"}
    found = resolve(env, config, file=file(nonsense=1))
    assert found.config is config
    assert (found.mode, found.strategy) == ("wizard", "loopback")
    mine = StaticList(["10.0.0.7:5000"])
    found = resolve(env, config, strategies=[mine])
    assert found.config == ClusterConfig(name="mine", strategies=(mine,))


def test_false_looks_at_nothing() -> None:
    found = resolve({"FOUNDATION_CLUSTER": "nonsense"}, False, file=file(nonsense=1))
    assert (found.mode, found.config) == ("off", None)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"settings": False, "strategies": [Loopback()]}, "contradict each other"),
        (
            {"settings": ClusterConfig(strategies=()), "strategies": [Loopback()]},
            "the ClusterConfig has strategies too",
        ),
        ({"settings": 5}, "got 5"),
        ({"settings": [Loopback()]}, "Strategy objects go into strategies"),
        ({"settings": Loopback()}, "Strategy objects go into strategies"),
        ({"settings": {"strategy": Loopback()}}, "Strategy objects go into strategies"),
        ({"strategies": [Loopback]}, "got the class Loopback; write Loopback(...)"),
        ({"strategies": "loopback"}, "strategies must be"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(SettingError) as caught:
        resolve({}, **arguments)
    assert text in str(caught.value)


# An actor system of the user's


def test_an_actor_system_alone_is_no_cluster() -> None:
    found = resolve({}, actor_system=True)
    assert (found.mode, found.config) == ("wizard", None)


def test_the_address_and_the_cookie_are_those_of_the_actor_system() -> None:
    theirs = TransportConfig(cookie=b"c" * 32, bind_host="10.9.9.9", advertise_host="10.9.9.8")
    found = resolve(DNS, "dns", system=theirs, actor_system=True, probes=HERE)
    assert found.mode == "wizard"
    assert found.config is not None
    assert (found.config.bind, found.config.advertise) == ("10.9.9.9", "10.9.9.8")


@pytest.mark.parametrize("settings", [{"bind": "10.0.0.1"}, ClusterConfig(bind="10.0.0.1")])
def test_another_address_than_that_of_the_actor_system_is_refused(settings: Any) -> None:
    theirs = TransportConfig(cookie=b"c" * 32)
    with pytest.raises(SettingError, match="make them equal"):
        resolve({}, settings, system=theirs, actor_system=True)


# Addresses


@pytest.mark.parametrize(
    ("settings", "bind", "port"),
    [
        ("dns", "10.1.2.3", 45892),
        ({"strategy": "kubernetes", "namespace": "shop"}, "10.1.2.3", 45892),
        ({"strategy": "static", "hosts": "10.0.0.1,10.0.0.2"}, "10.1.2.3", 45892),
        ({"strategy": "static", "hosts": ["a:7000", "b:7000"]}, "10.1.2.3", 7000),
        ({"strategy": "static", "hosts": ["a:7000", "b:7001"]}, "10.1.2.3", 0),
        ({"strategy": "static", "hosts": ["a:7000"], "port": 0}, "10.1.2.3", 0),
        ({"strategy": "static", "hosts": ["127.0.0.1:7000"]}, "127.0.0.1", 7000),
        ({"strategy": "static", "hosts": ["localhost:1", "127.9.9.9:2"]}, "127.0.0.1", 0),
        ({"strategy": "gossip", "secret": SECRET}, "10.1.2.3", 0),
        ("mdns", "10.1.2.3", 0),
        ("loopback", "127.0.0.1", 0),
        ({"strategy": "dns", "bind": "10.7.7.7"}, "10.7.7.7", 45892),
        ({"strategy": "dns", "port": 99}, "10.1.2.3", 99),
    ],
)
def test_with_a_cookie_a_node_listens_where_its_strategy_needs_it(
    settings: Any, bind: str, port: int
) -> None:
    found = resolve({**COOKIE, **DNS}, settings, probes=HERE)
    assert found.config is not None
    assert (found.config.bind, found.config.port) == (bind, port)
    assert not found.warnings


@pytest.mark.parametrize(
    "settings",
    [
        "dns",
        {"strategy": "kubernetes", "namespace": "shop"},
        {"strategy": "static", "hosts": ["10.0.0.1:7000"]},
        {"strategy": "loopback", "bind": "10.0.0.1"},
        {"strategy": "loopback", "bind": "0.0.0.0", "advertise": "10.0.0.1"},
    ],
)
def test_what_is_reached_from_other_machines_needs_a_cookie(settings: Any) -> None:
    with pytest.raises(SettingError, match=r"FOUNDATION_COOKIE(,| or) FOUNDATION_COOKIE_FILE"):
        resolve(DNS, settings, probes=HERE)
    assert resolve(DNS, settings, probes=HERE, cookie=True).config is not None
    by_file = {**DNS, "FOUNDATION_COOKIE_FILE": "/run/secrets/cookie"}
    assert resolve(by_file, settings, probes=HERE).config is not None


@pytest.mark.parametrize("settings", ["mdns", {"strategy": "gossip", "secret": SECRET}])
def test_without_a_cookie_multicast_stays_on_this_machine_and_says_so(settings: Any) -> None:
    found = resolve({}, settings, probes=HERE)
    assert found.config is not None
    assert found.config.bind == "127.0.0.1"
    first = (found.config.strategies or ())[0]
    interface = getattr(first, "interfaces", None) or (getattr(first, "interface", None),)
    assert interface == ("127.0.0.1",)
    (warning,) = found.warnings
    assert "this machine only" in warning


def test_a_machine_without_an_address_is_told_to_say_one() -> None:
    with pytest.raises(SettingError, match="set bind"):
        resolve({**COOKIE, **DNS}, "dns")


# The result


def test_a_result_says_no_secret() -> None:
    env = {"FOUNDATION_GOSSIP_SECRET": "topsecret-topsecret", **COOKIE}
    found = resolve(env, "gossip", probes=HERE)
    assert "topsecret" not in repr(found)
    assert "topsecret" not in " ".join(map(str, [value.shown for value in found.values]))
    assert "c" * 32 not in repr(found)


@pytest.mark.parametrize(
    ("env", "settings", "asked"),
    [
        ({}, None, False),
        ({"FOUNDATION_APP_NAME": "shop"}, None, False),
        ({"FOUNDATION_CLUSTER": "no"}, None, True),
        ({}, False, True),
        ({}, True, True),
        ({}, ClusterConfig(), True),
    ],
)
def test_a_result_says_whether_anything_asks_for_a_cluster_or_none(
    env: dict[str, str], settings: Any, asked: bool
) -> None:
    assert resolve(env, settings, probes=HERE).asked is asked


def test_what_was_resolved_can_travel() -> None:
    found = resolve({**COOKIE, **DNS}, "dns", probes=HERE)
    assert pickle.loads(pickle.dumps(found.config)) == found.config


def test_the_same_by_the_methods_of_cluster_config() -> None:
    assert ClusterConfig.resolve(DNS, "dns", cookie=True, probes=HERE) == resolve(
        DNS, "dns", cookie=True, probes=HERE
    )
    assert ClusterConfig.detect(DNS).strategy == "dns"
    (made,) = ClusterConfig.translate("kubernetes", app_name="shop", namespace="eu")
    assert made == Kubernetes("shop", "eu", 45892)
    (made,) = ClusterConfig.translate("dns", query="nodes.example.com", port=7)
    assert made == Dns("nodes.example.com", 7)
    assert ClusterConfig.validate({"strategy": "loopback"}) == ()
    with pytest.raises(SettingError, match="did you mean 'loopback'"):
        ClusterConfig.validate("lopback")
