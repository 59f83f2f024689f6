"""``foundation demo``."""

from __future__ import annotations

import random
import signal
from typing import Any

import psutil
import pytest

from foundation.cli import word_index
from foundation.cli.demo import Demo, plan, report
from foundation.cli.progress import Screen
from tests.cli.conftest import Cli, until


def test_demo_survives_and_equals(cli: Cli) -> None:
    options = ("--files", "150", "--kills", "2", "--hosts", "2", "--seed", "7")
    options += ("--cluster-files", "0")
    code, out, err = cli.run("demo", *options)
    assert code == 0, err
    assert "The index EQUALS" in out
    assert "2 SIGKILLs of worker hosts" in out
    assert "SIGKILL to worker host" in out
    assert err == ""


def test_demo_as_json(cli: Cli) -> None:
    options = ("--files", "200", "--kills", "1", "--hosts", "2", "--cluster-files", "0")
    score = cli.json("demo", *options, "--json")
    assert score["equal"] is True
    assert score["files"] == 200
    assert score["host_kills"] == 1


def test_demo_notices_a_difference() -> None:
    def wrong(paths: list[str], seen: Any) -> dict[str, int]:
        index = word_index.plain_index(paths)
        index[next(iter(index))] += 1
        return index

    score = Demo(10, 0, 1, 1, Screen(quiet=True), index=wrong).run()
    assert not score.equal
    assert "DIFFERS" in report(score)[-1]


def test_demo_ends_with_exit_code_1_when_the_index_differs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from foundation.cli import app, demo

    class Broken(Demo):
        def run(self) -> Any:
            return demo.Score(equal=False)

    monkeypatch.setattr(demo, "Demo", Broken)
    assert app.run_app(["demo", "--files", "1", "--cluster-files", "0"]) == 1
    assert "DIFFERS" in capsys.readouterr().out


def test_ctrl_c_during_the_demo_leaves_nothing(cli: Cli) -> None:
    process = cli.start("demo", "--kills", "0")
    assert process.stdout is not None
    until(lambda: " indexers, " in process.stdout.readline())
    hosts = psutil.Process(process.pid).children(recursive=True)
    assert hosts
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err == "foundation: interrupted\n"
    until(lambda: not any(p.is_running() for p in hosts))


def test_the_plan_is_the_same_for_a_seed() -> None:
    assert plan(4, random.Random(1)) == plan(4, random.Random(1))
    kinds = [what for _, what in plan(4, random.Random(1))]
    assert sorted(kinds) == ["crash"] * 4 + ["exit"] * 4 + ["host"] * 4 + ["reader"]
    assert plan(0, random.Random(1)) == []


def test_source_files_are_real_and_deterministic() -> None:
    files = word_index.source_files(50)
    assert len(files) == 50
    assert files == word_index.source_files(50)
    assert word_index.plain_index(files)["code:import"] > 20


@pytest.mark.parametrize("option", ["--files", "--hosts"])
def test_wrong_numbers_are_refused(cli: Cli, option: str) -> None:
    code, _, err = cli.run("demo", option, "0")
    assert code == 2
    assert f"{option} must be 1 or more, got 0" in err
