"""A handler that hogs its host is noticed."""

from __future__ import annotations

import logging

import pytest

import foundation
from foundation.runtime.watchdog import Watchdog
from tests.runtime import apps
from tests.runtime.test_node import until


def test_a_hog_is_reported_with_advice(caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.WARNING, "foundation"),
        foundation.start(apps.Home, hosts=0, hog_seconds=0.05, log_level=30) as node,
    ):
        assert node.call("one", ("hog", 0.3)) == "done"
        record = until(lambda: [r for r in caplog.records if "hogged" in r.getMessage()])[0]
        assert "isolation='host'" in record.getMessage()
        assert "Where 'one'" in record.getMessage()
        watchdog = node.asynchronous.program.running.watchdog
        assert isinstance(watchdog, Watchdog)
        assert watchdog.hogs == 1
