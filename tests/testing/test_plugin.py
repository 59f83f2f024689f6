"""The pytest plugin, as a user's project sees it."""

from __future__ import annotations

import subprocess
import sys

import pytest

USERS_TESTS = '''
import asyncio
import pytest

def test_each_driver(foundation_run):
    async def body():
        await asyncio.sleep(0.01)
        return 5
    assert foundation_run(body) == 5

@pytest.mark.foundation_drivers("simulator")
def test_fails(foundation_run):
    async def body():
        assert 1 == 2
    foundation_run(body)

def test_simulation(simulation, foundation_seed):
    assert simulation.seed == foundation_seed == 77
'''


@pytest.fixture
def users_pytest(tmp_path):
    (tmp_path / "test_users.py").write_text(USERS_TESTS)

    def run_pytest(*args):
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-v", *args],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr

    return run_pytest


def test_a_users_project_gets_drivers_seed_and_advice(users_pytest):
    out = users_pytest("--foundation-seed=77", "--foundation-drivers=simulator,interpreter")
    assert "foundation: --foundation-seed=77" in out
    assert "test_each_driver[simulator] PASSED" in out
    assert "test_each_driver[interpreter] PASSED" in out
    assert "test_fails[simulator] FAILED" in out
    assert "seed=77 after 0.0" in out
    assert "test_simulation PASSED" in out
    assert "1 failed, 3 passed" in out


def test_wrong_options_are_usage_errors(users_pytest):
    assert "must be an integer or 'random', got 'x'" in users_pytest("--foundation-seed=x")
    out = users_pytest("--foundation-drivers=erlang")
    assert "must be of simulator, interpreter, processes; got 'erlang'" in out
