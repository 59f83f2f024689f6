"""The settings of a cluster: their names in programs, files and the environment.

A setting of one strategy begins with the strategy's name. Beside ``strategy=`` it may be written
without that, unless it then has the name of a setting of all clusters: ``{"strategy": "gossip",
"secret": ...}`` is ``gossip_secret``, but ``port`` is that of the cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from foundation.cluster.modes import parsing
from foundation.cluster.modes.errors import SettingError, unknown
from foundation.cluster.timing import LAN

PREFIX = "FOUNDATION_"
CLUSTER = "FOUNDATION_CLUSTER"
COOKIE = "FOUNDATION_COOKIE"
COOKIE_FILE = "FOUNDATION_COOKIE_FILE"
CONFIG_FILE = "FOUNDATION_CONFIG_FILE"
DEVELOPMENT = ("dev", "development")
PRODUCTION = ("staging", "prod", "production")
ENVIRONMENTS = (*DEVELOPMENT, "test", *PRODUCTION)
STRATEGIES = ("kubernetes", "dns", "static", "gossip", "mdns", "loopback")
STRATEGY_PREFIX = {"kubernetes": "k8s"}
SYNONYMS = {"k8s": "kubernetes", "mdns_lite": "mdns", "multicast_dns": "mdns", "udp": "gossip"}


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        key: its name in programs and files.
        parse: see ``parsing``.
        text: what it is.
        default: None also where the default depends on other settings.
        env: its name in the environment; "" where it has none.
        strategy: the one that uses it; "" for all.
        aliases: further keys.
        secret: it is never shown.
    """

    key: str
    parse: parsing.Parser
    text: str
    default: Any = None
    env: str = ""
    strategy: str = ""
    aliases: tuple[str, ...] = ()
    secret: bool = False

    @property
    def short(self) -> str:
        """The key without the strategy's prefix."""
        prefix = STRATEGY_PREFIX.get(self.strategy, self.strategy)
        return self.key.removeprefix(f"{prefix}_") if self.strategy else self.key


def _common(key: str, parse: parsing.Parser, text: str, *more: Any, **others: Any) -> Setting:
    others.setdefault("env", f"{PREFIX}{key.upper()}")
    return Setting(key, parse, text, *more, **others)


def _of(strategy: str, short: str, parse: parsing.Parser, text: str, **others: Any) -> Setting:
    key = f"{STRATEGY_PREFIX.get(strategy, strategy)}_{short}"
    return Setting(key, parse, text, env=f"{PREFIX}{key.upper()}", strategy=strategy, **others)


_PORT = parsing.whole(0, 65535)
_ALL = (
    _common("env", parsing.word(*ENVIRONMENTS), "where it runs; multicast by default only in dev"),
    _common("app_name", parsing.text, "of the application", "foundation"),
    _common("node_name", parsing.node_name, "of this node, unique in the cluster"),
    _common("name", parsing.text, "of the cluster; default app_name", env=f"{CLUSTER}_NAME"),
    _common("bind", parsing.text, "the IPv4 address or host name to listen at"),
    _common("advertise", parsing.text, "what other nodes dial; default bind"),
    # Not FOUNDATION_PORT: Kubernetes sets that for a service called "foundation".
    _common("port", _PORT, "of the cluster endpoint; 0: a free one", env=f"{CLUSTER}_PORT"),
    _common("labels", parsing.pairs, "by which placement chooses nodes", {}),
    _common(
        "expected_size", parsing.whole(1), "nodes of the whole cluster",
        env=f"{PREFIX}EXPECTED_NODES", aliases=("expected_nodes",),
    ),
    _common("accept_code", parsing.boolean, "take classes of other nodes by value"),
    _common("drain_seconds", parsing.seconds, "for moving work when it stops", 5.0),
    _common("timing", parsing.timing, "of failure detection", LAN),
    _common("unix", parsing.boolean, "Unix sockets within a machine", True),
    _common(
        "optimizer", parsing.word("off", "recommend", "auto"),
        "whether it looks, and whether it tunes by itself what is safe", "recommend",
    ),
    _common("optimizer_interval", parsing.period, "between its looks", 3600.0),
    _common("optimizer_modules", parsing.listed, "modules with rules, imported where it runs", ()),
    _common("health_interval", parsing.period, "between checks of a node by itself", 30.0),
    Setting("seed", parsing.whole(-(2**63)), "of everything random"),
    _of("kubernetes", "service", parsing.text, "the headless service; default app_name"),
    _of("kubernetes", "namespace", parsing.text, "default: that of this pod"),
    _of("kubernetes", "port_name", parsing.text, "of the service: look up SRV records"),
    _of("kubernetes", "cluster_domain", parsing.text, "default cluster.local"),
    _of("dns", "service", parsing.text, "the name to look up", aliases=("dns_query",)),
    _of("dns", "record", parsing.word("auto", "A", "AAAA", "SRV"), "its kind", default="auto"),
    _of("dns", "nameservers", parsing.listed, "to ask instead of the system's"),
    _of("static", "hosts", parsing.listed, "host or host:port of nodes"),
    _of("gossip", "secret", parsing.secret, "common to the cluster", secret=True),
    _of("gossip", "port", parsing.whole(1, 65535), "UDP port"),
    _of("gossip", "targets", parsing.listed, "multicast groups, broadcast or host addresses"),
    _of("gossip", "interface", parsing.text, "IPv4 address of the network interface"),
    _of("gossip", "interval", parsing.seconds, "between heartbeats"),
    _of("gossip", "ttl", parsing.whole(0, 255), "networks that a multicast may cross"),
    _of("mdns", "interfaces", parsing.listed, "IP addresses of network interfaces"),
    _of("mdns", "service_type", parsing.text, "as _foundation._tcp.local."),
    _of("loopback", "directory", parsing.text, "where nodes of this machine meet"),
)  # fmt: skip

