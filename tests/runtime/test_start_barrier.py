"""When ``start`` has returned, every host knows every other, and what was registered."""

from __future__ import annotations

from typing import Any

import foundation
from foundation.kernel import ops
from foundation.otp import Registry, Supervisor, via
from tests.runtime import apps


class Registered(Supervisor):
    def init(self) -> Any:
        return [
            Registry.spec(name="reg", keys="unique"),
            *[apps.Where.spec(n, id=n, name=via("reg", n)) for n in range(20)],
        ]


class Starter(apps.Where):
    async def handle_call(self, request: Any, caller: Any) -> Any:
        pid = await apps.Where.start(request, host="w2")
        return await ops.call(pid, "value")


def test_entries_made_during_the_start_are_known_to_the_program() -> None:
    for _ in range(5):
        with foundation.start(Registered, hosts=1) as node:
            assert [node.call(via("reg", n), "value") for n in (19, 0)] == [19, 0]


def test_workers_know_each_other_when_the_node_is_up() -> None:
    async def body() -> None:
        starter = await Starter.start(host="w1")
        assert await ops.call(starter, "there") == "there"

    for _ in range(5):
        with foundation.start(None, hosts=2) as node:
            node.run(body)
