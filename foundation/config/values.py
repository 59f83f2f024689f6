"""What users see of configuration: versions, changes, the state of the server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

LOCAL, CLUSTER, DEFAULT = "local", "cluster", "default"  # where a value comes from


@dataclass(frozen=True, slots=True, order=True)
class ConfigVersion:
    """Which cluster-wide write of a path; a later one is greater.

    Attributes:
        number: 1 for the first write of the path, and so on. Where a size is expected, one
            number has one value.
        node: that was asked to write it.
    """

    number: int
    node: str

    def __str__(self) -> str:
        return f"{self.number}@{self.node}"


@dataclass(frozen=True, slots=True)
class ConfigChanged:
    """Message to subscribers: what ``get`` returns for a path on this node has changed.

    Attributes:
        path: which.
        old: what it returned before; None where there was nothing.
        new: what it returns now; None where there is nothing any more.
        version: of the cluster-wide write that *new* comes from; None when it is a value of
            this node alone, or the default.
        source: where *new* comes from: ``"local"``, ``"cluster"`` or ``"default"``.
    """

    path: tuple[str, ...]
    old: Any
    new: Any
    version: ConfigVersion | None
    source: str


@dataclass(frozen=True, slots=True)
class ConfigStatus:
    """The configuration server of one node.

    Attributes:
        node: whose.
        available: it takes part in decisions, and knows all that was decided before it joined.
        members: nodes that take part, as far as this one knows.
        present: nodes whose servers this one can reach, itself included.
        majority: how many acknowledgements a write needs.
        number: how often the members have changed.
        paths: how many paths have a value.
        local: paths that are overridden on this node, sorted.
    """

    node: str
    available: bool
    members: tuple[str, ...]
    present: tuple[str, ...]
    majority: int
    number: int
    paths: int
    local: tuple[str, ...]
