"""Rules of a user's, imported by the optimizer when it is told of this module."""

from __future__ import annotations

from typing import Any

from foundation.optimizer import RULES, Recommendation, optimizer_rule


@optimizer_rule(safe=False)
def own_rule_of_a_user(metrics: Any, settings: Any) -> Recommendation:
    """Always recommend."""
    return Recommendation("this", "that", f"{metrics.node_count} nodes")


@optimizer_rule(safe=False)
def own_rule_that_fails(metrics: Any, settings: Any) -> Recommendation:
    """Never work."""
    raise ValueError("told to")


def forget() -> None:
    """Take these rules away again."""
    for name in ("own_rule_of_a_user", "own_rule_that_fails"):
        RULES.pop(name, None)
