"""How a node takes part in a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from foundation.cluster.timing import LAN, Timing
from foundation.errors import NodeError
from foundation.transport.config import is_loopback


@dataclass(frozen=True)
class ClusterConfig:
    """The settings of one node's cluster; equal on all nodes but for port, address and labels.

    Attributes:
        name: of the cluster; nodes of another name are refused.
        bind: the IPv4 address that all processes of this node listen at.
        advertise: the address that other nodes dial; default *bind*.
        port: of the cluster endpoint, where other nodes first reach this one; 0 takes a free one.
        strategies: discovery strategies (``foundation.cluster.discovery``); None is
            ``Loopback()``: the nodes of this user on this machine.
        labels: by which placement chooses nodes, ``{"zone": "a", "gpu": "yes"}``.
        expected_size: how many nodes the cluster has when it is whole; a majority is more than
            half of it. Needed for ``on_minority="stop"``.
        accept_code: take classes and functions that are not importable here, by cloudpickle,
            in starts from other nodes. None: while *bind* is a loopback address, as all nodes are
            then of this machine.
        drain_seconds: how long an orderly stop waits for work to move to other nodes.
        timing: of failure detection and take-over.
        unix: Unix-domain sockets between processes of one machine, instead of TCP.
        seed: of everything random; None draws one.
    """

    name: str = "foundation"
    bind: str = "127.0.0.1"
    advertise: str | None = None
    port: int = 0
    strategies: tuple[Any, ...] | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    expected_size: int | None = None
    accept_code: bool | None = None
    drain_seconds: float = 5.0
    timing: Timing = LAN
    unix: bool = True
    seed: int | None = None

    def __post_init__(self) -> None:
        if not self.name or not isinstance(self.name, str):
            raise NodeError(f"cluster: name must be a non-empty string, got {self.name!r}")
        if not isinstance(self.port, int) or not 0 <= self.port <= 65535:
            raise NodeError(f"cluster: port must be from 0 to 65535, got {self.port!r}")
        size = self.expected_size
        if size is not None and (not isinstance(size, int) or size < 1):
            raise NodeError(f"cluster: expected_size must be None or 1 or more, got {size!r}")
        if not isinstance(self.labels, Mapping):
            raise NodeError(f"cluster: labels must be a dict of strings, got {self.labels!r}")
        if self.bind in ("", "0.0.0.0") and not self.advertise:
            raise NodeError(
                "cluster: bind='0.0.0.0' needs advertise=: the address that other nodes dial"
            )

    def node_options(self) -> dict[str, Any]:
        """Return what a node of this cluster is started with; see ``NodeOptions``."""
        from foundation.cluster.attach import new_life

        return {
            "bind": self.bind,
            "advertise": self.advertise,
            "unix": self.unix,
            "life": new_life(),
        }

    def attach(self, host: Any) -> Any:
        """Make *host* part of the cluster; called by the runtime in every host of the node."""
        from foundation.cluster.attach import attach

        return attach(self, host)

    @property
    def accepts_code(self) -> bool:
        """Whether starts from other nodes may bring their own classes."""
        return is_loopback(self.bind) if self.accept_code is None else self.accept_code

    @property
    def majority(self) -> int | None:
        """How many nodes are a majority; None when no size is expected."""
        return None if self.expected_size is None else self.expected_size // 2 + 1
