"""What ``cluster`` prints, from what a node says of its cluster."""

from __future__ import annotations

from foundation.cli.views import cluster_lines
from tests.observer.kit import members


def test_members_are_a_table_and_the_lost_are_named() -> None:
    lost = [
        {"name": "c", "reason": "killed", "seconds_ago": 12.0},
        {"name": "d", "reason": "silent", "seconds_ago": 3.0},
    ]
    lines = cluster_lines(members("a", "b", lost=lost))
    assert lines[0] == "cluster 'shop' as node 'a' sees it: 2 members, all agree"
    assert [line.split()[:2] for line in lines[2:4]] == [["a", "up"], ["b", "up"]]
    assert lines[4:] == ["c is down: killed, 12 s ago", "d is down: silent, 3 s ago"]


def test_one_that_drains_says_so() -> None:
    cluster = members("a", settled=False)
    cluster["members"][0]["draining"] = True
    lines = cluster_lines(cluster)
    assert "not all agree yet" in lines[0]
    assert lines[2].split()[1] == "draining"
