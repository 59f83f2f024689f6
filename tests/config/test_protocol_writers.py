"""Many writers of one path at once, on a cluster that is well: all are served, one by one."""

from __future__ import annotations

import pytest

from tests.config.world import Asked, World

X = ("x",)
EACH = 60
TIMEOUT = 5.0


def _world(seed: int, size: int, delay: float) -> World:
    world = World(seed, list("abcdefghi")[:size], size, delay=delay)
    for name in world.names:
        world.start(name)
    world.until(world.settled)
    return world


def _numbers(asked: list[Asked]) -> list[int]:
    return [a.outcome.record.number for a in asked if a.outcome and a.outcome.record]


@pytest.mark.parametrize(
    ("size", "delay"),
    [(2, 0.0002), (3, 0.0002), (9, 0.0002), (3, 0.002), (9, 0.002), (3, 0.02), (5, 0.02)],
)
@pytest.mark.parametrize("seed", range(4))
def test_writers_on_all_nodes_are_served_one_by_one_without_an_error(
    seed: int, size: int, delay: float
) -> None:
    world = _world(seed, size, delay)
    loops = [world.keep_writing(name, X, EACH, TIMEOUT) for name in world.names]
    done = lambda: all(len(a) == EACH and a[-1].outcome is not None for a in loops)  # noqa: E731
    world.until(done, 400.0)
    asked = [each for loop in loops for each in loop]
    kinds = [each.outcome.kind for each in asked if each.outcome]
    assert kinds == ["done"] * len(asked)
    assert sorted(_numbers(asked)) == list(range(1, len(asked) + 1))
    world.oracle.check()
