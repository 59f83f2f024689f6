"""Which strategy fits where the program runs, from evidence and not by trying.

In this order (``detect``):

1. settings that name hosts (``FOUNDATION_STATIC_HOSTS``): ``static``;
2. Kubernetes (``KUBERNETES_SERVICE_HOST``, or the service account's token): ``kubernetes``;
3. Consul (``CONSUL_HTTP_ADDR``): noted; refused if nothing further down is set;
4. a name to look up (``FOUNDATION_DNS_SERVICE``): ``dns``;
5. a secret for gossip (``FOUNDATION_GOSSIP_SECRET``): ``gossip``;
6. development, on a private network, with a cookie: ``mdns``;
7. otherwise ``loopback``: the nodes of this user on this machine.

So infrastructure beats a guess, and nothing is multicast in production unless a setting asks for
it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from foundation.cluster.modes.errors import SettingError
from foundation.cluster.modes.settings import CONSUL_HINT, DEVELOPMENT, Value
from foundation.transport.config import is_loopback

SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_FILE = f"{SERVICE_ACCOUNT}/token"
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Probes:
    """What else is asked of the machine, so that the decisions are pure.

    Attributes:
        exists: whether there is a file of that path.
        own_address: the IPv4 address by which others reach this machine; None: unknown.
    """

    exists: Callable[[str], bool] = lambda path: False
    own_address: Callable[[], str | None] = lambda: None


@dataclass(frozen=True)
class Choice:
    """A strategy, and the steps that led to it."""

    strategy: str
    reasons: tuple[str, ...]


def detect(
    env: Mapping[str, str],
    probes: Probes | None = None,
    values: Mapping[str, Value] | None = None,
    cookie: bool = False,
) -> Choice:
    """Return the strategy for where the program runs.

    Args:
        env: the environment.
        probes: asked of the machine.
        values: settings by key, of all sources; None: those of *env*.
        cookie: somebody has chosen the cookie, so that the node may listen to other machines.

    Raises:
        SettingError: the evidence is for something that there is no strategy for.
    """
    probes = probes or Probes()
    if values is None:
        from foundation.cluster.modes.layers import environment_layer

        values = environment_layer(env).values
    reasons: list[str] = []
    strategy = (
        _by_hosts(values, reasons)
        or _by_kubernetes(env, probes, reasons)
        or _by_names(env, values, reasons)
        or _by_place(values, probes, cookie, reasons)
    )
    return Choice(strategy, tuple(reasons))


def _source(values: Mapping[str, Value], key: str) -> str | None:
    found = values.get(key)
    return None if found is None else f"{key} is set ({found.source})"


def _by_hosts(values: Mapping[str, Value], reasons: list[str]) -> str | None:
    hosts = _source(values, "static_hosts")
    if hosts is None:
        reasons.append("no static_hosts")
        return None
    reasons.append(f"{hosts}: static")
    return "static"


def _by_kubernetes(
    env: Mapping[str, str], probes: Probes, reasons: list[str]
) -> str | None:
    if env.get("KUBERNETES_SERVICE_HOST"):
        reasons.append("KUBERNETES_SERVICE_HOST is set: kubernetes")
        return "kubernetes"
    if probes.exists(TOKEN_FILE):
        reasons.append(f"{TOKEN_FILE} exists: kubernetes")
        return "kubernetes"
    reasons.append("no KUBERNETES_SERVICE_HOST and no service account: not Kubernetes")
    return None


def _by_names(
    env: Mapping[str, str], values: Mapping[str, Value], reasons: list[str]
) -> str | None:
    consul = bool(env.get("CONSUL_HTTP_ADDR"))
    reasons.append(f"{'' if consul else 'no '}CONSUL_HTTP_ADDR{' is set' if consul else ''}")
    for key, strategy in (("dns_service", "dns"), ("gossip_secret", "gossip")):
        found = _source(values, key)
        if found is not None:
            reasons.append(f"{found}: {strategy}")
            return strategy
        reasons.append(f"no {key}")
    if consul:
        raise SettingError(
            f"CONSUL_HTTP_ADDR is set, so nodes are meant to be found by Consul, but {CONSUL_HINT}."
            " FOUNDATION_CLUSTER=loopback is for nodes of this machine alone"
        )
    return None


def _by_place(
    values: Mapping[str, Value], probes: Probes, cookie: bool, reasons: list[str]
) -> str:
    address = _listens_at(values, probes, cookie)
    if address is None or is_loopback(address):
        why = "" if cookie else " (a cookie of one's own, FOUNDATION_COOKIE, would open it)"
        reasons.append(f"the node listens on loopback only{why}: loopback")
        return "loopback"
    if not in_development(values, address, reasons):
        reasons.append("no multicast outside development: loopback")
        return "loopback"
    reasons.append("development on a local network, with a cookie: mdns")
    return "mdns"


def _listens_at(
    values: Mapping[str, Value], probes: Probes, cookie: bool
) -> str | None:
    """Return the address that others would see."""
    for key in ("advertise", "bind"):
        if key in values:
            return str(values[key].value)
    return probes.own_address() if cookie else LOOPBACK


def in_development(values: Mapping[str, Value], address: str, reasons: list[str]) -> bool:
    """Whether this is development: it is said, or the node is seen in a private network only."""
    said: Any = values.get("env")
    if said is not None:
        reasons.append(f"env is {said.value} ({said.source})")
        return said.value in DEVELOPMENT
    try:
        private = ipaddress.ip_address(address).is_private
    except ValueError:
        private = False
    reasons.append(
        f"no FOUNDATION_ENV, and {address} is {'' if private else 'not '}a private address: "
        f"{'' if private else 'not '}development"
    )
    return private
