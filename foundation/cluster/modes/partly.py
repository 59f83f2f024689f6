"""What can be read of settings of which some are wrong: for people who look for the error."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from foundation.cluster.modes.errors import SettingError
from foundation.cluster.modes.layers import (
    FileSettings,
    Layer,
    argument_layer,
    environment_layer,
    file_layer,
)
from foundation.cluster.modes.settings import BY_ENV, CLUSTER, SETTINGS, Value


def readable(
    env: Mapping[str, str], settings: Any, file: FileSettings | None
) -> tuple[Value, ...]:
    """Return those settings that are set and can be read, each by itself; pure.

    Args:
        env: the environment.
        settings: the argument ``cluster=``, other than a ``ClusterConfig``.
        file: settings that were read from a file.
    """
    found: dict[str, Value] = {}
    for layer in (*_of_file(file), *_of_environment(env), *_of_argument(settings)):
        found.update(layer.values)
    return tuple(found[key] for key in SETTINGS if key in found)


def _of_file(file: FileSettings | None) -> Iterator[Layer]:
    if file is None:
        return
    for part in _parts(file.table):
        cluster = part.get("cluster")
        tables = _parts(cluster) if isinstance(cluster, Mapping) else [cluster]
        for table in tables:
            said = {**part, "cluster": table} if "cluster" in part else part
            with contextlib.suppress(SettingError):
                yield file_layer(FileSettings(file.path, said))


def _of_environment(env: Mapping[str, str]) -> Iterator[Layer]:
    for name in (CLUSTER, *BY_ENV):
        if name in env:
            with contextlib.suppress(SettingError):
                yield environment_layer({name: env[name]})


def _of_argument(settings: Any) -> Iterator[Layer]:
    for part in _parts(settings) if isinstance(settings, Mapping) else [settings]:
        with contextlib.suppress(SettingError):
            yield argument_layer(part)


def _parts(table: Mapping[Any, Any]) -> Iterator[dict[Any, Any]]:
    """Give *table* entry by entry, each beside the strategy that says what it means."""
    beside = {key: table[key] for key in ("strategy",) if key in table}
    for key, value in table.items():
        yield {**beside, key: value}
