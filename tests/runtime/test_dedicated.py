"""Dedicated hosts end when nobody needs them."""

from __future__ import annotations

import sys

import pytest

import foundation
from foundation.errors import AlreadyStarted, Unsendable
from foundation.otp.application import INSTALLERS, Application
from foundation.runtime import host_actor
from foundation.runtime.messages import HostOptions, PeerDown
from foundation.runtime.node import Node
from foundation.runtime.program import NodeOptions
from tests.runtime import apps
from tests.runtime.test_node import until


def hurry(kernel: object) -> None:
    """Installed in every host."""
    host_actor.UNUSED_SECONDS = 0.2


def _no_dedicated(node: Node) -> bool:
    return not any("/d" in host for host in node.hosts())


def test_a_dedicated_host_whose_process_never_began_ends() -> None:
    async def body() -> None:
        with pytest.raises(AlreadyStarted):
            await apps.Where.start(name="one", isolation="host")

    with foundation.start(apps.Home, hosts=1) as node:
        node.run(body)
        until(lambda: _no_dedicated(node))


def test_a_dedicated_host_that_nobody_uses_ends() -> None:
    async def body() -> None:
        with pytest.raises(Unsendable):
            await apps.Where.start(sys._getframe(), isolation="host")

    options = HostOptions(
        sys_path=tuple(sys.path), installers=(*INSTALLERS, f"{__name__}:hurry")
    )
    application = Application((), NodeOptions("hurry", hosts=1, host_options=options))
    with application as node:
        node.run(body)
        until(lambda: _no_dedicated(node))


def test_a_late_hello_does_not_raise_the_dead() -> None:
    with foundation.start(None, hosts=0) as node:
        host = node.asynchronous.program.running
        host.receive(PeerDown("n/w9", 1), None)
        assert not host.kernel.remote.host_up("n/w9", 1)
        assert host.kernel.remote.host_up("n/w9", 2)
