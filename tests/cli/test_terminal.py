"""What needs a terminal, a process group of its own, or an install without extras."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from tests.cli.conftest import Cli, until
from tests.cli.test_run_and_look import running


@contextlib.contextmanager
def stopped(os_pid: int) -> Iterator[None]:
    """Stop a host; one that is silent for seconds is killed by its node, which is right too."""
    os.kill(os_pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(os_pid, signal.SIGCONT)


class Terminal:
    """A command with a terminal of its own, which sends Ctrl-C to all its processes."""

    def __init__(self, cli: Cli, *arguments: str) -> None:
        self._mine, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "foundation", *arguments],
            cwd=cli.path,
            env={**cli.environment, "TERM": "xterm", "COLUMNS": "120", "LINES": "50"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.text = ""

    def wait_for(self, text: str, seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.text:
            assert time.monotonic() < deadline, f"no {text!r} in {self.text!r}"
            self._read()

    def _read(self) -> None:
        if select.select([self._mine], [], [], 0.05)[0]:
            with contextlib.suppress(OSError):  # the other end is closed
                self.text += os.read(self._mine, 65536).decode(errors="replace")

    def press(self, key: str) -> None:
        os.write(self._mine, key.encode())

    def ctrl_c(self) -> int:
        os.killpg(self.process.pid, signal.SIGINT)
        return self.end()

    def end(self, seconds: float = 30.0) -> int:
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it did not end: {self.text!r}"
            self._read()
        self._read()
        os.close(self._mine)
        return self.process.returncode


def test_the_demo_in_a_terminal_shows_bars(cli: Cli) -> None:
    options = ("--files", "40", "--kills", "1", "--hosts", "1", "--cluster-files", "0")
    terminal = Terminal(cli, "demo", *options)
    terminal.wait_for("EQUALS")
    assert terminal.end() == 0
    assert "\x1b[" in terminal.text
    assert "plain loop" in terminal.text
    assert "40/40 files" in terminal.text


def test_ctrl_c_in_a_terminal_reaches_all_processes_and_leaves_none(cli: Cli) -> None:
    terminal = Terminal(cli, "demo", "--kills", "0", "--hosts", "2", "--cluster-files", "0")
    terminal.wait_for(" indexers, ")
    processes = psutil.Process(terminal.process.pid).children(recursive=True)
    assert len(processes) > 3
    assert terminal.ctrl_c() == 130
    until(lambda: not any(p.is_running() for p in processes))
    assert "Traceback" not in terminal.text


def test_ctrl_c_while_the_demo_starts_leaves_nothing(cli: Cli) -> None:
    terminal = Terminal(cli, "demo", "--kills", "0", "--hosts", "2", "--cluster-files", "0")
    terminal.wait_for("Indexing")
    assert terminal.ctrl_c() == 130
    assert "Traceback" not in terminal.text


def test_top_in_a_terminal_is_live_until_ctrl_c(cli: Cli) -> None:
    with running(cli, "--hosts", "1"):
        terminal = Terminal(cli, "top", "--interval", "0.05")
        terminal.wait_for("foundation.root")
        seen = len(terminal.text)
        terminal.wait_for("\x1b[H")
        until(lambda: terminal._read() or len(terminal.text) > seen + 100)  # type: ignore[func-returns-value]
        assert terminal.ctrl_c() == 0
        assert "Traceback" not in terminal.text


def test_keys_choose_what_top_shows_and_end_it(cli: Cli) -> None:
    with running(cli, "--hosts", "1"):
        terminal = Terminal(cli, "top", "--interval", "0.05")
        terminal.wait_for("q quit")
        terminal.press("8")
        terminal.text = ""
        terminal.wait_for("HEALTH ")
        terminal.press("3")
        terminal.wait_for("RESTARTS")
        terminal.text = ""
        terminal.wait_for("RESTARTS")
        assert "HEALTH " not in terminal.text
        terminal.press("q")
        assert terminal.end() == 0
        assert "Traceback" not in terminal.text


def test_top_goes_on_with_another_node_when_the_one_it_asked_has_gone(cli: Cli) -> None:
    shop = ("--cluster", "shop", "--hosts", "1")
    with running(cli, *shop, "--name", "s2"):
        with running(cli, *shop, "--name", "s1"):
            until(lambda: len(cli.json("top", "--json")["nodes"]) == 2, 30.0)
            terminal = Terminal(cli, "top", "--interval", "0.05")
            terminal.wait_for("2 nodes")
        terminal.text = ""
        terminal.wait_for("1 node,")
        assert terminal.ctrl_c() == 0
        assert "Traceback" not in terminal.text


def os_pid_of(cli: Cli, host: str) -> int:
    hosts = cli.json("top", "--json")["hosts"]
    return next(int(row["os_pid"]) for row in hosts if row["host"] == host)


@pytest.mark.real
def test_a_stopped_host_is_named_as_missing(cli: Cli) -> None:
    with running(cli, "--hosts", "2", "--name", "n"):
        with stopped(os_pid_of(cli, "n/w2")):
            found = cli.json("top", "--json")
        assert found["missing"]["hosts"] == ["n/w2"]
        there = [row["host"] for row in found["hosts"] if row["answered"]]
        assert there == ["n/control", "n/main", "n/w1"]
        until(lambda: cli.json("top", "--json")["missing"]["hosts"] == [])


@pytest.mark.real
def test_a_stopped_control_host_is_an_error(cli: Cli) -> None:
    with running(cli, "--hosts", "1", "--name", "n"):
        with stopped(os_pid_of(cli, "n/control")):
            code, _, err = cli.run("top")
        assert code == 1
        assert "did not answer" in err
        assert "cookie" not in err


def test_a_node_without_hosts_cannot_be_looked_at(cli: Cli) -> None:
    with running(cli, "--hosts", "0"):
        code, _, err = cli.run("tree")
        assert code == 1
        assert "a node with hosts=0 lives inside its program" in err


def test_without_the_extra_the_command_says_what_to_install(cli: Cli) -> None:
    (cli.path / "cyclopts.py").write_text("raise ImportError('not installed')")
    code, out, err = cli.run("demo")
    assert code == 2
    assert out == ""
    assert "pip install foundation-otp[cli]" in err
