"""The requests that supervisors serve, and how refusals travel back.

A refusal is a value, so that it crosses hosts unchanged; the caller's side raises the error it
stands for.
"""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from foundation import errors
from foundation.kernel import ops
from foundation.kernel.codec import register
from foundation.kernel.process import Process
from foundation.otp.child_spec import ChildSpec


class Ask:
    """The request *op* to a supervisor; what ``args`` holds is isolated already."""

    __slots__ = ("args", "op")
    __immutable__ = True  # or the kernel would copy a spec that is shared on purpose

    def __init__(self, op: str, args: tuple[Any, ...]) -> None:
        self.op = op
        self.args = args

    def __repr__(self) -> str:
        return f"{self.op}{self.args!r}"


@dataclass(frozen=True, slots=True)
class Refused:
    """The answer to a request that was refused; *why* is a key of ``_ERRORS``."""

    why: str
    detail: Any = None
    what: str = ""

    def error(self, supervisor: Any, request: Ask) -> Exception:
        """Return the exception it stands for."""
        kind = _CHILD_ERRORS.get(self.why)
        if kind is not None:
            return kind(self.detail)
        if self.why == "already_started":
            return errors.AlreadyStarted(self.detail, self.what)
        if self.why == "spec":
            return errors.InvalidChildSpec(self.detail)
        if self.why == "deadlock":
            return errors.WouldDeadlock("calling_self", supervisor, request)
        return errors.StartError(self.detail, self.what)


_CHILD_ERRORS: dict[str, type[errors.ChildError]] = {
    "not_found": errors.ChildNotFound,
    "running": errors.ChildRunning,
    "restarting": errors.ChildRestarting,
    "already_present": errors.AlreadyPresent,
    "max_children": errors.MaxChildren,
}


def refusal(error: errors.StartError) -> Refused:
    """Return the value that stands for a failed start."""
    if isinstance(error, errors.AlreadyStarted):
        return Refused("already_started", error.pid, error.what)
    return Refused("start", error.reason, error.what)


def ask(supervisor: Any, op: str, *args: Any) -> Coroutine[Any, Any, Any]:
    """Call *supervisor*; the coroutine returns its answer or raises the error it refused with.

    There is no timeout: the supervisor may be waiting for a slow child (SUP-47).

    Raises:
        BlockingCall: at once, in a plain ``def`` callback.
        WouldDeadlock: at once, in the ``init`` of a child that *supervisor* is waiting for.
    """
    process = ops.current()
    request = Ask(op, process.kernel.isolate(args))
    if process.state == "starting":
        _check_not_waiting(process, supervisor, request)
    return outcome(supervisor, request, ops.call(supervisor, request, timeout=None))


async def outcome(supervisor: Any, request: Ask, reply: Coroutine[Any, Any, Any]) -> Any:
    """Await *reply* and return it, or raise what it stands for."""
    value = await reply
    if type(value) is Refused:
        raise value.error(supervisor, request)
    return value


def _check_not_waiting(process: Process, supervisor: Any, request: Ask) -> None:
    """Refuse to call a supervisor that waits for the start of *process* or of an ancestor."""
    kernel = process.kernel
    target = kernel.resolve(supervisor)
    starting: Process | None = process
    while starting is not None and starting.state == "starting" and starting.parent is not None:
        if starting.parent == target:
            raise errors.WouldDeadlock("calling_self", supervisor, request)
        starting = kernel.procs.get(starting.parent)


def shared_spec(spec: ChildSpec, process: Process) -> ChildSpec:
    """Return *spec* so that its receiver may keep it: itself when nobody can change it."""
    _, args, kwargs = spec.start
    isolate = process.kernel.isolate
    if not kwargs and isolate(args) is args:
        return spec
    return isolate(spec)  # type: ignore[no-any-return]


register(Ask, 58, ("op", "args"))
register(Refused, 59)
