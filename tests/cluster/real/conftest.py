"""Every test here starts whole nodes as operating-system processes; none may be left."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import pytest

from tests.cluster.real.kit import RealCluster
from tests.cluster.real.netns import Lan, lan_or_skip


@contextlib.contextmanager
def ended() -> Iterator[RealCluster]:
    """A cluster without nodes yet; in the end nothing may be left of it."""
    threads = set(threading.enumerate())
    made = RealCluster()
    try:
        yield made
    finally:
        complaints = made.close()
        deadline = time.monotonic() + 5
        while any(t not in threads for t in threading.enumerate()):
            if time.monotonic() > deadline:
                complaints.append(f"threads {threading.enumerate()}")
                break
            time.sleep(0.01)
        if complaints:
            pytest.fail("; ".join(complaints))


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> Iterator[RealCluster]:
    """A cluster without nodes yet, for one test."""
    failed = request.session.testsfailed
    with ended() as made:
        yield made
        if request.session.testsfailed > failed:
            made.show()


@pytest.fixture
def lan() -> Iterator[Lan]:
    """Three nodes at a switch, each in a network namespace of its own."""
    made = lan_or_skip("abc")
    yield made
    made.close()
