"""The types of the public API, as mypy sees them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy")
HERE = Path(__file__).parent


@pytest.mark.parametrize("api", ["api.py", "api_cluster.py"])
def test_the_public_api_is_typed(api):
    command = [sys.executable, "-m", "mypy", "--strict", str(HERE / api)]
    root = HERE.parents[1]
    found = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300)
    assert found.returncode == 0, found.stdout + found.stderr
