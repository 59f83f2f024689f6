"""How a node takes part in a cluster, decided from argument, environment and file.

Two questions are asked apart, each of the sources in turn: *argument*, then *environment*
(``FOUNDATION_CLUSTER`` and the other ``FOUNDATION_*``), then *file*. The first that answers counts.

- Is there to be a cluster? Yes, no, or a strategy, which is a yes. Nobody says: no.
- Which strategy? ``True`` names none, so one that the environment or the file names is taken;
  if none does, ``detect`` looks for evidence.

Each further setting is looked for in the same order, then comes its default. The mode follows:

==============  ====================================================================
``wizard``      ``strategies=``, ``actor_system=`` or a ``ClusterConfig`` was passed
``apprentice``  a strategy was named, somewhere
``mortal``      a cluster was asked for, the strategy was detected
``off``         no cluster
==============  ====================================================================

A ``ClusterConfig`` says everything: environment and file are not looked at. The same goes for
``cluster=False``. ``strategies=`` beats every named strategy, and the other settings apply to it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from foundation.cluster.config import ClusterConfig
from foundation.cluster.modes.detect import LOOPBACK, Probes, detect
from foundation.cluster.modes.errors import SettingError
from foundation.cluster.modes.layers import (
    FileSettings,
    Layer,
    argument_layer,
    environment_layer,
    file_layer,
)
from foundation.cluster.modes.settings import (
    COOKIE,
    COOKIE_FILE,
    PRODUCTION,
    SETTINGS,
    STRATEGIES,
    Value,
)
from foundation.cluster.modes.translate import build, default_port, is_remote
from foundation.errors import ClusterConfigError
from foundation.transport.config import TransportConfig, is_loopback

Mode = Literal["wizard", "apprentice", "mortal", "off"]
FIELDS = ("name", "bind", "advertise", "port", "labels", "expected_size", "accept_code",
          "drain_seconds", "timing", "unix", "seed")  # fmt: skip  # of ClusterConfig


@dataclass(frozen=True)
class ResolvedCluster:
    """What was decided, and why.

    Attributes:
        mode: see the module's docstring.
        strategy: its keyword; with strategies of the user's own their names, joined by ``+``;
            None without a cluster.
        options: of the strategy, by key.
        reasons: the steps that led here.
        config: of the cluster; None without one.
        values: each setting and where it came from.
        warnings: what is probably not meant so.
        node_name: of the node, where something says it.
        asked: whether anything says that there is to be a cluster, or none.
    """

    mode: Mode
    strategy: str | None
    options: Mapping[str, Any] = field(repr=False)
    reasons: tuple[str, ...]
    config: ClusterConfig | None
    values: tuple[Value, ...] = ()
    warnings: tuple[str, ...] = ()
    node_name: str | None = None
    asked: bool = True

    def value(self, key: str) -> Any:
        """Return the setting *key* as it stands; its default where nothing was looked at."""
        found = [each.value for each in self.values if each.key == key]
        return found[0] if found else SETTINGS[key].default


def resolve(
    env: Mapping[str, str],
    settings: Any = None,
    *,
    strategies: Sequence[Any] | None = None,
    system: TransportConfig | None = None,
    actor_system: bool = False,
    cookie: bool = False,
    file: FileSettings | None = None,
    probes: Probes | None = None,
) -> ResolvedCluster:
    """Decide; a pure function of its arguments.

    Args:
        env: the environment.
        settings: the argument ``cluster=`` of ``foundation.start``.
        strategies: the argument of that name.
        system: the settings of a Thespian system of the user's, on our transport.
        actor_system: a Thespian system of the user's was passed, on whatever transport.
        cookie: the argument ``cookie=`` was passed.
        file: settings that were read from a file.
        probes: what else may be asked; by default there are no files and no network.

    Raises:
        SettingError: a setting is unknown, wrong or missing; it says which, and where it is from.
        NodeError: as ``ClusterConfig``.
    """
    if isinstance(settings, ClusterConfig):
        return _as_said(settings, strategies, system)
    if settings is False:
        if strategies is not None:
            raise SettingError(
                "cluster=False and strategies= contradict each other; leave one of them out"
            )
        reason = "the argument cluster=False: environment and files are not looked at"
        return ResolvedCluster("wizard" if actor_system else "off", None, {}, (reason,), None)
    layers = (argument_layer(settings), environment_layer(env), file_layer(file))
    found = _Resolving(env, layers, probes or Probes(), system)
    theirs = system is not None and system.explicit_cookie
    found.cookie = cookie or theirs or (system is None and _has_cookie(env))
    return found.resolve(strategies, actor_system)


def validate(settings: Any, env: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Check what is to be passed as ``cluster=``, without asking the machine anything.

    Args:
        settings: as for ``resolve``.
        env: the environment; None: an empty one.

    Returns:
        What is probably not meant so.

    Raises:
        SettingError, NodeError: as ``resolve``.
    """
    somewhere = Probes(exists=lambda path: True, own_address=lambda: LOOPBACK)
    return resolve(env or {}, settings, cookie=True, probes=somewhere).warnings


