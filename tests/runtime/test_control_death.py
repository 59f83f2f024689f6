"""The control host dies: names of the program stay, the node comes back and counts the deaths."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Any

import pytest

import foundation
from foundation.errors import AlreadyStarted, NodeError
from foundation.runtime import program
from foundation.runtime.node import Node
from tests.runtime import apps
from tests.runtime.test_node import until


def _kill_control(node: Node) -> None:
    before = until(lambda: node.hosts().get(f"{node.name}/control"))
    os.kill(before, signal.SIGKILL)
    until(lambda: node.hosts().get(f"{node.name}/control") != before)


async def _start(name: str, host: str | None = None) -> Any:
    return await apps.Where.start(name=name, host=host)


def test_a_name_held_in_the_program_outlives_the_control_host() -> None:
    with foundation.start(apps.Home, hosts=1) as node:
        mine = node.run(_start, "mine")
        _kill_control(node)
        other = node.run(_start, "other")  # claimed while there may be no control host
        until(lambda: node.call("one", "value") == 1)
        for name, pid in (("mine", mine), ("other", other)):
            with pytest.raises(AlreadyStarted):
                node.run(_start, name, "w1")
            assert node.whereis(name) == pid


def test_deaths_long_ago_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "CONTROL_WINDOW", 0.0)
    with foundation.start(apps.Home, hosts=1) as node:
        for _ in range(4):
            _kill_control(node)
            until(lambda: node.call("one", "value") == 1)


def test_a_control_host_that_dies_again_and_again_is_the_end_of_the_node() -> None:
    with foundation.start(apps.Home, hosts=1) as node:
        running = node.asynchronous.program
        while running.failure is None:
            control = node.hosts().get(f"{node.name}/control")
            if control is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(control, signal.SIGKILL)
                until(lambda gone=control: gone not in node.hosts().values())
        with pytest.raises(NodeError, match="died"):
            node.call("one", "value")
