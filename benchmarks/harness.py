"""What all benchmarks share: how to repeat, how to take the median, what a result looks like.

Each measurement runs in an interpreter of its own (``isolated``), so that none inherits the
heap, the threads or the child processes of another, and none can run for ever.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

REPETITIONS = 5
TIME_LIMIT = 60.0  # seconds for one measurement; then its processes are killed
_MARK = "benchmark-result:"


@dataclass(frozen=True)
class Effort:
    """How much to measure.

    Attributes:
        seconds: length of one repetition.
        repetitions: how many are measured, after one that warms up.
        scale: factor for the sizes of populations (100,000 processes, 1,000 servers).
    """

    seconds: float = 0.4
    repetitions: int = REPETITIONS
    scale: float = 1.0

    def size(self, full: int) -> int:
        """Return how many of *full* things to make."""
        return max(10, int(full * self.scale))


FULL = Effort()
QUICK = Effort(seconds=0.05, repetitions=2, scale=0.01)


def rate(batch: Callable[[int], Any], effort: Effort, start: int = 10) -> float:
    """Return how often per second *batch(n)* does its thing: the median of the repetitions.

    The size of a batch grows until it takes a quarter of a repetition; that is the warm-up.
    """
    size = start
    while True:
        seconds = _timed(batch, size)
        if seconds >= effort.seconds / 4:
            break
        size *= 2
    size = max(1, int(size * effort.seconds / seconds))
    return statistics.median(size / _timed(batch, size) for _ in range(effort.repetitions))


async def async_rate(
    batch: Callable[[int], Awaitable[Any]], effort: Effort, start: int = 10
) -> float:
    """``rate`` for a coroutine function."""
    size = start
    while True:
        seconds = await _async_timed(batch, size)
        if seconds >= effort.seconds / 4:
            break
        size *= 2
    size = max(1, int(size * effort.seconds / seconds))
    return statistics.median(
        [size / await _async_timed(batch, size) for _ in range(effort.repetitions)]
    )


def _timed(batch: Callable[[int], Any], size: int) -> float:
    began = time.perf_counter()
    batch(size)
    return time.perf_counter() - began


async def _async_timed(batch: Callable[[int], Awaitable[Any]], size: int) -> float:
    began = time.perf_counter()
    await batch(size)
    return time.perf_counter() - began


class MeasurementFailed(Exception):
    """A measurement did not give a result."""


def isolated(kind: str, name: str, quick: bool) -> float | None:
    """Run one measurement in a fresh interpreter and return its value.

    Args:
        kind: ``"benchmark"`` or ``"baseline"``.
        name: of it, in the catalogue.
        quick: take little time rather than care.

    Returns:
        The value; None when a baseline is not available here.

    Raises:
        MeasurementFailed: it raised, or took longer than ``TIME_LIMIT``.
    """
    command = [sys.executable, "-m", "benchmarks.child", kind, name, *(["--quick"] * quick)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as child:
        try:
            out, err = child.communicate(timeout=TIME_LIMIT)
        except subprocess.TimeoutExpired:
            raise MeasurementFailed(f"{name}: no result within {TIME_LIMIT} s") from None
        finally:
            _kill_group(child.pid)
    for line in out.splitlines():
        if line.startswith(_MARK):
            value: float | None = json.loads(line.removeprefix(_MARK))
            return value
    raise MeasurementFailed(f"{name} failed:\n{err[-2000:]}")


def emit(value: float | None) -> None:
    """In the interpreter of a measurement: hand the result to ``isolated``."""
    print(f"\n{_MARK}{json.dumps(value)}", flush=True)


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass  # as it should be: the measurement has cleaned up
