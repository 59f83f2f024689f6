"""The runner: what starts, restarts and ends the children of one supervisor in one host.

All that is the user's (classes, imports, ``init``) happens here, in worker hosts; the agent in
the control host only says what to start and end, and hears what became of it::

    agent                                   runner
      ("start", key, generation, …)  ─────▶  starts it, linked to the runner's process
      ◀─────  started / failed / restarting / ended …

A child that crashes is restarted at once, within its own budget; what exceeds that the agent
decides (quarantine). Starts overlap: a slow or failing one delays nobody.

Invariants:
    U1  After ``start`` exactly one of ``failed``, ``ended`` and ``gone`` is said last of a child,
        and then no process of it is left.
    U2  A leased child is killed at the end of the lease, whether or not the agent says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from foundation.cluster.supervisor.ids import shown
from foundation.cluster.supervisor.packing import Unpacker
from foundation.cluster.supervisor.records import WITH_STATE, WITHOUT_STATE
from foundation.cluster.supervisor.runner_child import (
    ENDING,
    PATIENCE,
    RUNNING,
    STARTING,
    Attempt,
    Reply,
    RunnerChild,
)
from foundation.cluster.supervisor.runner_process import RunnerProcess
from foundation.cluster.supervisor.starter import Starter
from foundation.errors import CallExit, FoundationError
from foundation.kernel.kernel import Kernel
from foundation.kernel.peer import pack_reason
from foundation.kernel.reports import Notice, SupervisorReport
from foundation.kernel.values import Down, ExitMsg, Pid
from foundation.otp.results import Ignored
from foundation.otp.supervision import RESTART, after_exit
from foundation.otp.supervisor_process import pid_of
from foundation.otp.sys_requests import SysFailed, SysRequest
from foundation.runtime.inspect import STANDS_FOR

NAME_SECONDS = 0.1  # between attempts while a child's name is held by its former self
EXPORT_SECONDS = 5.0  # an export may take, when the spec sets no limit
MAX_STATE = 64 * 1024 * 1024  # bytes of one exported state


class Runner:
    """See the module docstring.

    Args:
        kernel: of this host.
        name: of the supervisor.
        unpacker: decodes specs.
        report: says something to the agent: ``report(kind, key, generation, *details)``.
    """

    def __init__(
        self, kernel: Kernel, name: str, unpacker: Unpacker, report: Callable[..., None]
    ) -> None:
        self._kernel = kernel
        self._name = name
        self._unpacker = unpacker
        self._report = report
        self._children: dict[bytes, RunnerChild] = {}
        self._by_pid: dict[Pid, RunnerChild] = {}
        self._lease = -math.inf
        self._lease_timer: Any = None
        self.process = kernel.spawn(RunnerProcess, self)
        self.process.set_extra(STANDS_FOR, name)
        self._starter = Starter(kernel, name, self.process)

    # What the agent says

    def command(self, what: str, *args: Any) -> None:
        """Do as the agent says."""
        getattr(self, f"_on_{what}")(*args)

    def _on_start(
        self,
        key: bytes,
        generation: int,
        spec: bytes,
        limits: tuple[int, float],
        state: bytes | None,
        first: bool,
        arrives: bool,
        leased: bool,
        shipped: bool,
    ) -> None:
        old = self._children.get(key)
        if old is not None:
            self._kill(old)  # the agent has lost track of it: it must not run beside the new one
        try:
            found = self._unpacker.unpack(spec, shipped)
        except Exception as error:
            self._report("failed", key, generation, pack_reason(str(error)), str(error)[:300])
            return
        child = RunnerChild(key, generation, found, tuple(limits))  # type: ignore[arg-type]
        child.first, child.leased, child.state = first, leased, state
        child.arrives = arrives
        self._children[key] = child
        if leased and self._kernel.driver.now() >= self._lease:
            self._gone(child)
            return
        self._launch(child)

    def _on_stop(self, key: bytes, generation: int, how: str) -> None:
        child = self._children.get(key)
        if child is None or child.generation < generation:
            self._report("gone", key, generation, None)
        elif how == "kill":
            self._kill(child)
        else:
            self._stop(child, how)

    def _on_lease(self, until: float) -> None:
        self._lease = until
        if self._lease_timer is None and until > -math.inf:
            now = self._kernel.driver.now()
            self._lease_timer = self._kernel.later(max(0.0, until - now), self._look_at_lease)

    def _look_at_lease(self) -> None:
        self._lease_timer = None
        if self._kernel.driver.now() < self._lease:
            self._on_lease(self._lease)
            return
        for child in [c for c in self._children.values() if c.leased]:
            self._kill(child)  # U2

    # Starting

    def _launch(self, child: RunnerChild) -> None:
        child.stage, child.pid = STARTING, None
        child.attempt = attempt = Attempt(self, child)
        if child.spec.timeout is not None:
            child.timer = self._kernel.later(child.spec.timeout, lambda: self._late(child, attempt))
        self._starter.begin(attempt)

    def attempted(self, attempt: Attempt, ok: bool, value: Any) -> None:
        """A start has succeeded with *value*, or failed with the reason *value*."""
        child = attempt.child
        if child.attempt is not attempt:
            if ok and (pid := pid_of(value)) is not None:
                self._kernel.signals.signal(self.process.pid, pid, "kill")
            return
        child.attempt = None
        child.cancel_timer()
        if not ok:
            self._start_failed(child, value, attempt.state)
            return
        child.pid = pid_of(value)
        if child.pid is None:
            self._forget(child)
            if isinstance(value, Ignored):
                self._report("ignored", child.key, child.generation)
            else:
                self._report("gone", child.key, child.generation, None)
            return
        self._by_pid[child.pid] = child
        child.stage, child.first, child.patience = RUNNING, False, PATIENCE
        child.arrives = False
        note, child.note = child.note if attempt.state is None else WITH_STATE, ""
        self._report("started", child.key, child.generation, child.pid, note)

    def _start_failed(self, child: RunnerChild, reason: Any, state: bytes | None) -> None:
        again = _is_taken(reason) and child.patience > 0
        if state is not None:
            if again:
                child.state = state  # nobody has imported it yet
            elif not child.arrives:  # else the agent has it still
                self._state_lost(child, f"it failed to start with it: {_text(reason)}")
        if child.first or (child.arrives and not again):
            self._forget(child)
            text = _text(reason)
            self._report("failed", child.key, child.generation, pack_reason(reason), text)
            return
        if again:
            child.patience -= 1
            child.timer = self._kernel.later(NAME_SECONDS, lambda: self._launch(child))
            return
        self._tell_log("start_error", child, reason)
        self._again(child, reason)

    def _late(self, child: RunnerChild, attempt: Attempt) -> None:
        if child.attempt is attempt:
            self._abandon(child)
            child.attempt = attempt
            self.attempted(attempt, False, "timeout")

    def _abandon(self, child: RunnerChild) -> None:
        attempt, child.attempt = child.attempt, None
        if attempt is not None:
            self._starter.abandon(attempt)

    # Ends

    def told(self, message: Any) -> None:
        """The runner's process got *message*."""
        if type(message) is ExitMsg:
            child = self._by_pid.pop(message.pid, None)
            if child is not None:
                self._ended(child, message.reason)
        elif type(message) is Down:
            child = self._by_pid.pop(message.object, None)
            if child is not None:
                self._ended(child, message.reason)

    def _ended(self, child: RunnerChild, reason: Any) -> None:
        child.pid = None
        child.cancel_timer()
        if child.stays:
            self._keep(child, f"it ended before: {_text(reason)}")
        elif child.stage == ENDING:
            self._gone(child)
            return
        restart = after_exit(child.spec.restart, reason)
        if restart != RESTART:
            self._forget(child)
            self._report("ended", child.key, child.generation, _text(reason))
            return
        self._tell_log("child_terminated", child, reason)
        self._again(child, reason)

    def _again(self, child: RunnerChild, reason: Any) -> None:
        """Restart it, unless that was too often."""
        now = self._kernel.driver.now()
        child.window = child.window.record(now)
        if child.window.exceeded:
            self._forget(child)
            self._report("exceeded", child.key, child.generation, _text(reason))
            return
        child.generation += 1
        self._report("restarting", child.key, child.generation, _text(reason))
        self._launch(child)

    def _stop(self, child: RunnerChild, how: str) -> None:
        if child.stage == ENDING:
            if child.stays:  # it must end now, whatever becomes of its state
                child.stays = child.export = False
                self._end(child)
            return
        if child.pid is None:
            self._kill(child)
            return
        child.stage = ENDING
        # The monitor, not the link, tells of the end: a child may have unlinked itself (SUP-18).
        child.watch = self._kernel.signals.monitor(self.process, child.pid)
        moves = how in ("export", "move") and child.spec.shutdown != "brutal_kill"
        child.export = moves and hasattr(child.spec.start[0], "export_state")
        child.stays = child.export and how == "move"
        if child.export:
            self._ask_state(child, child.pid)
        if not child.stays:
            self._end(child)

    def _end(self, child: RunnerChild) -> None:
        """Have it end, in the time that it has for that."""
        pid, shutdown = child.pid, child.spec.shutdown
        if pid is None or child.stage != ENDING:
            return
        if shutdown == "brutal_kill":
            self._kernel.signals.signal(self.process.pid, pid, "kill")
            return
        limit = shutdown if isinstance(shutdown, (int, float)) else math.inf
        if child.export:
            limit = limit if limit != math.inf else EXPORT_SECONDS
        else:
            self._kernel.signals.signal(self.process.pid, pid, "shutdown")
        if limit != math.inf and child.pid is not None:
            child.timer = self._kernel.later(limit, lambda: self._kill(child))

    def _keep(self, child: RunnerChild, why: str) -> None:
        """It goes on here, since its state cannot be exported."""
        child.stage, child.stays, child.export = RUNNING, False, False
        if child.watch is not None:
            self._kernel.signals.demonitor(self.process, child.watch, flush=True)
        self._report("kept", child.key, child.generation, why)

    def _ask_state(self, child: RunnerChild, pid: Pid) -> None:
        def done(ok: bool, value: Any) -> None:
            if not ok:
                child.no_state = value.reason if isinstance(value, CallExit) else value
            elif not isinstance(value, SysFailed):
                child.state = value
                if child.stays:  # it ends now, and its terminate may take its time
                    child.stays = False
                    self._end(child)
            elif child.stays:
                self._keep(child, _text(value.reason))
            else:
                child.no_state = value.reason
                self._kernel.signals.signal(self.process.pid, pid, "shutdown")

        request = SysRequest("export_state", ("shutdown", MAX_STATE))
        try:
            self._kernel.request(Reply(done), self.process.pid, pid, request, True)
        except FoundationError:
            return  # it has ended: its link says so

    def _state_lost(self, child: RunnerChild, why: str) -> None:
        child.note = f"{WITHOUT_STATE}: {why}"
        node = self._kernel.address.partition("/")[0]
        text = (
            f"child {shown(child.key)} of {self._name!r} goes on without its state, lost on node "
            f"{node!r}: {why}"
        )
        self._kernel.driver.report(Notice("error", text))

    def _kill(self, child: RunnerChild) -> None:
        child.stage, child.stays = ENDING, False
        child.cancel_timer()
        if child.attempt is not None:
            self._abandon(child)
        pid = child.pid
        if pid is None:
            self._gone(child)
        else:
            self._kernel.signals.signal(self.process.pid, pid, "kill")
            if pid.host == self._kernel.address and pid not in self._kernel.procs:
                self._by_pid.pop(pid, None)  # it is dead by now, so nobody need wait for its EXIT
                child.pid = None
                self._gone(child)

    def _gone(self, child: RunnerChild) -> None:
        self._forget(child)
        if child.export and child.state is None:
            self._state_lost(child, f"it could not be exported: {_text(child.no_state)}")
        self._report("gone", child.key, child.generation, child.state if child.export else None)

    def _forget(self, child: RunnerChild) -> None:
        child.cancel_timer()
        if child.pid is not None:
            self._by_pid.pop(child.pid, None)
        if self._children.get(child.key) is child:
            del self._children[child.key]

    # Helpers

    def _tell_log(self, context: str, child: RunnerChild, reason: Any) -> None:
        self._kernel.driver.report(
            SupervisorReport(self._name, context, reason, repr(child.spec.id), child.pid)
        )


def _is_taken(reason: Any) -> bool:
    """Whether a start failed since its name is held, as it is until all know of a death."""
    return isinstance(reason, (tuple, list)) and list(reason[:1]) == ["already_started"]


def _text(reason: Any) -> str:
    return reason if isinstance(reason, str) else repr(reason)[:300]
