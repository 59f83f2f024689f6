"""The benchmarks run and write their file; how fast they are is not tested."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m benchmarks``."""
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=110,
    )


@pytest.mark.real
def test_some_rows_and_the_file_they_write(tmp_path: Path) -> None:
    names = ["local_call", "memory_per_process", "cross_host_call_50"]
    output = tmp_path / "results.json"
    done = bench("--quick", "--output", str(output), *names)
    assert done.returncode == 0, done.stderr
    rows = json.loads(output.read_text())
    assert [row["name"] for row in rows] == names
    for row in rows:
        assert set(row) == {"name", "value", "unit", "higher_is_better", "baselines"}
        assert row["value"] > 0
        assert row["higher_is_better"] == (row["unit"] == "1/s")
        assert all(value > 0 for value in row["baselines"].values())
        assert row["name"] in done.stdout
    assert rows[0]["baselines"]["pykka"] > 0
    assert rows[2]["baselines"]["thespian"] > 0


def test_an_unknown_name_is_refused() -> None:
    done = bench("no_such_row")
    assert done.returncode == 2
    assert "unknown benchmark 'no_such_row'" in done.stderr


def test_the_names_are_those_of_the_specification() -> None:
    done = bench("--help")
    for name in (
        *("local_call", "local_call_async", "local_cast", "spawn", "memory_per_process"),
        *("cross_host_call", "cross_host_call_50", "embedded_call", "embedded_call_50"),
        *("registry_lookup", "restart_latency", "host_kill_recovery"),
        *("transport_roundtrip", "transport_burst"),
    ):
        assert name in done.stdout
