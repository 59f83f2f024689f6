"""The circuit breaker as a value."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from foundation.service_mesh.breaker import Breaker, BreakerLimits

LIMITS = BreakerLimits()


def opened(now: float = 0.0) -> Breaker:
    """Return a breaker that has just opened at *now*."""
    breaker = Breaker()
    for _ in range(LIMITS.threshold):
        assert breaker.allows(now, LIMITS)
        breaker = breaker.began().failed(breaker.era, now, LIMITS)
    return breaker


def test_it_opens_at_the_fifth_failure_in_a_row_and_not_before() -> None:
    breaker = Breaker()
    for failures in range(1, 5):
        breaker = breaker.failed(0, 1.0, LIMITS)
        assert (breaker.state, breaker.failures) == ("closed", failures)
    assert breaker.failed(0, 1.0, LIMITS).state == "open"


def test_a_success_ends_a_row_of_failures() -> None:
    breaker = Breaker()
    for _ in range(20):
        for _ in range(4):
            breaker = breaker.failed(0, 0.0, LIMITS)
        breaker = breaker.succeeded(0, LIMITS)
    assert breaker == Breaker()


def test_an_open_one_allows_nothing_until_recovery_has_passed() -> None:
    breaker = opened(10.0)
    assert not breaker.allows(10.0, LIMITS)
    assert not breaker.allows(69.999, LIMITS)
    assert breaker.allows(70.0, LIMITS)


def test_half_open_it_lets_three_through_and_closes_when_they_have_passed() -> None:
    breaker = opened()
    eras = []
    for _ in range(3):
        assert breaker.allows(60.0, LIMITS)
        breaker = breaker.began()
        eras.append(breaker.era)
    assert breaker.state == "half_open"
    assert not breaker.allows(60.0, LIMITS)
    for era in eras:
        assert breaker.state == "half_open"
        breaker = breaker.succeeded(era, LIMITS)
    assert (breaker.state, breaker.failures) == ("closed", 0)


def test_one_trial_that_fails_opens_it_for_the_whole_time_again() -> None:
    breaker = opened().began()
    breaker = breaker.succeeded(breaker.era, LIMITS).began()
    breaker = breaker.failed(breaker.era, 65.0, LIMITS)
    assert breaker.state == "open"
    assert not breaker.allows(124.9, LIMITS)
    assert breaker.allows(125.0, LIMITS)


def test_an_abandoned_trial_makes_room_for_another() -> None:
    breaker = opened()
    for _ in range(3):
        breaker = breaker.began()
    breaker = breaker.abandoned(breaker.era)
    assert breaker.allows(60.0, LIMITS)


def test_calls_of_an_earlier_state_have_no_say() -> None:
    breaker = opened()
    for late in (
        breaker.succeeded(0, LIMITS),
        breaker.failed(0, 5.0, LIMITS),
        breaker.abandoned(0),
    ):
        assert late == breaker
    trial = breaker.began()
    assert trial.failed(0, 60.0, LIMITS) == trial
    assert trial.succeeded(0, LIMITS) == trial


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold": 0},
        {"threshold": 1.5},
        {"recovery": 0},
        {"recovery": float("inf")},
        {"recovery": "60"},
        {"half_open": 0},
        {"half_open": True},
    ],
)
def test_wrong_limits_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError), match="BreakerLimits: "):
        BreakerLimits(**wrong)


class BreakerMachine(RuleBasedStateMachine):
    """A breaker beside the plainest account of what has happened: a list of all events."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = BreakerLimits(threshold=3, recovery=10.0, half_open=2)
        self.breaker = Breaker()
        self.now = 0.0
        self.calls: dict[int, tuple[int, int]] = {}  # number -> (era, how long the list was)
        self.number = 0
        self.log: list[tuple[str, float]] = []  # of the present state, in order
        self.state = "closed"
        self.since = 0.0

    def enter(self, state: str) -> None:
        """The state by the account changes."""
        self.state, self.since = state, self.now
        self.log = []
        self.period = getattr(self, "period", 0) + 1

    def period_now(self) -> int:
        """Return the number of the present state by the account."""
        return getattr(self, "period", 0)

    def may_begin(self) -> bool:
        """Say by the account whether a call may begin."""
        if self.state == "open":
            return self.now - self.since >= self.limits.recovery
        if self.state == "closed":
            return True
        kinds = [kind for kind, _ in self.log]
        return kinds.count("began") - kinds.count("abandoned") < self.limits.half_open

    @rule(seconds=st.sampled_from([0.5, 4.0, 10.0]))
    def time_passes(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds

    @rule()
    def call_begins(self) -> None:
        """A call begins if that is allowed."""
        if not self.breaker.allows(self.now, self.limits):
            return
        if self.state == "open":
            self.enter("half_open")
        self.breaker = self.breaker.began()
        self.log.append(("began", self.now))
        self.number += 1
        self.calls[self.number] = (self.breaker.era, self.period_now())

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), outcome=st.sampled_from(["passed", "failed", "failed", "abandoned"]))
    def call_ends(self, data: Any, outcome: str) -> None:
        """A call ends in one of three ways."""
        number = data.draw(st.sampled_from(sorted(self.calls)))
        era, period = self.calls.pop(number)
        before = self.breaker
        if outcome == "passed":
            self.breaker = before.succeeded(era, self.limits)
        elif outcome == "failed":
            self.breaker = before.failed(era, self.now, self.limits)
        else:
            self.breaker = before.abandoned(era)
        if period != self.period_now():
            assert self.breaker == before  # B3
            return
        self.log.append((outcome, self.now))
        self.judge()

    def judge(self) -> None:
        """Change the state by the account."""
        ends = [kind for kind, _ in self.log if kind in ("passed", "failed")]
        if self.state == "closed":
            if len(ends) >= 3 and ends[-3:] == ["failed"] * 3:
                self.enter("open")
        elif "failed" in ends:
            self.enter("open")
        elif ends.count("passed") >= self.limits.half_open:
            self.enter("closed")

    @invariant()
    def they_agree(self) -> None:
        """State and permission are those of the account."""
        assert self.breaker.state == self.state
        assert self.breaker.allows(self.now, self.limits) == self.may_begin()
        assert self.breaker.trials >= 0


TestBreakerMachine = BreakerMachine.TestCase
