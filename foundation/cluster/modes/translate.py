"""From a keyword and a few options to discovery strategies with all of theirs."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from typing import Any

from foundation.cluster.discovery import (
    Dns,
    Kubernetes,
    Loopback,
    MulticastDNS,
    StaticList,
    UdpGossip,
    parse_address,
)
from foundation.cluster.modes.detect import SERVICE_ACCOUNT, Probes
from foundation.cluster.modes.errors import SettingError
from foundation.cluster.modes.settings import SETTINGS, key_of, parsed, strategy_named
from foundation.transport.config import is_loopback

CLUSTER_PORT = 45892  # TCP; where others must know the port beforehand. Gossip has it for UDP
Options = Mapping[str, Any]  # by key; only what was set
Strategies = tuple[Any, ...]


def translate(keyword: str, **options: Any) -> Strategies:
    """Return the strategies that *keyword* stands for.

    Args:
        keyword: ``kubernetes``, ``dns``, ``static``, ``gossip``, ``mdns`` or ``loopback``.
        options: as beside ``strategy=`` in ``cluster={...}``: ``secret=``, ``app_name=`` ...

    Raises:
        SettingError: there is no such strategy or option, or one is wrong or missing.
    """
    strategy = strategy_named(keyword, "translate")
    found = {}
    for name, raw in options.items():
        key = key_of(name, strategy, "translate")
        found[key] = parsed(key, raw, "argument", f"translate: {name}").value
    return build(strategy, found, Probes(exists=lambda path: True))


def build(strategy: str, options: Options, probes: Probes) -> Strategies:
    """Return the strategies of *strategy* with *options* by key; defaults are filled in.

    Raises:
        SettingError: an option is wrong or missing.
    """
    try:
        return _BUILDERS[strategy](options, probes)
    except SettingError:
        raise
    except (ValueError, ModuleNotFoundError) as error:
        raise SettingError(f"strategy {strategy!r}: {error}") from None


def default_port(strategy: str | None, options: Options) -> int:
    """Return the port of a node that was given none: one that others can know, if they must."""
    if strategy in ("kubernetes", "dns"):
        return CLUSTER_PORT
    if strategy == "static":
        ports = {_port_of(host): None for host in options.get("static_hosts", ())}
        return next(iter(ports)) if len(ports) == 1 else 0
    return 0


def is_remote(strategy: str, options: Options) -> bool:
    """Whether the strategy is of use only when other machines can reach the node."""
    if strategy == "static":
        hosts = (_split(host)[0] for host in options.get("static_hosts", ()))
        return not all(is_loopback(host) for host in hosts)
    return strategy in ("kubernetes", "dns")


def _split(host: str) -> tuple[str, int]:
    try:
        return parse_address(host, CLUSTER_PORT)
    except ValueError as error:
        raise SettingError(f"static_hosts: {error}") from None


def _port_of(host: str) -> int:
    return _split(host)[1]


def _taken(options: Options, *names: tuple[str, str]) -> dict[str, Any]:
    """Return the arguments of a strategy from *options*; those not set have its defaults."""
    return {argument: options[key] for argument, key in names if key in options}


def _missing(strategy: str, key: str, why: str) -> SettingError:
    setting = SETTINGS[key]
    return SettingError(
        f"strategy {strategy!r} needs {setting.short!r}: {why}. Say it as {setting.env}, as "
        f"{key} in foundation.toml, or as cluster={{'strategy': {strategy!r}, "
        f"{setting.short!r}: ...}}"
    )


def _known_port(strategy: str, options: Options) -> int:
    port = options.get("port", CLUSTER_PORT)
    if port == 0:
        raise SettingError(
            f"strategy {strategy!r}: port 0 takes a free one, which others cannot know; leave it "
            f"out for {CLUSTER_PORT}, or choose one"
        )
    return int(port)


def _kubernetes(options: Options, probes: Probes) -> Strategies:
    named = _taken(
        options,
        ("namespace", "k8s_namespace"),
        ("port_name", "k8s_port_name"),
        ("cluster_domain", "k8s_cluster_domain"),
    )
    if "namespace" not in named and not probes.exists(f"{SERVICE_ACCOUNT}/namespace"):
        why = f"this is no pod with a service account ({SERVICE_ACCOUNT} is missing)"
        raise _missing("kubernetes", "k8s_namespace", why)
    service = options.get("k8s_service") or options.get("app_name", "foundation")
    return (Kubernetes(service, port=_known_port("kubernetes", options), **named),)


def _dns(options: Options, probes: Probes) -> Strategies:
    if "dns_service" not in options:
        raise _missing("dns", "dns_service", "the name whose records are the nodes")
    named = _taken(options, ("record", "dns_record"), ("nameservers", "dns_nameservers"))
    return (Dns(options["dns_service"], port=_known_port("dns", options), **named),)


def _static(options: Options, probes: Probes) -> Strategies:
    if "static_hosts" not in options:
        raise _missing("static", "static_hosts", "the addresses of nodes")
    return (StaticList(options["static_hosts"], port=options.get("port") or CLUSTER_PORT),)


def _gossip(options: Options, probes: Probes) -> Strategies:
    if "gossip_secret" not in options:
        why = "16 bytes or more, common to the cluster; none is built in"
        raise _missing("gossip", "gossip_secret", why)
    names = ("port", "targets", "interface", "interval", "ttl")
    named = _taken(options, *((name, f"gossip_{name}") for name in names))
    address = _interface(options)
    if address is not None and "gossip_targets" not in options:
        named.setdefault("interface", address)
    return (UdpGossip(options["gossip_secret"], **named),)


def _mdns(options: Options, probes: Probes) -> Strategies:
    named = _taken(
        options, ("interfaces", "mdns_interfaces"), ("service_type", "mdns_service_type")
    )
    address = _interface(options)
    if address is not None:
        named.setdefault("interfaces", (address,))
    # Many containers and virtual machines have no multicast; this machine's nodes meet anyway.
    return (MulticastDNS(**named), *_loopback(options, probes))


def _loopback(options: Options, probes: Probes) -> Strategies:
    return (Loopback(options.get("loopback_directory")),)


def _interface(options: Options) -> str | None:
    """Return the address of the interface that the node listens at: multicast goes there only."""
    bind = options.get("bind")
    try:
        found = ipaddress.IPv4Address(bind or "")
    except ValueError:
        return None
    return None if found.is_unspecified else str(found)


_BUILDERS: dict[str, Callable[[Options, Probes], Strategies]] = {
    "kubernetes": _kubernetes,
    "dns": _dns,
    "static": _static,
    "gossip": _gossip,
    "mdns": _mdns,
    "loopback": _loopback,
}
