"""What the argument, the environment and the file say, each by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from foundation.cluster.modes import parsing
from foundation.cluster.modes.errors import SettingError, unknown
from foundation.cluster.modes.settings import (
    BY_ENV,
    CLUSTER,
    PREFIX,
    STRATEGIES,
    SYNONYMS,
    Value,
    key_of,
    parsed,
    strategy_named,
)
from foundation.cluster.modes.variables import check_known


@dataclass(frozen=True)
class FileSettings:
    """A file of settings that has been read.

    Attributes:
        path: where it is.
        table: its contents, as by ``tomllib``.
    """

    path: str
    table: Mapping[str, Any]


@dataclass(frozen=True)
class Layer:
    """What one source says.

    Attributes:
        source: for people.
        clustered: whether there is to be a cluster; None: it does not say.
        strategy: which; None: it does not say.
        values: further settings, by key.
    """

    source: str
    clustered: bool | None = None
    strategy: str | None = None
    values: Mapping[str, Value] = field(default_factory=dict)


def argument_layer(cluster: Any) -> Layer:
    """Return what the argument ``cluster=`` says, other than a ``ClusterConfig``.

    Raises:
        SettingError: it is nothing that can be passed, or a part of it is wrong.
    """
    if cluster is None or isinstance(cluster, bool):
        return Layer("argument", cluster)
    if not isinstance(cluster, (str, Mapping)):
        raise SettingError(
            "cluster must be True, False, None, a strategy "
            f"({', '.join(STRATEGIES)}), a dict such as {{'strategy': 'dns'}} or a "
            f"ClusterConfig, got {cluster!r}; Strategy objects go into strategies=[...]"
        )
    return _said("cluster=", "argument", cluster, {})


def environment_layer(env: Mapping[str, str]) -> Layer:
    """Return what the environment says. Empty variables count as not set.

    Raises:
        SettingError: a variable is wrong or unknown.
    """
    given = {name: text for name, text in env.items() if name.startswith(PREFIX) and text.strip()}
    check_known(given)
    values = {}
    for name in sorted(given):
        if name in BY_ENV:
            setting = BY_ENV[name]
            values[setting.key] = parsed(setting.key, given[name], name, name)
    if CLUSTER not in given:
        return Layer("environment", values=values)
    return _said(CLUSTER, CLUSTER, given[CLUSTER], values)


def file_layer(file: FileSettings | None) -> Layer:
    """Return what the file says.

    Raises:
        SettingError: a part of it is unknown or wrong.
    """
    if file is None:
        return Layer("file")
    table = dict(file.table)
    cluster = table.pop("cluster", None)
    values = _values(table, None, file.path, file.path)
    if cluster is None:
        return Layer(file.path, values=values)
    return _said(f"{file.path}: cluster", file.path, cluster, values)


def _said(where: str, source: str, cluster: Any, values: dict[str, Value]) -> Layer:
    """Read true, false, a strategy, or a table of a strategy and settings."""
    if isinstance(cluster, bool):
        return Layer(source, cluster, None, values)
    if isinstance(cluster, str):
        word = cluster.strip().lower()
        if word in parsing.TRUE + parsing.FALSE:
            return Layer(source, word in parsing.TRUE, None, values)
        return Layer(source, True, _named(word, where), values)
    if not isinstance(cluster, Mapping):
        raise SettingError(
            f"{where} must be true, false, a strategy ({', '.join(STRATEGIES)}) or a table, got "
            f"{cluster!r}"
        )
    table = dict(cluster)
    strategy = table.pop("strategy", None)
    if strategy is not None:
        if not isinstance(strategy, str):
            raise SettingError(
                f"{where}: strategy must be one of {', '.join(STRATEGIES)}, got {strategy!r}; "
                "Strategy objects go into strategies=[...]"
            )
        strategy = strategy_named(strategy, where)
    found = _values(table, strategy, source, where)
    return Layer(source, True, strategy, {**values, **found})


def _named(word: str, where: str) -> str:
    if word == "consul" or SYNONYMS.get(word, word) in STRATEGIES:
        return strategy_named(word, where)
    raise unknown(f"strategy in {where}:", word, ("true", "false", *STRATEGIES))


def _values(
    table: Mapping[Any, Any], strategy: str | None, source: str, where: str
) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for name, raw in table.items():
        if not isinstance(name, str):
            raise SettingError(f"{where}: names of settings are strings, got {name!r}")
        key = key_of(name, strategy, where)
        if key in values:
            raise SettingError(f"{where} says {key!r} twice")
        if raw is not None:
            values[key] = parsed(key, raw, source, f"{where}: {name}")
    return values
