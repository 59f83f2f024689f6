"""System requests: what a server process answers itself, whatever its callbacks do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from foundation.kernel.codec import register
from foundation.kernel.process import Caller
from foundation.kernel.values import reason_of

if TYPE_CHECKING:
    from foundation.otp.server_process import ServerProcess


@dataclass(frozen=True, slots=True)
class SysRequest:
    """A request named *op* to the process itself; see ``otp/sys.py``."""

    op: str
    args: tuple[Any, ...] = field(default=())

    @property
    def in_order(self) -> bool:
        """Whether it waits for the callback that is parked, as ``stop`` does."""
        return self.op == "stop"


def serve(process: ServerProcess, caller: Caller) -> None:
    """Serve the system request of *caller*."""
    request = caller.request
    handler = HANDLERS.get(request.op)
    kernel = process.kernel
    if handler is None:
        kernel.answer(caller, False, f"unknown system request {request.op!r}")
        return
    if request.op == "stop":
        process.current = caller
        process.stop(*request.args)
        return
    try:
        value = handler(process, *request.args)
    except Exception as error:
        kernel.answer(caller, False, reason_of(error))
        return
    kernel.answer(caller, True, value if caller.sink is None else kernel.isolate(value))


HANDLERS: dict[str, Callable[..., Any]] = {"stop": lambda process, reason: None}

register(SysRequest, 40, ("op", "args"))
