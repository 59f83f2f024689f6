"""The functions that code inside a process uses: ``me``, ``send``, ``call``, ``link`` …

A context variable knows the current process. Each function says what happens when there is
none: programs outside use a node's methods of the same names instead.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Literal, overload

from foundation.errors import BlockingCall, CallExit, NameTaken, NoProc, NotInProcess
from foundation.kernel.process import (
    CAST,
    CURRENT,
    UNSET,
    Caller,
    FunctionProcess,
    Killed,
    Process,
    Receive,
    exit_error,
    park,
)
from foundation.kernel.timers import Timer
from foundation.kernel.values import Alias, Pid, Ref

_NOTHING: Any = UNSET


def current() -> Process:
    """Return the current process.

    Raises:
        NotInProcess: there is none.
    """
    process = CURRENT.get()
    if process is None:
        raise NotInProcess(
            "this function works inside a process only (a callback of a server, or a function "
            "run by spawn or Task); outside, use the methods of the node: node.call(...), "
            "node.cast(...), node.whereis(...)"
        )
    return process


def me() -> Pid:
    """Return the pid of the current process."""
    return current().pid


def send(dest: Any, message: Any) -> None:
    """Send *message* to *dest*; it arrives as ``handle_info(message)``.

    Never waits. To a dead pid: nothing happens.

    Args:
        dest: a pid, an alias, a registered name or a ``Via``.
        message: anything that can be copied.

    Raises:
        NoProc: *dest* is a name that nobody holds.
        Unsendable: *message* cannot be copied.
    """
    kernel = current().kernel
    pid = dest if type(dest) is Pid else None
    if pid is None or pid[0] == kernel.address:
        message = kernel.isolate(message)
    if not kernel.deliver(dest, message):
        raise NoProc("noproc", dest, message)


def cast(server: Any, request: Any) -> None:
    """Send *request* to *server*, to be handled by ``handle_cast``; no reply, never fails.

    Args:
        server: a pid, a registered name or a ``Via``; may be dead or unknown.
        request: anything that can be copied.

    Raises:
        Unsendable: *request* cannot be copied.
    """
    kernel = (CURRENT.get() or current()).kernel
    process = kernel.procs.get(server) if type(server) is Pid else None
    if process is None:
        kernel.deliver(server, kernel.isolate(request), CAST)
        return
    process.mailbox.append((CAST, kernel.isolate(request)))
    if process.idle:
        kernel.ready(process)
    elif process.waiting is not None:
        process.parked_message()


def call(server: Any, request: Any, *, timeout: float | None = 5.0) -> Coroutine[Any, Any, Any]:
    """Send *request* to *server* and wait for the reply: ``value = await call(...)``.

    While this process waits, its other messages wait too; exit signals do not.

    Args:
        server: a pid, a registered name or a ``Via``.
        request: anything that can be copied.
        timeout: seconds to wait; None waits for ever. When it passes, the request may still
            be carried out; a late reply is dropped.

    Raises:
        BlockingCall: at once, when called from a plain ``def`` handler.
        NoProc, CallingSelf, CallTimeout, NoConnection, CallExit: see ``foundation.errors``.
    """
    process = CURRENT.get() or current()
    if process.coro is None and process.kernel.running is process:
        raise BlockingCall(
            f"call({server!r}, ...) was made in a plain `def` callback of {process!r}, which "
            "would block its whole host; write the callback as `async def` and `await call(...)`"
        )
    return _call(process, server, request, timeout, False)


def system_call(
    server: Any, request: Any, *, timeout: float | None = 5.0
) -> Coroutine[Any, Any, Any]:
    """Like ``call``, for requests that the process itself serves (``otp/sys.py``)."""
    process = current()
    if process.coro is None and process.kernel.running is process:
        raise BlockingCall(
            f"a system request to {server!r} was made in a plain `def` callback of "
            f"{process!r}; write the callback as `async def` and await it"
        )
    return _call(process, server, request, timeout, True)


async def _call(
    process: Process, server: Any, request: Any, timeout: float | None, system: bool
) -> Any:
    kernel = process.kernel
    if kernel.stepping is not process:
        return await call_from_task(kernel, process.pid, server, request, timeout, system)
    token = None
    if kernel.hand_overs and not system:
        token = kernel.hand_over(process, server, request)
        if token is not None and token.done and process.exiting is UNSET:
            ok, value = kernel.handed_over.outcome
            if ok:
                return value
            _explain(value, server, request, timeout)
            raise value
    if token is None:
        token = kernel.request(process, process.pid, server, request, system)
    process.waiting = token
    start, counts = kernel.driver.now(), kernel.counts
    if timeout is not None:
        process.set_deadline(start + timeout)
    timed = start >= counts.time_from and not system and counts.times(start, server, request)
    try:
        value = await park(token)
        if timed:
            _time(kernel, start)
        return value
    except CallExit as error:
        if timed and error.reason == "timeout":
            _time(kernel, start)
        _explain(error, server, request, timeout)
        raise
    finally:
        if token.ref:
            kernel.remote.forget_call(token)


def _time(kernel: Any, start: float) -> None:
    now = kernel.driver.now()
    kernel.counts.timed.append((now, now - start))


def _explain(error: CallExit, server: Any, request: Any, timeout: float | None) -> None:
    error.server, error.request, error.timeout = server, request, timeout
    error.args = (error.reason, server, request, timeout)


class FutureSink:
    """Takes replies for code that is no process: an asyncio task, the embedding program."""

    __slots__ = ("future",)

    def __init__(self, future: Any) -> None:
        self.future = future

    def resolve(self, token: Any, ok: bool, value: Any) -> None:
        """Complete the future, unless it is done (a late reply)."""
        if not ok:
            self._fail(lambda: value)
        elif not self.future.done():
            self.future.set_result(value)

    def _fail(self, error: Callable[[], Any]) -> None:
        if not self.future.done():
            self.future.set_exception(error())
            self.future.exception()  # that nobody waits for it any more is no fault to be logged

    async def wait(
        self, kernel: Any, timeout: float | None, late: Callable[[], Exception]
    ) -> Any:
        """Wait for the reply; after *timeout* seconds raise what *late* returns."""
        handle = None
        if timeout is not None:
            handle = kernel.driver.call_later(timeout, lambda: self._fail(late))
        try:
            return await self.future
        finally:
            if handle is not None:
                handle.cancel()


async def call_from_task(
    kernel: Any,
    pid: Pid,
    server: Any,
    request: Any,
    timeout: float | None,
    system: bool = False,
) -> Any:
    """Make a call from an asyncio task of the kernel's loop, which need be no process."""
    sink = FutureSink(kernel.driver.new_future())
    token = kernel.request(sink, pid, server, request, system)
    start, counts = kernel.driver.now(), kernel.counts
    timed = start >= counts.time_from and not system and counts.times(start, server, request)

    def late() -> Exception:
        kernel.timers.timed_out(token)
        return exit_error("timeout", server, request, timeout)

    try:
        value = await sink.wait(kernel, timeout, late)
        if timed:
            _time(kernel, start)
        return value
    except CallExit as error:
        if timed and error.reason == "timeout":
            _time(kernel, start)
        _explain(error, server, request, timeout)
        raise
    finally:
        if token.ref:
            kernel.remote.forget_call(token)


