"""``foundation.start`` and ``foundation.run``: a node, alone or in a cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from foundation.cluster.config import ClusterConfig
from foundation.errors import NodeError
from foundation.otp import application
from foundation.otp.application import Application
from foundation.runtime.node import Node


def start(app: Any = None, *args: Any, cluster: Any = None, **options: Any) -> Application:
    """Start a node that runs *app*; use the result with ``with`` or ``async with``.

    Args:
        app: as ``foundation.otp.application.start``, and *args*, **options** too.
        cluster: None or False: the node is alone. True: it forms a cluster with the other nodes
            of this user on this machine. A ``ClusterConfig`` says more.

    Raises:
        NodeError: *cluster* is none of these, or cannot be had with *options*.
        whatever ``foundation.otp.application.start`` raises.
    """
    return application.start(app, *args, **_options(cluster, options))


def run(
    app: Any,
    *args: Any,
    cluster: Any = None,
    on_ready: Callable[[Node], None] | None = None,
    **options: Any,
) -> int:
    """Run *app* in the foreground until SIGTERM or SIGINT; stop its tree in reverse order.

    Args:
        app: as ``start``, and *args*, *cluster*, **options** too.
        on_ready: called with the node once the application runs.

    Returns:
        0 after a signal; 1 when the application ended by itself. A second signal gives up
        waiting for an orderly stop and ends the program.
    """
    return application.run(app, *args, on_ready=on_ready, **_options(cluster, options))


def _options(cluster: Any, options: dict[str, Any]) -> dict[str, Any]:
    if cluster is None or cluster is False:
        return options
    config = ClusterConfig() if cluster is True else cluster
    if not isinstance(config, ClusterConfig):
        raise NodeError(f"cluster must be True, False or a ClusterConfig, got {cluster!r}")
    for option, bad in (("hosts", 0), ("stock", True)):
        if options.get(option) == bad and option in options:
            raise NodeError(
                f"a node of a cluster cannot be started with {option}={bad!r}: other nodes reach "
                "it through its control host and our transport"
            )
    return {**options, "extensions": (config,)}
