"""``foundation.start`` and ``foundation.run``: a node, alone or in a cluster, with its facades."""

from __future__ import annotations

import importlib
import os
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from foundation.cluster.config import ALONE, ClusterConfig
from foundation.cluster.modes import ResolvedCluster, resolve_here
from foundation.errors import NodeError
from foundation.otp import application
from foundation.otp.application import Application
from foundation.otp.child_spec import ChildSpec
from foundation.otp.supervisor import Supervisor
from foundation.runtime.borrowed import check_borrowed, transport_of
from foundation.runtime.logs import log
from foundation.runtime.node import Node
from foundation.transport.config import is_loopback

# The facades' parts of a node, in the order in which they start; see ``Facades``. The process
# manager may start processes of users at once, when the node joins a cluster that wants some there:
# what these may use is there before it.
PACKAGES: tuple[str, ...] = (
    "foundation.channels",
    "foundation.service_mesh",
    "foundation.config",
    "foundation.scope",
    "foundation.health_monitor",
    "foundation.process_manager",
    "foundation.optimizer",
    "foundation.observer",
)


OPTIONS = {"foundation.health_monitor": "Settings", "foundation.optimizer": "Options"}
NO_OPTIONS: Mapping[str, Mapping[str, Any]] = MappingProxyType({})


class Facades(Supervisor):
    """What the facades of a node need: registries, supervisors, and their servers.

    ``foundation.start`` starts it. With ``facades=False`` it may stand in the tree that a node of a
    cluster runs::

        Facades.spec({"foundation.optimizer": {"mode": "auto", "trial": 60.0}}, id="facades",
                     host="control")

    Each package of ``PACKAGES`` has a function ``specs()``. Where one part needs another it copes
    with that part's being started anew, so the end of a worker host, which may run several, touches
    no other part.
    """

    max_restarts = 100
    max_seconds = 10.0

    @classmethod
    def spec(cls, *args: Any, **options: Any) -> ChildSpec:
        """Return the child specification of the facades of a node."""
        return super().spec(*args, **{"name": "foundation.facades", **options})

    def init(self, options: Mapping[str, Mapping[str, Any]] = NO_OPTIONS) -> list[ChildSpec]:
        """Return the parts.

        Args:
            options: by package, see ``OPTIONS``, fields of its options that are to begin with
                other values than usual.
        """
        found: list[ChildSpec] = []
        for name in PACKAGES:
            package = importlib.import_module(name)
            if name in options:
                found += package.specs(getattr(package, OPTIONS[name])(**options[name]))
            else:
                found += package.specs()
        return found


def start(
    app: Any = None,
    *args: Any,
    cluster: Any = None,
    strategies: Sequence[Any] | None = None,
    facades: bool | None = None,
    **options: Any,
) -> Application:
    """Start a node that runs *app*; use the result with ``with`` or ``async with``.

    Args:
        app: as ``foundation.otp.application.start``, and *args*, **options** too.
        cluster: True: the node forms a cluster with others, and detects how to find them; on one
            machine, with those of this user. ``"kubernetes"``, ``"dns"``, ``"gossip"``,
            ``"mdns"``, ``"static"`` or ``"loopback"`` says how, ``{"strategy": "gossip",
            "secret": ...}`` with settings. A ``ClusterConfig`` says everything. False: the node is
            alone. None: what ``FOUNDATION_CLUSTER`` or ``foundation.toml`` says; alone when they
            say nothing. See ``foundation.cluster.modes.resolve`` for what counts when.
        strategies: discovery strategies of your own, instead of those of *cluster*.
        facades: start what ``process_manager``, ``channels`` and the other facades need. A node
            that is alone is then a cluster of one, which nobody can join. Default: wherever they
            can be had, which is not with ``hosts=0`` or on Thespian's stock transport.

    Raises:
        NodeError: *cluster* is none of these, or cannot be had with *options*; among them
            ``SettingError`` where a setting is unknown, wrong or missing.
        whatever ``foundation.otp.application.start`` raises.
    """
    return application.start(app, *args, **_options(cluster, strategies, facades, options))


