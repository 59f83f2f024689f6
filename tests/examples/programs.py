"""Run a program as a user would, and see what it printed and what it left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
MARK = "FOUNDATION_TEST_PROGRAM"  # inherited by every process that the program starts


@dataclass(frozen=True)
class Outcome:
    """How a program ended.

    Attributes:
        code: exit code.
        out: lines of standard output.
        reports: lines of standard error that begin a log record or say anything else; the
            further lines of crash reports (state, traceback) are left out.
        left: command lines of the processes that outlived it.
    """

    code: int
    out: list[str]
    reports: list[str]
    left: list[str]


def run_program(
    *arguments: str, seconds: float = 60.0, env: Mapping[str, str] | None = None
) -> Outcome:
    """Run ``python *arguments`` in the repository's root for at most *seconds*.

    Args:
        *arguments: of the interpreter.
        seconds: then it is ended.
        env: default: that of this process; in both cases without settings of Foundation.
    """
    mark = uuid.uuid4().hex
    environment = {
        key: value
        for key, value in (os.environ if env is None else env).items()
        if not key.startswith(("FOUNDATION_", "PYTEST_"))
    }
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**environment, MARK: mark},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    return Outcome(
        done.returncode,
        done.stdout.splitlines(),
        report_lines(done.stderr),
        leftovers(mark),
    )


def report_lines(text: str) -> list[str]:
    """Leave out the detail lines of crash reports: indented ones and tracebacks."""
    found: list[str] = []
    in_report = in_traceback = False
    for line in text.splitlines():
        if line.startswith(("ERROR:foundation", "WARNING:foundation")):
            in_report, in_traceback = True, False
        elif in_report and line == "Traceback (most recent call last):":
            in_traceback = True
            continue
        elif in_report and line.startswith(" "):
            continue
        elif in_traceback:  # its last line
            in_traceback = False
            continue
        found.append(line)
    return found


def leftovers(mark: str, grace: float = 5.0) -> list[str]:
    """Return the processes that carry *mark* and do not end within *grace* seconds; kill them."""
    deadline = time.monotonic() + grace
    while (left := marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.02)
    lines = [f"{pid}: {command(pid)}" for pid in left]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return lines


def marked(mark: str) -> list[int]:
    """Return the pids of the processes with *mark* in their environment."""
    sought = f"{MARK}={mark}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if sought in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                pass  # it has just ended, or is another user's
    return found


def command(pid: int) -> str:
    """Return the command line of *pid*."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
        return words.replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return "(ended)"
