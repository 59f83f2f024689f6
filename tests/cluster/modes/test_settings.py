"""Reading settings: the same everywhere; what is wrong is refused, with what is valid."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from foundation.cluster import ClusterConfig, Timing
from foundation.cluster.discovery import Kubernetes, Loopback, MulticastDNS, StaticList, UdpGossip
from foundation.cluster.modes import (
    CLUSTER_PORT,
    SETTINGS,
    STRATEGIES,
    FileSettings,
    Probes,
    SettingError,
    resolve,
    translate,
)
from foundation.cluster.modes.settings import BY_ENV, OTHER_ENV

SECRET = "s" * 20
IN_POD = Probes(lambda path: path.endswith("/namespace"))


def config_of(env: dict[str, str], settings: Any = True, **table: Any) -> ClusterConfig:
    file = FileSettings("/f.toml", table)
    found = resolve(env, settings, cookie=True, file=file, probes=IN_POD)
    assert found.config is not None
    return found.config


VALUES = [
    # key, in the environment, in a program or file, in the ClusterConfig
    ("name", "shop", "shop", "shop"),
    ("bind", "localhost", "localhost", "localhost"),
    ("advertise", "10.0.0.9", "10.0.0.9", "10.0.0.9"),
    ("port", "7000", 7000, 7000),
    ("labels", "zone=a, gpu=yes,", {"zone": "a", "gpu": "yes"}, {"zone": "a", "gpu": "yes"}),
    ("expected_size", "3", 3, 3),
    ("accept_code", "yes", True, True),
    ("drain_seconds", "2.5", 2.5, 2.5),
    ("timing", "lease=3,takeover=4", {"lease": 3, "takeover": 4.0}, Timing(lease=3, takeover=4)),
    ("unix", "off", False, False),
    ("seed", None, 7, 7),
]


@pytest.mark.parametrize(("key", "text", "value", "expected"), VALUES)
def test_a_setting_means_the_same_everywhere(
    key: str, text: str | None, value: Any, expected: Any
) -> None:
    assert getattr(config_of({}, {key: value}), key) == expected
    assert getattr(config_of({}, True, **{key: value}), key) == expected
    assert getattr(config_of({}, True, cluster={key: value}), key) == expected
    if text is not None:
        assert getattr(config_of({SETTINGS[key].env: text}), key) == expected
        assert getattr(config_of({}, {key: text}), key) == expected


def test_each_field_of_a_cluster_config_is_a_setting_and_tested() -> None:
    fields = {field.name for field in dataclasses.fields(ClusterConfig)} - {"strategies"}
    assert fields <= set(SETTINGS)
    assert fields == {key for key, *_ in VALUES}


@pytest.mark.parametrize("key", sorted(SETTINGS))
def test_a_default_that_is_shown_is_the_one_that_counts(key: str) -> None:
    if key in ("name", "bind", "port"):
        shown = {v.key: v.value for v in resolve({}, True).values}[key]
        assert shown == getattr(ClusterConfig(), key)
    elif hasattr(ClusterConfig(), key):
        assert SETTINGS[key].default == getattr(ClusterConfig(), key)


def test_names_in_the_environment_are_unique_and_follow_one_rule() -> None:
    assert len(BY_ENV) == len([each for each in SETTINGS.values() if each.env])
    assert not set(BY_ENV) & set(OTHER_ENV)
    own = {"name": "CLUSTER_NAME", "port": "CLUSTER_PORT", "expected_size": "EXPECTED_NODES"}
    for key, setting in SETTINGS.items():
        if setting.env:
            assert setting.env == f"FOUNDATION_{own.get(key, key.upper())}"


WRONG_ENV = [
    ("FOUNDATION_CLUSTER", "kuberntes", "did you mean 'kubernetes'"),
    ("FOUNDATION_CLUSTER", "zookeeper", "valid: true, false, kubernetes, dns, static"),
    ("FOUNDATION_CLUSTERS", "true", "did you mean 'FOUNDATION_CLUSTER'"),
    ("FOUNDATION_GOSIP_SECRET", "x", "did you mean 'FOUNDATION_GOSSIP_SECRET'"),
    ("FOUNDATION_STATIC_HOST", "x", "FOUNDATION_STATIC_HOSTS"),
    ("FOUNDATION_EXPECTED_SIZE", "3", "did you mean 'FOUNDATION_EXPECTED_NODES'"),
    ("FOUNDATION_DNS_QUERY", "a.b", "did you mean 'FOUNDATION_DNS_SERVICE'"),
    ("FOUNDATION_PORT", "7000", "did you mean 'FOUNDATION_CLUSTER_PORT'"),
    ("FOUNDATION_WHATEVER", "1", "valid: FOUNDATION_CLUSTER, FOUNDATION_COOKIE,"),
    ("FOUNDATION_HOME", "/srv", "FOUNDATION_LOOPBACK_DIRECTORY"),
    ("FOUNDATION_STRATEGY", "gossip", "did you mean 'FOUNDATION_CLUSTER': it names the strategy"),
    ("FOUNDATION_K8S_SELECTOR", "app=x", "did you mean 'FOUNDATION_K8S_SERVICE': a headless"),
    ("FOUNDATION_SERVICE_NAME", "x", "did you mean 'FOUNDATION_APP_NAME'"),
    ("FOUNDATION_NODE_BASENAME", "x", "did you mean 'FOUNDATION_NODE_NAME'"),
    ("FOUNDATION_KUBERNETES_NAMESPACE", "x", "did you mean 'FOUNDATION_K8S_NAMESPACE'"),
    ("FOUNDATION_HOSTS", "a", "did you mean 'FOUNDATION_STATIC_HOSTS'"),
    ("FOUNDATION_SECRET", "a", "did you mean 'FOUNDATION_GOSSIP_SECRET'"),
    ("FOUNDATION_NAME", "a", "did you mean 'FOUNDATION_CLUSTER_NAME'"),
    ("FOUNDATION_SEED", "7", "say it in foundation.toml"),
    ("FOUNDATION_GOSIP_PORT", "7", "did you mean 'FOUNDATION_GOSSIP_PORT'"),
    ("FOUNDATION_ENV", "devel", "one of dev, development, test, staging, prod, production"),
    ("FOUNDATION_CLUSTER_PORT", "70000", "a whole number from 0 to 65535, got '70000'"),
    ("FOUNDATION_CLUSTER_PORT", "x", "got 'x'"),
    ("FOUNDATION_CLUSTER_PORT", "tcp://10.0.0.1:80", "enableServiceLinks: false"),
    ("FOUNDATION_EXPECTED_NODES", "0", "of 1 or more"),
    ("FOUNDATION_EXPECTED_NODES", "3.0", "a whole number"),
    ("FOUNDATION_LABELS", "zone", "'key=value,key=value'"),
    ("FOUNDATION_LABELS", "=a", "'key=value,key=value'"),
    ("FOUNDATION_ACCEPT_CODE", "maybe", "true or false, got 'maybe'"),
    ("FOUNDATION_DRAIN_SECONDS", "-1", "0 or more"),
    ("FOUNDATION_DRAIN_SECONDS", "nan", "0 or more"),
    ("FOUNDATION_TIMING", "leese=1", "'leese' is none of them"),
    ("FOUNDATION_TIMING", "lease=x", "lease is no number"),
    ("FOUNDATION_TIMING", "lease=2", "takeover (1.8) must be above lease (2.0)"),
    ("FOUNDATION_UNIX", "x", "true or false"),
    ("FOUNDATION_STATIC_HOSTS", ",", "not empty"),
    ("FOUNDATION_STATIC_HOSTS", "a:b", "has a port that is not a number"),
    ("FOUNDATION_GOSSIP_SECRET", "short", "16 bytes or more"),
    ("FOUNDATION_GOSSIP_PORT", "0", "from 1 to 65535"),
    ("FOUNDATION_DNS_RECORD", "TXT", "one of auto, A, AAAA, SRV"),
    ("FOUNDATION_BIND", "::1", "only IPv4"),
    ("FOUNDATION_BIND", "0.0.0.0", "needs advertise=: the address that other nodes dial (from FOU"),
    ("FOUNDATION_NODE_NAME", "a/b", "a non-empty string without '/', got 'a/b'"),
    ("FOUNDATION_TIMING", "lease=-1", "FOUNDATION_TIMING: Timing.lease must be a finite number"),
    ("FOUNDATION_ADVERTISE", "a:1", "FOUNDATION_ADVERTISE"),
]


@pytest.mark.parametrize(("name", "value", "text"), WRONG_ENV)
def test_a_wrong_variable_is_refused_by_name(name: str, value: str, text: str) -> None:
    with pytest.raises(SettingError) as caught:
        config_of({name: value, "FOUNDATION_CLUSTER": "true"} | {name: value})
    assert text in str(caught.value)
    assert name in str(caught.value) or name.removeprefix("FOUNDATION_").lower() in str(
        caught.value
    )


def test_a_wrong_secret_is_not_repeated() -> None:
    with pytest.raises(SettingError, match="got 7 bytes") as caught:
        config_of({"FOUNDATION_GOSSIP_SECRET": " hunter2 "})
    assert "hunter2" not in str(caught.value)
    with pytest.raises(SettingError, match="got a value of type int") as caught:
        config_of({}, {"strategy": "gossip", "secret": 1234567})
    assert "1234567" not in str(caught.value)


def test_variables_that_kubernetes_makes_for_a_service_are_left_alone() -> None:
    others = {
        "FOUNDATION_SERVICE_HOST": "10.0.0.1",  # for a service "foundation"
        "FOUNDATION_SERVICE_PORT": "80",
        "FOUNDATION_SERVICE_PORT_HTTP": "80",
        "FOUNDATION_PORT": "tcp://10.0.0.1:80",
        "FOUNDATION_PORT_80_TCP": "tcp://10.0.0.1:80",
        "FOUNDATION_PORT_80_TCP_PROTO": "tcp",
        "FOUNDATION_PORT_80_TCP_ADDR": "10.0.0.1",
        "FOUNDATION_WEB_SERVICE_HOST": "10.0.0.1",  # for a service "foundation-web"
        "FOUNDATION_WEB_PORT": "udp://10.0.0.1:80",
        "FOUNDATION_WEB_PORT_53_UDP_PORT": "53",
    }
    assert config_of(others) == config_of({})
    for name in ("WEB_SERVICE", "WEB_SERVICE_HOSTS", "WEB_PORT", "PORT_80", "PORT_80_TCP_X"):
        with pytest.raises(SettingError, match=f"unknown variable 'FOUNDATION_{name}'"):
            config_of({f"FOUNDATION_{name}": "1"})


def test_variables_of_the_tests_of_this_project_are_left_alone() -> None:
    assert config_of({"FOUNDATION_TEST_STOCK": "1"}) == config_of({})


def test_all_unknown_variables_are_named_at_once_and_no_value_is_repeated() -> None:
    with pytest.raises(SettingError) as caught:
        config_of({"FOUNDATION_SECRET": "hunter2", "FOUNDATION_B": "1", "FOUNDATION_A": "1"})
    said = str(caught.value)
    assert said.startswith("unknown variables 'FOUNDATION_A', 'FOUNDATION_B', 'FOUNDATION_SECRET'")
    assert set(said.partition("valid: ")[2].split(", ")) == {*BY_ENV, *OTHER_ENV}
    assert "hunter2" not in said


@pytest.mark.parametrize("name", sorted([*BY_ENV, "FOUNDATION_CLUSTER"]))
def test_an_empty_variable_is_not_set(name: str) -> None:
    assert resolve({name: " "}) == resolve({})


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"strategy": "gossip", "secrt": SECRET}, "did you mean 'secret'"),
        ({"strategy": "gossip", "hosts": "a"}, "unknown setting"),
        ({"strategy": "dns", "gossip_secret": SECRET}, "is of strategy 'gossip', not of 'dns'"),
        ({"strategy": "gosip"}, "did you mean 'gossip'"),
        ({"strategy": 5}, "got 5"),
        ({"strategy": "gossip", "secret": SECRET, "gossip_secret": SECRET}, "twice"),
        ({"expected_nodes": 3, "expected_size": 3}, "twice"),
        ({"cookie": "c" * 32}, "FOUNDATION_COOKIE"),
        ({5: 1}, "names of settings are strings, got 5"),
        ({"hosts": "a"}, "valid: cluster, env, app_name"),
        ("gossip", "needs 'secret': 16 bytes or more, common to the cluster; none is built in"),
        ("static", "needs 'hosts'"),
        ("dns", "needs 'service'"),
        ({"strategy": "dns", "service": "a", "port": 0}, "others cannot know"),
        ({"strategy": "kubernetes", "service": "No_Such"}, "Kubernetes.service must"),
        ({"strategy": "gossip", "secret": SECRET, "targets": "a"}, "not an IPv4 address"),
        ({"strategy": "mdns", "interfaces": "lo"}, "'lo' is not an IP address"),
    ],
)
def test_a_wrong_dict_is_refused_with_what_is_valid(settings: Any, text: str) -> None:
    with pytest.raises(SettingError) as caught:
        config_of({"FOUNDATION_BIND": "127.0.0.1"}, settings)
    assert text in str(caught.value)


def test_an_error_in_a_file_names_the_file() -> None:
    for table in ({"nam": "x"}, {"port": "x"}, {"cluster": 5}, {"cluster": "x"}):
        with pytest.raises(SettingError, match=r"/f\.toml"):
            config_of({}, True, **table)


def test_an_error_lists_only_what_fits_the_strategy() -> None:
    with pytest.raises(SettingError) as caught:
        config_of({}, {"strategy": "gossip", "x": 1})
    valid = str(caught.value).partition("valid: ")[2].split(", ")
    assert {"secret", "targets", "gossip_port", "port", "name", "strategy"} <= set(valid)
    assert not {"hosts", "namespace", "static_hosts"} & set(valid)


# Translations


@pytest.mark.parametrize(
    ("keyword", "options", "expected"),
    [
        ("kubernetes", {"app_name": "shop"}, (Kubernetes("shop", port=CLUSTER_PORT),)),
        ("k8s", {"service": "s", "port": 9}, (Kubernetes("s", port=9),)),
        (
            "kubernetes",
            {"namespace": "n", "port_name": "p", "cluster_domain": "d"},
            (Kubernetes("foundation", "n", CLUSTER_PORT, "p", "d"),),
        ),
        ("static", {"hosts": "a,b:7"}, (StaticList(["a", "b:7"], CLUSTER_PORT),)),
        ("static", {"hosts": ["a"], "port": 9}, (StaticList(["a:9"], 9),)),
        ("gossip", {"secret": SECRET}, (UdpGossip(SECRET),)),
        (
            "gossip",
            {"secret": SECRET, "gossip_port": 9, "targets": "10.0.0.1", "ttl": 2, "interval": 1},
            (UdpGossip(SECRET, 9, ["10.0.0.1"], ttl=2, interval=1.0),),
        ),
        ("mdns", {}, (MulticastDNS(), Loopback())),
        ("mdns_lite", {"interfaces": ["10.0.0.1"]}, (MulticastDNS(["10.0.0.1"]), Loopback())),
        ("mdns", {"bind": "10.0.0.1"}, (MulticastDNS(("10.0.0.1",)), Loopback())),
        ("mdns", {"bind": "0.0.0.0"}, (MulticastDNS(), Loopback())),
        ("loopback", {"directory": "/d"}, (Loopback("/d"),)),
    ],
)
def test_a_keyword_becomes_strategies(
    keyword: str, options: dict[str, Any], expected: Any
) -> None:
    assert translate(keyword, **options) == expected


def test_each_strategy_can_be_had_by_its_keyword() -> None:
    needed = {"static": {"hosts": "a"}, "dns": {"service": "a"}, "gossip": {"secret": SECRET}}
    for keyword in STRATEGIES:
        assert translate(keyword, **needed.get(keyword, {}))


def test_kubernetes_outside_of_a_pod_needs_a_namespace() -> None:
    with pytest.raises(SettingError, match="FOUNDATION_K8S_NAMESPACE"):
        resolve({}, "kubernetes", cookie=True, probes=Probes(own_address=lambda: "10.0.0.1"))
