"""How a node comes to its cluster: by itself, by a keyword, or by what the user has made.

``foundation.start(cluster=True)`` detects how nodes find each other (*mortal*),
``cluster="kubernetes"`` or ``cluster={"strategy": "gossip", "secret": ...}`` says it
(*apprentice*), ``strategies=[...]``, a ``ClusterConfig`` or ``actor_system=`` is used as it is
(*wizard*). The environment (``FOUNDATION_*``) and ``foundation.toml`` say the same things;
``resolve`` tells which of them counts. ``foundation config`` shows the outcome, ``foundation
doctor`` tries it.
"""

from __future__ import annotations

from foundation.cluster.modes.detect import Choice, Probes, detect
from foundation.cluster.modes.errors import SettingError
from foundation.cluster.modes.files import read_settings
from foundation.cluster.modes.layers import FileSettings
from foundation.cluster.modes.machine import MACHINE, own_address, readable_here, resolve_here
from foundation.cluster.modes.resolve import ResolvedCluster, resolve, validate
from foundation.cluster.modes.settings import SETTINGS, STRATEGIES, Setting, Value
from foundation.cluster.modes.translate import CLUSTER_PORT, translate

__all__ = [
    "CLUSTER_PORT",
    "MACHINE",
    "SETTINGS",
    "STRATEGIES",
    "Choice",
    "FileSettings",
    "Probes",
    "ResolvedCluster",
    "Setting",
    "SettingError",
    "Value",
    "detect",
    "own_address",
    "read_settings",
    "readable_here",
    "resolve",
    "resolve_here",
    "translate",
    "validate",
]
