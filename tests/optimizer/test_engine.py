"""The optimizer's machine: what is applied when, kept or reverted."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import pytest

from foundation.cluster.live_settings import SettingState
from foundation.health_monitor import ClusterMetrics
from foundation.optimizer import SERVER, Engine, Options, Recommendation, Rule, objection
from tests.health_monitor.made import metrics, report

SETTING = "x.speed"
P99 = "message_latency_p99_us"
SETTINGS = {SETTING: SettingState(SETTING, 1.0, "s", 0.0, 10.0)}
AUTO = Options(mode="auto", first=60.0, interval=3600.0, trial=120.0, cooldown=7200.0)


def numbers(latency: float = 100.0, **changes: Any) -> ClusterMetrics:
    quiet = metrics(report("a", view=("a",)))
    return replace(quiet, message_latency_p99_us=latency, **changes)


def proposing(
    value: Any, *, safe: bool = True, judged_by: str = P99, setting: str = SETTING
) -> Rule:
    def rule(found: Any, settings: Any) -> Recommendation:
        return Recommendation(1.0, value, "so", judged_by=judged_by)

    return Rule("faster", rule, safe, setting if safe else "")


def cycle(engine: Engine, now: float, *rules: Rule, **changes: Any) -> Recommendation | None:
    return engine.cycle(now, numbers(**changes), SETTINGS, rules)


def on_trial(now: float = 3660.0, judged_by: str = P99, **before: Any) -> Engine:
    """Return an engine whose change is on trial since *now*."""
    engine = Engine(AUTO, 0.0)
    cycle(engine, now - 3600.0, proposing(2.0, judged_by=judged_by))
    change = cycle(engine, now, proposing(2.0, judged_by=judged_by))
    assert change is not None
    engine.applied(now, change, numbers(**before), "")
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
    other = Rule("other", lambda m, s: Recommendation(1.0, 5.0, "so", P99), True, SETTING)
    assert not any(cycle(engine, now, other) for now in (3720.0, 3780.0))
    assert engine.wake == 3780.0
    engine.verify(3780.0, numbers())
    assert cycle(engine, 3840.0, other) is not None


def test_a_change_that_helped_is_kept() -> None:
    engine = on_trial()
    (one,) = engine.recommendations
    assert one.applied
    assert engine.due(3779.0) == ""
    assert engine.due(3780.0) == "verify"
    assert engine.verify(3780.0, numbers(latency=95.0)) is None
    assert engine.trial is None
    assert engine.kept == {SETTING: 2.0}
    last = engine.history[-1]
    assert (last.applied, last.reverted) == (True, False)
    assert last.outcome == "kept: message_latency_p99_us was 100, is 95"
    assert engine.recommendations == [last]


@pytest.mark.parametrize("latency", [96.0, 100.0, 101.0, 119.0, 121.0])
def test_a_change_that_did_not_help_is_reverted(latency: float) -> None:
    engine = on_trial()
    change = engine.verify(3780.0, numbers(latency=latency))
    assert change is not None
    assert change.current == 1.0
    assert engine.kept == {}
    last = engine.history[-1]
    assert (last.applied, last.reverted) == (True, True)
    told = f"message_latency_p99_us was 100, is {latency:.0f}"
    assert last.outcome == f"reverted: it did not help: {told}"


def test_it_is_judged_by_what_the_rule_says() -> None:
    for frames, kept in ((94.0, True), (99.0, False), (119.0, False)):
        engine = on_trial(judged_by="frames_per_second", frames_per_second=100.0)
        found = engine.verify(3780.0, numbers(latency=1.0, frames_per_second=frames))
        assert (found is None) is kept


def test_what_no_change_may_worsen_is_looked_at_always() -> None:
    for name, worse in (
        ("probe_latency_p99_us", 30_000.0),
        ("message_latency_p50_us", 30_000.0),
        ("error_rate_percent", 2.0),
    ):
        engine = on_trial(**{name: 0.5})
        after = numbers(latency=50.0, **{name: worse})
        assert engine.verify(3780.0, after) is not None
        assert f"{name} rose" in engine.history[-1].outcome


def test_what_cannot_be_measured_is_reverted() -> None:
    engine = on_trial(judged_by="registry_propagation_p50_us")
    assert engine.verify(3780.0, numbers()) is not None
    outcome = engine.history[-1].outcome
    assert outcome == "reverted: registry_propagation_p50_us could not be measured"


@pytest.mark.parametrize("name", ["", "no_such_metric", "nodes", "complete", "node"])
def test_a_safe_rule_must_say_by_what_it_is_judged(name: str) -> None:
    engine = Engine(AUTO, 0.0)
    assert cycle(engine, 60.0, proposing(2.0, judged_by=name)) is None
    assert engine.recommendations == []
    assert "judged_by= must be a field of ClusterMetrics" in engine.failures["faster"]
    assert engine.history[-1].rule == "faster"
    cycle(engine, 3660.0, proposing(2.0, judged_by=name, safe=False))
    assert [one.proposed for one in engine.recommendations] == [2.0]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (proposing(2.0, setting="unknown"), "no node has a live setting 'unknown'"),
        (proposing(99.0), "99.0 is not from 0.0 to 10.0 s"),
        (proposing("fast"), "'fast' is not a number"),
    ],
)
def test_what_cannot_be_applied_says_why(rule: Rule, words: str) -> None:
    engine = Engine(AUTO, 0.0)
    for now in (60.0, 3660.0, 7260.0):
        assert cycle(engine, now, rule) is None
    (one,) = engine.recommendations
    assert one.outcome == f"cannot be applied: {words}"
    assert [past.outcome for past in engine.history] == [one.outcome]


def test_what_was_set_by_hand_is_left_alone() -> None:
    state = replace(SETTINGS[SETTING], changed_by="operator")
    engine = Engine(AUTO, 0.0)
    for now in (60.0, 3660.0, 7260.0):
        assert engine.cycle(now, numbers(), {SETTING: state}, [proposing(2.0)]) is None
    assert "was set to 1.0 by hand (operator)" in engine.recommendations[0].outcome
    ours = replace(state, changed_by=SERVER)
    assert engine.cycle(10_860.0, numbers(), {SETTING: ours}, [proposing(2.0)]) is not None


def test_what_is_set_by_hand_later_is_no_longer_kept() -> None:
    engine = on_trial()
    engine.verify(3780.0, numbers(latency=50.0))
    assert engine.kept == {SETTING: 2.0}
    assert engine.overruled(4000.0, SETTING, 7.0) is None
    assert engine.kept == {}
    last = engine.history[-1]
    assert (last.rule, last.outcome) == ("faster", "no longer kept: set to 7.0 by hand")
    assert engine.overruled(4001.0, SETTING, 7.0) is None
    assert engine.history[-1] is last


def test_what_is_set_by_hand_during_its_trial_ends_that() -> None:
    engine = on_trial()
    change = engine.overruled(3700.0, SETTING, 7.0)
    assert change is not None
    assert change.current == 1.0
    assert engine.trial is None
    assert (engine.kept, engine.due(3780.0)) == ({}, "")
    assert engine.history[-1].outcome == "reverted: set to 7.0 by hand"
    assert engine.overruled(3700.0, "other", 7.0) is None


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
    assert engine.verify(3900.0, numbers(latency=90.0)) is None
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
    failed = [(one.rule, one.outcome) for one in engine.history if one.rule != "faster"]
    assert failed[0] == ("bad", "failed: KeyError: 'x'")
    assert [rule for rule, _ in failed] == ["bad", "wrong"]
    cycle(engine, 3660.0, Rule("bad", bad, False), wrong, proposing(2.0))
    assert len(engine.history) == 3  # once
    cycle(engine, 7260.0)
    assert engine.failures == {}
    engine.cycle(10_860.0, numbers(), SETTINGS, [], {"a.module": "it is not there"})
    assert engine.history[-1].outcome == "failed: it is not there"


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


@pytest.mark.parametrize(
    ("before", "after", "gain", "helped"),
    [
        (100.0, 80.0, 0.2, True),
        (100.0, 81.0, 0.2, False),
        (100.0, 0.0, 0.2, True),
        (0.0, 0.0, 0.2, False),
        (0.0, 1.0, 0.2, False),
    ],
)
def test_what_helped_fell_by_the_gain(
    before: float, after: float, gain: float, helped: bool
) -> None:
    one = Recommendation(1, 2, "so", judged_by=P99)
    assert (objection(one, numbers(before), numbers(after), gain) == "") is helped


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"mode": "on"}, ValueError),
        ({"interval": 0}, ValueError),
        ({"first": float("nan")}, ValueError),
        ({"trial": "2"}, TypeError),
        ({"agree": 1.5}, TypeError),
        ({"agree": True}, TypeError),
        ({"gain": 1.0}, ValueError),
        ({"modules": "my.rules"}, TypeError),
        ({"modules": (1,)}, TypeError),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], error: Any) -> None:
    with pytest.raises(error, match="Options"):
        Options(**options)
