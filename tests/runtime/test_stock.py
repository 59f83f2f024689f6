"""A stock base: what the layers above must make up for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import time, foundation
from tests.runtime import apps
if __name__ == "__main__":
    with foundation.start(apps.Home, hosts=1, stock=True) as node:
        print(*node.hosts().values(), flush=True)
        time.sleep(60)
"""


@pytest.fixture
def family(tmp_path: Path) -> Iterator[tuple[psutil.Process, list[psutil.Process]]]:
    """A program of its own, as stock leaves its sockets to the garbage collector."""
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    command = [sys.executable, "-W", "ignore", str(script)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=env) as program:
        assert program.stdout is not None
        control = psutil.Process(int(program.stdout.readline().split()[0]))
        admin = control.parent()
        assert admin is not None
        members = [admin, *admin.children(recursive=True)]
        yield psutil.Process(program.pid), members
        if not admin.is_running():
            return
        members.extend(p for p in admin.children(recursive=True) if p not in members)
        program.kill()
    _, alive = psutil.wait_procs(members, timeout=5)
    for process in alive:
        process.kill()
    assert not alive


Family = tuple[psutil.Process, list[psutil.Process]]


def test_a_program_that_is_killed_leaves_nothing(family: Family) -> None:
    program, members = family
    assert len(members) >= 4  # admin, logger, control host, worker host
    program.kill()
    _, alive = psutil.wait_procs(members, timeout=5)
    assert not alive


def test_everything_listens_on_loopback_only(family: Family) -> None:
    program, members = family
    listening = [
        connection.laddr.ip
        for process in (program, *members)
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert set(listening) == {"127.0.0.1"}


def test_a_segmentation_fault_ends_the_host(family: Family) -> None:
    _, members = family
    members[-1].send_signal(signal.SIGSEGV)
    psutil.wait_procs(members[-1:], timeout=5)
    assert not members[-1].is_running()  # its replacement starts while the program is killed
