"""The process that runs a supervisor, and what supervisors do with children: start and end.

A supervisor is a server whose callbacks are an *engine* (``Supervisor``'s or
``DynamicSupervisor``'s), not the user's class: that says only what to supervise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from foundation.errors import CallExit, StartError
from foundation.kernel.ops import current, receive
from foundation.kernel.peer import register_kind
from foundation.kernel.process import SYS, UNSET, Caller, Killed, Process, Receive
from foundation.kernel.reports import SupervisorReport
from foundation.kernel.starting import start
from foundation.kernel.values import Down, ExitMsg, Pid, Ref, is_clean, reason_of
from foundation.otp.child_spec import ChildSpec
from foundation.otp.results import Ignored
from foundation.otp.server_process import ServerProcess
from foundation.otp.supervision import BadChild
from foundation.otp.supervisor_calls import Refused


class SupervisorProcess(ServerProcess):
    """Runs a supervisor. It always traps exits."""

    __slots__ = ()

    kind = "supervisor"

    def begin(self) -> None:
        """Run the engine's ``init``, which asks the user's class what to supervise."""
        assert self.start_spec is not None
        cls, args, kwargs = self.start_spec
        self.start_spec = (cls.__engine__, (cls, args, kwargs), {})
        self.trapping = True
        super().begin()

    def stop(self, reason: Any, reply: Any = UNSET) -> None:
        """End in order, also when still starting: then too there are children to stop."""
        if self.state == "starting" and self.server is not None:
            self.state = "running"  # not acknowledged: the starter gets the exit reason
        super().stop(reason, reply)

    def parked_message(self) -> None:
        """Take the ``Down`` that an engine waits for; refuse a call that would deadlock."""
        item = self.mailbox[-1]
        token = self.waiting
        if type(item) is Caller:
            if item.pid == self.server.waiting_for:
                self.mailbox.pop()
                # Soon, since the caller does not wait for the answer yet.
                kernel, refused = self.kernel, Refused("deadlock")
                kernel.driver.call_soon(lambda: kernel.answer(item, True, refused))
        elif type(token) is Receive and item[0] != SYS and _accepts(token, item[1]):
            self.mailbox.pop()
            self.resolve(token, True, item[1])
        else:
            super().parked_message()


def _accepts(token: Receive, message: Any) -> bool:
    return token.match is None or token.match(message)


register_kind(SupervisorProcess)


# Starting


async def start_child(
    spec: ChildSpec, *, extra: tuple[Any, ...] = (), started: Any = None
) -> Any:
    """Start the child of *spec*, linked to the current process.

    Args:
        spec: what to start.
        extra: arguments before those of the spec.
        started: called with the pid as soon as that is known.

    Returns:
        Its pid, ``(pid, info)`` or ``Ignored()``.

    Raises:
        StartError: it did not start, whatever its start function did.
    """
    target, args, kwargs = spec.start
    process_class = getattr(target, "__process_class__", None)
    what = f"child {spec.id!r}"
    process = current()
    isolate = process.kernel.isolate
    args, kwargs = isolate((*extra, *args)), isolate(kwargs)
    try:
        if process_class is None:
            return _checked(await target(*args, **kwargs), what)
        return await start(
            process_class,
            (target, args, kwargs),
            link=True,
            name=spec.name,
            timeout=spec.timeout,
            where=spec.host,
            isolation=spec.isolation,
            what=what,
            started=started,
        )
    except (StartError, Killed):
        raise
    except CallExit as error:
        raise StartError(error.reason, what) from error
    except BaseException as error:
        if process.coro is None:
            raise  # this supervisor is being interrupted, which is no failure of the child
        raise StartError(reason_of(error), what) from error


def _checked(result: Any, what: str) -> Any:
    """Return what a start function returned, if it may."""
    if type(result) in (Pid, Ignored):
        return result
    if type(result) is tuple and len(result) == 2 and type(result[0]) is Pid:
        return result
    raise StartError(BadChild(repr(result)[:300]), what)


def pid_of(result: Any) -> Pid | None:
    """Return the pid in what ``start_child`` returned; None when ignored."""
    if type(result) is Pid:
        return result
    return result[0] if type(result) is tuple else None


# Ending


async def end_children(
    process: Process, children: Sequence[tuple[Pid, ChildSpec]], failures: list[Any]
) -> None:
    """End *children*, all at once, each by its shutdown rule; return when all are gone.

    Args:
        process: the supervisor.
        children: pids and specs.
        failures: gets ``(pid, spec, reason)`` of each that did not end as told.
    """
    pending: dict[Ref, tuple[Pid, ChildSpec]] = {}
    deadlines: list[tuple[float, Ref]] = []
    kernel = process.kernel
    now = kernel.driver.now()
    # Those that have ended already: their EXIT, or their host's loss, says why.
    ended = {p for p, _ in children if p not in kernel.procs and p.host == kernel.address}
    exits = take_exits(process, ended) if ended else {}
    for pid, spec in children:
        if pid in exits:
            note_end(spec, pid, exits[pid], failures)
            continue
        ref = tell_to_end(process, pid, spec)
        if ref is not None:
            pending[ref] = (pid, spec)
            if isinstance(spec.shutdown, (int, float)) and spec.shutdown != math.inf:
                deadlines.append((now + spec.shutdown, ref))
    deadlines.sort(reverse=True)
    while pending:
        while deadlines and deadlines[-1][1] not in pending:
            deadlines.pop()
        timeout = None
        if deadlines:
            timeout = max(0.0, deadlines[-1][0] - kernel.driver.now())
        try:
            down = await receive(
                lambda m: type(m) is Down and m.ref in pending, timeout=timeout
            )
        except TimeoutError:
            late = pending[deadlines.pop()[1]]
            kernel.signals.signal(process.pid, late[0], "kill")
            continue
        pid, spec = pending.pop(down.ref)
        note_end(spec, pid, down.reason, failures)


def take_exits(process: Process, pids: set[Pid]) -> dict[Pid, Any]:
    """Remove the EXIT messages of *pids* from the mailbox; return their reasons (SUP-30)."""
    found: dict[Pid, Any] = {}
    mailbox = process.mailbox
    for _ in range(len(mailbox)):
        item = mailbox.popleft()
        if type(item) is tuple and type(item[1]) is ExitMsg and item[1].pid in pids:
            found[item[1].pid] = item[1].reason
        else:
            mailbox.append(item)
    return found


def tell_to_end(process: Process, pid: Pid, spec: ChildSpec) -> Ref | None:
    """Tell a child to end; return the monitor that will say so, None when it has ended.

    The monitor, not the link, tells of the end: a child may have unlinked itself (SUP-18).
    """
    kernel = process.kernel
    signals = kernel.signals
    reason = "kill" if spec.shutdown == "brutal_kill" else "shutdown"
    signals.unlink(process, pid)
    if pid.host != kernel.address:
        ref = signals.monitor(process, pid)
        signals.signal(process.pid, pid, reason)
        return ref
    signals.signal(process.pid, pid, reason)
    # Most children do not trap exits, so they are gone by now: no monitor needed.
    return signals.monitor(process, pid) if pid in kernel.procs else None


def note_end(spec: ChildSpec, pid: Pid, reason: Any, failures: list[Any]) -> None:
    """Note an end during shutdown that was not as told."""
    expected = "killed" if spec.shutdown == "brutal_kill" else "shutdown"
    if reason != expected and reason != "noproc" and not is_clean(reason):
        failures.append((pid, spec, reason))


# Reporting


def report(
    process: Process, context: str, reason: Any, child: Any = "", pid: Pid | None = None
) -> None:
    """Tell the log what the supervisor *process* saw."""
    process.kernel.driver.report(
        SupervisorReport(process.name or process.pid, context, reason, repr(child), pid)
    )


def report_failures(process: Process, failures: list[Any]) -> None:
    """Tell the log of children that did not end as told."""
    for pid, spec, reason in failures:
        report(process, "shutdown_error", reason, spec.id, pid)


def lost_host(process: Process, pid: Pid | None) -> Any:
    """Return what identifies the loss of the host that *pid* lived in; None if it is up."""
    if pid is None or pid.host == process.kernel.address:
        return None
    if process.kernel.remote.reachable(pid):
        return None
    return (pid.host, pid.incarnation)
