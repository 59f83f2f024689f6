"""No test here depends on the environment or the files of who runs it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

NOT_OURS = ("KUBERNETES_SERVICE_HOST", "CONSUL_HTTP_ADDR")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in list(os.environ):
        if name.startswith("FOUNDATION_") or name in NOT_OURS:
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "pyproject.toml").write_text("[project]\n")  # the search for files ends here
    monkeypatch.chdir(tmp_path)
    return tmp_path
