"""Which file of settings counts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from foundation.cluster.modes import SettingError, read_settings


def test_there_is_none(bare: Path) -> None:
    assert read_settings({}) is None


def test_pyproject_with_a_table(bare: Path) -> None:
    path = bare / "pyproject.toml"
    path.write_text('[tool.foundation]\ncluster = "dns"\nlabels = {zone = "a"}\n')
    found = read_settings({})
    assert found is not None
    assert found.path == str(path)
    assert found.table == {"cluster": "dns", "labels": {"zone": "a"}}


def test_foundation_toml_beats_pyproject_beside_it(bare: Path) -> None:
    (bare / "pyproject.toml").write_text("[tool.foundation]\ncluster = false\n")
    (bare / "foundation.toml").write_text("cluster = true\n")
    found = read_settings({})
    assert found is not None
    assert found.path == str(bare / "foundation.toml")


def test_directories_above_are_looked_at_up_to_the_first_project(bare: Path) -> None:
    (bare / "foundation.toml").write_text("cluster = true\n")
    inner = bare / "a" / "b"
    inner.mkdir(parents=True)
    assert read_settings({}, inner) is not None
    (bare / "a" / "pyproject.toml").write_text("[project]\nname = 'other'\n")
    assert read_settings({}, inner) is None


def test_a_named_file_counts_alone(bare: Path) -> None:
    (bare / "foundation.toml").write_text("cluster = true\n")
    (bare / "other.toml").write_text("cluster = false\n")
    found = read_settings({"FOUNDATION_CONFIG_FILE": "other.toml"})
    assert found is not None
    assert found.table == {"cluster": False}
    with pytest.raises(SettingError, match=r"nowhere\.toml cannot be read"):
        read_settings({"FOUNDATION_CONFIG_FILE": "nowhere.toml"})
    with pytest.raises(SettingError, match=r"no table \[tool.foundation\]"):
        read_settings({"FOUNDATION_CONFIG_FILE": "pyproject.toml"})


def test_a_broken_own_file_is_an_error(bare: Path) -> None:
    (bare / "foundation.toml").write_text("cluster =\n")
    with pytest.raises(SettingError, match=r"foundation\.toml is no TOML: .*line 1"):
        read_settings({})


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("[tool.foundation]\ncluster = true\nport = \n", "line 3"),
        ("[project]\nname = x\n\n  [ tool . foundation ]\ncluster = true\n", "line 2"),
        ("[tool.foundation.labels]\nzone = 'a\n", "line 2"),
        ("[tool.foundation\n", "line 1"),
        ("[tool.foundation]\nname = '\udcff'\n", "no UTF-8 (at line 2)"),
    ],
)
def test_a_broken_project_file_with_a_table_is_an_error_that_names_the_line(
    bare: Path, content: str, text: str
) -> None:
    path = bare / "pyproject.toml"
    path.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(SettingError, match=r"its \[tool\.foundation\] cannot be read") as caught:
        read_settings({})
    assert str(path) in str(caught.value)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        "[project]\nname = \n",
        "[project]\nname = x\ndependencies = ['foundation-otp']\n",
        "[tool.foundation-other]\nname = \n",
        "# [tool.foundation]\nname = \n",
    ],
)
def test_a_broken_project_file_without_a_table_is_others_business(
    bare: Path, content: str
) -> None:
    (bare / "pyproject.toml").write_text(content)
    assert read_settings({}) is None


def test_a_file_that_others_can_write_is_refused_unless_named(bare: Path) -> None:
    path = bare / "foundation.toml"
    path.write_text("cluster = true\n")
    path.chmod(0o666)
    with pytest.raises(SettingError, match=f"FOUNDATION_CONFIG_FILE={path}"):
        read_settings({})
    assert read_settings({"FOUNDATION_CONFIG_FILE": str(path)}) is not None


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_a_file_of_somebody_else_is_refused(bare: Path) -> None:
    path = bare / "foundation.toml"
    path.write_text("cluster = true\n")
    os.chown(path, 12345, 12345)
    with pytest.raises(SettingError, match="belongs to somebody else"):
        read_settings({})


def test_a_directory_that_is_gone(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = bare / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert read_settings({}) is None
