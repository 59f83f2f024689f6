"""Whole clusters under faults from a seed: what must hold, holds (``proof.py``)."""

import multiprocessing
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from proof import prove

SEEDS = 200


def attempt(seed, seconds):
    """Return what went wrong with *seed*, as text; nothing when all is well."""
    try:
        checks = prove(seed, seconds)
    except BaseException as error:
        notes = "\n".join(getattr(error, "__notes__", ()))
        return f"{type(error).__name__}: {error}\n{notes}"
    return "" if checks > 300 else f"seed {seed} was checked {checks} times only"


def run(seeds, seconds):
    """Run many worlds, on all cores; fail with the first that went wrong."""
    context = multiprocessing.get_context("spawn")  # the runner of the tests may have threads
    with context.Pool(min(4, os.cpu_count() or 1)) as pool:
        outcomes = pool.starmap(attempt, [(seed, seconds) for seed in seeds], chunksize=5)
    wrong = {seed: text for seed, text in zip(seeds, outcomes, strict=True) if text}
    assert not wrong, f"seeds {list(wrong)} failed; the first:\n{next(iter(wrong.values()))}"


@pytest.mark.timeout(600)
def test_worlds():
    run(range(SEEDS), 20.0)


@pytest.mark.parametrize("seed", [10_142])
def test_a_world_that_failed_once(seed):
    assert attempt(seed, 40.0) == ""


@pytest.mark.soak
@pytest.mark.parametrize("first", range(10_000, 14_000, 400))
def test_many_more_worlds(first):
    run(range(first, first + 400), 40.0)
