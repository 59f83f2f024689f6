"""What a ``DynamicSupervisor``'s process does: many things at a time.

Plain ``def`` callbacks only note what is to come; the answer to a start arrives at a *sink*,
the end of a child as a message. So a start costs one slice of this process, and a slow child
holds up nobody.

A child is in one of these places::

    start_child ─▶ starting ─▶ children ─ crash ─▶ restarting ─▶ children
                                  │                    ▲  │ failed
                                  ▼ terminate_child    └──┘ Retry
                               ending ─▶ gone

Invariants:
    D1  A child is in exactly one place; its ``Starting`` is in ``starting`` while init runs.
    D2  ``children`` and ``restarting`` are keyed by the pid that clients know last.
    D3  Each caller is answered once, whatever becomes of the child.
"""

from __future__ import annotations

import math
from typing import Any

from foundation.errors import CallExit, HostUnavailable, InvalidChildSpec, StartError
from foundation.kernel.process import Caller, FunctionProcess, Process
from foundation.kernel.starting import start_error
from foundation.kernel.timers import Timer
from foundation.kernel.values import BadReturn, Down, Pid, Ref, reason_of
from foundation.otp.child_spec import ChildSpec
from foundation.otp.restart_window import RestartWindow
from foundation.otp.results import Ignore, NoReply, Stop
from foundation.otp.supervision import (
    RESTART,
    BadSpec,
    ChildCounts,
    ChildInfo,
    DynamicFlags,
    after_exit,
    child_info,
)
from foundation.otp.supervisor_calls import Ask, Refused, refusal
from foundation.otp.supervisor_engine import Engine, Retry
from foundation.otp.supervisor_process import (
    end_children,
    lost_host,
    note_end,
    pid_of,
    report,
    report_failures,
    start_child,
    tell_to_end,
)

NO_REPLY = NoReply()


class Starting:
    """A start in flight, and the sink of its outcome."""

    __slots__ = (
        "caller", "engine", "host", "no_host", "old", "process", "spec", "timer", "token"
    )

    def __init__(
        self, engine: DynamicEngine, spec: ChildSpec, caller: Caller | None, old: Pid | None
    ) -> None:
        self.engine = engine
        self.spec = spec
        self.caller = caller  # who asked for it, or None for a restart of
        self.old = old  # this pid
        self.process: Process | None = None  # when it starts in this host
        self.host: Pid | None = None  # when it starts in another: (host, incarnation, 0)
        self.token: Caller | None = None
        self.timer: Timer | None = None
        self.no_host = False

    def resolve(self, token: Any, ok: bool, value: Any) -> None:
        """Take the outcome; runs in the child's slice, or when a frame came."""
        if not ok and isinstance(value, CallExit):
            value = value.reason
        self.engine.start_ended(self, ok, value)


class Restarting:
    """A child between its end and its next start."""

    __slots__ = ("number", "spec", "start", "waited")

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.number = 0  # of the Retry it waits for
        self.start: Starting | None = None
        self.waited = False  # for its host


class Ending:
    """A child that was told to end by ``terminate_child``."""

    __slots__ = ("caller", "pid", "spec", "timer")

    def __init__(self, pid: Pid, spec: ChildSpec, caller: Caller) -> None:
        self.pid = pid
        self.spec = spec
        self.caller = caller
        self.timer: Timer | None = None


class Late:
    """A message of the supervisor to itself: *what* has taken too long."""

    __slots__ = ("what",)

    def __init__(self, what: Any) -> None:
        self.what = what


