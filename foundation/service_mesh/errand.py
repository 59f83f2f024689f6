"""Runs one function of this package in the host of a process: its entry is made there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from foundation.errors import NoProc
from foundation.facade import Failed
from foundation.kernel import ops
from foundation.kernel.values import Pid
from foundation.otp import GenServer, Ok, StartError, Stop, call

T = TypeVar("T")

TIMEOUT = 10.0  # seconds


class Errand(GenServer):
    """Does one thing and ends; ends, too, when nobody asks it."""

    def init(self) -> Ok:
        """Wait for the order."""
        return Ok(timeout=TIMEOUT)

    async def handle_call(self, request: Any, caller: Any) -> Stop:
        """Run a function: ``(function, args, kwargs)``."""
        function, args, kwargs = request
        try:
            answer = await function(*args, **kwargs)
        except Exception as error:
            answer = Failed(error)
        return Stop("normal", reply=answer)

    def handle_info(self, message: Any) -> Stop:
        """Nobody has asked."""
        return Stop("normal")


async def at_host_of(
    pid: Pid, function: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any
) -> T:
    """Return ``await function(*args, **kwargs)``, run in the host of *pid*.

    Raises:
        NoProc: that host is gone or cannot be reached.
        whatever *function* raises.
    """
    try:
        errand = await Errand.start(host=pid.host)
    except StartError as error:
        raise NoProc("noproc", pid, function.__name__) from error
    answer = await call(errand, (function, args, kwargs), timeout=TIMEOUT)
    if isinstance(answer, Failed):
        raise answer.error
    return answer  # type: ignore[no-any-return]


def is_here(pid: Pid) -> bool:
    """Whether *pid* lives, or lived, in this host."""
    return pid.host == ops.current().kernel.address
