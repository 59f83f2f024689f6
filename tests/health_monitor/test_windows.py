"""Counting over time: what is counted, for how long, and what trends are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.health_monitor.windows import (
    HighWater,
    Rate,
    Sums,
    Window,
    grows,
    percentile,
    slope,
)


def test_a_window_counts_what_happened_within_it_and_no_more() -> None:
    window = Window(60.0)
    window.add(0.0)
    window.add(30.0, 2)
    assert window.count(30.0) == 3
    assert window.count(59.9) == 3
    assert window.count(61.0) == 2
    assert window.count(91.0) == 0
    assert window.total == 3


def test_a_young_window_does_not_extrapolate() -> None:
    window = Window(60.0)
    window.add(100.0, 3)
    assert window.per_minute(101.0) == 3.0


def test_a_window_of_another_length_is_reckoned_to_a_minute() -> None:
    window = Window(10.0)
    window.add(0.0, 5)
    assert window.per_minute(1.0) == 30.0


@given(st.lists(st.tuples(st.floats(0, 20), st.integers(1, 5)), max_size=60), st.floats(0, 200))
def test_a_window_is_right_to_within_one_of_its_parts(
    steps: list[tuple[float, int]], later: float
) -> None:
    window, now = Window(60.0), 0.0
    events: list[tuple[float, int]] = []
    for wait, number in steps:
        now += wait
        window.add(now, number)
        events.append((now, number))
    now += later
    surely = sum(n for at, n in events if now - at < 59.0)
    perhaps = sum(n for at, n in events if now - at < 60.0)
    assert surely <= window.count(now) <= perhaps


def test_a_rate_is_over_its_time_once_there_are_samples_for_it() -> None:
    rate = Rate(60.0)
    assert rate.per_second == 0.0
    rate.note(0.0, 100)
    assert rate.per_second == 0.0
    for step in range(1, 11):
        rate.note(step * 30.0, 100 + step * 60)
    assert rate.per_second == pytest.approx(2.0)
    rate.note(330.0, 100 + 600 + 600)  # a burst is seen ...
    assert rate.per_second == pytest.approx(660 / 60)
    rate.note(360.0, 1300)
    rate.note(390.0, 1300)
    rate.note(420.0, 1300)
    assert rate.per_second == 0.0  # ... and forgotten


def test_a_second_sample_of_the_same_moment_replaces_the_first() -> None:
    rate = Rate(60.0)
    rate.note(0.0, 0)
    rate.note(1.0, 5)
    rate.note(1.0, 7)
    assert rate.within(1.0, 60.0) == 7.0


def test_a_young_rate_does_not_extrapolate() -> None:
    rate = Rate(60.0)
    rate.note(0.0, 0)
    rate.note(2.0, 1)
    assert rate.per_second == 1 / 60  # one in a minute, not thirty
    rate.note(59.0, 2)
    assert rate.per_second == 2 / 60
    rate.note(61.5, 2)
    assert rate.per_second == 2 / 61.5


def test_of_a_rate_the_latest_part_can_be_had() -> None:
    rate = Rate(60.0)
    for at, value in ((0.0, 0), (30.0, 300), (40.0, 310), (50.0, 320)):
        rate.note(at, value)
    assert rate.within(50.0, 60.0) == 320 / 50
    assert rate.within(50.0, 20.0) == 1.0
    assert rate.within(50.0, 19.9) == 1.0
    assert rate.within(50.0, 9.9) == 0.0  # there is one reading only
    assert rate.within(50.0, 1000.0) == 320 / 50


def test_of_a_window_the_latest_part_can_be_had() -> None:
    window = Window(60.0)
    for at in (0.5, 30.5, 50.5):
        window.add(at)
    assert window.per_minute(51.0) == window.per_minute(51.0, 60.0) == 3.0
    assert window.per_minute(51.0, 30.0) == 4.0  # two in half a minute
    assert window.per_minute(51.0, 600.0) == 3.0


def test_a_host_that_starts_anew_does_not_make_sums_fall() -> None:
    sums = Sums()
    sums.note("a/w1", 1, {"n": 100}, first=True)  # it was there before the watching
    assert sums.totals == {"n": 0}
    sums.note("a/w1", 1, {"n": 130}, first=False)
    assert sums.totals == {"n": 30}
    sums.note("a/w1", 2, {"n": 4}, first=False)  # a new life, of which all counts
    assert sums.totals == {"n": 34}
    sums.note("a/w1", 2, {"n": 5}, first=False)
    sums.note("a/w2", 7, {"n": 10}, first=False)
    assert sums.totals == {"n": 45}


def test_a_topic_that_is_first_said_later_counts_from_nothing() -> None:
    sums = Sums()
    sums.note("a/w1", 1, {}, first=True)
    sums.note("a/w1", 1, {"t": 3}, first=False)
    assert sums.totals == {"t": 3}


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 100)), max_size=50))
def test_sums_never_fall(steps: list[tuple[int, int]]) -> None:
    sums, before = Sums(), 0.0
    for number, (life, value) in enumerate(steps):
        sums.note("h", life, {"n": value}, first=number == 0)
        assert sums.totals["n"] >= before
        before = sums.totals["n"]


def test_the_high_water_mark_falls_only_by_those_that_leave_in_order() -> None:
    mark = HighWater()
    mark.size(3)
    mark.size(5)
    mark.size(2)  # three were lost
    assert mark.mark == 5
    mark.left(1)  # one of the two has left
    assert mark.mark == 4
    for members in (3, 2, 1):
        mark.left(members)
    assert mark.mark == 1
    mark.left(4)
    assert mark.mark == 4


def test_percentiles_are_of_the_nearest_rank() -> None:
    samples = [float(n) for n in range(1, 101)]
    assert percentile(samples, 0.5) == 50.0
    assert percentile(samples, 0.99) == 99.0
    assert percentile(samples, 1.0) == 100.0
    assert percentile([7.0], 0.01) == 7.0
    assert percentile([], 0.5) is None


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50), st.floats(0.01, 1.0))
def test_that_part_of_the_samples_does_not_exceed_a_percentile(
    samples: list[float], part: float
) -> None:
    found = percentile(samples, part)
    assert found in samples
    assert found is not None
    assert sum(s <= found for s in samples) >= part * len(samples) - 1e-9


def test_a_slope_is_that_of_the_line_that_fits_best() -> None:
    assert slope([(0, 1), (1, 3), (2, 5)]) == pytest.approx(2.0)
    assert slope([(0, 0), (1, 2), (2, 1), (3, 3)]) == pytest.approx(0.8)
    assert slope([(5, 1)]) == 0.0
    assert slope([(5, 1), (5, 9)]) == 0.0


def test_what_grows_has_grown_at_each_of_enough_points() -> None:
    assert grows([(0, 1), (1, 2), (2, 3)])
    assert not grows([(0, 1), (1, 2)])
    assert not grows([(0, 1), (1, 2), (2, 2)])
    assert not grows([(0, 5), (1, 2), (2, 9)])
