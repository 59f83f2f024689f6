"""``python -m benchmarks [NAME...] [--quick] [--output FILE]``: measure, print a table."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.catalogue import BENCHMARKS
from benchmarks.harness import MeasurementFailed, isolated

RESULTS = Path(__file__).with_name("results.json")
FORMAT = "{:<20} {:>12} {:>6} {:>13} {:>3}  {}"

NOTE = """
Targets in calls per second are stated for a machine of two cores where Elixir makes 770,000 local
calls a second and Pykka 16,000. Pykka's figure has two modes: its two threads hand over the
interpreter lock about three times as fast when they happen to share a core.
"""


class Run:
    """One run: baselines are measured once, when the first row asks for them."""

    def __init__(self, quick: bool) -> None:
        self.quick = quick
        self.failures: list[str] = []
        self._known: dict[str, float | None] = {}

    def baseline(self, key: str) -> float | None:
        """Return the value of a baseline; None when it is not available here."""
        if key not in self._known:
            self._known[key] = self._measure("baseline", key)
        return self._known[key]

    def row(self, name: str) -> dict[str, Any] | None:
        """Measure one benchmark and what stands beside it; None when it failed."""
        benchmark = BENCHMARKS[name]
        found = {label: self.baseline(key) for label, key in benchmark.baselines.items()}
        compared = {label: round(v, 3) for label, v in found.items() if v is not None}
        value = self._measure("benchmark", name)
        if value is None:
            return None
        row = {
            "name": name,
            "value": round(value, 3),
            "unit": benchmark.unit,
            "higher_is_better": benchmark.higher_is_better,
            "baselines": compared,
        }
        print(_line(row, benchmark.target(compared)), flush=True)
        return row

    def _measure(self, kind: str, name: str) -> float | None:
        try:
            return isolated(kind, name, self.quick)
        except MeasurementFailed as error:
            self.failures.append(name)
            print(error, file=sys.stderr)
            return None


def _line(row: dict[str, Any], target: float | None) -> str:
    value, up = row["value"], row["higher_is_better"]
    beside = []
    for label, other in row["baselines"].items():
        ratio = value / other if up else other / value
        beside.append(f"{label} {_number(other)} (x{ratio:.3g})")
    sign = ">=" if up else "<="
    met = "" if target is None else "ok" if (value >= target) == up else "-"
    aim = "" if target is None else f"{sign} {_number(target)}"
    return FORMAT.format(
        row["name"], _number(value), row["unit"], aim, met, ", ".join(beside)
    ).rstrip()


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="only see that everything runs")
    parser.add_argument("--output", type=Path, default=RESULTS, help="default: %(default)s")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"unknown benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    run = Run(options.quick)
    print(FORMAT.format("name", "value", "unit", "target", "", "baselines (our ratio)"))
    rows = [row for name in options.names or BENCHMARKS if (row := run.row(name)) is not None]
    options.output.write_text(json.dumps(rows, indent=2) + "\n")
    print(NOTE)
    if run.failures:
        print(f"failed: {', '.join(run.failures)}", file=sys.stderr)
    return 1 if run.failures else 0


if __name__ == "__main__":
    sys.exit(main())
