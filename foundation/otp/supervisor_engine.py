"""What a ``Supervisor``'s process does: one thing at a time, in order.

Starting and ending children are ``async def``, so that while one takes its time the requests
and the EXIT messages wait in the mailbox, in order, and the parent's exit does not.

Invariants:
    S1  ``children`` is in start order; a child runs, is down, or waits for a retry.
    S2  ``by_pid`` holds exactly the children that have a pid.
    S3  An EXIT of a process that is no child (any more) changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from types import CoroutineType
from typing import Any

from foundation.errors import HostUnavailable, InvalidChildSpec, StartError
from foundation.kernel.ops import current
from foundation.kernel.process import Caller, Process
from foundation.kernel.reports import Notice
from foundation.kernel.values import BadReturn, Down, ExitMsg, Pid, Shutdown, is_clean
from foundation.otp.child_spec import ChildSpec
from foundation.otp.gen_server import GenServer
from foundation.otp.restart_window import RestartWindow
from foundation.otp.results import Ignore, NoReply, Stop
from foundation.otp.supervision import (
    FORGET,
    RESTART,
    BadSpec,
    ChildCounts,
    ChildInfo,
    FailedToStartChild,
    SupFlags,
    after_exit,
    auto_shutdown_due,
    check_child,
    check_children,
    child_info,
    hashable,
    restart_group,
)
from foundation.otp.supervisor_calls import Ask, Refused, refusal
from foundation.otp.supervisor_process import (
    end_children,
    lost_host,
    note_end,
    pid_of,
    report,
    report_failures,
    start_child,
    take_exits,
)

HOST_WAIT = 0.05  # seconds between looks whether the host of a child is up again


class Child:
    """One child and where it is in its life."""

    __slots__ = ("pid", "retry", "spec")

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.pid: Pid | None = None
        self.retry = 0  # number of the attempt it waits for; 0 is none

    @property
    def shown(self) -> Any:
        """Its pid, as ``which_children`` shows it."""
        return "restarting" if self.retry else self.pid


@dataclass(frozen=True, slots=True)
class Retry:
    """A supervisor's message to itself: try again to start the child *key*.

    Attributes:
        event: as in ``RestartWindow.record``.
        waited: it was waiting for a host to come up, which is no restart.
    """

    key: Any
    number: int
    event: Any = None
    waited: bool = False


class Engine(GenServer):
    """What the engines of all supervisors have in common."""

    __operations__: dict[str, Callable[..., Any]] = {}

    def __init__(self) -> None:
        self.process: Process = current()
        self.module = ""
        self.window = RestartWindow()
        self.waiting_for: Pid | None = None  # the child that must not call us now (SUP-47)
        self.retries = 0
        self.lost: Any = None  # the last host that was lost with children

    def handle_call(self, request: Any, caller: Caller) -> Any:
        """Serve an administrative request."""
        operation = self.__operations__.get(request.op) if type(request) is Ask else None
        if operation is not None:
            argument = request.args[0] if request.args else None
            if type(argument) is not ChildSpec and not hashable(argument):
                return Refused("not_found", argument)
            return operation(self, *request.args)
        self._log(f"got an unexpected call: {request!r}")
        error = f"{self.module} is a supervisor and does not serve {request!r}"
        self.process.kernel.answer(caller, False, BadReturn(error, "handle_call"))
        return NoReply()

    def handle_cast(self, request: Any) -> None:
        """Log and ignore."""
        self._log(f"got an unexpected cast: {request!r}")

    def handle_info(self, message: Any) -> Any:
        """Act on the end of a child, or a retry; log and ignore anything else."""
        kind = type(message)
        if kind is ExitMsg:
            return self.child_ended(message.pid, message.reason)
        if kind is Retry:
            return self.try_again(message)
        if kind is not Down:  # of a wait that was interrupted
            self._log(f"got an unexpected message: {message!r}")
        return None

    def child_ended(self, pid: Pid, reason: Any) -> Any:
        """Act on the end of *pid*."""
        raise NotImplementedError

    def try_again(self, retry: Retry) -> Any:
        """Make another attempt to restart a child."""
        raise NotImplementedError

    def _log(self, text: str) -> None:
        process = self.process
        text = f"{self.module} {process.pid!r} {text}"
        process.kernel.driver.report(Notice("warning", text))

    def format_status(self, status: dict[str, Any]) -> Any:
        """Show the supervisor, not the machinery."""
        return {"supervisor": self.module, "window": self.window}

    async def plan(self, cls: Any, args: Any, kwargs: Any) -> Any:
        """Return what the ``init`` of the user's class *cls* returns."""
        self.module = cls.__qualname__
        user = cls()
        result = user.init(*args, **kwargs)
        if type(result) is CoroutineType:
            result = await result
        self.chosen = dict(vars(user))
        return result

    def tell_end(self, spec: ChildSpec, pid: Pid, reason: Any) -> Any:
        """Tell the log of the end of a child, and of a lost host once.

        Returns:
            What identifies the loss of its host; None when that is up.
        """
        event = lost_host(self.process, pid)
        if event is None:
            if not is_clean(reason):
                report(self.process, "child_terminated", reason, spec.id, pid)
        elif event != self.lost:
            self.lost = event
            report(self.process, "host_lost", reason, pid.host, pid)
        return event

    def may_restart(self, event: Any, waited: bool = False) -> bool:
        """Count a restart; False when it is one too many."""
        if waited:
            return True
        self.window = self.window.record(self.process.kernel.driver.now(), event)
        if self.window.exceeded:
            report(self.process, "shutdown", "reached_max_restart_intensity", self.module)
            return False
        self.count_restart()
        return True

    def count_restart(self) -> None:
        """Count one more restart, for ``foundation top``."""
        process = self.process
        process.set_extra("restarts", process.get_extra("restarts", 0) + 1)

    def next_retry(self, key: Any, event: Any = None, wait: bool = False) -> int:
        """Send this supervisor a ``Retry``, behind the requests that wait (SUP-40).

        With *wait* later, since the host of the child has first to come up.
        """
        self.retries += 1
        retry = Retry(key, self.retries, event, wait)
        process = self.process
        if wait:
            process.kernel.timers.send_after(HOST_WAIT, process.pid, retry)
        else:
            process.kernel.deliver(process.pid, retry)
        return self.retries


