"""The rules: what is proposed for which metrics."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from foundation.channels.state import COMPRESS_ABOVE
from foundation.cluster.live_settings import HOLD_BACK, SettingState
from foundation.health_monitor import ClusterMetrics, Mailbox, Settings, judge
from foundation.optimizer import RULES, Recommendation, Rule, optimizer_rule
from foundation.optimizer.rules import hold_back_for
from tests.health_monitor.made import metrics, report


def state(name: str, value: float) -> dict[str, SettingState]:
    return {name: SettingState(name, value, "", 0.0, 1e9)}


def quiet(**changes: Any) -> ClusterMetrics:
    return replace(metrics(report("a"), report("b"), report("c")), **changes)


def look(rule: str, found: ClusterMetrics, settings: Any = None) -> Recommendation | None:
    return RULES[rule].look(found, settings or {})


@pytest.mark.parametrize(
    ("nodes", "churn", "value"),
    [
        (51, "low", 0.015),
        (50, "low", 0.003),
        (51, "medium", 0.003),
        (51, "high", 0.003),
        (9, "high", 0.00075),
        (10, "high", 0.003),
        (9, "medium", 0.003),
        (1, "low", 0.003),
    ],
)
def test_what_is_held_back_has_the_proportions_of_the_design(
    nodes: int, churn: str, value: float
) -> None:
    assert hold_back_for(nodes, churn) == value


def test_the_hold_back_is_judged_by_what_it_is_to_improve() -> None:
    large = quiet(node_count=60, registry_churn_rate="low")
    one = look("registry_hold_back", large, state(HOLD_BACK, 0.003))
    assert one is not None
    assert (one.current, one.proposed, one.setting) == (0.003, 0.015, HOLD_BACK)
    assert (one.safe, one.judged_by) == (True, "frames_per_second")
    assert "60 nodes with low churn" in one.reason
    busy = quiet(node_count=3, registry_churn_rate="high", registry_changes_per_minute=90.0)
    one = look("registry_hold_back", busy, state(HOLD_BACK, 0.003))
    assert one is not None
    assert (one.proposed, one.judged_by) == (0.00075, "registry_propagation_p50_us")
    assert "30.0 changes per node and minute" in one.reason


def test_what_is_right_already_or_cannot_be_set_is_not_proposed() -> None:
    assert look("registry_hold_back", quiet(), state(HOLD_BACK, 0.003)) is None
    assert look("registry_hold_back", quiet(), {}) is None
    back = look("registry_hold_back", quiet(), state(HOLD_BACK, 0.015))
    assert back is not None
    assert back.proposed == 0.003


@pytest.mark.parametrize(
    ("rate", "current", "proposed"),
    [
        (1001.0, 10_240.0, 1024),
        (999.0, 10_240.0, None),
        (1001.0, 1024.0, None),
        (1001.0, 300.0, None),  # it is compressed sooner already
        (0.0, 4096.0, None),  # what was chosen for a quiet cluster stays
    ],
)
def test_broadcasts_are_compressed_sooner_above_a_thousand_a_second(
    rate: float, current: float, proposed: float | None
) -> None:
    found = quiet(broadcasts_per_minute=rate * 60)
    one = look("compress_broadcasts", found, state(COMPRESS_ABOVE, current))
    assert (None if one is None else one.proposed) == proposed
    assert one is None or one.judged_by == "bytes_per_broadcast"
    assert look("compress_broadcasts", found, {}) is None
    assert (look("install_compression", found, {}) is None) == (rate <= 1000.0)
    assert look("install_compression", found, state(COMPRESS_ABOVE, current)) is None


def test_an_expected_size_is_recommended_for_more_than_one_node() -> None:
    one = look("set_expected_size", quiet())
    assert one is not None
    assert (one.current, one.proposed, one.safe) == (None, 3, False)
    assert look("set_expected_size", quiet(node_count=1)) is None
    assert look("set_expected_size", quiet(expected_is_set=True)) is None


@pytest.mark.parametrize(
    ("sizes", "nodes", "words"),
    [
        ({"a": 3, "b": 5}, 2, "different expected sizes"),
        ({"a": 3, "b": None}, 2, "different expected sizes"),
        ({"a": 3, "b": 3}, 5, "5 nodes run where 3 are expected"),
        ({"a": 2, "b": 2}, 2, "of two nodes both are needed"),
        ({"a": 3, "b": 3}, 3, None),
        ({"a": 3, "b": 3}, 2, None),
        ({"a": None, "b": None}, 2, None),
    ],
)
def test_an_expected_size_that_protects_nobody_is_said(
    sizes: dict[str, int | None], nodes: int, words: str | None
) -> None:
    size = sizes["a"]
    found = quiet(
        expected_sizes=sizes,
        node_count=nodes,
        expected_is_set=size is not None,
        expected_nodes=size or nodes,
    )
    one = look("mend_quorum", found)
    assert (one is None) == (words is None)
    if one is not None and words is not None:
        assert words in one.reason


def test_a_mailbox_near_its_limit_is_said() -> None:
    box = Mailbox("p", "slow", "a/w1", 8000, 60.0)
    one = look("relieve_mailboxes", quiet(longest_mailboxes=(box,)))
    assert one is not None
    assert "8000 messages" in one.reason
    less = replace(box, messages=7999)
    assert look("relieve_mailboxes", quiet(longest_mailboxes=(less,))) is None


def test_an_uneven_spread_is_said_and_nothing_is_moved() -> None:
    uneven = metrics(report("a", children={"s": 30}), report("b", children={"s": 10}))
    one = look("rebalance", uneven)
    assert one is not None
    assert one.current == {"a": 30, "b": 10}
    assert not one.safe
    assert look("rebalance", quiet()) is None


def test_a_topic_that_is_too_busy_for_one_order_is_said() -> None:
    one = look("split_busy_topics", quiet(broadcasts_per_second={"t": 5001.0, "u": 9.0}))
    assert one is not None
    assert one.current == "one topic 't'"
    assert look("split_busy_topics", quiet(broadcasts_per_second={"t": 5000.0})) is None


def test_many_failing_calls_are_said() -> None:
    def fails(percent: float, failed: float, **settings: Any) -> bool:
        found = quiet(
            error_rate_percent=percent,
            calls_failed_per_minute=failed,
            settings=Settings(**settings),
        )
        said = look("look_at_errors", found) is not None
        assert said == (judge(found).status == "degraded")  # health says the same
        return said

    assert fails(10.1, 10.0)
    assert not fails(10.0, 10.0)
    assert not fails(100.0, 9.0)  # a handful
    assert fails(6.0, 10.0, error_percent=5.0)


@pytest.mark.parametrize(
    ("used", "dropped", "said"), [(0.0, 0.0, False), (0.9, 0.0, False), (0.91, 0.0, True),
                                  (0.1, 1.0, True)],
)  # fmt: skip
def test_a_bulk_lane_that_is_nearly_full_or_drops_is_said(
    used: float, dropped: float, said: bool
) -> None:
    found = quiet(
        bulk_utilisation=used, bulk_fullest="a/w1 -> b/w1", bulk_dropped_per_minute=dropped
    )
    one = look("relieve_lanes", found)
    assert (one is not None) is said
    if one is not None:
        assert not one.safe
        assert "a/w1 -> b/w1" in one.current


def test_a_quiet_cluster_with_all_set_has_nothing_to_recommend() -> None:
    sizes: dict[str, int | None] = {"a": 3, "b": 3, "c": 3}
    found = quiet(expected_is_set=True, expected_sizes=sizes)
    settings = {**state(HOLD_BACK, 0.003), **state(COMPRESS_ABOVE, 10_240.0)}
    assert [rule.name for rule in RULES.values() if rule.look(found, settings)] == []


def test_a_rule_of_ones_own_is_registered_and_stays_a_function() -> None:
    @optimizer_rule(safe=False)
    def more_cows(found: Any, settings: Any) -> Recommendation:
        return Recommendation(1, found.node_count, "moo")

    try:
        assert more_cows(quiet(), {}).proposed == 3
        rule = RULES["more_cows"]
        assert isinstance(rule, Rule)
        one = rule.look(quiet(), {})
        assert one is not None
        assert (one.rule, one.safe) == ("more_cows", False)
        assert str(one) == "more_cows: 1 -> 3, because moo"
    finally:
        del RULES["more_cows"]


def test_a_safe_rule_must_name_its_setting() -> None:
    with pytest.raises(TypeError, match="setting="):
        optimizer_rule(safe=True)


def test_clocks_that_are_apart_are_said() -> None:
    assert look("align_clocks", quiet(clock_skew_seconds=0.9)) is None
    one = look("align_clocks", quiet(clock_skew_seconds=1.5))
    assert one is not None
    assert not one.safe
    assert "1.5 s apart" in one.reason
    assert one.current == "a +0.0 s, b +0.0 s, c +0.0 s"
