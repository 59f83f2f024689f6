"""Finding and reading ``foundation.toml``, or ``[tool.foundation]`` of ``pyproject.toml``.

``FOUNDATION_CONFIG_FILE`` names a file. Otherwise the directory of the program and those above it
are looked at, up to the first that has either; where both have settings, ``foundation.toml``
counts.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foundation.cluster.modes.errors import SettingError
from foundation.cluster.modes.layers import FileSettings
from foundation.cluster.modes.settings import CONFIG_FILE

OWN, PROJECT = "foundation.toml", "pyproject.toml"
MARK = b"foundation"  # a project file without it has no settings, and is not parsed
TABLE = re.compile(rb"""^[ \t]*\[[ \t]*tool[ \t]*\.[ \t]*["']?foundation(?![\w-])""", re.MULTILINE)


def read_settings(env: Mapping[str, str], directory: Path | None = None) -> FileSettings | None:
    """Return the settings of the file that counts; None when there is none.

    Args:
        env: the environment.
        directory: where to begin to look; default: the current one.

    Raises:
        SettingError: it cannot be read or understood, or it may be somebody else's.
    """
    named = env.get(CONFIG_FILE, "").strip()
    if named:
        path = Path(named).absolute()
        table = _table(path, _read(path))
        if table is None:
            raise SettingError(f"{path} ({CONFIG_FILE}) has no table [tool.foundation]")
        return FileSettings(str(path), table)
    try:
        start = (directory or Path.cwd()).absolute()
    except FileNotFoundError:  # the current directory has been removed
        return None
    for place in (start, *start.parents):
        present = [path for path in (place / OWN, place / PROJECT) if path.is_file()]
        for path in present:
            table = _table(path, _read(path))
            if table is not None:
                _check_owner(path)
                return FileSettings(str(path), table)
        if present:
            return None
    return None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingError(f"{path} cannot be read: {error.strerror}") from None


def _table(path: Path, content: bytes) -> Mapping[str, Any] | None:
    project = path.name == PROJECT
    if project and MARK not in content:
        return None
    try:
        found = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        if project and TABLE.search(content) is None:  # it is the business of other tools alone
            return None
        so = ", so its [tool.foundation] cannot be read" if project else ""
        raise SettingError(f"{path} is no TOML{so}: {_said(error, content)}") from None
    if not project:
        return found
    tool = found.get("tool")
    table = tool.get("foundation") if isinstance(tool, dict) else None
    return table if isinstance(table, dict) else None


def _said(error: ValueError, content: bytes) -> str:
    """Return what is wrong, and in which line."""
    if isinstance(error, UnicodeDecodeError):
        return f"no UTF-8 (at line {content[: error.start].count(10) + 1})"
    lines = len(content.splitlines())
    return str(error).replace("at end of document", f"at line {lines}, the end of the file")


def _check_owner(path: Path) -> None:
    """Settings decide whom this program listens to: nobody else may put them in its way."""
    state = path.stat()
    if state.st_uid not in (0, os.getuid()) or state.st_mode & stat.S_IWOTH:
        raise SettingError(
            f"{path} has settings of a cluster, but belongs to somebody else or can be written by "
            f"anybody. If it is to be used, say so: {CONFIG_FILE}={path}"
        )
