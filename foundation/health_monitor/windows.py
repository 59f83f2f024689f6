"""Counting over time: rates, percentiles, trends. Pure; the time is passed in, in seconds."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterable, Sequence


class Window:
    """Events of the last *seconds*, in sixtieths of that: ``add`` as they come, ``count`` any time.

    There is no extrapolation: shortly after the start the count is of what there was.
    """

    PARTS = 60

    def __init__(self, seconds: float = 60.0) -> None:
        self.seconds = seconds
        self._parts: deque[tuple[int, int]] = deque()  # (number of the part, events), rising
        self.total = 0

    def _part(self, now: float) -> int:
        return math.floor(now * self.PARTS / self.seconds)

    def add(self, now: float, events: int = 1) -> None:
        """Note *events* that have just happened."""
        if not events:
            return
        part = self._part(now)
        self.total += events
        if self._parts and self._parts[-1][0] >= part:
            last, before = self._parts[-1]
            self._parts[-1] = (last, before + events)
        else:
            self._parts.append((part, events))
        self._forget(part)

    def _forget(self, part: int) -> None:
        while self._parts and self._parts[0][0] <= part - self.PARTS:
            self._parts.popleft()

    def count(self, now: float, within: float | None = None) -> int:
        """Return how many events there were in the last *seconds*, or the last *within* of them."""
        self._forget(self._part(now))
        first = -math.inf if within is None else self._part(now - within)
        return sum(events for part, events in self._parts if part > first)

    def per_minute(self, now: float, within: float | None = None) -> float:
        """Return the same for a minute; with windows of a minute just the count."""
        seconds = self.seconds if within is None else min(within, self.seconds)
        return self.count(now, within) * 60.0 / seconds


class Rate:
    """How fast a counter rises: samples of its value, over the last *seconds*.

    The oldest sample that is kept is the latest one that is at least *seconds* old, so the rate
    is over that time at least, once there are samples for it. Before that it is too low: there
    is no extrapolation.
    """

    def __init__(self, seconds: float = 60.0) -> None:
        self.seconds = seconds
        self._samples: deque[tuple[float, float]] = deque()

    def note(self, now: float, value: float) -> None:
        """Note what the counter is at *now*."""
        samples = self._samples
        if samples and now <= samples[-1][0]:
            samples[-1] = (samples[-1][0], value)
        else:
            samples.append((now, value))
        while len(samples) > 2 and samples[1][0] <= now - self.seconds:
            samples.popleft()

    @property
    def increase(self) -> float:
        """How much the counter has risen within the samples."""
        return self._samples[-1][1] - self._samples[0][1] if self._samples else 0.0

    @property
    def per_second(self) -> float:
        """The rate; 0.0 while there are no two samples."""
        if len(self._samples) < 2:
            return 0.0
        span = self._samples[-1][0] - self._samples[0][0]
        return self.increase / max(span, self.seconds)

    def within(self, now: float, seconds: float) -> float:
        """Return the rate between the first sample of the last *seconds* and the latest one.

        So nothing counts that was before. 0.0 where there are no two such samples.
        """
        found = [sample for sample in self._samples if sample[0] >= now - seconds]
        if len(found) < 2:
            return 0.0
        return (found[-1][1] - found[0][1]) / (found[-1][0] - found[0][0])


class Sums:
    """Counters of hosts that come and go, added up to counters that never fall.

    What a host had counted before it was first seen is left out when *first* says that its life
    is older than the watching; of a later life all counts.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int], dict[str, float]] = {}
        self.totals: dict[str, float] = {}

    def note(self, host: str, life: int, values: dict[str, float], *, first: bool) -> None:
        """Take the counters *values* of that life of *host*."""
        key = (host, life)
        before = self._seen.get(key)
        if before is None:
            self._seen = {one: seen for one, seen in self._seen.items() if one[0] != host}
            before = dict(values) if first else {}
        for name, value in values.items():
            risen = max(0.0, value - before.get(name, 0))
            self.totals[name] = self.totals.get(name, 0) + risen
        self._seen[key] = {**before, **values}


class HighWater:
    """The most members there have been at a time, less those that have left in order."""

    def __init__(self) -> None:
        self.mark = 0

    def size(self, members: int) -> None:
        """So many are there."""
        self.mark = max(self.mark, members)

    def left(self, members: int) -> None:
        """One has left in order; *members* remain."""
        self.mark = max(members, self.mark - 1)


def percentile(samples: Sequence[float], part: float) -> float | None:
    """Return the value that *part* (0 to 1) of *samples* do not exceed: nearest rank.

    Returns:
        None when there are no samples.
    """
    if not samples:
        return None
    ordered = sorted(samples)
    rank = math.ceil(part * len(ordered))
    return ordered[max(0, min(len(ordered), rank) - 1)]


def slope(points: Iterable[tuple[float, float]]) -> float:
    """Return by how much y rises with each x: least squares; 0.0 for fewer than two x."""
    known = list(points)
    if len(known) < 2:
        return 0.0
    mean_x = sum(x for x, _ in known) / len(known)
    mean_y = sum(y for _, y in known) / len(known)
    square = sum((x - mean_x) ** 2 for x, _ in known)
    if square == 0.0:
        return 0.0
    return sum((x - mean_x) * (y - mean_y) for x, y in known) / square


def grows(points: Sequence[tuple[float, float]], least: int = 3) -> bool:
    """Whether y has risen at each of at least *least* points."""
    if len(points) < least:
        return False
    return all(one[1] < other[1] for one, other in itertools.pairwise(points))
