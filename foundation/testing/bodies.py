"""Running the body of a test as a process, and telling what is left when it has ended."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from foundation.errors import Exit, FoundationError
from foundation.kernel.kernel import Kernel
from foundation.kernel.process import Caller, FunctionProcess, Killed, Process, Receive
from foundation.kernel.timers import Timer
from foundation.kernel.values import Pid


class BodyExited(FoundationError):
    """The body's process was ended by an exit signal, e.g. of a linked server that crashed.

    Attributes:
        reason: the exit reason.
    """

    def __init__(self, reason: Any) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        text = getattr(self.reason, "traceback_text", "")
        return (
            f"the process of the test's body was ended by an exit signal with the reason "
            f"{self.reason!r}; call trap_exit() in the body to get an ExitMsg instead"
            + (f"\n{text}" if text else "")
        )


class Body:
    """One body: started in a kernel, watched until its process has ended.

    Args:
        function: ``def`` or ``async def``; runs as a light process.
        args: its arguments, passed as they are.
        on_end: called when the process has ended.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        on_end: Callable[[], None] | None = None,
    ) -> None:
        self._function = function
        self._args = args
        self._on_end = on_end
        self._result: tuple[bool, Any] | None = None
        self.ended = False
        self.pid: Pid | None = None

    def start(self, kernel: Kernel) -> Process:
        """Start the process in *kernel*."""
        process = kernel.spawn(
            FunctionProcess, (self._main, (), {}), extra={"exit_hooks": (self._hook,)}
        )
        self.pid = process.pid
        return process

    async def _main(self) -> None:
        try:
            result = self._function(*self._args)
            if inspect.isawaitable(result):
                result = await result
        except Killed:  # a signal to itself
            raise
        except BaseException as error:
            if self.ended:  # a signal from outside: what it awaited has been cancelled
                raise
            self._result = (False, error)
        else:
            self._result = (True, result)
        raise Exit("shutdown")  # so that what is linked to the body ends with it

    def _hook(self, process: Process, reason: Any) -> None:
        if self._result is None or (self._result[0] and reason != "shutdown"):
            self._result = (False, BodyExited(reason))
        self.ended = True
        if self._on_end is not None:
            self._on_end()

    def result(self) -> Any:
        """Return what the body returned, or raise what it raised."""
        assert self._result is not None
        ok, value = self._result
        if ok:
            return value
        try:
            raise value
        finally:
            del value, self  # no cycle through the traceback


def set_done(future: Any) -> None:
    """Complete *future*, unless the wait for it was given up."""
    if not future.done():
        future.set_result(None)


def describe_wait(process: Process) -> str:
    """Say in one line what *process* is and what it waits for."""
    name = f" {process.name!r}" if process.name is not None else ""
    server = getattr(process, "server", None)
    kind = type(server).__qualname__ if server is not None else process.kind
    if process.kind == "function":
        kind = f"function {process.last_message()}"
    return f"{process.pid!r}{name} ({kind}): {_what_for(process)}"


def _what_for(process: Process) -> str:
    token = process.waiting
    if process.state == "starting" and token is None:
        return "starting"
    if token is None:
        return "ready" if process.queued else "idle"
    if isinstance(token, Caller):
        if token.request is None and token.server == process.pid:
            return "waits for a process to start or for a name"
        target = token.server.pid if isinstance(token.server, Process) else token.server
        return f"waits for the reply of {target!r} to {token.request!r}"
    if isinstance(token, Receive):
        return f"waits in receive(), {len(process.mailbox)} other messages in its mailbox"
    return f"waits for {token!r}"


def parked(kernels: Iterable[Kernel]) -> list[str]:
    """Describe the processes that wait in the middle of something."""
    return [
        describe_wait(process)
        for kernel in kernels
        for process in kernel.procs.values()
        if process.waiting is not None
    ]


def leftovers(kernel: Kernel, keep: frozenset[Pid] = frozenset()) -> list[str]:
    """Describe what is left in *kernel*, but for the processes to *keep*."""
    found = [
        f"process {describe_wait(process)}"
        for pid, process in kernel.procs.items()
        if pid not in keep
    ]
    found += [
        f"name {name!r} of {pid!r}"
        for name, pid in kernel.names.items()
        if _ours(kernel, pid) and pid not in keep
    ]
    for when, _, timer in sorted(kernel.timers._heap, key=lambda item: item[:2]):
        if isinstance(timer, Timer) and not _harmless(kernel, timer):
            found.append(f"timer for {timer.dest!r} at {when:.3f}: {timer.message!r}")
    return found


def _ours(kernel: Kernel, pid: Pid) -> bool:
    return pid.host == kernel.address


def _harmless(kernel: Kernel, timer: Timer) -> bool:
    """Whether nobody will ever get the message: the timer is cancelled, or its process dead."""
    dest = timer.dest
    if isinstance(dest, Pid):
        return _ours(kernel, dest) and dest not in kernel.procs
    return dest is None
