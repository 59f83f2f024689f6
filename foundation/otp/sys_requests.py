"""System requests: what a server process answers itself, whatever its callbacks do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from foundation.errors import Exit
from foundation.kernel.codec import dumps, register
from foundation.kernel.process import Caller
from foundation.kernel.values import Crash
from foundation.otp.debug import Debug, debug_of

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
        return self.op in ("stop", "export_state", "install")


@dataclass(frozen=True, slots=True)
class SysFailed:
    """The answer when a request failed; the server lives on."""

    reason: Any


def serve(process: ServerProcess, caller: Caller) -> None:
    """Serve the system request of *caller*."""
    request, kernel = caller.request, process.kernel
    if request.op == "stop":
        process.current = caller
        process.stop(*request.args)
        return
    try:
        if request.op == "export_state":
            process.current = caller
            _export_state(process, *request.args)
            return
        value = HANDLERS[request.op](process, *request.args)
        kernel.answer(caller, True, value if caller.sink is None else kernel.isolate(value))
    except (Exception, Exit) as error:
        kernel.answer(caller, True, SysFailed(Crash.from_exception(error)))


def _export_state(process: ServerProcess, reason: Any, most: int) -> None:
    """Answer with the bytes of what ``export_state()`` returns and end, in one step.

    No message is handled in between, so what is exported is the last state there was. The server
    lives on when it cannot be exported, or has more bytes than *most*.
    """
    caller = process.current
    state = process.server.export_state()
    if type(state) is CoroutineType:
        state.close()
        raise TypeError("export_state must be a plain `def`: nothing may happen meanwhile")
    data = dumps(state)
    if len(data) > most:
        raise ValueError(f"it has {len(data):,} bytes, and may have {most:,}")
    process.kernel.answer(caller, True, data)
    process.current = None
    process.stop(reason)


def _get_state(process: ServerProcess) -> dict[str, Any]:
    from foundation.otp.describe import state_of

    return {name: _shown(process, value) for name, value in state_of(process.server).items()}


def _shown(process: ServerProcess, value: Any) -> Any:
    """Return a copy of *value*; its text when it cannot be copied (a socket, a lock)."""
    try:
        return process.kernel.isolate(value)
    except Exception:
        return repr(value)


def _replace_state(process: ServerProcess, function: Callable[[Any], Any]) -> dict[str, Any]:
    from foundation.otp.describe import state_of

    new = function({k: _own(process, v) for k, v in state_of(process.server).items()})
    if type(new) is not dict or not all(type(name) is str for name in new):
        raise TypeError(
            "the function given to replace_state must return the dict of the server's "
            f"attributes, got {new!r}"
        )
    # Made before anything is changed, so that a failure leaves all as it was.
    new = {name: _own(process, value) for name, value in new.items()}
    set_state(process.server, new)
    return _get_state(process)


def _own(process: ServerProcess, value: Any) -> Any:
    """Return a copy of *value*, or itself when it cannot be copied."""
    try:
        return process.kernel.isolate(value)
    except Exception:
        return value


def set_state(server: Any, state: dict[str, Any]) -> None:
    """Make *state* the attributes of *server*."""
    from foundation.otp.describe import state_of

    for name in state_of(server):
        if name not in state:
            delattr(server, name)
    for name, value in state.items():
        setattr(server, name, value)


def _get_status(process: ServerProcess) -> dict[str, Any]:
    from foundation.kernel.ops import describe
    from foundation.otp.describe import state_of

    status = describe(process)
    debug = process.debug
    status["class"] = process.describe_class()
    status["suspended"] = debug is not None and debug.suspended
    status["debug"] = [] if debug is None else debug.switched_on()
    server = process.server
    status["attributes"] = _shown(process, server.format_status(state_of(server)))
    return status


def _migrate(process: ServerProcess, old_version: Any, extra: Any) -> None:
    from foundation.otp.describe import state_of

    if process.debug is None or not process.debug.suspended:
        raise RuntimeError("a server migrates while it is suspended: await sys.suspend(server)")
    server = process.server
    migrate = getattr(server, "migrate", None)
    if migrate is None:
        raise NotImplementedError(
            f"{type(server).__qualname__} has no method migrate(old_version, extra)"
        )
    before = {k: _own(process, v) for k, v in state_of(server).items()}
    try:
        migrate(old_version, extra)
    except BaseException:
        set_state(server, before)
        raise


def _suspend(process: ServerProcess) -> None:
    debug_of(process).suspend(process)


def _resume(process: ServerProcess) -> None:
    if process.debug is not None:
        process.debug.suspended = False
        process.debug.settle(process)


HANDLERS: dict[str, Callable[..., Any]] = {
    "get_state": _get_state,
    "get_status": _get_status,
    "install": Debug.install,
    "log": Debug.set_log,
    "migrate": _migrate,
    "read": Debug.read,
    "remove": Debug.remove,
    "replace_state": _replace_state,
    "resume": _resume,
    "statistics": Debug.set_statistics,
    "suspend": _suspend,
    "trace": Debug.set_trace,
}

register(SysRequest, 40, ("op", "args"))
register(SysFailed, 80)

__all__ = ["SysFailed", "SysRequest", "serve", "set_state"]
