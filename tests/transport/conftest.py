"""Fixtures of the transport's tests; every test must leave no process and no thread behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = str(Path(__file__).resolve().parents[2])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

from foundation.transport import TransportConfig, open_system  # noqa: E402

COOKIE = b"test-cookie-0123456789abcdef"
_PR_SET_CHILD_SUBREAPER = 36


def wait_for(condition: Callable[[], Any], seconds: float = 10.0, what: str = "") -> Any:
    """Return the first true value of *condition*; fail after *seconds*."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or condition}"
        time.sleep(0.005)


def descendants() -> list[psutil.Process]:
    """Living processes below this one; orphans come to us because we are a subreaper."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            command = " ".join(process.cmdline())
            # An empty command line: it is ending this very moment. And multiprocessing keeps
            # one resource tracker per program once it has spawned.
            ending = not command or process.status() == psutil.STATUS_ZOMBIE
            if not ending and "resource_tracker" not in command:
                found.append(process)
    return found


def _describe(left: Any) -> str:
    if not isinstance(left, psutil.Process):
        return repr(left)
    with contextlib.suppress(psutil.Error):
        stack = Path(f"/proc/{left.pid}/wchan").read_text()
        return f"{left} {left.cmdline()} {left.cpu_times()} {stack}"
    return repr(left)


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail a test that leaves processes or threads behind, and clean up after it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    processes = {each.pid for each in descendants()}
    threads = set(threading.enumerate())
    yield

    def left() -> list[Any]:
        new = [each for each in descendants() if each.pid not in processes]
        return [*new, *(set(threading.enumerate()) - threads)]

    deadline = time.monotonic() + 5.0
    while left() and time.monotonic() < deadline:
        time.sleep(0.01)
    remaining = left()
    details = [_describe(each) for each in remaining]
    for each in remaining:
        if isinstance(each, psutil.Process):
            with contextlib.suppress(psutil.Error):
                each.kill()
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    assert not remaining, f"left behind: {details}"


@pytest.fixture
def config() -> TransportConfig:
    """Settings with an explicit cookie."""
    return TransportConfig(cookie=COOKIE)


@pytest.fixture
def system(config: TransportConfig) -> Iterator[Any]:
    """A running actor system."""
    asys = open_system(config)
    yield asys
    asys.shutdown()
