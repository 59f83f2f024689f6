"""Which value a path has on this node. Pure.

Precedence: what was set on this node alone, before what was set cluster-wide, before the default
that was declared.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from foundation.config.declarations import Declaration
from foundation.config.paths import Path
from foundation.config.values import CLUSTER, DEFAULT, LOCAL, ConfigVersion


class Setting(NamedTuple):
    """What a path has.

    Attributes:
        value: plain data.
        source: ``"local"``, ``"cluster"`` or ``"default"``.
        version: of a cluster-wide value.
    """

    value: Any
    source: str
    version: ConfigVersion | None = None


class Settings:
    """All paths of one node.

    Attributes:
        declared: by path.
        local: values set on this node.
        cluster: values set cluster-wide, with their versions.
    """

    def __init__(self) -> None:
        self.declared: dict[Path, Declaration] = {}
        self.local: dict[Path, Any] = {}
        self.cluster: dict[Path, tuple[Any, ConfigVersion]] = {}

    def get(self, path: Path) -> Setting | None:
        """Return what *path* has; None: nothing."""
        if path in self.local:
            return Setting(self.local[path], LOCAL)
        return self.shared(path)

    def shared(self, path: Path) -> Setting | None:
        """Return what *path* has where it is not set on this node alone."""
        if path in self.cluster:
            value, version = self.cluster[path]
            return Setting(value, CLUSTER, version)
        if path in self.declared:
            return Setting(self.declared[path].default, DEFAULT)
        return None

    def paths(self) -> list[Path]:
        """Return all paths that have a value, sorted."""
        return sorted({**self.declared, **self.local, **self.cluster})
