"""What the machine is asked: the answers to ``Probes``, and everything put together."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from foundation.cluster.config import ClusterConfig
from foundation.cluster.modes.detect import Probes
from foundation.cluster.modes.errors import SettingError
from foundation.cluster.modes.files import read_settings
from foundation.cluster.modes.partly import readable
from foundation.cluster.modes.resolve import ResolvedCluster, resolve
from foundation.cluster.modes.settings import Value
from foundation.transport.config import TransportConfig, is_loopback

SOMEWHERE = ("192.0.2.1", 9)  # of a range for documentation (RFC 5737); nothing is sent


def own_address() -> str | None:
    """Return the IPv4 address from which this machine reaches others; None when it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(SOMEWHERE)
            address = str(probe.getsockname()[0])
        except OSError:
            return None
    return None if is_loopback(address) or address == "0.0.0.0" else address


MACHINE = Probes(exists=os.path.exists, own_address=own_address)


def readable_here(settings: Any = None) -> tuple[Value, ...]:
    """Return the settings of this environment and these files that can be read."""
    try:
        file = read_settings(os.environ)
    except SettingError:
        file = None
    return readable(os.environ, settings, file)


def resolve_here(
    settings: Any = None,
    *,
    strategies: Sequence[Any] | None = None,
    system: TransportConfig | None = None,
    actor_system: bool = False,
    cookie: bool = False,
    env: Mapping[str, str] | None = None,
) -> ResolvedCluster:
    """``resolve`` for this machine, with its environment and files.

    Raises:
        SettingError, NodeError: as ``resolve``; a file cannot be used.
    """
    env = os.environ if env is None else env
    alone = settings is False or isinstance(settings, ClusterConfig)
    return resolve(
        env,
        settings,
        strategies=strategies,
        system=system,
        actor_system=actor_system,
        cookie=cookie,
        file=None if alone else read_settings(env),
        probes=MACHINE,
    )
