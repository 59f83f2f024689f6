"""What the optimizer recommends, and how it works."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

SERVER = "foundation.optimizer"  # the server of each node
SINGLETON = "foundation.optimizer"  # the process that decides: a singleton of process_manager

OFF, RECOMMEND, AUTO = "off", "recommend", "auto"
MODES = (OFF, RECOMMEND, AUTO)


@dataclass(frozen=True)
class Recommendation:
    """Something that a rule would change; rules fill in the first three or five.

    Attributes:
        current: what is.
        proposed: what should be; of a safe rule a number, for its live setting.
        reason: why, with the numbers that it was concluded from; a sentence.
        judged_by: of a safe rule: the field of ``ClusterMetrics`` that the change is to lower. It
            is kept only if that falls by ``Options.gain``.
        rule: name of the rule; filled in.
        safe: whether it may be applied by itself; filled in.
        setting: the live setting that it would change, if any; filled in.
        applied: whether the setting was changed, and read back, on all nodes.
        reverted: whether it was changed back.
        outcome: what came of it, or why it cannot be applied, in words.
        at: seconds on the optimizer's clock when it was made, or when that came of it.
    """

    current: Any
    proposed: Any
    reason: str
    judged_by: str = ""
    rule: str = ""
    safe: bool = False
    setting: str = ""
    applied: bool = False
    reverted: bool = False
    outcome: str = ""
    at: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)

    def same_as(self, other: Recommendation) -> bool:
        """Whether it proposes the same change."""
        return (self.rule, self.current, self.proposed) == (
            *(other.rule, other.current, other.proposed),
        )

    def __str__(self) -> str:
        return f"{self.rule}: {self.current!r} -> {self.proposed!r}, because {self.reason}"


@dataclass(frozen=True)
class Options:
    """How the optimizer works.

    Attributes:
        mode: ``"off"``; ``"recommend"``: look, and say what should be changed; ``"auto"``: change
            live settings, too, where a rule is safe.
        first: seconds until the first cycle.
        interval: seconds between cycles.
        agree: so many cycles must propose the same change before it is applied; those that are
            started by hand count when they are ``gap`` after the one before.
        gap: seconds between two cycles that count: they are to see different numbers.
        trial: seconds after which a change is judged, by what was measured in these.
        gain: by what part that which a change is judged by must have fallen for the change to be
            kept: it is never quite still.
        cooldown: seconds that a rule is left alone after a change of its was made or reverted.
        modules: names of modules with rules (``optimizer_rule``), imported where the optimizer
            runs.

    Raises:
        TypeError, ValueError: one is wrong.
    """

    mode: str = RECOMMEND
    first: float = 60.0
    interval: float = 3600.0
    agree: int = 2
    gap: float = 60.0
    trial: float = 120.0
    gain: float = 0.05
    cooldown: float = 7200.0
    modules: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"Options.mode must be one of {', '.join(MODES)}, got {self.mode!r}")
        for one in fields(self)[1:-1]:
            value = getattr(self, one.name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise TypeError(f"Options.{one.name} must be a number, got {value!r}")
            if not math.isfinite(value) or value <= 0:
                raise ValueError(f"Options.{one.name} must be finite and above 0, got {value!r}")
        if self.gain >= 1:
            raise ValueError(f"Options.gain must be a part, below 1, got {self.gain!r}")
        if not isinstance(self.agree, int):
            raise TypeError(f"Options.agree must be a whole number, got {self.agree!r}")
        if isinstance(self.modules, str) or not all(isinstance(m, str) for m in self.modules):
            raise TypeError(f"Options.modules must be names of modules, got {self.modules!r}")
        object.__setattr__(self, "modules", tuple(self.modules))
