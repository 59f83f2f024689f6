"""The shell in which the commands of a page are run, as a reader would type them."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import time
import uuid
from pathlib import Path

from tests.docs.blocks import ROOT, Block
from tests.examples.programs import MARK, leftovers

SECONDS = 40.0  # for one block
LOOKS_ONLY = ("foundation cluster", "foundation tree", "foundation top", "cat ", "tail ", "grep ")
HOME = "/home/you/shop"  # as which the pages show the directory
_KILLED = re.compile(r".*: line \d+: +\d+ (Killed|Terminated) .*")  # the shell says it of a job


class Shell:
    """One bash with job control, in a directory of its own; ends all that it has started.

    Args:
        folder: the directory; its path must be short, since sockets live below it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._mark = uuid.uuid4().hex
        self._bytes = b""
        self._count = 0
        self._bash = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "-s"],
            cwd=folder,
            env=environment(folder) | {MARK: self._mark},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._type("set -m")

    def run(self, commands: str) -> tuple[int, list[str]]:
        """Run *commands*; return the exit code of the last one, and the lines they print.

        Raises:
            AssertionError: they do not end in time.
        """
        self._count += 1
        (self.folder / ".commands").write_text(commands)
        end = f"--- end {self._count} of {self._mark} ---"
        self._type(f"source ./.commands </dev/null; printf '%s %s\\n' '{end}' $?")
        lines = self._read_until(end, commands)
        code = int(lines.pop().removeprefix(end))
        lines = [line.replace(str(self.folder), HOME) for line in lines]
        return code, [line for line in lines if not _KILLED.fullmatch(line)]

    def close(self) -> list[str]:
        """End the shell and its jobs; return what did not end by itself."""
        if self._bash.poll() is None:
            self._type("kill $(jobs -p) 2>/dev/null; exit")
        try:
            self._bash.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:  # what it runs does not end
            self._bash.kill()
            self._bash.communicate()
        return leftovers(self._mark)

    def _type(self, line: str) -> None:
        assert self._bash.stdin is not None
        self._bash.stdin.write(line.encode() + b"\n")
        self._bash.stdin.flush()

    def _read_until(self, end: str, commands: str) -> list[str]:
        assert self._bash.stdout is not None
        deadline = time.monotonic() + SECONDS
        while end.encode() not in self._bytes or not self._bytes.endswith(b"\n"):
            left = deadline - time.monotonic()
            ready = left > 0 and select.select([self._bash.stdout], [], [], left)[0]
            chunk = os.read(self._bash.stdout.fileno(), 65536) if ready else b""
            assert chunk, f"{commands} does not end; so far: {self._bytes.decode()}"
            self._bytes += chunk
        text, self._bytes = self._bytes.decode(), b""
        return text.splitlines()


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a user whose home is *folder*, with this Python in the path."""
    commands = folder / ".bin"
    commands.mkdir(exist_ok=True)
    for name, arguments in (
        ("python", ""), ("foundation", " -m foundation"), ("pytest", " -m pytest")
    ):  # fmt: skip
        script = commands / name
        script.write_text(f'#!/bin/sh\nexec {sys.executable}{arguments} "$@"\n')
        script.chmod(0o755)
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("FOUNDATION_", "PYTEST_", "KUBERNETES_"))
    }
    own = {
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / ".config"),
        "XDG_RUNTIME_DIR": str(private(folder / ".run")),
        "PATH": f"{commands}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "80",
    }
    return kept | own


def private(folder: Path) -> Path:
    """Make a directory that only its owner may look into."""
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def check_block(shell: Shell, block: Block) -> None:
    """Run the commands of *block*; they must print what stands below it, or else succeed.

    Commands that only look at something are repeated for a while: a reader who is too early looks
    again.
    """
    deadline = time.monotonic() + SECONDS / 2
    commands = [line for line in block.body.splitlines() if line.strip()]
    looks_only = all(line.startswith(LOOKS_ONLY) for line in commands)
    while True:
        code, lines = shell.run(block.body)
        if fits(block.output, lines) and (lines or code == 0):
            return
        if not looks_only or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    printed, shown = "\n".join(lines), "\n".join(block.output)
    raise AssertionError(
        f"line {block.line} ended with {code} and printed\n{printed}\nthe page shows\n{shown}"
    )


def shape(line: str) -> str:
    """Leave out what differs from run to run: pids, ports, times, widths of columns."""
    line = re.sub(r"\b\d+\.\d+ ?(m?s)\b", r"# \1", line)
    line = re.sub(r"\.\d{5,}\.\d+\b", ".#.#", line)  # the end of a pid of a process
    line = re.sub(r"\d{3,}", "#", line)
    return re.sub(r"\s+", " ", line).strip()


def fits(expected: tuple[str, ...], lines: list[str]) -> bool:
    """Whether *lines* are what a page shows; a line ``...`` there stands for any lines."""
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == "..." else re.escape(shape(line)) + "\n"
        for line in expected
    )
    return re.fullmatch(pattern, "".join(f"{shape(line)}\n" for line in lines)) is not None
