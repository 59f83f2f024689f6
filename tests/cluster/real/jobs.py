"""Reading what jobs wrote: when each copy of each child ran."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple


class Life(NamedTuple):
    """One copy of one child.

    Attributes:
        node: where it ran.
        generation: its fencing token.
        first: when it wrote its first line, by the monotonic clock of the machine.
        last: and its last.
    """

    node: str
    generation: int
    first: float
    last: float


def lives(folder: Path, since: float = 0.0) -> dict[str, list[Life]]:
    """Return by child its copies, in the order of their starts; lines before *since* are none."""
    found: dict[str, dict[str, Life]] = {}
    for line in (folder / "jobs").read_text().splitlines():
        at, _, id, node, generation, process = line.split()
        time = float(at)
        if time >= since:
            copies = found.setdefault(id, {})
            copy = f"{process} {generation}"
            known = copies.get(copy, Life(node, int(generation), time, time))
            copies[copy] = known._replace(last=time)
    return {id: sorted(each.values(), key=lambda life: life.first) for id, each in found.items()}


def overlaps(folder: Path, since: float = 0.0) -> list[tuple[str, Life, Life]]:
    """Return the pairs of copies of one child that ran at the same time."""
    return [
        (id, one, other)
        for id, copies in lives(folder, since).items()
        for one, other in pairwise(copies)
        if other.first <= one.last
    ]


def tokens_rise(folder: Path) -> bool:
    """Whether each later copy has a higher fencing token."""
    return all(
        one.generation < other.generation
        for copies in lives(folder).values()
        for one, other in pairwise(copies)
    )
