"""Hosts that are stopped, and hosts that are lost again and again."""

from __future__ import annotations

import os
import signal

import pytest

import foundation
from tests.runtime import apps
from tests.runtime.test_node import host_pid, until


@pytest.mark.parametrize("name", ["w1", "control"])
def test_a_stopped_host_is_given_up_and_replaced(name: str) -> None:
    with foundation.start(apps.Home, hosts=2, name="fz", log_level=60) as node:
        stopped = host_pid(node, name)
        os.kill(stopped, signal.SIGSTOP)
        until(lambda: node.hosts().get(f"fz/{name}", stopped) != stopped, 20)
        assert until(lambda: node.call("one", "value", timeout=0.5)) == 1


def test_a_node_with_a_stopped_host_can_be_closed() -> None:
    with foundation.start(apps.Home, hosts=1, name="fc", log_level=60) as node:
        os.kill(host_pid(node, "w1"), signal.SIGSTOP)


def test_the_application_moves_as_often_as_its_host_is_killed() -> None:
    with foundation.start(apps.Home, hosts=2, name="mv", log_level=60) as node:
        for _ in range(8):
            home = until(lambda: node.call("one", "pid", timeout=1))
            os.kill(home, signal.SIGKILL)
            assert until(lambda home=home: node.call("one", "pid", timeout=1) != home)
