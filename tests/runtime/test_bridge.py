"""Servers and plain Thespian actors talk to each other, both ways."""

from __future__ import annotations

import contextlib
import os
import signal
from datetime import timedelta
from typing import Any

import pytest

import foundation
from foundation.errors import CallExit
from foundation.kernel import ops
from foundation.otp.thespian_actor import GetAddress, ThespianActor
from foundation.runtime.messages import Answer, Envelope
from tests.runtime import apps
from tests.runtime.test_node import host_pid, until


def test_a_plain_actor_is_a_supervised_child() -> None:
    with foundation.start(apps.EchoTree, hosts=1) as node:
        assert node.call("echo", "hello") == ("echo", "hello")
        first = node.whereis("echo")
        node.cast("echo", "die")
        assert until(lambda: node.whereis("echo") not in (None, first))
        assert until(lambda: node.call("echo", "again")) == ("echo", "again")


def test_an_actor_that_is_killed_is_restarted() -> None:
    import psutil

    with foundation.start(apps.EchoTree, hosts=1, name="pa") as node:
        assert node.call("echo", 1) == ("echo", 1)
        worker = psutil.Process(host_pid(node, "w1"))

        def actors() -> list[int]:
            found = []
            for process in worker.children():
                with contextlib.suppress(psutil.Error):  # it may be a zombie just now
                    if "resource_tracker" not in " ".join(process.cmdline()):
                        found.append(process.pid)
            return found

        (actor,) = actors()
        os.kill(actor, signal.SIGKILL)
        assert until(lambda: actors() not in ([], [actor]))
        assert until(lambda: node.call("echo", 2)) == ("echo", 2)


def test_what_cannot_be_pickled_is_refused_and_an_answer_comes_all_the_same() -> None:
    async def body(address: Any) -> None:
        bridge = apps.Asker.start(host="w1")
        with pytest.raises(CallExit) as caught:
            await ops.call(await bridge, (address, lambda: 1))
        assert "Unsendable" in caught.value.reason.type

    with foundation.start(apps.Lambda, hosts=1) as node:
        address = node.actor_address("lambda")
        answer = node.actor_system.ask(address, Envelope("lambda", "lambda"), timedelta(seconds=5))
        assert not answer.ok
        assert "Unsendable" in answer.value.type
        assert node.call("lambda", "lambda")() == 1
        node.run(body, address)
    with pytest.raises(ValueError, match="kind"):
        Envelope("one", "value", "bogus")


def test_a_thespian_program_asks_a_server() -> None:
    with foundation.start(apps.Home, hosts=1) as node:
        address = node.actor_address("one")
        system = node.actor_system
        assert system.ask(address, Envelope("one", "value"), 5) == Answer(True, 1)
        system.tell(address, Envelope("one", "told", kind="cast"))
        assert until(lambda: node.call("one", "value") == "told")
        system.tell(address, Envelope("one", "informed", kind="info"))
        assert until(lambda: node.call("one", "value") == "informed")
        assert system.ask(address, Envelope("nobody", 1), 5) == Answer(False, "noproc")
        failed = system.ask(address, Envelope("one", "crash"), 5)
        assert not failed.ok
        assert failed.value.message == "asked to crash"


def test_a_dedicated_server_takes_plain_messages() -> None:
    with foundation.start(apps.Dedicated, hosts=1) as node:
        address = node.actor_address("own")
        assert node.actor_system.ask(address, "value", 5) == "own"


def test_an_actor_asks_a_server_and_a_server_an_actor() -> None:
    async def body() -> None:
        echo = await ThespianActor.start_link(apps.Echo, host="w1")
        address = await ops.call(echo, GetAddress())
        asker = await apps.Asker.start_link(host="w1")
        assert await ops.call(asker, (address, "ping")) == ("echo", "ping")
        server = node.actor_address("one")
        assert await ops.call(asker, (address, ("via", server))) == ("answer", True, 1)
        await apps.Asker.start(name="local")
        with pytest.raises(CallExit, match="worker"):
            await ops.call("local", (address, "ping"))

    with foundation.start(apps.Home, hosts=1) as blocking:
        node = blocking.asynchronous
        blocking.run(body)
