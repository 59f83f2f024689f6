"""Thespian's own installed test suite, on our base.

The plugin next to this file makes ``multiprocTCPBase`` mean ours. The fast part runs here, all
of it under the marker ``soak``. Cases stock skips or expects to fail do so here as well.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import thespian.test

from tests.transport.conftest import ROOT

pytestmark = pytest.mark.real
SUITE = Path(thespian.test.__file__).parent

# Case -> why it is not run. Keep the reasons honest.
EXCEPTIONS: dict[str, str] = {}

FAST = [
    "test_actorAddressPassing.py",
    "test_actorSignals.py",
    "test_actors.py",
    "test_badStartupMessage.py",
    "test_badmessage.py",
    "test_bigmessages.py",
    "test_commonCapabilities.py",
    "test_createActor.py",
    "test_generators.py",
    "test_globalName.py",
    "test_initmsgs.py",
    "test_poisonMessage.py",
    "test_requireCapability.py",
    "test_simpleActor.py",
    "test_systemMessages.py",
    "test_threadedActor.py",
    "test_typeDispatcher.py",
    "test_withpossibleargs.py",
]
# The AdminRouting variants differ in addresses only; they run in the soak.
FAST_FILTER = "not AdminRouting"


def run_suite(tmp_path: Path, files: list[str], seconds: float, *options: str) -> str:
    """Run *files* of the suite in a process of its own; return the summary line."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    environment.pop("PYTHONUNBUFFERED", None)  # three logging cases fail with it, on stock too
    environment |= {
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONPATH": ROOT,
        "THESPLOG_FILE": str(tmp_path / "thespian.log"),
        "FOUNDATION_COOKIE": "thespian-suite-cookie-0123456789",
    }
    command = [
        sys.executable, "-m", "pytest", "-q", "-c", os.devnull, f"--rootdir={SUITE}",
        "-p", "no:cacheprovider", "-p", "pytest_timeout", "--timeout", "60",
        "-p", "tests.transport.thespian_plugin",
        *options, *(f"--deselect={case}" for case in EXCEPTIONS),
        *(str(SUITE / name) for name in files),
    ]  # fmt: skip
    log = tmp_path / "output"
    with log.open("w") as output:
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, stdout=output, stderr=subprocess.STDOUT,
            timeout=seconds, check=False,
        )  # fmt: skip
    text = log.read_text()
    assert done.returncode == 0, text[-8000:]
    summary = text.strip().splitlines()[-1]
    assert "failed" not in summary
    assert "error" not in summary
    return summary


def passed(summary: str) -> int:
    found = re.search(r"(\d+) passed", summary)
    return int(found.group(1)) if found else 0


@pytest.mark.timeout(240)
def test_fast_part_of_thespians_suite(tmp_path: Path) -> None:
    summary = run_suite(tmp_path, FAST, 230, "-k", FAST_FILTER)
    print(summary)
    assert passed(summary) > 80


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_all_of_thespians_suite(tmp_path: Path) -> None:
    files = sorted(path.name for path in SUITE.glob("test_*.py"))
    summary = run_suite(tmp_path, files, 3500)
    print(summary)
    assert passed(summary) > 1000
