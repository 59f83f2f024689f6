"""What the optimizer does when: a machine without I/O, driven with the time and with metrics.

    cycle ──▶ recommendations ──▶ (auto, safe, agreed, not cooling down) Apply
                                         │
                          applied on all nodes, read back? ── no ──▶ history: not applied
                                         │ yes
                                       trial ──▶ verify: did it help, and hurt nothing?
                                                   │ yes ──▶ kept        no ──▶ Revert

One change is on trial at a time, so that what follows can be put down to it.

Invariants:
    E1  Nothing is applied unless the mode is ``"auto"``, the rule safe, its setting there, and
        ``agree`` counted cycles in a row have proposed the same.
    E2  A change is kept only when it was measured that it helped, and reverted otherwise: also
        when nothing could be measured.
    E3  A rule is left alone for ``cooldown`` seconds after a change of its.
    E4  What was set by hand is left as it is.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from foundation.cluster.live_settings import SettingState
from foundation.health_monitor.values import ClusterMetrics
from foundation.optimizer.rules import Rule
from foundation.optimizer.values import AUTO, OFF, SERVER, Options, Recommendation

HISTORY = 200
NOTHING: Mapping[str, str] = MappingProxyType({})
REMEMBERED = 50  # of these, that nodes keep for the next life
GUARDS = {  # what no change may worsen: by this factor, and by this much
    "probe_latency_p99_us": (2.0, 20_000.0),
    "message_latency_p50_us": (2.0, 20_000.0),
    "error_rate_percent": (1.5, 1.0),
}
ATTEMPTS = 3  # to judge a change, while nodes do not answer


@dataclass(frozen=True)
class Trial:
    """A change that is being tried.

    Attributes:
        recommendation: what was changed.
        before: the metrics when that was decided.
        since: when it was made.
        until: when it is judged.
        attempts: how often that has been put off.
    """

    recommendation: Recommendation
    before: ClusterMetrics
    since: float
    until: float
    attempts: int = 0


class Engine:
    """See the module docstring.

    Args:
        options: how it works; may be replaced at any time.
        now: the time.

    Attributes:
        recommendations: of the latest cycle.
        history: what came of changes, and each recommendation when it was first made.
        kept: values of live settings that have been kept, which nodes that join get, too.
        trial: what is being tried.
        failures: rules that raised in the latest cycle, and what; in the history when it is new.
    """

    def __init__(self, options: Options, now: float) -> None:
        self.options = options
        self.recommendations: list[Recommendation] = []
        self.history: deque[Recommendation] = deque(maxlen=HISTORY)
        self.kept: dict[str, float] = {}
        self.trial: Trial | None = None
        self.failures: dict[str, str] = {}
        self._next = now + options.first
        self._counted = -math.inf
        self._streaks: dict[str, tuple[Recommendation, int]] = {}
        self._cooling: dict[str, float] = {}

    # Time

    @property
    def wake(self) -> float:
        """When ``due`` says something."""
        cycle = math.inf if self.options.mode == OFF else self._next
        return cycle if self.trial is None else min(cycle, self.trial.until)

    def due(self, now: float) -> str:
        """Return what is due: ``"verify"``, ``"cycle"`` or ``""``."""
        if self.trial is not None and now >= self.trial.until:
            return "verify"
        if self.options.mode != OFF and now >= self._next:
            return "cycle"
        return ""

    def configure(self, options: Options, now: float) -> None:
        """Go on with other options; a shorter interval holds at once."""
        self.options = options
        self._next = min(self._next, now + options.interval)

    # Cycles

    def cycle(
        self,
        now: float,
        metrics: ClusterMetrics,
        settings: Mapping[str, SettingState],
        rules: Iterable[Rule],
        broken: Mapping[str, str] = NOTHING,
    ) -> Recommendation | None:
        """Look at *metrics*; return the change that is to be applied now, if there is one.

        The driver applies it and tells ``applied``. What is *broken* counts among ``failures``.
        """
        self._next = now + self.options.interval
        before, self.failures = self.failures, dict(broken)
        found = self._look(now, metrics, settings, rules)
        for name, why in self.failures.items():
            if before.get(name) != why:
                failed = Recommendation(None, None, why, rule=name, at=now)
                self.history.append(replace(failed, outcome=f"failed: {why}"))
        known = {one.rule: one for one in self.recommendations}
        for one in found:
            last = known.get(one.rule)
            if last is None or not one.same_as(last) or one.outcome not in ("", last.outcome):
                self.history.append(replace(one, outcome=one.outcome or "recommended"))
        self.recommendations = found
        self._count(now, found)
        return next((one for one in found if self._may_apply(now, one, settings)), None)

    def _look(
        self,
        now: float,
        metrics: ClusterMetrics,
        settings: Mapping[str, SettingState],
        rules: Iterable[Rule],
    ) -> list[Recommendation]:
        found = []
        for rule in rules:
            try:
                one = rule.look(metrics, settings)
            except Exception as error:  # a rule of a user's: the others are no worse for it
                self.failures[rule.name] = f"{type(error).__name__}: {error}"
                continue
            if one is not None:
                why = obstacle(one, settings)
                told = f"cannot be applied: {why}" if why else ""
                found.append(replace(one, at=now, outcome=told))
        return found

    def _count(self, now: float, found: list[Recommendation]) -> None:
        """Count how often in a row the same was proposed, by cycles far enough apart."""
        if now - self._counted < self.options.gap:
            return
        self._counted = now
        before, self._streaks = self._streaks, {}
        for one in found:
            last, times = before.get(one.rule, (one, 0))
            self._streaks[one.rule] = (one, times + 1 if one.same_as(last) else 1)

    def _may_apply(
        self, now: float, one: Recommendation, settings: Mapping[str, SettingState]
    ) -> bool:
        if self.options.mode != AUTO or not one.safe or self.trial is not None:
            return False
        if now < self._cooling.get(one.rule, -math.inf):
            return False
        counted, times = self._streaks.get(one.rule, (one, 0))
        agreed = times >= self.options.agree and one.same_as(counted)
        return agreed and not obstacle(one, settings)

    # Changes

    def applied(self, now: float, one: Recommendation, before: ClusterMetrics, why: str) -> None:
        """The driver has applied *one*, or (*why*, if not empty, it says why) has not."""
        self._cooling[one.rule] = now + self.options.cooldown
        self._streaks.pop(one.rule, None)
        if why:
            self.history.append(replace(one, at=now, outcome=f"not applied: {why}"))
            return
        one = replace(one, applied=True, at=now)
        self.history.append(replace(one, outcome="on trial"))
        self._mark(one)
        self.trial = Trial(one, before, now, now + self.options.trial)

    def verify(self, now: float, after: ClusterMetrics | None) -> Recommendation | None:
        """The trial is over; return the change if it is to be reverted.

        Args:
            now: the time.
            after: the metrics of now; None when they could not be had.
        """
        trial = self.trial
        if trial is None:
            return None
        if after is None or not after.complete:
            if trial.attempts + 1 < ATTEMPTS:
                until = now + self.options.trial
                self.trial = replace(trial, until=until, attempts=trial.attempts + 1)
                return None
            why = "it could not be judged: not all nodes answered"
        else:
            why = objection(trial.recommendation, trial.before, after, self.options.gain)
        self.trial = None
        one = trial.recommendation
        self._cooling[one.rule] = now + self.options.cooldown
        if why:
            self._end(now, replace(one, reverted=True, outcome=f"reverted: {why}"))
            return one
        self.kept[one.setting] = float(one.proposed)
        self._end(now, replace(one, outcome=f"kept: {told(one, trial.before, after)}"))
        return None

    def overruled(self, now: float, setting: str, value: float) -> Recommendation | None:
        """Somebody has set *setting* to *value* by hand: that holds (E4).

        Returns:
            The change of it that was on trial, if any: where nobody has set anything it is to be
            reverted.
        """
        outcome = f"set to {value!r} by hand"
        kept = self.kept.pop(setting, None)
        if kept is not None:
            was = next((r for r in reversed(self.history) if _kept(r, setting)), None)
            was = was or Recommendation(value, kept, "it was kept", setting=setting, applied=True)
            self._end(now, replace(was, outcome=f"no longer kept: {outcome}"))
        trial = self.trial
        if trial is None or trial.recommendation.setting != setting:
            return None
        self.trial = None
        one = trial.recommendation
        self._cooling[one.rule] = now + self.options.cooldown
        self._end(now, replace(one, reverted=True, outcome=f"reverted: {outcome}"))
        return one

    def _end(self, now: float, one: Recommendation) -> None:
        one = replace(one, at=now)
        self.history.append(one)
        self._mark(one)

    def _mark(self, one: Recommendation) -> None:
        """Show in the recommendations what came of one."""
        self.recommendations = [one if r.rule == one.rule else r for r in self.recommendations]

    # When the singleton moves

    def export(self, now: float) -> dict[str, Any]:
        """Return all that it knows; times as distances from *now*, as clocks of nodes differ."""
        trial = self.trial
        return {
            "options": self.options,
            "recommendations": self.recommendations,
            "history": list(self.history),
            "kept": self.kept,
            "trial": None if trial is None else _moved(trial, -now),
            "failures": self.failures,
            "next": self._next - now,
            "counted": self._counted - now,
            "streaks": self._streaks,
            "cooling": {rule: until - now for rule, until in self._cooling.items()},
        }

    @classmethod
    def restore(cls, state: dict[str, Any], now: float) -> Engine:
        """Return the engine that *state* was exported from."""
        engine = cls(state["options"], now)
        engine.recommendations = list(state["recommendations"])
        engine.history.extend(state["history"])
        engine.kept = dict(state["kept"])
        trial = state["trial"]
        engine.trial = None if trial is None else _moved(trial, now)
        engine.failures = dict(state["failures"])
        engine._next = state["next"] + now
        engine._counted = state["counted"] + now
        engine._streaks = dict(state["streaks"])
        engine._cooling = {rule: left + now for rule, left in state["cooling"].items()}
        return engine


def _kept(one: Recommendation, setting: str) -> bool:
    return one.setting == setting and one.applied and not one.reverted


def _moved(trial: Trial, by: float) -> Trial:
    return replace(trial, since=trial.since + by, until=trial.until + by)


def obstacle(one: Recommendation, settings: Mapping[str, SettingState]) -> str:
    """Return why *one*, if it is safe, cannot be applied by itself; else ``""``. Pure."""
    if not one.safe:
        return ""
    state, value = settings.get(one.setting), one.proposed
    if state is None:
        return f"no node has a live setting {one.setting!r}"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return f"{value!r} is not a number"
    if not state.low <= value <= state.high:
        return f"{value!r} is not from {state.low!r} to {state.high!r} {state.unit}".rstrip()
    if by_hand(state):
        return f"{one.setting} was set to {state.value!r} by hand ({state.changed_by})"
    return ""


def by_hand(state: SettingState) -> bool:
    """Whether somebody else than the optimizer has set what is set."""
    return state.changed_by not in ("", SERVER)


def objection(
    one: Recommendation, before: ClusterMetrics, after: ClusterMetrics, gain: float
) -> str:
    """Return why the change *one* is not to be kept; ``""``: it helped, and did no harm. Pure.

    What it is judged by must have fallen by the part *gain* at least, and what no change may worsen
    (``GUARDS``) must not have risen by much.
    """
    was, now = _value(before, one.judged_by), _value(after, one.judged_by)
    if was is None or now is None:
        return f"{one.judged_by} could not be measured"
    if not now < was or now > was * (1 - gain):
        return f"it did not help: {told(one, before, after)}"
    for guard, (factor, least) in GUARDS.items():
        was, now = _value(before, guard), _value(after, guard)
        if was is not None and now is not None and now > max(was * factor, was + least):
            return f"{guard} rose from {was:.6g} to {now:.6g}"
    return ""


def told(one: Recommendation, before: ClusterMetrics, after: ClusterMetrics | None) -> str:
    """Return what a change was judged by, before and after, in words."""
    name = one.judged_by
    assert after is not None
    return f"{name} was {_value(before, name):.6g}, is {_value(after, name):.6g}"


def _value(metrics: ClusterMetrics, name: str) -> float | None:
    value = getattr(metrics, name, None)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number else None  # type: ignore[arg-type]