SETTINGS: Mapping[str, Setting] = {setting.key: setting for setting in _ALL}
BY_ENV: Mapping[str, Setting] = {each.env: each for each in _ALL if each.env}
OTHER_ENV = (CLUSTER, COOKIE, COOKIE_FILE, CONFIG_FILE)
ALIASES = {alias: each.key for each in _ALL for alias in each.aliases}


@dataclass(frozen=True)
class Value:
    """A setting as it stands.

    Attributes:
        key: which.
        value: parsed.
        source: ``"argument"``, a variable of the environment, a file's path, ``"default"`` or
            ``"detected"``.
    """

    key: str
    value: Any = field(repr=False)
    source: str

    @property
    def shown(self) -> Any:
        """The value for people and JSON; a secret is not shown."""
        setting = SETTINGS.get(self.key)
        if setting is not None and setting.secret and self.value is not None:
            return f"(secret, {len(self.value)} bytes)"
        if self.key == "timing":
            return "LAN" if self.value == LAN else str(self.value)
        return list(self.value) if isinstance(self.value, tuple) else self.value


def key_of(name: str, strategy: str | None, where: str) -> str:
    """Return the key that *name* stands for.

    Args:
        name: a key, an alias, or the short key of an option of *strategy*.
        strategy: what is named beside it.
        where: for the message.

    Raises:
        SettingError: there is none, or it is of another strategy.
    """
    prefix = STRATEGY_PREFIX.get(strategy or "", strategy)
    for key in (name, f"{prefix}_{name}"):
        found = SETTINGS.get(ALIASES.get(key, key))
        if found is not None:
            if strategy and found.strategy and found.strategy != strategy:
                raise SettingError(
                    f"{where}: {name!r} is of strategy {found.strategy!r}, not of {strategy!r}"
                )
            return found.key
    if name == "cookie":
        raise SettingError(
            f"{where}: the cookie is a secret of its own: pass cookie= to start(), or set "
            f"{COOKIE} or {COOKIE_FILE}"
        )
    raise unknown(f"setting in {where}:", name, valid_keys(strategy))


def valid_keys(strategy: str | None) -> list[str]:
    """Return the keys that may stand beside ``strategy=`` of that strategy, or of none."""
    found = []
    for setting in SETTINGS.values():
        if strategy and setting.strategy == strategy:
            clash = setting.short in SETTINGS
            found.append(setting.key if clash else setting.short)
        elif not strategy or not setting.strategy:
            found.append(setting.key)
    return [*found, "strategy"] if strategy else ["cluster", *found]


def parsed(key: str, raw: Any, source: str, where: str) -> Value:
    """Return a setting from what was written.

    Raises:
        SettingError: it is wrong; the message says where it was written.
    """
    setting = SETTINGS[key]
    try:
        return Value(key, setting.parse(raw), source)
    except parsing.WrongPart as error:
        raise SettingError(f"{where}: {error}") from None
    except ValueError as error:
        got = _size(raw) if setting.secret else repr(raw)[:200]
        text = str(error)
        hint = ""
        if isinstance(raw, str) and raw.startswith(("tcp://", "udp://")):
            hint = (
                "; Kubernetes sets such a variable for a service of that name: rename the "
                "service, or give the pod enableServiceLinks: false"
            )
        raise SettingError(f"{where} must be {text}, got {got}{hint}") from None


def _size(secret: Any) -> str:
    """Say what is wrong with a secret without saying it."""
    if isinstance(secret, str):
        secret = secret.encode()
    if isinstance(secret, bytes):
        return f"{len(secret.strip())} bytes"
    return f"a value of type {type(secret).__name__}"


def strategy_named(value: str, where: str) -> str:
    """Return the strategy of that name.

    Raises:
        SettingError: there is none.
    """
    found = value.strip().lower()
    found = SYNONYMS.get(found, found)
    if found == "consul":
        raise SettingError(f"{where}: {CONSUL_HINT}")
    if found not in STRATEGIES:
        raise unknown(f"strategy in {where}:", value, STRATEGIES)
    return found


CONSUL_HINT = (
    "there is no strategy for Consul's HTTP interface. Its DNS interface serves as well: "
    'cluster={"strategy": "dns", "service": "NAME.service.consul", "record": "SRV", '
    '"nameservers": ["127.0.0.1:8600"]}; or pass a Strategy of your own in strategies='
)
