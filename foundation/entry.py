"""``foundation.start`` and ``foundation.run``: a node, alone or in a cluster, with its facades."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from foundation.cluster.config import ClusterConfig
from foundation.errors import NodeError
from foundation.otp import application
from foundation.otp.application import Application
from foundation.otp.child_spec import ChildSpec
from foundation.otp.supervisor import Supervisor
from foundation.runtime.node import Node

# The facades' parts of a node, in the order in which they start; see ``Facades``.
PACKAGES: tuple[str, ...] = ("foundation.process_manager", "foundation.service_mesh")


class Facades(Supervisor):
    """What the facades of a node need: registries, supervisors, and their servers.

    Each package of ``PACKAGES`` has a function ``specs()``. Where one part needs another it copes
    with that part's being started anew, so the end of a worker host, which may run several, touches
    no other part.
    """

    max_restarts = 100
    max_seconds = 10.0

    def init(self) -> list[ChildSpec]:
        """Return the parts."""
        packages = [importlib.import_module(name) for name in PACKAGES]
        return [spec for package in packages for spec in package.specs()]


def start(
    app: Any = None,
    *args: Any,
    cluster: Any = None,
    facades: bool | None = None,
    **options: Any,
) -> Application:
    """Start a node that runs *app*; use the result with ``with`` or ``async with``.

    Args:
        app: as ``foundation.otp.application.start``, and *args*, **options** too.
        cluster: None or False: the node is alone. True: it forms a cluster with the other nodes
            of this user on this machine. A ``ClusterConfig`` says more.
        facades: start what ``process_manager``, ``channels`` and the other facades need; default:
            in a cluster. A node that is alone is then a cluster of one.

    Raises:
        NodeError: *cluster* is none of these, or cannot be had with *options*.
        whatever ``foundation.otp.application.start`` raises.
    """
    return application.start(app, *args, **_options(cluster, facades, options))


def run(
    app: Any,
    *args: Any,
    cluster: Any = None,
    facades: bool | None = None,
    on_ready: Callable[[Node], None] | None = None,
    **options: Any,
) -> int:
    """Run *app* in the foreground until SIGTERM or SIGINT; stop its tree in reverse order.

    Args:
        app: as ``start``, and *args*, *cluster*, *facades*, **options** too.
        on_ready: called with the node once the application runs.

    Returns:
        0 after a signal; 1 when the application ended by itself. A second signal gives up
        waiting for an orderly stop and ends the program.
    """
    return application.run(app, *args, on_ready=on_ready, **_options(cluster, facades, options))


def _options(cluster: Any, facades: bool | None, options: dict[str, Any]) -> dict[str, Any]:
    if facades not in (None, True, False):
        raise NodeError(f"facades must be True, False or None, got {facades!r}")
    config = _config(cluster, facades is True)
    if config is None:
        return options
    for option, bad in (("hosts", 0), ("stock", True)):
        if options.get(option) == bad and option in options:
            raise NodeError(
                f"a node of a cluster cannot be started with {option}={bad!r}: other nodes reach "
                "it through its control host and our transport"
            )
    parts = () if facades is False else (Facades.spec(id="facades", host="control"),)
    return {**options, "extensions": (config,), "parts": parts}


def _config(cluster: Any, alone: bool) -> ClusterConfig | None:
    """Return the settings of the cluster; None for none. *alone*: one of one node will do."""
    if cluster is None or cluster is False:
        return ClusterConfig(strategies=()) if alone else None
    config = ClusterConfig() if cluster is True else cluster
    if not isinstance(config, ClusterConfig):
        raise NodeError(f"cluster must be True, False or a ClusterConfig, got {cluster!r}")
    return config
