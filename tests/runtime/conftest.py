"""Every test here starts operating-system processes; none may be left."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import psutil
import pytest


def descendants() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            name = " ".join(process.cmdline())
            if process.status() != psutil.STATUS_ZOMBIE and "resource_tracker" not in name:
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    threads = set(threading.enumerate())
    before = {p.pid for p in descendants()}
    yield
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        left = [p for p in descendants() if p.pid not in before]
        alive = [t for t in threading.enumerate() if t not in threads]
        if not left and not alive:
            return
        time.sleep(0.01)
    for process in left:
        process.kill()
    pytest.fail(f"left behind: processes {left}, threads {alive}")
