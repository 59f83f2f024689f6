"""The optimizer: says what should be tuned and why, and tunes by itself what is safe.

Inside processes (from outside: ``node.run(recommendations)``)::

    for one in await recommendations():
        print(one)                       # registry_hold_back: 0.003 -> 0.015, because ...
    await configure(mode="auto")         # or "off"; at first it is "recommend"

A singleton of ``process_manager`` measures the cluster (``foundation.health_monitor``) a minute
after its start and then every hour, and asks its rules. A change is applied only where all of this
holds: the mode is ``"auto"``, the rule is safe, two cycles in a row propose the same. It is applied
on all nodes and read back; two minutes later it is kept if what it was to improve has improved
(``Options.gain``) and nothing else has become worse, and reverted otherwise. What nobody confirms
the nodes themselves change back; what was set by hand is left alone.

Rules are functions; see ``optimizer_rule`` for rules of yours.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from foundation.optimizer.server import OptimizerServer
from foundation.optimizer.values import MODES, SERVER, SINGLETON, Options, Recommendation
from foundation.otp.child_spec import ChildSpec

if TYPE_CHECKING:
    from foundation.optimizer.decider import Optimizer
    from foundation.optimizer.engine import Engine, objection
    from foundation.optimizer.functions import (
        configure,
        history,
        live_settings,
        options,
        recommendations,
        run_once,
    )
    from foundation.optimizer.messages import (
        Confirm,
        GetOptions,
        History,
        ReadSettings,
        Recall,
        Recommendations,
        Remember,
        RunOnce,
        SetOptions,
        Tune,
    )
    from foundation.optimizer.rules import RULES, Rule, optimizer_rule

# The control host of each node imports this package when it starts, for ``specs`` alone; all else
# is imported when it is first asked for.
_LATER = {
    "decider": "Optimizer",
    "engine": "Engine objection",
    "functions": "configure history live_settings options recommendations run_once",
    "messages": (
        "Confirm GetOptions History ReadSettings Recall Recommendations Remember RunOnce "
        "SetOptions Tune"
    ),
    "rules": "RULES Rule optimizer_rule",
}


def specs(options: Options | None = None) -> list[ChildSpec]:
    """Return the parts of a node: a server, which has the singleton started."""
    return [OptimizerServer.spec(options)]


def __getattr__(name: str) -> Any:
    for module, names in _LATER.items():
        if name in names.split():
            found = getattr(importlib.import_module(f"{__name__}.{module}"), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "MODES",
    "RULES",
    "SERVER",
    "SINGLETON",
    "Confirm",
    "Engine",
    "GetOptions",
    "History",
    "Optimizer",
    "OptimizerServer",
    "Options",
    "ReadSettings",
    "Recall",
    "Recommendation",
    "Recommendations",
    "Remember",
    "Rule",
    "RunOnce",
    "SetOptions",
    "Tune",
    "configure",
    "history",
    "live_settings",
    "objection",
    "optimizer_rule",
    "options",
    "recommendations",
    "run_once",
    "specs",
]
