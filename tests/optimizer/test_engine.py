"""The optimizer's machine: what is applied when, kept or reverted."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import pytest

from foundation.cluster.live_settings import SettingState
from foundation.health_monitor import ClusterMetrics
from foundation.optimizer import Engine, Options, Recommendation, Rule, hurt
from tests.health_monitor.made import metrics, report

SETTING = "x.speed"
SETTINGS = {SETTING: SettingState(SETTING, 1.0, "s", 0.0, 10.0)}
AUTO = Options(mode="auto", first=60.0, interval=3600.0, trial=120.0, cooldown=7200.0)


def numbers(latency: float = 100.0, **changes: Any) -> ClusterMetrics:
    quiet = metrics(report("a", view=("a",)))
    return replace(quiet, message_latency_p99_us=latency, **changes)


def proposing(
    value: Any, *, safe: bool = True, judged_by: str = "", setting: str = SETTING
) -> Rule:
    def rule(found: Any, settings: Any) -> Recommendation:
        return Recommendation(1.0, value, "so", judged_by=judged_by)

    return Rule("faster", rule, safe, setting if safe else "")


def cycle(engine: Engine, now: float, *rules: Rule, **changes: Any) -> Recommendation | None:
    return engine.cycle(now, numbers(**changes), SETTINGS, rules)


def on_trial(now: float = 3660.0, options: Options = AUTO, **rule: Any) -> Engine:
    """Return an engine whose change is on trial since *now*."""
    engine = Engine(options, 0.0)
    cycle(engine, now - 3600.0, proposing(2.0, **rule))
    change = cycle(engine, now, proposing(2.0, **rule))
    assert change is not None
    engine.applied(now, change, numbers(), "")
    return engine


def test_the_first_cycle_is_a_minute_after_the_start_then_one_each_hour() -> None:
    engine = Engine(Options(), 100.0)
    assert engine.wake == 160.0
    assert engine.due(159.9) == ""
    assert engine.due(160.0) == "cycle"
    cycle(engine, 160.0)
    assert engine.wake == 3760.0


def test_switched_off_it_never_wakes() -> None:
    engine = Engine(Options(mode="off"), 0.0)
    assert engine.due(1e9) == ""
    assert engine.wake == float("inf")


def test_what_it_recommends_has_the_rules_name_and_is_in_the_history_once() -> None:
    engine = Engine(Options(), 0.0)
    for now in (60.0, 3660.0, 7260.0):
        assert cycle(engine, now, proposing(2.0)) is None
        (one,) = engine.recommendations
        assert (one.rule, one.safe, one.setting, one.at) == ("faster", True, SETTING, now)
        assert not one.applied
    assert [one.outcome for one in engine.history] == ["recommended"]
    cycle(engine, 10860.0, proposing(3.0))
    assert len(engine.history) == 2
    cycle(engine, 14460.0)
    assert engine.recommendations == []


def test_only_in_auto_mode_is_anything_applied() -> None:
    for mode, changes in (("recommend", False), ("auto", True)):
        engine = Engine(replace(AUTO, mode=mode), 0.0)
        found = [cycle(engine, now, proposing(2.0)) for now in (60.0, 3660.0, 7260.0)]
        assert any(found) is changes


def test_two_cycles_in_a_row_must_propose_the_same() -> None:
    engine = Engine(AUTO, 0.0)
    assert cycle(engine, 60.0, proposing(2.0)) is None
    assert cycle(engine, 3660.0, proposing(3.0)) is None
    assert cycle(engine, 7260.0) is None
    assert cycle(engine, 10860.0, proposing(3.0)) is None
    assert cycle(engine, 14460.0, proposing(3.0)) is not None


def test_cycles_by_hand_that_see_the_same_numbers_do_not_count() -> None:
    engine = Engine(AUTO, 0.0)
    for now in (1.0, 2.0, 3.0, 60.9):
        assert cycle(engine, now, proposing(2.0)) is None
    assert cycle(engine, 61.0, proposing(2.0)) is not None


@pytest.mark.parametrize(
    "rule",
    [
        proposing(2.0, safe=False),
        proposing(2.0, setting="unknown"),
        proposing(11.0),  # out of its bounds
        proposing(-1.0),
        proposing("fast"),
        proposing(True),
        proposing(1.0),  # it is so already
    ],
    ids=["unsafe", "no setting", "high", "low", "text", "bool", "same"],
)
def test_what_may_not_be_applied_is_not(rule: Rule) -> None:
    engine = Engine(AUTO, 0.0)
    assert not any(cycle(engine, now, rule) for now in (60.0, 3660.0, 7260.0))


def test_one_change_is_on_trial_at_a_time() -> None:
    engine = on_trial()
    other = Rule("other", lambda m, s: Recommendation(1.0, 5.0, "so"), True, SETTING)
    assert not any(cycle(engine, now, other) for now in (3720.0, 3780.0))
    assert engine.wake == 3780.0
    assert engine.verify(3780.0, numbers()) is None
    assert cycle(engine, 3840.0, other) is not None


def test_a_change_that_did_no_harm_is_kept() -> None:
    engine = on_trial()
    (one,) = engine.recommendations
    assert one.applied
    assert engine.due(3779.0) == ""
    assert engine.due(3780.0) == "verify"
    assert engine.verify(3780.0, numbers(latency=119.0)) is None
    assert engine.trial is None
    assert engine.kept == {SETTING: 2.0}
    last = engine.history[-1]
    assert (last.applied, last.reverted) == (True, False)
    assert last.outcome == "kept: message_latency_p99_us was 100, is 119"
    assert engine.recommendations == [last]


def test_a_change_that_did_harm_is_reverted() -> None:
    engine = on_trial()
    change = engine.verify(3780.0, numbers(latency=121.0))
    assert change is not None
    assert change.current == 1.0
    assert engine.kept == {}
    last = engine.history[-1]
    assert (last.applied, last.reverted) == (True, True)
    assert "rose from 100 to 121" in last.outcome


def test_it_is_judged_by_what_the_rule_says() -> None:
    engine = on_trial(judged_by="frames_per_second")
    assert engine.verify(3780.0, numbers(latency=140.0, frames_per_second=0.0)) is None
    engine = on_trial(judged_by="frames_per_second")
    assert engine.verify(3780.0, numbers(latency=1.0, frames_per_second=5.0)) is not None


def test_what_no_change_may_worsen_is_looked_at_always() -> None:
    engine = on_trial(judged_by="frames_per_second")
    assert engine.verify(3780.0, numbers(latency=30_000.0)) is not None
    assert "message_latency_p99_us rose" in engine.history[-1].outcome
    engine = on_trial()
    assert engine.verify(3780.0, numbers(error_rate_percent=2.0)) is not None
    assert "error_rate_percent rose" in engine.history[-1].outcome


@pytest.mark.parametrize("name", ["registry_propagation_p50_us", "no_such_metric", "nodes"])
def test_what_cannot_be_measured_is_reverted(name: str) -> None:
    engine = on_trial(judged_by=name)
    assert engine.verify(3780.0, numbers()) is not None
    assert f"{name} could not be measured" in engine.history[-1].outcome


def test_while_nodes_do_not_answer_judging_is_put_off_but_not_for_ever() -> None:
    engine = on_trial()
    now = 3780.0
    for after in (None, numbers(complete=False)):
        assert engine.verify(now, after) is None
        assert engine.trial is not None
        now += 120.0
        assert engine.wake == now
    assert engine.verify(now, None) is not None
    assert engine.trial is None
    assert engine.history[-1].reverted
    engine = on_trial()
    assert engine.verify(3780.0, None) is None
    assert engine.verify(3900.0, numbers()) is None
    assert engine.kept == {SETTING: 2.0}


def test_a_change_that_could_not_be_made_is_not_called_applied() -> None:
    engine = Engine(AUTO, 0.0)
    cycle(engine, 60.0, proposing(2.0))
    change = cycle(engine, 3660.0, proposing(2.0))
    assert change is not None
    engine.applied(3660.0, change, numbers(), "node b did not answer")
    assert engine.trial is None
    last = engine.history[-1]
    assert (last.applied, last.outcome) == (False, "not applied: node b did not answer")


@pytest.mark.parametrize("latency", [100.0, 1000.0])
def test_after_a_change_a_rule_is_left_alone_for_a_while(latency: float) -> None:
    engine = on_trial()
    engine.verify(3780.0, numbers(latency=latency))
    quick = replace(AUTO, interval=600.0)
    engine.configure(quick, 3780.0)
    applied = [now for now in range(4380, 14_000, 600) if cycle(engine, now, proposing(5.0))]
    assert applied
    assert applied[0] >= 3780 + 7200


def test_in_auto_mode_no_longer_what_is_on_trial_is_judged_all_the_same() -> None:
    engine = on_trial()
    engine.configure(replace(AUTO, mode="off"), 3700.0)
    assert engine.wake == 3780.0
    assert engine.due(3780.0) == "verify"
    assert engine.verify(3780.0, numbers(latency=500.0)) is not None


def test_a_rule_that_fails_does_not_keep_others_from_being_asked() -> None:
    def bad(found: Any, settings: Any) -> Recommendation:
        raise KeyError("x")

    wrong = Rule("wrong", lambda m, s: "more", False)  # type: ignore[arg-type,return-value]
    engine = Engine(Options(), 0.0)
    cycle(engine, 60.0, Rule("bad", bad, False), wrong, proposing(2.0))
    assert [one.rule for one in engine.recommendations] == ["faster"]
    assert engine.failures["bad"] == "KeyError: 'x'"
    assert "must return a Recommendation" in engine.failures["wrong"]
    cycle(engine, 3660.0)
    assert engine.failures == {}


def test_it_goes_on_in_its_next_life_though_the_clock_is_another() -> None:
    engine = on_trial()
    state = pickle.loads(pickle.dumps(engine.export(3700.0)))
    later = Engine.restore(state, 10.0)
    assert later.wake == 90.0
    assert later.recommendations == engine.recommendations
    assert list(later.history) == list(engine.history)
    assert later.verify(90.0, numbers(latency=500.0)) is not None
    later.configure(replace(AUTO, interval=600.0), 90.0)
    applied = [now for now in range(690, 9000, 600) if cycle(later, now, proposing(5.0))]
    assert applied[0] >= 90 + 7200


def test_harm_is_judged_with_tolerance() -> None:
    one = Recommendation(1, 2, "so")
    assert hurt(one, numbers(100.0), numbers(119.0), 0.2) == ""
    assert "rose" in hurt(one, numbers(100.0), numbers(121.0), 0.2)
    assert hurt(one, numbers(0.0), numbers(0.0), 0.2) == ""


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"mode": "on"}, ValueError),
        ({"interval": 0}, ValueError),
        ({"first": float("nan")}, ValueError),
        ({"trial": "2"}, TypeError),
        ({"agree": 1.5}, TypeError),
        ({"agree": True}, TypeError),
        ({"modules": "my.rules"}, TypeError),
        ({"modules": (1,)}, TypeError),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], error: Any) -> None:
    with pytest.raises(error, match="Options"):
        Options(**options)
