"""The files by which tools find the nodes of a machine."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from foundation.errors import NodeError
from foundation.runtime import directory
from foundation.runtime.directory import Entry


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / "foundation"


def entry(name: str = "shop", os_pid: int | None = None) -> Entry:
    return Entry(name, os.getpid() if os_pid is None else os_pid, "127.0.0.1", 4000, 7)


def test_a_node_is_found_until_it_withdraws(home: Path) -> None:
    path = directory.announce(entry())
    assert path is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    found = directory.find()
    assert (found.name, found.host, found.port, found.incarnation) == ("shop", "127.0.0.1", 4000, 7)
    assert directory.find("shop") == found
    directory.withdraw(path)
    assert directory.entries() == []
    assert list(home.iterdir()) == []


def test_a_file_whose_program_is_gone_is_removed(home: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    directory.announce(entry(os_pid=ended.pid))
    with pytest.raises(NodeError, match="no node with hosts runs"):
        directory.find()
    assert list(home.iterdir()) == []


def test_a_file_whose_pid_another_program_has_is_removed(home: Path) -> None:
    path = directory.announce(entry())
    assert path is not None
    text = path.read_text()
    born = directory.entries()[0].birth
    path.write_text(text.replace(born, "1"))
    assert directory.entries() == []
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "x"}'])
def test_a_spoilt_file_hides_nobody(home: Path, text: str) -> None:
    directory.announce(entry())
    (home / "spoilt.json").write_text(text)
    assert directory.find().name == "shop"


def test_one_of_several_is_chosen_by_name(home: Path) -> None:
    for name in ("a", "b"):
        directory.announce(entry(name))
    assert directory.find("b").name == "b"
    with pytest.raises(NodeError, match=r"several nodes run: a, b; choose one with --node NAME"):
        directory.find()
    with pytest.raises(NodeError, match=r"no node 'c'; running: a, b"):
        directory.find("c")


def test_a_directory_that_others_may_enter_is_refused(home: Path) -> None:
    home.mkdir(mode=0o755)
    home.chmod(0o755)
    with pytest.raises(NodeError, match="must belong to this user alone"):
        directory.find()
    assert directory.announce(entry()) is None  # a node starts all the same


def test_without_a_runtime_directory_a_private_one_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "none"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    directory.announce(entry())
    assert (tmp_path / f"foundation-{os.getuid()}").is_dir()
    assert directory.find().name == "shop"
