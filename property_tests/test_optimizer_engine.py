"""The optimizer's machine under arbitrary metrics, proposals and times: its invariants hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from foundation.cluster.live_settings import SettingState
from foundation.health_monitor import Asked, ClusterMetrics, Connectivity, combine
from foundation.optimizer import Engine, Options, Recommendation, Rule

LOW, HIGH = 0.0, 8.0
P99 = "message_latency_p99_us"
NAMES = ("one", "two")
ALONE = Connectivity("a", ("a",), (), {"a": 1.0}, {"a": 0.0})
QUIET = combine(Asked(("a",), True, None, ALONE), {})


def numbers(latency: float | None, complete: bool) -> ClusterMetrics:
    return replace(QUIET, message_latency_p99_us=latency, complete=complete)


class Model(RuleBasedStateMachine):
    """The driver of an engine, with one setting for each of two rules."""

    @initialize(
        mode=st.sampled_from(("off", "recommend", "auto")),
        agree=st.integers(1, 3),
        safe=st.booleans(),
    )
    def begin(self, mode: str, agree: int, safe: bool) -> None:
        self.now = 0.0
        self.safe = safe
        self.values = dict.fromkeys(NAMES, 1.0)
        self.agreed = dict.fromkeys(NAMES, 0)
        self.proposed: dict[str, Any] = {}
        self.counted = -1e9
        self.changed: dict[str, float] = {}
        self.by_hand: dict[str, None] = {}
        self.options = Options(mode=mode, agree=agree, interval=600.0, cooldown=1500.0)
        self.engine = Engine(self.options, self.now)

    @rule(seconds=st.sampled_from((1.0, 30.0, 60.0, 120.0, 600.0, 2000.0)))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(mode=st.sampled_from(("off", "recommend", "auto")))
    def configure(self, mode: str) -> None:
        self.options = replace(self.options, mode=mode)
        self.engine.configure(self.options, self.now)

    @rule()
    def move(self) -> None:
        """The singleton goes on elsewhere, where the clock is another."""
        state = self.engine.export(self.now)
        shift = 12_345.0
        self.now += shift
        self.counted += shift
        self.changed = {name: at + shift for name, at in self.changed.items()}
        self.engine = Engine.restore(state, self.now)

    @rule(
        wanted=st.fixed_dictionaries(
            dict.fromkeys(NAMES, st.one_of(st.none(), st.sampled_from((0.0, 1.0, 2.0, 8.0, 9.0))))
        ),
        latency=st.one_of(st.none(), st.floats(0.0, 1e5)),
        works=st.booleans(),
    )
    def cycle(self, wanted: dict[str, Any], latency: float | None, works: bool) -> None:
        def asks(name: str) -> Any:
            value, current = wanted[name], self.values[name]
            return lambda m, s: None if value is None else Recommendation(current, value, "so", P99)

        settings = {name: f"x.{name}" if self.safe else "" for name in NAMES}
        rules = [Rule(name, asks(name), self.safe, settings[name]) for name in NAMES]
        live = {
            f"x.{name}": SettingState(
                f"x.{name}", value, "", LOW, HIGH, changed_by="me" if name in self.by_hand else ""
            )
            for name, value in self.values.items()
        }
        self._count(wanted)
        metrics = numbers(latency, True)
        on_trial = self.engine.trial
        change = self.engine.cycle(self.now, metrics, live, rules)
        if change is None:
            return
        # E1
        assert self.options.mode == "auto"
        assert change.safe
        assert change.rule not in self.by_hand  # E4
        assert on_trial is None
        assert LOW <= change.proposed <= HIGH
        assert change.proposed == wanted[change.rule] != self.values[change.rule]
        assert self.agreed[change.rule] >= self.options.agree
        # E3
        assert self.now - self.changed.get(change.rule, -1e9) >= self.options.cooldown
        self.engine.applied(self.now, change, metrics, "" if works else "it did not work")
        self.changed[change.rule] = self.now
        self.agreed[change.rule] = 0
        self.proposed.pop(change.rule, None)
        if works:
            self.values[change.rule] = change.proposed

    def _count(self, wanted: dict[str, Any]) -> None:
        if self.now - self.counted < self.options.gap:
            return
        self.counted = self.now
        for name in NAMES:
            pair = (self.values[name], wanted[name])
            idle = wanted[name] is None or wanted[name] == self.values[name]
            same = self.proposed.get(name) == pair
            self.agreed[name] = 0 if idle else self.agreed[name] + 1 if same else 1
            self.proposed[name] = pair
            if idle:
                del self.proposed[name]

    @rule(name=st.sampled_from(NAMES), value=st.sampled_from((1.0, 3.0, 7.0)))
    def set_by_hand(self, name: str, value: float) -> None:
        trial = self.engine.trial
        tried = trial is not None and trial.recommendation.rule == name
        self.values[name] = value
        self.by_hand[name] = None
        found = self.engine.overruled(self.now, f"x.{name}", value)
        assert (found is not None) == tried
        assert f"x.{name}" not in self.engine.kept  # E4
        if tried:
            assert self.engine.trial is None
            self.changed[name] = self.now

    @rule(latency=st.one_of(st.none(), st.floats(0.0, 1e5)), complete=st.booleans())
    def verify(self, latency: float | None, complete: bool) -> None:
        trial = self.engine.trial
        if self.engine.due(self.now) != "verify":
            return
        assert trial is not None
        change = self.engine.verify(self.now, numbers(latency, complete))
        if self.engine.trial is not None:
            assert not complete
            assert self.engine.trial.until > self.now
            return
        name = trial.recommendation.rule
        self.changed[name] = self.now
        last = self.engine.history[-1]
        assert last.applied
        assert last.reverted == (change is not None)  # E2
        before = trial.before.message_latency_p99_us
        if change is not None:
            self.values[name] = change.current
        else:
            assert latency is not None
            assert before is not None
            assert latency < before
            assert latency <= before * (1 - self.options.gain)  # it helped
            assert self.engine.kept[f"x.{name}"] == self.values[name]

    @invariant()
    def sleeps_until_something_is_due(self) -> None:
        if not hasattr(self, "engine"):
            return
        due = self.engine.due(self.now)
        assert bool(due) == (self.engine.wake <= self.now)
        assert all(one.applied or not one.reverted for one in self.engine.history)
        if self.engine.trial is None:  # E2: nothing stays that was neither kept nor reverted
            for name in NAMES:
                if name not in self.by_hand:
                    assert self.values[name] == self.engine.kept.get(f"x.{name}", 1.0)


Model.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestEngine = Model.TestCase
