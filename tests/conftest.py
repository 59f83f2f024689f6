"""Fixtures of the whole suite."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def run(foundation_run: Any) -> Any:
    """Run a test's body as a process, on each driver; see ``foundation.testing.drivers``."""
    return foundation_run
