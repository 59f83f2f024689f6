"""What the optimizer does when: a machine without I/O, driven with the time and with metrics.

    cycle ──▶ recommendations ──▶ (auto, safe, agreed, not cooling down) Apply
                                         │
                          applied on all nodes, read back? ── no ──▶ history: not applied
                                         │ yes
                                       trial ──▶ verify: did it help, or not hurt?
                                                   │ yes ──▶ kept        no ──▶ Revert

One change is on trial at a time, so that what follows can be put down to it.

Invariants:
    E1  Nothing is applied unless the mode is ``"auto"``, the rule safe, its setting there, and
        ``agree`` counted cycles in a row have proposed the same.
    E2  A change is either judged and kept, or reverted: also when nothing could be measured.
    E3  A rule is left alone for ``cooldown`` seconds after a change of its.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from foundation.cluster.live_settings import SettingState
from foundation.health_monitor.values import ClusterMetrics
from foundation.optimizer.rules import Rule
from foundation.optimizer.values import AUTO, OFF, Options, Recommendation

HISTORY = 200
JUDGED_BY = "message_latency_p99_us"
GUARDS = {  # what no change may worsen: by this factor, and by this much
    "message_latency_p99_us": (2.0, 20_000.0),
    "error_rate_percent": (1.5, 1.0),
}
ATTEMPTS = 3  # to judge a change, while nodes do not answer


@dataclass(frozen=True)
class Trial:
    """A change that is being tried.

    Attributes:
        recommendation: what was changed.
        before: the metrics when that was decided.
        until: when it is judged.
        attempts: how often that has been put off.
    """

    recommendation: Recommendation
    before: ClusterMetrics
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
        failures: rules that raised in the latest cycle, and what.
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
    ) -> Recommendation | None:
        """Look at *metrics*; return the change that is to be applied now, if there is one.

        The driver applies it and tells ``applied``.
        """
        self._next = now + self.options.interval
        found = self._look(now, metrics, settings, rules)
        known = {one.rule: one for one in self.recommendations}
        for one in found:
            if one.rule not in known or not one.same_as(known[one.rule]):
                self.history.append(replace(one, outcome="recommended"))
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
        self.failures = {}
        found = []
        for rule in rules:
            try:
                one = rule.look(metrics, settings)
            except Exception as error:  # a rule of a user's: the others are no worse for it
                self.failures[rule.name] = f"{type(error).__name__}: {error}"
                continue
            if one is not None:
                found.append(replace(one, at=now))
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
        state = settings.get(one.setting)
        if times < self.options.agree or not one.same_as(counted) or state is None:
            return False
        value = one.proposed
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return is_number and state.low <= value <= state.high

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
        self.trial = Trial(one, before, now + self.options.trial)

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
            why = hurt(trial.recommendation, trial.before, after, self.options.tolerance)
        self.trial = None
        one = trial.recommendation
        self._cooling[one.rule] = now + self.options.cooldown
        if why:
            self._end(now, replace(one, reverted=True, outcome=f"reverted: {why}"))
            return one
        self.kept[one.setting] = float(one.proposed)
        self._end(now, replace(one, outcome=f"kept: {told(one, trial.before, after)}"))
        return None

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
            "trial": None if trial is None else replace(trial, until=trial.until - now),
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
        engine.trial = None if trial is None else replace(trial, until=trial.until + now)
        engine._next = state["next"] + now
        engine._counted = state["counted"] + now
        engine._streaks = dict(state["streaks"])
        engine._cooling = {rule: left + now for rule, left in state["cooling"].items()}
        return engine


def hurt(
    one: Recommendation, before: ClusterMetrics, after: ClusterMetrics, tolerance: float
) -> str:
    """Return why the change *one* has done harm, or cannot be said not to have; else ``""``. Pure.

    What it is judged by must not have risen by more than *tolerance*, and what no change may
    worsen (``GUARDS``) not by much.
    """
    name = one.judged_by or JUDGED_BY
    was, now = _value(before, name), _value(after, name)
    if was is None or now is None:
        return f"{name} could not be measured"
    if now > was * (1 + tolerance):
        return f"{name} rose from {was:.6g} to {now:.6g}"
    for guard, (factor, least) in GUARDS.items():
        was, now = _value(before, guard), _value(after, guard)
        if was is not None and now is not None and now > max(was * factor, was + least):
            return f"{guard} rose from {was:.6g} to {now:.6g}"
    return ""


def told(one: Recommendation, before: ClusterMetrics, after: ClusterMetrics | None) -> str:
    """Return what a change was judged by, before and after, in words."""
    name = one.judged_by or JUDGED_BY
    assert after is not None
    return f"{name} was {_value(before, name):.6g}, is {_value(after, name):.6g}"


def _value(metrics: ClusterMetrics, name: str) -> float | None:
    value = getattr(metrics, name, None)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number else None  # type: ignore[arg-type]
