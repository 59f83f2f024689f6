"""Evidence, in its order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from foundation.cluster.modes import FileSettings, Probes, SettingError, detect, resolve
from foundation.cluster.modes.detect import TOKEN_FILE

K8S = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
CONSUL = {"CONSUL_HTTP_ADDR": "127.0.0.1:8500"}
HOSTS = {"FOUNDATION_STATIC_HOSTS": "a:1,b:1"}
DNS = {"FOUNDATION_DNS_SERVICE": "nodes.example.com"}
GOSSIP = {"FOUNDATION_GOSSIP_SECRET": "s" * 20}
COOKIE = {"FOUNDATION_COOKIE": "c" * 32}


def at(address: str | None, *files: str) -> Probes:
    return Probes(exists=lambda path: path in files, own_address=lambda: address)


@pytest.mark.parametrize(
    ("env", "strategy"),
    [
        ({}, "loopback"),
        (GOSSIP, "gossip"),
        (DNS | GOSSIP, "dns"),
        (CONSUL | DNS, "dns"),
        (CONSUL | GOSSIP, "gossip"),
        (K8S | CONSUL | DNS | GOSSIP, "kubernetes"),
        (HOSTS | K8S | CONSUL | DNS | GOSSIP, "static"),
        ({"KUBERNETES_SERVICE_HOST": ""}, "loopback"),
        ({"CONSUL_HTTP_ADDR": ""}, "loopback"),
    ],
)
def test_infrastructure_beats_a_guess(env: dict[str, str], strategy: str) -> None:
    choice = detect(env, at("10.1.2.3"))
    assert choice.strategy == strategy
    assert choice.reasons[-1].endswith(f": {strategy}")


def test_a_service_account_is_evidence_of_kubernetes() -> None:
    assert detect(DNS, at(None, TOKEN_FILE)).strategy == "kubernetes"


def test_consul_alone_is_refused_with_what_to_do_instead() -> None:
    with pytest.raises(SettingError, match="CONSUL_HTTP_ADDR") as caught:
        detect(CONSUL, at("10.1.2.3"))
    assert '"strategy": "dns"' in str(caught.value)
    assert "strategies=" in str(caught.value)
    with pytest.raises(SettingError, match="strategies="):
        resolve({}, "consul")
    with pytest.raises(SettingError, match="strategies="):
        resolve({"FOUNDATION_CLUSTER": "consul"})


def test_what_consul_is_told_instead_is_understood() -> None:
    settings = {
        "strategy": "dns",
        "service": "NAME.service.consul",
        "record": "SRV",
        "nameservers": ["127.0.0.1:8600"],
        "bind": "10.0.0.1",
    }
    assert resolve({}, settings, cookie=True).strategy == "dns"


@pytest.mark.parametrize(
    ("env", "address", "strategy"),
    [
        # Without a cookie the node listens on loopback: multicast would find nobody else.
        ({}, "10.1.2.3", "loopback"),
        ({"FOUNDATION_ENV": "dev"}, "10.1.2.3", "loopback"),
        (COOKIE, None, "loopback"),
        (COOKIE, "10.1.2.3", "mdns"),
        (COOKIE, "192.168.0.7", "mdns"),
        (COOKIE, "8.8.8.8", "loopback"),
        (COOKIE | {"FOUNDATION_ENV": "dev"}, "8.8.8.8", "mdns"),
        (COOKIE | {"FOUNDATION_ENV": "Development"}, "8.8.8.8", "mdns"),
        (COOKIE | {"FOUNDATION_ENV": "prod"}, "10.1.2.3", "loopback"),
        (COOKIE | {"FOUNDATION_ENV": "production"}, "10.1.2.3", "loopback"),
        (COOKIE | {"FOUNDATION_ENV": "staging"}, "10.1.2.3", "loopback"),
        (COOKIE | {"FOUNDATION_ENV": "test"}, "10.1.2.3", "loopback"),
        (COOKIE | {"FOUNDATION_BIND": "127.0.0.1"}, "10.1.2.3", "loopback"),
        (COOKIE | {"FOUNDATION_BIND": "10.5.5.5"}, "8.8.8.8", "mdns"),
        (COOKIE | {"FOUNDATION_BIND": "8.8.4.4"}, "10.1.2.3", "loopback"),
        (COOKIE | {"FOUNDATION_BIND": "localhost"}, "10.1.2.3", "loopback"),
    ],
)
def test_multicast_only_in_development_on_a_local_network_with_a_cookie(
    env: dict[str, str], address: str | None, strategy: str
) -> None:
    found = resolve(env, True, probes=at(address))
    assert (found.mode, found.strategy) == ("mortal", strategy)


@pytest.mark.parametrize("where", ["prod", "production", "staging"])
def test_in_production_nothing_but_this_machine_is_a_warning(where: str) -> None:
    env = COOKIE | {"FOUNDATION_ENV": where}
    (warning,) = resolve(env, True, probes=at("10.1.2.3")).warnings
    assert "FOUNDATION_ENV" in warning
    assert resolve(env | {"FOUNDATION_CLUSTER": "loopback"}).warnings == ()


def test_evidence_may_be_in_the_file() -> None:
    file = FileSettings("/f", {"dns_service": "nodes.example.com"})
    found = resolve(COOKIE, True, file=file, probes=at("10.1.2.3"))
    assert (found.mode, found.strategy) == ("mortal", "dns")
    assert "dns_service is set (/f): dns" in found.reasons


def test_every_step_is_among_the_reasons() -> None:
    reasons = " ".join(resolve({}, True, probes=at("10.1.2.3")).reasons)
    steps = ("static_hosts", "Kubernetes", "CONSUL", "dns_service", "gossip_secret", "loopback")
    places = [reasons.index(step) for step in steps]
    assert places == sorted(places)


def test_nothing_but_the_probes_looks_at_the_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def forbidden(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("looked at the machine")

    for name in ("KUBERNETES_SERVICE_HOST", "CONSUL_HTTP_ADDR", "FOUNDATION_CLUSTER"):
        monkeypatch.setenv(name, "gossip")
    monkeypatch.setattr("socket.socket.connect", forbidden)
    monkeypatch.setattr("os.path.exists", forbidden)
    assert resolve({}, True, cookie=True).strategy == "loopback"
    assert detect({}).strategy == "loopback"
