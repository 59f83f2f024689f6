"""Settings of a node that can be changed while it runs.

A part that has one registers it in the host where it takes effect::

    settings_of(kernel).add(LiveSetting("cluster.hold_back", "s", 0.0005, 0.05, get, set_to))

``read_settings`` and ``change_setting`` reach all hosts of this node; what they say was read back
after the change. Nothing is kept: a host that starts anew begins with what it was started with.

What was set by hand, the optimizer leaves as it is, until it is set with ``by=""``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from foundation.cluster.polling import poll_hosts, serve_hosts

if TYPE_CHECKING:
    from foundation.cluster.agent import Agent
    from foundation.cluster.host import ClusterHost
    from foundation.kernel.kernel import Kernel

TABLE = "live settings"  # where a kernel keeps its LiveSettings
HOLD_BACK = "cluster.hold_back"
OPERATOR = "operator"  # who changes settings, unless told otherwise
READ, CHANGE = "settings", "change_setting"  # polls
TIMEOUT = 2.0  # seconds that the hosts of a node may take


@dataclass(frozen=True)
class LiveSetting:
    """A number that can be changed while its host runs.

    Attributes:
        name: dotted, unique in its host.
        unit: of the number, for people.
        low: the least value that is accepted.
        high: the greatest.
        get: returns the value of now.
        set: makes another one the value.
        about: what it does, in a sentence.
    """

    name: str
    unit: str
    low: float
    high: float
    get: Callable[[], float]
    set: Callable[[float], None]
    about: str = ""


@dataclass(frozen=True)
class SettingState:
    """What a host says of a setting.

    Attributes:
        name: of the setting.
        value: of now.
        unit: of the value.
        low: the least value that is accepted.
        high: the greatest.
        about: what it does.
        changed_by: who set the value of now, see ``change_setting``; ``""``: nobody, it was
            started with it.
        uniform: whether all hosts of the node that have it have this value.
    """

    name: str
    value: float
    unit: str
    low: float
    high: float
    about: str = ""
    changed_by: str = ""
    uniform: bool = True


class LiveSettings:
    """The settings of one host."""

    def __init__(self) -> None:
        self._settings: dict[str, LiveSetting] = {}
        self._changed: dict[str, tuple[str, float]] = {}  # who set it last, and to what

    def add(self, setting: LiveSetting) -> None:
        """Offer *setting*; one of the same name is replaced."""
        self._settings[setting.name] = setting

    def read(self) -> dict[str, tuple[float, str, float, float, str, str]]:
        """Return ``(value, unit, low, high, about, changed_by)`` of each, by name."""
        return {
            name: (s.get(), s.unit, s.low, s.high, s.about, self._changed_by(s))
            for name, s in sorted(self._settings.items())
        }

    def _changed_by(self, setting: LiveSetting) -> str:
        who, value = self._changed.get(setting.name, ("", math.nan))
        return who if setting.get() == value else ""  # it may have been put in anew since then

    def change(self, name: str, value: float, by: str) -> float | None:
        """Set *name* to *value* and return what it is then; None: this host has no such setting.

        Raises:
            ValueError: *value* is not within its bounds.
        """
        setting = self._settings.get(name)
        if setting is None:
            return None
        if not setting.low <= value <= setting.high:
            raise ValueError(
                f"{name} must be from {setting.low} to {setting.high} {setting.unit}, got {value!r}"
            )
        setting.set(value)
        now = setting.get()
        self._changed[name] = (by, now)
        return now


def settings_of(kernel: Kernel) -> LiveSettings:
    """Return the live settings of the host of *kernel*."""
    found: LiveSettings | None = kernel.tables.get(TABLE)
    if found is None:
        found = kernel.tables[TABLE] = LiveSettings()
    return found


async def read_settings(timeout: float = TIMEOUT) -> dict[str, SettingState]:
    """Return the live settings of this node, by name.

    Where hosts differ in one, the value is that of the first host by address, and not *uniform*;
    ``changed_by`` is who set it in any.

    Raises:
        NotInProcess, NotInCluster: as ``foundation.cluster.view``.
    """
    polled = await poll_hosts(READ, timeout=timeout)
    found: dict[str, SettingState] = {}
    for host in sorted(polled.answers):
        for name, state in polled.answers[host].items():
            known = found.setdefault(name, SettingState(name, *state))
            uniform = known.uniform and known.value == state[0]
            found[name] = replace(known, uniform=uniform, changed_by=known.changed_by or state[5])
    return dict(sorted(found.items()))


async def change_setting(
    name: str, value: float, timeout: float = TIMEOUT, *, by: str = OPERATOR
) -> float:
    """Set a live setting on all hosts of this node that have it.

    Args:
        name: of the setting.
        value: within its bounds.
        timeout: seconds that the hosts may take.
        by: who changes it. The optimizer does not touch what anybody else has set; ``""`` hands
            it over to it.

    Returns:
        What it is now, read back.

    Raises:
        TypeError, ValueError: there is no such setting, *value* is none or out of bounds, or a
            host did not take it; hosts that had taken it keep it.
        TimeoutError: a host did not answer.
        NotInProcess, NotInCluster: as ``foundation.cluster.view``.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise TypeError(f"change_setting({name!r}): the value must be a number, got {value!r}")
    polled = await poll_hosts(CHANGE, name, value, by, timeout=timeout)
    for host, text in polled.failures.items():
        raise ValueError(f"change_setting({name!r}): host {host}: {text}")
    if polled.silent:
        raise TimeoutError(
            f"change_setting({name!r}): hosts {', '.join(polled.silent)} did not answer within "
            f"{timeout} s"
        )
    values: dict[str, float] = {h: now for h, now in polled.answers.items() if now is not None}
    if not values:
        known = ", ".join(await read_settings(timeout))
        raise ValueError(f"there is no live setting {name!r}; there are {known}")
    for host, now in values.items():
        if now != value:
            raise ValueError(
                f"change_setting({name!r}): host {host} has {now!r} after {value!r} was set"
            )
    return next(iter(values.values()))


def install_live_settings(cluster: ClusterHost) -> None:
    """Make the settings of *cluster*'s host known to its node."""
    from foundation.cluster.agent import Agent

    settings = settings_of(cluster.kernel)
    serve_hosts(cluster.kernel, READ, settings.read)
    serve_hosts(cluster.kernel, CHANGE, settings.change)
    if isinstance(cluster, Agent):
        settings.add(_hold_back(cluster))


def _hold_back(agent: Agent) -> LiveSetting:
    def set_to(value: Any) -> None:
        agent.hosts.hold_back = value

    def get() -> float:
        return float(agent.hosts.hold_back)

    return LiveSetting(
        HOLD_BACK,
        "s",
        0.0,
        0.05,
        get,
        set_to,
        "how long changes of tables wait for others to travel with",
    )