def reply(caller: Caller, value: Any) -> None:
    """Answer *caller*, the second argument of ``handle_call``; may be done later, or elsewhere.

    The second answer to one call, and one to a dead caller, are dropped.
    """
    process = current()
    if type(caller) is not Caller:
        raise TypeError(f"reply() takes the caller that handle_call got, got {caller!r}")
    kernel = process.kernel
    kernel.answer(caller, True, value if caller.sink is None else kernel.isolate(value))


async def receive(
    match: Callable[[Any], bool] | None = None, *, timeout: float | None = None
) -> Any:
    """Wait for the first message that *match* accepts; the others stay, in order.

    For processes made by ``spawn``, and for an ``async def`` callback that waits for a message
    it knows; a server gets its other messages by ``handle_info``.

    Args:
        match: says whether to take a message; None takes any.
        timeout: seconds to wait; None waits for ever.

    Raises:
        TimeoutError: nothing came in time.
        BlockingCall: it was awaited in a plain `def` callback, or in an asyncio task.
    """
    process = current()
    if process.kernel.stepping is not process:
        raise BlockingCall(
            f"receive() of {process!r} was awaited in an asyncio task (gather, create_task): "
            "only the process itself can take messages from its mailbox; await it there"
        )
    message = process.take(match)
    if message is not UNSET:
        return message
    token = Receive(match)
    process.waiting = token
    if timeout is not None:
        process.set_deadline(process.kernel.driver.now() + timeout)
    if isinstance(process, FunctionProcess):
        process.idle = True
    message = await park(token)
    if message is UNSET:
        raise TimeoutError(f"no matching message within {timeout} s")
    return message


