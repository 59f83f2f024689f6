"""The observer of a node: it asks the node's facades, for tools that cannot."""

from __future__ import annotations

from typing import Any

from foundation.kernel.ops import spawn
from foundation.observer import parts
from foundation.observer.messages import SERVER, Metrics, Parts
from foundation.otp import GenServer, NoReply, reply
from foundation.otp.child_spec import ChildSpec
from foundation.runtime.overview import ROWS_MOST


class Observer(GenServer):
    """Answers ``Parts`` and ``Metrics``.

    One on each node, in a worker host, since facades may run code of users.
    """

    def handle_call(self, request: Any, caller: Any) -> Any:
        """Answer from a process of its own: what is slow delays nobody else."""
        if not isinstance(request, (Parts, Metrics)):
            return super().handle_call(request, caller)
        spawn(_answer, request, caller)
        return NoReply()

    @classmethod
    def spec(cls, *args: Any, **options: Any) -> ChildSpec:
        """Return the child specification of the observer of a node."""
        return super().spec(*args, **{"name": SERVER, "host": "worker", **options})


async def _answer(request: Parts | Metrics, caller: Any) -> None:
    if isinstance(request, Metrics):
        reply(caller, await parts.metrics())
    else:
        reply(caller, await parts.collect(max(1, min(request.rows, ROWS_MOST))))
