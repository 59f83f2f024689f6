"""The command line is tested as a user runs it: in subprocesses, from another directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

APP = """
from foundation.otp import GenServer, Supervisor


class Counter(GenServer):
    def init(self, start=0):
        self.count = start


class App(Supervisor):
    def init(self):
        return [Counter.spec(1, name="one"), Counter.spec(2, name="two")]


class Broken(Supervisor):
    def init(self):
        raise ValueError("cannot start")


number = 5
"""


def until(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not in {seconds} s"
        time.sleep(0.01)
    return value


class Cli:
    """Runs ``foundation`` with a private directory for its runtime files and cookie."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "runtime").mkdir(mode=0o700)
        (path / "myapp.py").write_text(APP)
        self.environment = {
            **os.environ,
            "XDG_RUNTIME_DIR": str(path / "runtime"),
            "XDG_CONFIG_HOME": str(path / "config"),
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "foundation", *arguments],
            cwd=self.path,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str, str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=90)
        return process.returncode, out, err

    def json(self, *arguments: str) -> Any:
        code, out, err = self.run(*arguments)
        assert code == 0, err
        return json.loads(out)


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    yield Cli(tmp_path)
    left_over = (tmp_path / "runtime" / "foundation").rglob("*")
    entries = [path for path in left_over if not path.is_dir()]
    left = [p for p in psutil.Process().children(recursive=True) if _runs(p)]
    for process in left:
        process.kill()
    assert not left
    assert not entries, "a node left its file in the runtime directory"


def _runs(process: psutil.Process) -> bool:
    try:
        line = " ".join(process.cmdline())
        zombie = process.status() == psutil.STATUS_ZOMBIE
        return not zombie and "foundation" in line and "pytest" not in line
    except psutil.Error:
        return False