def whereis(name: Any) -> Pid | None:
    """Return the pid that holds *name* (or a ``Via``), or None."""
    return current().kernel.resolve(name)


def spawn(function: Callable[..., Any], *args: Any, link: bool = False, **kwargs: Any) -> Pid:
    """Start a process in this host that runs *function*, a ``def`` or ``async def``.

    Arguments are copied as messages are.
    """
    process = current()
    kernel = process.kernel
    payload = (function, kernel.isolate(args), kernel.isolate(kwargs))
    return kernel.spawn(FunctionProcess, payload, parent=process, link=link).pid


def spawn_link(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Pid:
    """Start a process and link it, in one step: its end is never missed."""
    return spawn(function, *args, link=True, **kwargs)


def spawn_monitor(function: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Pid, Ref]:
    """Start a process and monitor it, in one step."""
    pid = spawn(function, *args, **kwargs)
    return pid, monitor(pid)


def link(pid: Pid) -> None:
    """Link this process with *pid*: when one ends other than ``normal``, so does the other.

    With a dead pid the EXIT signal ``noproc`` comes back.
    """
    process = current()
    process.kernel.signals.link(process, pid)


def unlink(pid: Pid) -> None:
    """Remove the link with *pid*. An EXIT message already queued stays queued."""
    process = current()
    process.kernel.signals.unlink(process, pid)


def monitor(target: Any) -> Ref:
    """Be told by one ``Down(ref, target, reason)`` when *target* (pid or name) ends.

    When there is no such process, the ``Down`` comes at once with reason ``noproc``.
    """
    process = current()
    return process.kernel.signals.monitor(process, target)


@overload
def demonitor(ref: Ref, *, flush: bool = False) -> Literal[True]: ...
@overload
def demonitor(ref: Ref, *, flush: bool = False, info: bool) -> bool: ...
def demonitor(ref: Ref, *, flush: bool = False, info: bool = False) -> bool:
    """Stop a monitor.

    Args:
        ref: what ``monitor`` returned.
        flush: also remove the ``Down`` if it is queued already.
        info: answer whether the monitor was still live; otherwise the answer is True.
    """
    process = current()
    live = process.kernel.signals.demonitor(process, ref, flush)
    return live if info else True


def exit(pid: Pid, reason: Any) -> None:
    """Send the exit signal *reason* to *pid*.

    A process that traps exits gets an ``ExitMsg``; otherwise it ends with *reason*, unless
    that is ``normal``. ``kill`` cannot be trapped and is seen as ``killed`` by others.
    A process may signal itself; to end with a reason, ``raise Exit(reason)``.
    """
    process = current()
    if pid == process.pid and (not process.trapping or reason == "kill"):
        raise Killed("killed" if reason == "kill" else reason)
    process.kernel.signals.signal(process.pid, pid, reason)


def trap_exit(on: bool = True) -> bool:
    """Turn exit signals into ``ExitMsg`` messages, or back; return the former setting."""
    process = current()
    before, process.trapping = process.trapping, on
    return before


def send_after(seconds: float, dest: Any, message: Any) -> Timer:
    """Send *message* to *dest* after *seconds*, never before.

    A name is looked up when the time has come. ``timer.cancel()`` stops it.
    """
    kernel = current().kernel
    return kernel.timers.send_after(seconds, dest, kernel.isolate(message))


def cancel_timer(timer: Timer) -> float | bool:
    """Stop *timer*; return the seconds left, or False when it was too late."""
    return timer.cancel()


def alias(*, once: bool = False) -> Alias:
    """Return a temporary address of this process; with *once* for a single message."""
    process = current()
    process.kernel._ref += 1
    made = Alias(process.pid, process.kernel._ref)
    aliases = process.get_extra("aliases")
    if aliases is None:
        process.set_extra("aliases", aliases := {})
    aliases[made.number] = once
    return made


def unalias(made: Alias) -> bool:
    """Withdraw an alias of this process; False when it was withdrawn or used up already."""
    return current().get_extra("aliases", {}).pop(made.number, None) is not None


async def register(name: Any, pid: Pid | None = None) -> None:
    """Register *pid*, a process of this host (default: this one), under *name*.

    Raises:
        NameTaken: the name is held, or the process has one, or is dead.
    """
    process = current()
    kernel = process.kernel
    target = kernel.procs.get(pid or process.pid)
    if target is None or target.name is not None:
        raise NameTaken(name, pid)
    holder = await claim(process, name, target)
    if holder is not None:
        raise NameTaken(name, holder)


async def claim(process: Process, name: Any, target: Process) -> Pid | None:
    """Claim *name* for *target*; return the holder when it is taken.

    Raises:
        RegistryError: *name* is a ``Via`` that cannot be used.
    """
    token = Caller(process, process.pid, process.pid, None)

    def done(holder: Any) -> None:
        if holder is None and target.state != "dead":
            target.name = name
        token.server = None
        process.resolve(token, not isinstance(holder, Exception), holder)

    holders: list[Any] = []
    process.kernel.claim_name(
        name, target.pid, lambda h: done(h) if process.waiting is token else holders.append(h)
    )
    if holders:
        if holders[0] is None:
            target.name = name
        elif isinstance(holders[0], Exception):
            raise holders[0]
        return holders[0]  # type: ignore[no-any-return]
    process.waiting = token
    return await park(token)  # type: ignore[no-any-return]


def unregister(name: Any) -> None:
    """Give up *name*, if a process of this host holds it."""
    kernel = current().kernel
    pid = kernel.resolve(name)
    target = kernel.procs.get(pid) if pid is not None else None
    if target is None or target.name != name:
        raise NameTaken(name, pid)
    target.name = None
    kernel.release_name(name, target.pid)


def alive(pid: Pid) -> bool:
    """Whether *pid* is alive; for a process of another host: whether that host is."""
    kernel = current().kernel
    if pid.host == kernel.address:
        return pid in kernel.procs
    return kernel.remote.reachable(pid)


def process_info(pid: Pid) -> dict[str, Any] | None:
    """Describe the process *pid* of this host; None when it is dead or elsewhere."""
    process = current().kernel.procs.get(pid)
    return None if process is None else describe(process)


def describe(process: Process) -> dict[str, Any]:
    """Describe *process* as plain data."""
    return {
        "pid": process.pid,
        "name": process.name,
        "kind": process.kind,
        "state": process.state,
        "mailbox": len(process.mailbox),
        "links": list(process.links or ()),
        "monitors": list(process.monitors or ()),
        "monitored_by": [w for w, _ in (process.watchers or {}).values()],
        "trap_exit": process.trapping,
        "parent": process.parent,
        "ancestors": list(process.get_extra("ancestors", ())),
        "callers": list(process.get_extra("callers", ())),
    }