def run(
    app: Any,
    *args: Any,
    cluster: Any = None,
    strategies: Sequence[Any] | None = None,
    facades: bool | None = None,
    on_ready: Callable[[Node], None] | None = None,
    **options: Any,
) -> int:
    """Run *app* in the foreground until SIGTERM or SIGINT; stop its tree in reverse order.

    Args:
        app: as ``start``, and *args*, *cluster*, *strategies*, *facades*, **options** too.
        on_ready: called with the node once the application runs.

    Returns:
        0 after a signal; 1 when the application ended by itself. A second signal gives up
        waiting for an orderly stop and ends the program.
    """
    chosen = _options(cluster, strategies, facades, options)
    return application.run(app, *args, on_ready=on_ready, **chosen)


def _options(
    cluster: Any,
    strategies: Sequence[Any] | None,
    facades: bool | None,
    options: dict[str, Any],
) -> dict[str, Any]:
    if facades not in (None, True, False):
        raise NodeError(f"facades must be True, False or None, got {facades!r}")
    resolved = _resolve(cluster, strategies, options)
    config = resolved.config
    if config is None and (facades or (facades is None and _may_have_facades(options))):
        config = _alone(options)
    if resolved.node_name is not None and options.get("name") is None:
        options = {**options, "name": resolved.node_name}
    if config is None:
        return options
    _check_fit(options, resolved)
    if options.get("name") is None and not is_loopback(config.bind):
        # In containers process ids are equal, and the names of nodes must not be.
        options = {**options, "name": f"{socket.gethostname()}-{os.getpid()}"}
    spec = Facades.spec(_facade_options(resolved), id="facades", host="control")
    parts = () if facades is False else (spec,)
    return {**options, "extensions": (config,), "parts": parts}


def _facade_options(resolved: ResolvedCluster) -> dict[str, dict[str, Any]]:
    return {
        "foundation.health_monitor": {"interval": resolved.value("health_interval")},
        "foundation.optimizer": {
            "mode": resolved.value("optimizer"),
            "interval": resolved.value("optimizer_interval"),
            "modules": resolved.value("optimizer_modules"),
        },
    }


def _resolve(
    cluster: Any, strategies: Sequence[Any] | None, options: dict[str, Any]
) -> ResolvedCluster:
    system = options.get("actor_system")
    if system is not None:
        check_borrowed(system, {})
    resolved = resolve_here(
        cluster,
        strategies=strategies,
        system=None if system is None else transport_of(system),
        actor_system=system is not None,
        cookie=options.get("cookie") is not None,
    )
    if "log_level" in options:
        log.setLevel(options["log_level"])  # as the node will
    for reason in resolved.reasons:
        log.info("cluster settings: %s", reason)
    for warning in resolved.warnings:
        log.warning("cluster settings: %s", warning)
    return resolved


def _alone(options: dict[str, Any]) -> ClusterConfig:
    """Return the settings of a cluster of one."""
    system = options.get("actor_system")
    if system is None or (config := transport_of(system)) is None:
        return ClusterConfig(name=_name_alone(), strategies=())
    return ClusterConfig(
        name=_name_alone(),
        strategies=(),
        bind=config.bind_host,
        advertise=config.advertise_host,
    )


def _name_alone() -> str:
    return f"{ALONE}-{secrets.token_hex(8)}"


def _may_have_facades(options: dict[str, Any]) -> bool:
    """Whether a node that is alone can be a cluster of one."""
    system = options.get("actor_system")
    stock = system is not None and transport_of(system) is None
    return options.get("hosts") != 0 and not options.get("stock") and not stock


def _check_fit(options: dict[str, Any], resolved: ResolvedCluster) -> None:
    """Refuse options that a node of a cluster cannot have."""
    system = options.get("actor_system")
    stock = system is not None and transport_of(system) is None
    wrong = [
        option
        for option, bad in (
            ("hosts=0", options.get("hosts") == 0),
            ("stock=True", bool(options.get("stock"))),
            ("an actor_system on a stock base", stock),
        )
        if bad
    ]
    if wrong:
        why = resolved.reasons[0] if resolved.config is not None else "facades=True"
        instead = (
            "; or open the system with foundation.transport.open_system(TransportConfig(...)) "
            "instead of ActorSystem(...)"
        )
        raise NodeError(
            f"a node of a cluster cannot be started with {wrong[0]}: other nodes reach it through "
            f"its control host and our transport. That it is one: {why}; cluster=False keeps it "
            f"alone{instead if stock else ''}"
        )