class SupervisorEngine(Engine):
    """The engine of ``Supervisor``."""

    def __init__(self) -> None:
        super().__init__()
        self.flags = SupFlags()
        self.children: dict[Any, Child] = {}
        self.by_pid: dict[Pid, Child] = {}

    async def init(self, cls: Any, args: Any, kwargs: Any) -> Any:
        """Start the children, in order; when one fails, stop the others and fail."""
        try:
            plan = await self.plan(cls, args, kwargs)
            if type(plan) is Ignore:
                return plan
            if type(plan) is list:
                names = {field.name for field in fields(SupFlags)}
                plan = (cls.flags(**{k: v for k, v in self.chosen.items() if k in names}), plan)
            if type(plan) is not tuple or len(plan) != 2 or type(plan[0]) is not SupFlags:
                return Stop(BadReturn(repr(plan)[:300], f"{self.module}.init"))
            self.flags = plan[0]
            specs = check_children(plan[1], self.flags.auto_shutdown)
        except InvalidChildSpec as error:
            return Stop(BadSpec(str(error)))
        self.window = RestartWindow(self.flags.max_restarts, self.flags.max_seconds)
        for spec in specs:
            child = self.children[spec.id] = Child(spec)
            result = await self._launch(child)
            if isinstance(result, StartError):
                report(self.process, "start_error", result.reason, spec.id)
                await self._end_all(list(self.children.values()))
                return Stop(Shutdown(FailedToStartChild(spec.id, result.reason)))
            if child.pid is None and spec.restart == "temporary":
                del self.children[spec.id]
        return None

    async def terminate(self, reason: Any) -> None:
        """Stop the children one after another, the last first."""
        await self._end_all(list(self.children.values()))

    # One child

    async def _launch(self, child: Child) -> Any:
        """Start *child*; return as ``start_child``, but a failure is returned, not raised."""

        def started(pid: Pid) -> None:
            # Known before its init is done, so that an interruption finds it to end it.
            self._set(child, pid)
            self.waiting_for = pid

        child.retry = 0
        try:
            result = await start_child(child.spec, started=started)
        except StartError as error:
            result = error
        finally:
            self.waiting_for = None
        self._set(child, pid_of(result))
        self.changed(child)
        return result

    def _set(self, child: Child, pid: Pid | None) -> None:
        if child.pid is not None:
            self.by_pid.pop(child.pid, None)
        child.pid = pid
        if pid is not None:
            self.by_pid[pid] = child

    def changed(self, child: Child) -> None:
        """Hook: *child* has been started, or has failed to."""

    async def _end(self, child: Child) -> None:
        """End *child* by its shutdown rule, if it runs."""
        child.retry = 0
        pid = child.pid
        if pid is None:
            return
        failures: list[Any] = []
        self.waiting_for = pid
        try:
            await end_children(self.process, [(pid, child.spec)], failures)
        finally:
            self.waiting_for = None
        self._set(child, None)
        report_failures(self.process, failures)

    async def _end_all(self, children: list[Child]) -> None:
        """End *children* one after another, the last first."""
        self._note_ended({child.pid for child in children if child.pid is not None})
        for child in reversed(children):
            await self._end(child)

    def _note_ended(self, pids: set[Pid]) -> None:
        """Take in the EXIT messages that wait, so that these ends cause nothing (SUP-30)."""
        failures: list[Any] = []
        for pid, reason in take_exits(self.process, pids).items():
            child = self.by_pid[pid]
            note_end(child.spec, pid, reason, failures)
            self._set(child, None)
        report_failures(self.process, failures)

    # Restarting

    def child_ended(self, pid: Pid, reason: Any) -> Any:
        """Restart, keep or forget the child, by its restart type."""
        child = self.by_pid.get(pid)
        if child is None:
            return None  # S3
        spec = child.spec
        event = self.tell_end(spec, pid, reason)
        verdict = after_exit(spec.restart, reason)
        self._set(child, None)
        if verdict == RESTART:
            return self._restart(child, event)
        if verdict == FORGET:
            del self.children[spec.id]
        others = [
            (other.spec, other.shown is not None)
            for other in self.children.values()
            if other is not child
        ]
        if auto_shutdown_due(self.flags.auto_shutdown, spec, others):
            return Stop("shutdown")
        return None

    def try_again(self, retry: Retry) -> Any:
        """Make another attempt, unless the child has been started, ended or deleted since."""
        child = self.children.get(retry.key)
        if child is None or child.retry != retry.number:
            return None
        return self._restart(child, retry.event, retry.waited)

    async def _restart(self, failed: Child, event: Any, waited: bool = False) -> Any:
        """Restart *failed* and those that the strategy restarts with it."""
        if not self.may_restart(event, waited):
            return Stop("shutdown")
        members = list(self.children.values())
        group = restart_group(self.flags.strategy, members, failed)
        if self.flags.strategy != "one_for_one":
            await self._end_all(group)
            for child in [c for c in group if c.spec.restart == "temporary"]:
                group.remove(child)
                del self.children[child.spec.id]
        for child in group:
            result = await self._launch(child)
            if isinstance(result, StartError):
                wait = isinstance(result, HostUnavailable)
                if not (wait and waited):
                    report(self.process, "start_error", result.reason, child.spec.id)
                child.retry = self.next_retry(child.spec.id, wait=wait)
                break
        return None

    # Requests

    async def _start_child(self, spec: ChildSpec) -> Any:
        try:
            check_child(spec, self.flags.auto_shutdown)
        except InvalidChildSpec as error:
            return Refused("spec", str(error))
        known = self.children.get(spec.id)
        if known is not None:
            if known.pid is None:
                return Refused("already_present", spec.id)
            return Refused("already_started", known.pid, f"child {spec.id!r}")
        child = self.children[spec.id] = Child(spec)
        result = await self._launch(child)
        if isinstance(result, StartError):
            del self.children[spec.id]
            return refusal(result)
        if child.pid is None and spec.restart == "temporary":
            del self.children[spec.id]
        return result

    async def _terminate_child(self, id: Any) -> Any:
        child = self.children.get(id)
        if child is None:
            return Refused("not_found", id)
        await self._end(child)
        if child.spec.restart == "temporary":
            del self.children[id]
        return None

    def _not_down(self, id: Any) -> Refused | None:
        child = self.children.get(id)
        if child is None:
            return Refused("not_found", id)
        if child.retry:
            return Refused("restarting", id)
        return None if child.pid is None else Refused("running", id)

    def _restart_child(self, id: Any) -> Any:
        refused = self._not_down(id)
        return self._start_again(self.children[id]) if refused is None else refused

    async def _start_again(self, child: Child) -> Any:
        result = await self._launch(child)
        return refusal(result) if isinstance(result, StartError) else result

    def _delete_child(self, id: Any) -> Any:
        refused = self._not_down(id)
        if refused is None:
            del self.children[id]
        return refused

    def _find(self, id: Any) -> Child | None:
        return self.by_pid.get(id) if type(id) is Pid else self.children.get(id)

    def _get_childspec(self, id: Any) -> Any:
        child = self._find(id)
        return Refused("not_found", id) if child is None else child.spec

    def _which_child(self, id: Any) -> Any:
        child = self._find(id)
        if child is None:
            return Refused("not_found", id)
        return child_info(child.spec, child.shown, child.spec.id)

    def _which_children(self) -> list[ChildInfo]:
        children = reversed(list(self.children.values()))
        return [child_info(c.spec, c.shown, c.spec.id) for c in children]

    def _count_children(self) -> ChildCounts:
        specs = len(self.children)
        supervisors = sum(c.spec.type == "supervisor" for c in self.children.values())
        return ChildCounts(specs, len(self.by_pid), supervisors, specs - supervisors)

    __operations__ = {
        "start_child": _start_child,
        "terminate_child": _terminate_child,
        "restart_child": _restart_child,
        "delete_child": _delete_child,
        "get_childspec": _get_childspec,
        "which_child": _which_child,
        "which_children": _which_children,
        "count_children": _count_children,
    }