class DynamicEngine(Engine):
    """The engine of ``DynamicSupervisor``."""

    def __init__(self) -> None:
        super().__init__()
        self.flags = DynamicFlags()
        self.children: dict[Pid, ChildSpec] = {}
        self.starting: dict[Starting, None] = {}
        self.restarting: dict[Pid, Restarting] = {}
        self.ending: dict[Ref, Ending] = {}
        self.kept: dict[Any, ChildSpec] = {}  # for temporary children, without arguments

    async def init(self, cls: Any, args: Any, kwargs: Any) -> Any:
        """Ask the user's class for the flags."""
        try:
            plan = await self.plan(cls, args, kwargs)
            if plan is None:
                plan = cls.flags()
        except InvalidChildSpec as error:
            return Stop(BadSpec(str(error)))
        if type(plan) is Ignore:
            return plan
        if type(plan) is not DynamicFlags:
            return Stop(BadReturn(repr(plan)[:300], f"{self.module}.init"))
        self.flags = plan
        self.window = RestartWindow(plan.max_restarts, plan.max_seconds)
        return None

    async def terminate(self, reason: Any) -> None:
        """Stop all children at once, each by its shutdown rule."""
        children = [(ending.pid, ending.spec) for ending in self.ending.values()]
        for start in list(self.starting):
            process = start.process
            if process is not None and process.state != "dead":
                children.append((process.pid, start.spec))
            else:
                self._abandon(start)
        children.extend(self.children.items())
        failures: list[Any] = []
        await end_children(self.process, children, failures)
        report_failures(self.process, failures)

    # Requests

    def handle_call(self, request: Any, caller: Caller) -> Any:
        """Serve an administrative request."""
        if type(request) is Ask:
            if request.op == "start_child":
                return self._start_child(request.args[0], caller)
            if request.op == "terminate_child":
                return self._terminate_child(request.args[0], caller)
        return super().handle_call(request, caller)

    def _start_child(self, spec: ChildSpec, caller: Caller) -> Any:
        limit = self.flags.max_children
        if limit is not None and self._slots_used() >= limit:
            return Refused("max_children", spec.id)
        self.starting[start := Starting(self, spec, caller, None)] = None
        return self._begin(start) or NO_REPLY

    def _slots_used(self) -> int:
        new = sum(start.old is None for start in self.starting)
        return len(self.children) + len(self.restarting) + len(self.ending) + new

    def _terminate_child(self, pid: Any, caller: Caller) -> Any:
        waiting = self.restarting.pop(pid, None) if type(pid) is Pid else None
        if waiting is not None:
            if waiting.start is not None:
                self._abandon(waiting.start)
            return None
        spec = self.children.pop(pid, None) if type(pid) is Pid else None
        if spec is None:
            return Refused("not_found", pid)
        ref = tell_to_end(self.process, pid, spec)
        if ref is None:
            return None
        ending = self.ending[ref] = Ending(pid, spec, caller)
        if isinstance(spec.shutdown, (int, float)) and spec.shutdown != math.inf:
            ending.timer = self._send_after(spec.shutdown, ending)
        return NO_REPLY

    def _send_after(self, seconds: float, what: Any) -> Timer:
        timers = self.process.kernel.timers
        return timers.send_after(seconds, self.process.pid, Late(what))

    def _which_children(self) -> list[ChildInfo]:
        running = [child_info(spec, pid, None) for pid, spec in self.children.items()]
        waiting = [child_info(r.spec, "restarting", None) for r in self.restarting.values()]
        return waiting + running[::-1]

    def _count_children(self) -> ChildCounts:
        specs = [*self.children.values(), *(r.spec for r in self.restarting.values())]
        supervisors = sum(spec.type == "supervisor" for spec in specs)
        return ChildCounts(
            len(specs), len(self.children), supervisors, len(specs) - supervisors
        )

    __operations__ = {
        "which_children": _which_children,
        "count_children": _count_children,
    }

    # Starting

    def _begin(self, start: Starting) -> Any:
        """Set *start* going; return a coroutine when it can only be done by waiting."""
        spec = start.spec
        if getattr(spec.start[0], "__process_class__", None) is None:
            return self._by_function(start)
        placer = self.process.kernel.placer
        if placer is not None and (spec.host is not None or spec.isolation is not None):
            self._elsewhere(start)
            return None
        self._here(start)
        return None

    def _here(self, start: Starting) -> None:
        process, spec = self.process, start.spec
        kernel = process.kernel
        target, args, kwargs = spec.start
        args = kernel.isolate((*self.flags.extra_arguments, *args))
        token = start.token = Caller(start, process.pid, process.pid, None)
        start.process = kernel.spawn(
            target.__process_class__,  # type: ignore[attr-defined]
            (target, args, kernel.isolate(kwargs) if kwargs else kwargs),
            parent=process,
            link=True,
            name=spec.name,
            starter=token,
        )
        if spec.timeout is not None:
            start.timer = self._send_after(spec.timeout, start)

    def _elsewhere(self, start: Starting) -> None:
        """Start a child where the placer says."""
        process, spec = self.process, start.spec
        kernel = process.kernel
        if spec.isolation == "host":

            async def find_host() -> None:
                try:
                    host = await kernel.placer.dedicated(f"child {spec.id!r}")
                except Exception as error:
                    self.start_ended(start, False, _start_reason(error))
                else:
                    self._in_host(start, host)

            kernel.spawn(FunctionProcess, (find_host, (), {}), parent=process, link=True)
            return
        try:
            host = kernel.placer.place(spec.host)
        except Exception as error:
            start.no_host = isinstance(error, HostUnavailable)
            self.start_ended(start, False, _start_reason(error))
        else:
            self._in_host(start, host)

    def _in_host(self, start: Starting, host: str) -> None:
        if start not in self.starting:
            return  # abandoned while its host was being found
        process, spec = self.process, start.spec
        kernel = process.kernel
        if host == kernel.address:
            self._here(start)
            return
        target, args, kwargs = spec.start
        payload = (target, (*self.flags.extra_arguments, *args), kwargs)
        kind = target.__process_class__.kind  # type: ignore[attr-defined]
        try:
            start.token = kernel.remote.spawn(
                host, start, process, (kind, payload, True, spec.name, None)
            )
        except Exception as error:
            self.start_ended(start, False, _start_reason(error))
            return
        start.host = start.token.server
        if spec.timeout is not None:
            start.timer = self._send_after(spec.timeout, start)

    async def _by_function(self, start: Starting) -> Any:
        """Start a child whose spec has a start function; that runs in this process."""
        try:
            result = await start_child(start.spec, extra=self.flags.extra_arguments)
        except StartError as error:
            self.start_ended(start, False, error.reason)
        else:
            self.start_ended(start, True, result)
        return NO_REPLY

    def start_ended(self, start: Starting, ok: bool, value: Any) -> None:
        """A start has succeeded with *value*, or failed with the reason *value*."""
        if start not in self.starting or self.process.state == "dead":
            return
        del self.starting[start]
        if start.timer is not None:
            start.timer.cancel()
        if start.caller is None:
            self._restarted(start, ok, value)
            return
        kernel = self.process.kernel
        if ok:
            pid = value if type(value) is Pid else pid_of(value)
            if pid is not None:
                self.children[pid] = self._keep(start.spec)
        else:
            value = refusal(start_error(value, f"child {start.spec.id!r}"))
        caller = start.caller
        if type(value) is tuple and caller.sink is not None:
            value = kernel.isolate(value)
        kernel.answer(caller, True, value)

    def _restarted(self, start: Starting, ok: bool, value: Any) -> None:
        old = start.old
        assert old is not None
        waiting = self.restarting.get(old)
        if waiting is None or waiting.start is not start:
            return
        waiting.start = None
        if ok:
            del self.restarting[old]
            pid = pid_of(value)
            if pid is not None:
                self.children[pid] = start.spec
            return
        if not (start.no_host and waiting.waited):
            report(self.process, "start_error", value, start.spec.id, old)
        event = lost_host(self.process, start.host)
        waiting.number = self.next_retry(old, event, start.no_host)

    def _keep(self, spec: ChildSpec) -> ChildSpec:
        """Return what to keep of *spec*.

        A temporary child is never restarted, so its arguments are not kept (SUP-23).
        """
        if spec.restart != "temporary":
            return spec
        target = spec.start[0]
        key = (target, spec.type, spec.shutdown)
        kept = self.kept.get(key)
        if kept is None:
            kept = ChildSpec(target, (target, (), {}), "temporary", spec.shutdown, spec.type)
            if isinstance(target, type):  # functions may be made anew for each child
                self.kept[key] = kept
        return kept

    def _abandon(self, start: Starting) -> None:
        """End a start in flight; its outcome no longer matters."""
        self.starting.pop(start, None)
        if start.timer is not None:
            start.timer.cancel()
        token, kernel = start.token, self.process.kernel
        if token is None:
            return
        token.done = True
        if start.process is not None:
            kernel.signals.unlink(self.process, start.process.pid)
            kernel.signals.signal(self.process.pid, start.process.pid, "kill")
        elif start.host is not None:
            kernel.remote.op(start.host.host, ("spawn_cancel", token.ref))
            kernel.remote.forget_call(token)

    # Ends

    def handle_info(self, message: Any) -> Any:
        """Act on the end of a child, a retry, or something that took too long."""
        kind = type(message)
        if kind is Down and message.ref in self.ending:
            self._has_ended(self.ending.pop(message.ref), message.reason)
            return None
        if kind is Late:
            self._late(message.what)
            return None
        return super().handle_info(message)

    def _has_ended(self, ending: Ending, reason: Any) -> None:
        if ending.timer is not None:
            ending.timer.cancel()
        failures: list[Any] = []
        note_end(ending.spec, ending.pid, reason, failures)
        report_failures(self.process, failures)
        self.process.kernel.answer(ending.caller, True, None)

    def _late(self, what: Any) -> None:
        if type(what) is Ending:
            self.process.kernel.signals.signal(self.process.pid, what.pid, "kill")
        elif what in self.starting:
            self._abandon(what)
            self.starting[what] = None
            self.start_ended(what, False, "timeout")

    def child_ended(self, pid: Pid, reason: Any) -> Any:
        """Restart or forget the child, by its restart type."""
        spec = self.children.pop(pid, None)
        if spec is None:
            return None
        event = self.tell_end(spec, pid, reason)
        if after_exit(spec.restart, reason) != RESTART:
            return None
        self.restarting[pid] = Restarting(spec)
        return self._restart(pid, event)

    def try_again(self, retry: Retry) -> Any:
        """Make another attempt, unless the child has been terminated since."""
        waiting = self.restarting.get(retry.key)
        if waiting is None or waiting.number != retry.number:
            return None
        waiting.waited = retry.waited
        return self._restart(retry.key, retry.event)

    def _restart(self, pid: Pid, event: Any) -> Any:
        waiting = self.restarting[pid]
        if not self.may_restart(event, waiting.waited):
            del self.restarting[pid]
            return Stop("shutdown")
        waiting.number = 0
        waiting.start = start = Starting(self, waiting.spec, None, pid)
        self.starting[start] = None
        return self._begin(start)


def _start_reason(error: Exception) -> Any:
    return error.reason if isinstance(error, (CallExit, StartError)) else reason_of(error)
