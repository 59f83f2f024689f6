"""Whole clusters under faults from a seed: what must hold, holds (``proof.py``)."""

import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

from proof import prove

SEEDS = 300
BLOCK = 10


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_worlds(first):
    for seed in range(first, first + BLOCK):
        assert prove(seed) > 300


@pytest.mark.soak
@pytest.mark.parametrize("first", range(10_000, 13_000, 100))
def test_many_more_worlds(first):
    for seed in range(first, first + 100):
        assert prove(seed, 40.0) > 300
