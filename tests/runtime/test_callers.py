"""A caller may be answered by a process in another host; an unsendable reply is a crash."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import foundation
from foundation.errors import CallExit
from foundation.kernel import ops
from foundation.otp.gen_server import GenServer
from foundation.otp.results import NoReply
from tests.runtime import apps


class Front(GenServer):
    """Leaves the answer to another process."""

    def init(self, back: Any) -> None:
        self.back = back

    def handle_call(self, request: Any, caller: Any) -> Any:
        if request == "lock":
            return threading.Lock()
        ops.cast(self.back, (caller, request))
        return NoReply()


class Back(GenServer):
    def init(self, onward: Any = None) -> None:
        self.onward = onward

    def handle_cast(self, request: Any) -> None:
        caller, value = request
        if self.onward is not None:
            ops.cast(self.onward, request)
        else:
            ops.reply(caller, ("answered", value))
            ops.reply(caller, "twice")


@pytest.mark.parametrize(
    ("front", "middle", "back"),
    [("w1", "w2", "main"), ("w1", "w2", "w2"), ("main", "w1", "w2"), ("main", "main", "main")],
)
def test_any_process_may_answer(front: str, middle: str, back: str) -> None:
    async def body() -> None:
        last = await Back.start(host=back)
        first = await Front.start(await Back.start(last, host=middle), host=front)
        for n in range(3):
            assert await ops.call(first, n) == ("answered", n)
        with pytest.raises(TimeoutError):
            await ops.receive(timeout=0)

    with foundation.start(None, hosts=2) as node:
        node.run(body)


@pytest.mark.parametrize("host", ["main", "w1"])
def test_an_unsendable_reply_is_a_crash_of_the_server(host: str) -> None:
    async def body() -> None:
        server = await Front.start(None, host=host)
        with pytest.raises(CallExit) as caught:
            await ops.call(server, "lock")
        assert "Unsendable" in caught.value.reason.type
        with pytest.raises(CallExit):
            await ops.call(server, "anything")

    with foundation.start(None, hosts=1) as node:
        node.run(body)


__all__ = ["apps"]
