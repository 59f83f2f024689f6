"""The protocol in a network that harms, checked against an oracle; from seeds."""

from __future__ import annotations

import pytest

from tests.config.world import World

PATHS = [("a",), ("b", "c")]


def _shake(world: World, step: int) -> None:
    """Do something at random."""
    rng = world.rng
    up = sorted(world.nodes)
    act = rng.random()
    if act < 0.6:
        for number in range(rng.choice((1, 1, 6))):
            kind = "write" if rng.random() < 0.6 else "read"
            value = f"{step}.{number}".encode() if kind == "write" else None
            timeout = rng.choice((0.3, 1.0, 3.0))
            world.ask(rng.choice(up), kind, rng.choice(PATHS), value, timeout)
    elif act < 0.66:
        one, other = rng.sample(world.names, 2)
        world.cut(one, other, both=rng.random() < 0.8)
    elif act < 0.70:
        side = rng.sample(world.names, rng.randrange(1, len(world.names)))
        for one in side:
            for other in world.names:
                if other not in side:
                    world.cut(one, other)
    elif act < 0.78:
        world.heal()
    elif act < 0.86:
        name = rng.choice(up)
        if world.may_crash(name):
            world.ask(name, "write", PATHS[0], f"{step}.last".encode())
            world.run(rng.choice((0.0, 0.01, 0.02, 0.04)))
            if world.may_crash(name):
                rng.choice((world.crash, world.restart))(name)
    elif act < 0.95:
        down = [name for name in world.names if name not in world.nodes]
        if down:
            world.start(rng.choice(down))
    else:
        world.loss = rng.choice((0.0, 0.05, 0.3))


def _begin(seed: int, size: int) -> World:
    names = list("abcde")[:size]
    world = World(seed, names, size, double=0.05, delay=0.02)
    for name in names:
        world.start(name)
    world.until(world.settled)
    return world


def _calm(world: World) -> None:
    """End all harm, and let all nodes be there."""
    world.loss = 0.0
    world.heal()
    for name in world.names:
        if name not in world.nodes:
            world.start(name)
    world.until(world.settled)


SOAK = [pytest.param(block, marks=pytest.mark.soak) for block in range(10, 300)]


@pytest.mark.parametrize("size", [2, 3, 4, 5])
@pytest.mark.parametrize("block", [*range(10), *SOAK])
def test_nothing_acknowledged_is_lost_and_no_version_has_two_values(block: int, size: int) -> None:
    for seed in range(block * 4, block * 4 + 4):
        world = _begin(seed, size)
        try:
            for step in range(120):
                _shake(world, step)
                world.run(world.rng.choice((0.0, 0.001, 0.02, 0.1, 0.5)))
            _calm(world)
            for path, number in world.oracle.acknowledged().items():
                for name in world.nodes:
                    assert world.value(name, path).number >= number
            for name in world.nodes:
                assert world.do(name, "write", PATHS[0], name.encode()).kind == "done"
                assert world.do(name, "read", PATHS[1]).kind == "done"
            world.oracle.check()
        except BaseException as error:
            error.add_note(f"seed={seed} size={size} at {world.now:.3f}: {world.describe()}")
            raise
