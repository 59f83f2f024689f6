"""The types of the public API, as mypy sees them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy")
API = Path(__file__).with_name("api.py")


def test_the_public_api_is_typed():
    command = [sys.executable, "-m", "mypy", "--strict", str(API)]
    root = API.parents[2]
    found = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300)
    assert found.returncode == 0, found.stdout + found.stderr
