"""Fixtures of the whole suite."""

from __future__ import annotations

import signal
from typing import Any

import pytest

# A suite started in the background of a script inherits an ignored SIGINT, and so would the
# programs that it starts; many tests are about Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def run(foundation_run: Any) -> Any:
    """Run a test's body as a process, on each driver; see ``foundation.testing.drivers``."""
    return foundation_run
