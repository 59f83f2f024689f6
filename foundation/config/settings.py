"""Which value a path has on this node. Pure.

Precedence: what was set on this node alone, before what was set cluster-wide, before the default
that was declared.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from foundation.config.declarations import Declaration
from foundation.config.paths import Path
from foundation.config.plain import decode
from foundation.config.protocol.values import Record
from foundation.config.values import CLUSTER, DEFAULT, LOCAL, ConfigVersion


@dataclass
class Kept:
    """What the control host of a node keeps, not its server: one that is restarted goes on there.

    Attributes:
        declared: by path.
        local: values set on this node.
        applied: decided records, which stay true whoever knows them. What the server has
            promised and accepted is not kept: a restarted one votes as a stranger.
    """

    declared: dict[Path, Declaration] = field(default_factory=dict)
    local: dict[Path, Any] = field(default_factory=dict)
    applied: dict[Path, Record] = field(default_factory=dict)


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

    Args:
        kept: what there is at first; its ``declared`` and ``local`` are used from then on.

    Attributes:
        declared: by path.
        local: values set on this node.
        cluster: values set cluster-wide, with their versions.
    """

    def __init__(self, kept: Kept) -> None:
        self.declared = kept.declared
        self.local = kept.local
        self.cluster: dict[Path, tuple[Any, ConfigVersion]] = {}
        for path, record in kept.applied.items():
            self.apply(path, record)

    def apply(self, path: Path, record: Record) -> None:
        """Take over a cluster-wide write."""
        if record.value is None:
            self.cluster.pop(path, None)
        else:
            version = ConfigVersion(record.number, record.node)
            self.cluster[path] = (decode(record.value), version)

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