def _has_cookie(env: Mapping[str, str]) -> bool:
    return bool(env.get(COOKIE) or env.get(COOKIE_FILE))


def _as_said(
    config: ClusterConfig, strategies: Sequence[Any] | None, system: TransportConfig | None
) -> ResolvedCluster:
    if strategies is not None:
        if config.strategies is not None:
            raise SettingError(
                "strategies= was passed, and the ClusterConfig has strategies too; leave one out"
            )
        config = dataclasses.replace(config, strategies=tuple(strategies))
    if system is not None and (config.bind, config.advertise) != _listening(system):
        bind, advertise = _listening(system)
        raise SettingError(
            f"actor_system listens at bind={bind!r}, advertise={advertise!r}, and the "
            f"ClusterConfig says bind={config.bind!r}, advertise={config.advertise!r}; make them "
            "equal"
        )
    reason = "a ClusterConfig was passed: environment and files are not looked at"
    values = [Value(key, getattr(config, key), "argument") for key in FIELDS]
    return ResolvedCluster("wizard", _names(config), {}, (reason,), config, tuple(values))


def _names(config: ClusterConfig) -> str:
    if config.strategies is None:
        return "loopback"
    return "+".join(strategy.name for strategy in config.strategies)


def _listening(system: TransportConfig) -> tuple[str, str | None]:
    return system.bind_host, system.advertise_host


