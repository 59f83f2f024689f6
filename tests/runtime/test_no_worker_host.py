"""All worker hosts die at once: their work waits for the next, it does not move elsewhere."""

from __future__ import annotations

import os
import signal

import pytest

import foundation
from foundation.runtime.node import Node
from tests.runtime import apps
from tests.runtime.test_node import until


def _kill_workers(node: Node) -> dict[str, int]:
    before = node.hosts()
    for address, os_pid in before.items():
        if "/w" in address:
            os.kill(os_pid, signal.SIGKILL)
    return before


def _home_again(node: Node, server: str, before: dict[str, int]) -> None:
    """Wait until *server* answers, from none of the hosts there were."""
    now = until(lambda: node.call(server, "pid"))
    if now in before.values():  # the victim, which had a last word
        now = until(lambda: (pid := node.call(server, "pid")) not in before.values() and pid)
    workers = {pid for address, pid in node.hosts().items() if "/w" in address}
    assert now in workers


@pytest.mark.parametrize("hosts", [1, 2])
def test_spread_children_do_not_move_into_the_program(hosts: int) -> None:
    with foundation.start(apps.Spread, 4, hosts=hosts, home="main") as node:
        for _ in range(2):
            before = _kill_workers(node)
            for number in range(4):
                _home_again(node, f"s{number}", before)


def test_the_application_does_not_move_into_the_control_host() -> None:
    with foundation.start(apps.Home, hosts=2) as node:
        before = _kill_workers(node)
        _home_again(node, "one", before)
