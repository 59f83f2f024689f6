"""Which instance of a service gets a message. Pure: what has been before is passed in.

All get the candidates sorted by pid, at least one. The rotation remembers the pid that had the
last turn, not a position: when instances come and go, those that stay keep their turns.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from foundation.kernel.values import Pid
from foundation.service_mesh.values import ServiceInfo

Candidates = Sequence[ServiceInfo]
Strategy = str | Callable[[list[ServiceInfo]], ServiceInfo]

NAMES = ("round_robin", "random", "least_outstanding", "local_first")
_PID = attrgetter("pid")


def rotate(candidates: Candidates, last: Pid | None) -> ServiceInfo:
    """Return the one after *last*, which had the turn before, in the circle of the pids."""
    position = 0 if last is None else bisect_right(candidates, last, key=_PID)
    return candidates[position % len(candidates)]


def least_outstanding(
    candidates: Candidates, outstanding: Mapping[Pid, int], last: Pid | None
) -> ServiceInfo:
    """Return one with the fewest calls under way from this host; those that tie take turns."""
    counts = [outstanding.get(each.pid, 0) for each in candidates]
    fewest = min(counts)
    return rotate([c for c, n in zip(candidates, counts, strict=True) if n == fewest], last)


def local_first(candidates: Candidates, node: str, last: Pid | None) -> ServiceInfo:
    """Return one of *node* if there is any; those that tie take turns."""
    return rotate([each for each in candidates if each.node == node] or candidates, last)


def at_random(candidates: Candidates, rng: random.Random) -> ServiceInfo:
    """Return any, all with the same chance."""
    return candidates[rng.randrange(len(candidates))]


def by_function(function: Callable[[list[ServiceInfo]], Any], candidates: Candidates) -> Any:
    """Return what *function* chooses from a list of its own.

    Raises:
        ValueError: that is none of the candidates.
        whatever *function* raises.
    """
    chosen = function(list(candidates))
    if chosen not in candidates:
        raise ValueError(
            f"the strategy {function!r} must return one of the {len(candidates)} instances that "
            f"it got, returned {chosen!r}"
        )
    return chosen


def check_strategy(strategy: Any) -> None:
    """Raise ValueError unless *strategy* is a name of one, or a function."""
    if not callable(strategy) and strategy not in NAMES:
        raise ValueError(
            f"strategy must be one of {', '.join(map(repr, NAMES))} or a function of the "
            f"instances that returns one, got {strategy!r}"
        )
