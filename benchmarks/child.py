"""The interpreter of one measurement; started by ``harness.isolated``."""

from __future__ import annotations

import sys

from benchmarks.catalogue import BASELINES, BENCHMARKS
from benchmarks.harness import FULL, QUICK, emit


def main() -> None:
    """Measure what the command line names."""
    kind, name, *options = sys.argv[1:]
    measure = BENCHMARKS[name].measure if kind == "benchmark" else BASELINES[name]
    emit(measure(QUICK if "--quick" in options else FULL))


if __name__ == "__main__":
    main()
