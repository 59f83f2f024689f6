"""Which variables of the environment are ours: one that begins like ours and is not is refused.

Left alone are those that Kubernetes makes for a service whose name begins with "foundation"
(``FOUNDATION_WEB_SERVICE_HOST``, ``FOUNDATION_PORT=tcp://...``), and ``FOUNDATION_TEST_*``, by
which this project's own tests are told things.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from foundation.cluster.modes.errors import SettingError, closest
from foundation.cluster.modes.settings import (
    ALIASES,
    BY_ENV,
    CLUSTER,
    OTHER_ENV,
    PREFIX,
    SETTINGS,
    STRATEGY_PREFIX,
)

TESTS = f"{PREFIX}TEST_"
_OF_SERVICES = re.compile(
    rf"{PREFIX}(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_PROTO|_PORT|_ADDR)?)"
)
_NAMED_OTHERWISE = {  # what else one may call it -> our variable, and why
    "STRATEGY": (CLUSTER, "it names the strategy"),
    "STRATEGIES": (CLUSTER, "it names the strategy"),
    "CLUSTER_STRATEGY": (CLUSTER, "it names the strategy"),
    "MODE": (CLUSTER, "true, false or a strategy"),
    "SERVICE_NAME": (f"{PREFIX}APP_NAME", "or FOUNDATION_K8S_SERVICE, FOUNDATION_DNS_SERVICE"),
    "NODE_BASENAME": (f"{PREFIX}NODE_NAME", "the whole name of the node, unique in the cluster"),
    "K8S_SELECTOR": (f"{PREFIX}K8S_SERVICE", "a headless service finds the pods"),
}


def is_of_others(name: str, text: str) -> bool:
    """Whether the variable *name* is none of ours, though it begins so."""
    if name.startswith(TESTS) or _OF_SERVICES.fullmatch(name):
        return True
    return name.endswith("_PORT") and "://" in text and name not in BY_ENV


def check_known(given: Mapping[str, str]) -> None:
    """Check the names of the variables that begin like ours.

    Raises:
        SettingError: some are unknown; it names all of these, and those that there are.
    """
    valid = (*OTHER_ENV, *BY_ENV)
    wrong = [
        name for name in sorted(given) if name not in valid and not is_of_others(name, given[name])
    ]
    if wrong:
        several = "s" if len(wrong) > 1 else ""
        named = ", ".join(f"{name!r}{_hint(name, valid)}" for name in wrong)
        raise SettingError(f"unknown variable{several} {named}; valid: {', '.join(valid)}")


def _hint(name: str, valid: Iterable[str]) -> str:
    end = name.removeprefix(PREFIX)
    if end in _NAMED_OTHERWISE:
        meant, why = _NAMED_OTHERWISE[end]
        return f" (did you mean {meant!r}: {why}?)"
    meant = _by_key(end.lower())
    near = None if meant else closest(end, [each.removeprefix(PREFIX).lower() for each in valid])
    meant = meant or (f"{PREFIX}{near.upper()}" if near else "")
    if meant:
        return f" (did you mean {meant!r}?)"
    return " (say it in foundation.toml)" if end.lower() in SETTINGS else ""


def _by_key(end: str) -> str:
    """Return the variable whose setting has *end* as its key, or nearly so; "" where none has."""
    for strategy, prefix in STRATEGY_PREFIX.items():
        if end.startswith(f"{strategy}_"):
            end = f"{prefix}_{end.removeprefix(f'{strategy}_')}"
    setting = SETTINGS.get(ALIASES.get(end, end))
    if setting is not None:
        return setting.env
    return next((each.env for each in SETTINGS.values() if each.env and each.short == end), "")