class _Resolving:
    """One decision on its way."""

    def __init__(
        self,
        env: Mapping[str, str],
        layers: tuple[Layer, Layer, Layer],
        probes: Probes,
        system: TransportConfig | None,
    ) -> None:
        self._env = env
        self._layers = layers
        self._probes = probes
        self._system = system
        self._reasons: list[str] = []
        self._warnings: list[str] = []
        self._values: dict[str, Value] = {}
        for layer in reversed(layers):
            self._values.update(layer.values)
        self._asked = True
        self.cookie = False

    def resolve(
        self, strategies: Sequence[Any] | None, actor_system: bool
    ) -> ResolvedCluster:
        """Return what is decided."""
        if not self._clustered(strategies):
            mode: Mode = "wizard" if actor_system else "off"
            return self._result(mode, None, None)
        mode, strategy = self._strategy(strategies)
        if actor_system:
            mode = "wizard"
            self._reasons.append("actor_system= was passed: the hosts run on it (wizard)")
        self._name()
        self._address(strategy)
        self._port(strategy)
        return self._result(mode, strategy, strategies)

    # The two questions

    def _clustered(self, strategies: Sequence[Any] | None) -> bool:
        if strategies is not None:
            return True
        for layer in self._layers:
            if layer.clustered is not None:
                said = layer.strategy or str(layer.clustered).lower()
                self._reasons.append(f"{layer.source} says {said}: {_yes(layer.clustered)}")
                return layer.clustered
        self._asked = False
        self._reasons.append("neither argument, environment nor file asks for a cluster: off")
        return False

    def _strategy(self, strategies: Sequence[Any] | None) -> tuple[Mode, str | None]:
        named = [layer for layer in self._layers if layer.strategy is not None]
        if strategies is not None:
            if named:
                self._reasons.append(
                    f"strategies= was passed, so {named[0].strategy!r} ({named[0].source}) is not "
                    "used; to use it, leave strategies= out"
                )
            self._reasons.append("strategies= was passed: used as they are (wizard)")
            return "wizard", None
        if named:
            self._reasons.append(
                f"{named[0].source} names the strategy {named[0].strategy!r} (apprentice)"
            )
            return "apprentice", named[0].strategy
        choice = detect(self._env, self._probes, self._values, self.cookie)
        self._reasons.append("nothing names a strategy (mortal); detecting one:")
        self._reasons.extend(choice.reasons)
        where = self._values.get("env")
        if choice.strategy == "loopback" and where is not None and where.value in PRODUCTION:
            self._warn(
                f"env is {where.value!r} ({where.source}), and nothing tells where other machines' "
                f"nodes are: only those of this machine are found; name one of {_listing()}"
            )
        return "mortal", choice.strategy

    # Settings that depend on others

    def _set(self, key: str, value: Any, source: str, why: str) -> None:
        self._values[key] = Value(key, value, source)
        self._reasons.append(f"{key} is {value!r}: {why}")

    def _name(self) -> None:
        app = self._values.get("app_name")
        if app is not None and "name" not in self._values:
            self._set("name", app.value, app.source, "app_name")

    def _address(self, strategy: str | None) -> None:
        if self._system is not None:
            self._take_address(self._system)
        elif "bind" in self._values:
            bind = self._values["bind"]
            if not self.cookie and not is_loopback(bind.value):
                raise SettingError(
                    f"bind is {bind.value!r} ({bind.source}): other machines reach that, so all "
                    f"nodes need one cookie of your own: {COOKIE}, {COOKIE_FILE} or cookie="
                )
        elif strategy not in (None, "loopback"):
            self._choose_address(strategy)

    def _take_address(self, system: TransportConfig) -> None:
        for key, value in zip(("bind", "advertise"), _listening(system), strict=True):
            said = self._values.get(key)
            if said is not None and said.value != value:
                raise SettingError(
                    f"{key} is {said.value!r} ({said.source}), but actor_system was opened with "
                    f"{value!r}; make them equal"
                )
            if value is not None:
                self._set(key, value, "actor_system", "that of the actor system")

    def _choose_address(self, strategy: str | None) -> None:
        options = {key: value.value for key, value in self._values.items()}
        needed = is_remote(strategy or "", options)
        if strategy == "static" and not needed:
            return
        if not self.cookie:
            self._values["bind"] = Value("bind", LOOPBACK, "default")
            if needed:
                raise SettingError(
                    f"strategy {strategy!r} is for several machines, so all nodes need one cookie "
                    f"of your own: set {COOKIE} or {COOKIE_FILE}, or pass cookie=; for instance "
                    "the output of `openssl rand -hex 32`"
                )
            self._warn(
                f"strategy {strategy!r} finds nodes of this machine only: without a cookie of your "
                f"own ({COOKIE}, {COOKIE_FILE} or cookie=) the node listens on loopback"
            )
            return
        address = self._probes.own_address()
        if address is not None:
            self._set("bind", address, "detected", "this machine's address")
        elif needed:
            raise SettingError(
                "this machine's address cannot be told; set bind (FOUNDATION_BIND), and advertise "
                "(FOUNDATION_ADVERTISE) where others dial another one"
            )
        else:
            self._values["bind"] = Value("bind", LOOPBACK, "default")
            self._warn(f"this machine has no address but {LOOPBACK}; set bind for another")

    def _warn(self, text: str) -> None:
        self._warnings.append(text)

    def _port(self, strategy: str | None) -> None:
        if "port" not in self._values:
            options = {key: value.value for key, value in self._values.items()}
            port = default_port(strategy, options)
            if port:
                self._set("port", port, "default", f"that of strategy {strategy!r}")

    # The result

    def _result(
        self, mode: Mode, strategy: str | None, strategies: Sequence[Any] | None
    ) -> ResolvedCluster:
        node = self._values.get("node_name")
        config, options, shown = None, {}, strategy
        if strategy is not None or strategies is not None:
            config = self._config(strategy, strategies)
            shown = strategy or _names(config)
            self._reasons.append(f"{shown}: {', '.join(map(repr, config.strategies or ()))}")
            options = {
                key: value.value
                for key, value in self._values.items()
                if SETTINGS[key].strategy == strategy
            }
        return ResolvedCluster(
            mode, shown, options, tuple(self._reasons), config,
            tuple(self._listed(strategy, config)), tuple(self._warnings),
            None if node is None else node.value, self._asked,
        )  # fmt: skip

    def _config(
        self, strategy: str | None, strategies: Sequence[Any] | None
    ) -> ClusterConfig:
        given = {key: value.value for key, value in self._values.items()}
        chosen: Any = strategies
        if strategy is not None:
            chosen = build(strategy, given, self._probes)
        elif isinstance(strategies, (list, tuple)):
            chosen = tuple(strategies)
        fields = {key: given[key] for key in FIELDS if key in given}
        try:
            return ClusterConfig(strategies=chosen, **fields)
        except ClusterConfigError as error:
            raise SettingError(f"{error}{self._origin(error.field)}") from None

    def _origin(self, field: str) -> str:
        """Say where the setting for *field* of the ``ClusterConfig`` was written."""
        value = self._values.get(field)
        return "" if value is None or value.source == "default" else f" (from {value.source})"

    def _listed(self, strategy: str | None, config: ClusterConfig | None) -> list[Value]:
        """Return every setting that is set or counts here, in the order of ``SETTINGS``."""
        found = []
        made = config.strategies[0] if strategy and config and config.strategies else None
        for key, setting in SETTINGS.items():
            if key in self._values:
                found.append(self._values[key])
            elif setting.strategy in ("", strategy or ""):
                default = _default(key, self._values)
                if default is None and setting.strategy:
                    default = getattr(made, setting.short, None)
                found.append(Value(key, default, "default"))
        return found


def _default(key: str, values: Mapping[str, Value]) -> Any:
    if key == "name":
        return ClusterConfig.name
    if key == "bind":
        return LOOPBACK
    if key == "port":
        return 0
    if key == "k8s_service" and "app_name" in values:
        return values["app_name"].value
    return SETTINGS[key].default


def _listing() -> str:
    return ", ".join(STRATEGIES)


def _yes(clustered: bool) -> str:
    return "a cluster" if clustered else "no cluster"
