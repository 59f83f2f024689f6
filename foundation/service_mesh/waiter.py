"""Waits for instances in a process of its own, so that the events are in no other's mailbox."""

from __future__ import annotations

from typing import Any

from foundation.cluster import registry as reg
from foundation.errors import FoundationError
from foundation.kernel import ops
from foundation.kernel.process import Caller
from foundation.otp import GenServer, NoReply, Stop
from foundation.service_mesh.core import core_of
from foundation.service_mesh.values import REGISTRY, ServiceInfo

WAIT = "wait"
UNASKED = 10.0  # seconds that one that nobody asks lives

_LATE, _OVER = "late", "over"


class Waiter(GenServer):
    """Answers ``WAIT`` once: the healthy instances, when there are enough or the time is over."""

    def init(self, name: str, count: int, timeout: float) -> None:
        """Wait for *count* instances of *name*, from the call on *timeout* seconds."""
        self.name = name
        self.count = count
        self.timeout = timeout
        self.caller: Caller | None = None
        reg.subscribe(REGISTRY, name)
        ops.send_after(UNASKED, ops.me(), _LATE)

    def _found(self) -> list[ServiceInfo]:
        try:
            return list(core_of(ops.current().kernel).instances(self.name).healthy)
        except FoundationError:  # the registry is being started anew
            return []

    def handle_call(self, request: Any, caller: Caller) -> Any:
        """Wait."""
        if request != WAIT or self.caller is not None:
            return super().handle_call(request, caller)
        found = self._found()
        if len(found) >= self.count:
            return Stop("normal", reply=found)
        self.caller = caller
        ops.send_after(self.timeout, ops.me(), _OVER)
        return NoReply()

    def handle_info(self, message: Any) -> Any:
        """The registry has changed, or the time is over."""
        if self.caller is None:  # who started this has ended, or is about to ask
            return Stop("normal") if message == _LATE else None
        found = self._found()
        if len(found) < self.count and message != _OVER:
            return None
        ops.reply(self.caller, found)
        return Stop("normal")


async def await_instances(name: str, count: int, timeout: float) -> list[ServiceInfo]:
    """Return the instances of *name* once there are *count*, or those after *timeout* seconds."""
    waiter = await Waiter.start(name, count, timeout)
    return await ops.call(waiter, WAIT, timeout=None)  # type: ignore[no-any-return]
