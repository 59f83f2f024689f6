"""A circuit breaker: whether one host still calls one instance. A value; time is passed in.

    closed ── threshold failures in a row ──▶ open ── recovery seconds ──▶ half open
      ▲                                        ▲                             │  │
      │                                        └──────── a trial fails ──────┘  │
      └───────────────────────── half_open trials in a row pass ────────────────┘

Invariants:
    B1  While it is open nothing is allowed before ``recovery`` seconds have passed.
    B2  Half open it lets at most ``half_open`` calls through, those under way and those that
        have passed taken together.
    B3  What began in an earlier state has no say in this one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from foundation.service_mesh.values import check_count, check_seconds

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half_open"


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    """When a circuit breaker opens and closes.

    Attributes:
        threshold: failures in a row that open it.
        recovery: seconds until calls are tried again.
        half_open: trial calls that must pass to close it, and that may be under way at once.

    Raises:
        TypeError, ValueError: one is no such number.
    """

    threshold: int = 5
    recovery: float = 60.0
    half_open: int = 3

    def __post_init__(self) -> None:
        check_count("BreakerLimits: threshold", self.threshold)
        check_seconds("BreakerLimits: recovery", self.recovery)
        check_count("BreakerLimits: half_open", self.half_open)


@dataclass(frozen=True, slots=True)
class Breaker:
    """The state of one breaker.

    Attributes:
        state: ``"closed"``, ``"open"`` or ``"half_open"``.
        failures: in a row, while closed.
        until: when trials may begin, while open.
        trials: calls under way, while half open.
        passed: trials that have passed.
        era: number of this state; a call remembers in which one it began.
    """

    state: str = CLOSED
    failures: int = 0
    until: float = 0.0
    trials: int = 0
    passed: int = 0
    era: int = 0

    def allows(self, now: float, limits: BreakerLimits) -> bool:
        """Whether a call may begin."""
        if self.state == CLOSED:
            return True
        if self.state == OPEN:
            return now >= self.until
        return self.trials + self.passed < limits.half_open

    def began(self) -> Breaker:
        """A call that was allowed begins."""
        if self.state == CLOSED:
            return self
        if self.state == OPEN:
            return Breaker(HALF_OPEN, trials=1, era=self.era + 1)
        return replace(self, trials=self.trials + 1)

    def succeeded(self, era: int, limits: BreakerLimits) -> Breaker:
        """A call that began in *era* got its reply."""
        if era != self.era:
            return self
        if self.state == CLOSED:
            return replace(self, failures=0) if self.failures else self
        if self.passed + 1 >= limits.half_open:
            return Breaker(era=self.era + 1)
        return replace(self, trials=self.trials - 1, passed=self.passed + 1)

    def failed(self, era: int, now: float, limits: BreakerLimits) -> Breaker:
        """A call that began in *era* failed."""
        if era != self.era:
            return self
        if self.state == CLOSED and self.failures + 1 < limits.threshold:
            return replace(self, failures=self.failures + 1)
        return Breaker(OPEN, until=now + limits.recovery, era=self.era + 1)

    def abandoned(self, era: int) -> Breaker:
        """A call that began in *era* ended, and that says nothing about the instance."""
        if era != self.era or self.state != HALF_OPEN:
            return self
        return replace(self, trials=self.trials - 1)
