"""The cluster's part of ``foundation demo``."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundation.cli.cluster_demo import ClusterScore, overlaps, report
from tests.cli.conftest import Cli


@pytest.mark.real
def test_a_killed_node_and_a_cut_lose_nothing_and_run_nothing_twice(cli: Cli) -> None:
    options = ("--files", "20", "--kills", "0", "--hosts", "1", "--cluster-files", "150")
    score = cli.json("demo", *options, "--json")["cluster"]
    assert score["equal"] is True
    assert (score["missing"], score["doubled"], score["overlaps"]) == (0, 0, [])
    assert score["lives"] > 7  # children have moved
    assert score["kill_noticed"] < score["kill_recovered"]
    for left in (cli.path / "runtime" / "foundation").glob("n2-*"):
        left.unlink()  # of the life that was killed


def test_two_lives_of_a_child_that_meet_are_found(tmp_path: Path) -> None:
    (tmp_path / "journal-n1-1-1").write_text("1.0 index n1 1\n2.0 index n1 1\n")
    (tmp_path / "journal-n2-1-1").write_text("2.5 index n2 2\n3.0 index n2 2\n")
    assert overlaps(str(tmp_path)) == (2, [])
    (tmp_path / "journal-n3-1-1").write_text("2.9 index n3 3\n4.0 index n3 3\n")
    lives, found = overlaps(str(tmp_path))
    assert lives == 3
    assert found == ["index: ('n2', '2') and ('n3', '3') for 0.100 s"]


def test_the_report_says_what_went_wrong() -> None:
    good = ClusterScore(files=9, equal=True)
    assert good.good
    assert "Nothing was lost" in report(good)[-1]
    bad = ClusterScore(files=9, equal=True, overlaps=["index: …"])
    assert not bad.good
    assert "RAN TWICE" in report(bad)[1]
    lost = ClusterScore(files=9, missing=2)
    assert not lost.good
    assert "LOST" in report(lost)[-1]
