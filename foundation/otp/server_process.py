"""The process that runs a GenServer: the loop between the mailbox and the callbacks.

    begin ─ init ─▶ running ◀──▶ parked (an ``async def`` callback awaits)
                       │
                       └─ Stop, crash, parent's exit ─▶ terminate ─▶ dead

Invariants:
    V1  One callback at a time; while one is parked, ordinary messages wait in order.
    V2  After a callback failed, no message is handled by that instance.
    V3  ``terminate`` runs at most once, and not when an exit signal killed the process.
"""

from __future__ import annotations

from collections import deque
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from foundation.kernel.isolation import ATOMS
from foundation.kernel.peer import register_kind
from foundation.kernel.process import (
    CAST,
    CURRENT,
    INFO,
    SYS,
    UNSET,
    Caller,
    Killed,
    Process,
    Receive,
)
from foundation.kernel.values import TIMEOUT, BadReturn, ExitMsg, Pid, is_clean, reason_of
from foundation.otp.describe import crash_report, state_of, text
from foundation.otp.results import IGNORED, Fail, Ignore, NoReply, Reply, Stop

if TYPE_CHECKING:
    from foundation.kernel.kernel import Kernel

SPECIAL = frozenset({CoroutineType, NoReply, Reply, Stop})


class ServerProcess(Process):
    """Runs one instance of a ``GenServer`` subclass."""

    __slots__ = (
        "callback",
        "continuing",
        "debug",
        "idle_timeout",
        "server",
        "start_spec",
        "stopping",
    )

    kind = "server"
    serves = True

    def __init__(
        self, kernel: Kernel, pid: Pid, parent: Pid | None, payload: tuple[Any, ...]
    ) -> None:
        super().__init__(kernel, pid, parent)
        self.start_spec: tuple[Any, ...] | None = payload  # (class, args, kwargs), until init
        self.server: Any = None
        self.callback = "init"  # which callback runs, or ran last
        self.idle_timeout: float | None = None
        self.continuing: list[Any] | None = None  # arguments for handle_continue
        self.stopping: Any = None  # (reason, caller, reply) while terminate runs
        self.debug: Any = None  # otp/debug.py when switched on

    # Init

    def begin(self) -> None:
        """Make the instance and run its ``init``."""
        assert self.start_spec is not None
        cls, args, kwargs = self.start_spec
        try:
            self.server = cls()
            self.start_spec = None
            result = self.server.init(*args, **kwargs)
        except BaseException as error:
            self.crashed(error)
            return
        if type(result) is CoroutineType:
            self.start_coroutine(result)
        else:
            self._initialised(result)

    def _initialised(self, result: Any) -> None:
        kernel = self.kernel
        if self.exiting is not UNSET:
            kernel.die(self, self.exiting)
        elif result is None or type(result) is NoReply:
            self.state = "running"
            kernel.acknowledge(self, True, self.pid)
            if result is not None:
                self._options(result)
        elif type(result) in (Ignore, Fail):
            starter, self.starter = self.starter, None
            kernel.die(self, "normal")
            if starter is not None:
                ignored = type(result) is Ignore
                kernel.answer(starter, ignored, IGNORED if ignored else result.reason)
        elif type(result) is Stop:
            self._init_failed(result.reason)
        else:
            self._init_failed(BadReturn(text(result), "init"))

    def _init_failed(self, reason: Any) -> None:
        self._report(reason)
        self.kernel.die(self, reason)

    # The loop

    def run(self) -> None:
        """Run one slice."""
        if self.state == "starting" and self.start_spec is not None:
            self.begin()
        if self.urgent is not None:
            self._run_urgent()
        if self.outcome is not UNSET and self.coro is not None:
            self.step()
        if self.coro is not None or self.state != "running":
            self._parked()
            return
        self.deadline = None
        mailbox = self.mailbox
        if self.debug is not None:
            self.debug.run(self)
        else:
            kernel, server = self.kernel, self.server
            budget = kernel.budget
            while mailbox:
                item = mailbox.popleft()
                budget -= 1
                self.current = item
                if type(item) is Caller:
                    self.idle_timeout = None
                    try:
                        self.callback = "handle_call"
                        result = server.handle_call(item.request, item)
                    except BaseException as error:
                        kernel.counts.handled += kernel.budget - budget
                        self.crashed(error)
                        return
                    if type(result) not in SPECIAL:
                        self._reply(item, result)
                    else:
                        self._returned(result)
                elif item[0] == CAST:
                    self.idle_timeout = None
                    try:
                        self.callback = "handle_cast"
                        result = server.handle_cast(item[1])
                    except BaseException as error:
                        kernel.counts.handled += kernel.budget - budget
                        self.crashed(error)
                        return
                    if result is not None:
                        self._returned(result)
                else:
                    self.handle_other(item)
                    if self.debug is not None:  # switched on just now: the fast loop ends here
                        kernel.counts.handled -= budget
                        budget = 0
                if self.exiting is not UNSET and self.coro is None:
                    kernel.die(self, self.exiting)
                if self.coro is not None or self.state != "running":
                    kernel.counts.handled += kernel.budget - budget
                    self._parked()
                    return
                if not budget:
                    break
            kernel.counts.handled += kernel.budget - budget
        self._rest()

    def serve(self, caller: Caller) -> None:
        """Run the slice of one call that is handed over: what ``run`` does with it, faster."""
        CURRENT.set(self)
        self.idle = False
        if self.debug is not None:
            self.kernel.counts.handled -= 1  # which ``Debug.run`` counts, too
            self.mailbox.append(caller)
            self.run()
            return
        self.current, self.callback = caller, "handle_call"
        self.idle_timeout = self.deadline = None
        try:
            result = self.server.handle_call(caller.request, caller)
        except BaseException as error:
            self.crashed(error)
            return
        kind = type(result)
        if kind in ATOMS and not caller.done:
            caller.done = True
            caller.sink.outcome = (True, result)
            if not self.mailbox and self.exiting is UNSET:
                self.current, self.idle = None, True
                return
        elif kind not in SPECIAL:
            self._reply(caller, result)
        else:
            self._returned(result)
        if self.exiting is not UNSET and self.coro is None:
            self.kernel.die(self, self.exiting)
        self._rest()

    def _rest(self) -> None:
        """Between slices: wait for messages, or for silence to have lasted long enough."""
        if self.state != "running" or self.coro is not None:
            self._parked()
            return
        self.current = None
        suspended = self.debug is not None and self.debug.suspended
        if self.mailbox and not suspended:
            if not self.queued:
                self.kernel.ready(self)
            return
        self.idle = True
        if self.idle_timeout is not None and not suspended:
            self.set_deadline(self.kernel.driver.now() + self.idle_timeout)

    def _reply(self, caller: Caller, value: Any) -> None:
        """Answer with a plain return value; an unsendable one is a crash of the server."""
        if caller.done:
            return
        try:
            if caller.sink is None:
                self.kernel.answer(caller, True, value)
                return
            value = self.kernel.isolate(value)
        except Exception as error:
            self.crashed(error)
            return
        caller.done = True
        caller.sink.resolve(caller, True, value)

    def handle_other(self, item: Any) -> None:
        """Take an item that is neither a call nor a cast."""
        kind, message = item
        if kind == SYS:
            from foundation.otp import sys_requests

            sys_requests.serve(self, message)  # a pending timeout starts anew, see _rest
            return
        self.idle_timeout = None
        if self.is_parent_exit(message):
            self.stop(message.reason)
            return
        self.invoke("handle_info", message)

    def is_parent_exit(self, message: Any) -> bool:
        """Whether *message* tells that the parent ended, or told this server to end."""
        return (
            type(message) is ExitMsg
            and message.pid == self.parent
            and self.trapping
            and not self.get_extra("unlinked")  # as in OTP, ``start`` makes nobody a parent
        )

    def invoke(self, callback: str, *args: Any) -> None:
        """Run *callback* of the server and act on what it returns."""
        self.callback = callback
        try:
            result = getattr(self.server, callback)(*args)
        except BaseException as error:
            self.crashed(error)
            return
        if callback == "handle_call" and type(result) not in SPECIAL:
            self._reply(args[1], result)
        elif result is not None:
            self._returned(result)

    def handle(self, item: Any) -> None:
        """Take any item, the slow way; for debugging."""
        self.current = item
        if type(item) is Caller:
            self.idle_timeout = None
            self.invoke("handle_call", item.request, item)
        elif item[0] == CAST:
            self.idle_timeout = None
            self.invoke("handle_cast", item[1])
        else:
            self.handle_other(item)

    # Results

    def finished(self, value: Any) -> None:
        """An ``async def`` callback has returned *value*."""
        if self.stopping is not None:
            self._terminated()
        elif self.callback == "init":
            self._initialised(value)
        elif self.exiting is not UNSET:
            self.kernel.die(self, self.exiting)
        elif self.callback == "handle_call" and type(value) not in SPECIAL:
            self._reply(self.current, value)
        elif value is not None:
            self._returned(value)
        if self.coro is None and self.state == "running":
            self.current = None

    def _returned(self, result: Any) -> None:
        kind = type(result)
        if kind is CoroutineType:
            self.start_coroutine(result)
        elif kind is NoReply:
            if self.callback == "handle_call" and not self.current.done:
                self._defer(self.current)
            self._options(result)
        elif kind is Stop:
            self.stop(result.reason, result.reply)
        elif kind is Reply and self.callback == "handle_call":
            self._reply(self.current, result.value)
            if self.state == "running":
                self._options(result)
        else:
            self.stop(BadReturn(text(result), self.callback))

    def _defer(self, caller: Caller) -> None:
        if self.deferred is None:
            self.deferred = {}
        self.deferred[caller] = None

    def _options(self, result: NoReply | Reply) -> None:
        if result.timeout is not None:
            self.idle_timeout = result.timeout
        if result.continue_ is UNSET:
            return
        if self.continuing is not None:  # from handle_continue: the loop below goes on
            self.continuing.append(result.continue_)
            return
        self.continuing = [result.continue_]
        try:
            while self.continuing and self.coro is None and self.state == "running":
                self.current = None
                self.invoke("handle_continue", self.continuing.pop())
                if self.exiting is not UNSET and self.coro is None:
                    self.kernel.die(self, self.exiting)
        finally:
            self.continuing = None

    def expired(self) -> None:
        """The silence has lasted ``timeout``."""
        if not self.idle:
            return  # a message came in this very turn, so there was no silence
        self.idle_timeout = None
        self.mailbox.append((INFO, TIMEOUT))
        self.kernel.ready(self)

    # While parked

    def parked_message(self) -> None:
        """Let through what does not wait: the message of a ``receive``, system requests, and
        the parent's exit.
        """
        item, token = self.mailbox[-1], self.waiting
        if type(item) is Caller:
            return
        kind, message = item
        if self._overtakes(item):
            self.mailbox.pop()
            self._make_urgent(item)
        elif type(token) is Receive and kind != SYS and self.accepts(token, message):
            self.mailbox.pop()
            self.resolve(token, True, message)

    def _parked(self) -> None:
        """A callback has just parked: what came before and does not wait is served now."""
        if self.coro is None or self.extra is None or not self.extra.get("overtakers"):
            return
        self.extra["overtakers"] = self.state == "starting"  # requests wait for its end
        waiting = list(self.mailbox)
        self.mailbox.clear()
        for item in waiting:
            if type(item) is tuple and self._overtakes(item):
                self._make_urgent(item)
            else:
                self.mailbox.append(item)

    def _overtakes(self, item: tuple[int, Any]) -> bool:
        kind, message = item
        if kind == SYS:
            return self.state == "running" and not getattr(message.request, "in_order", False)
        return self.stopping is None and self.is_parent_exit(message)

    def _make_urgent(self, item: Any) -> None:
        if self.urgent is None:
            self.urgent = deque()
        self.urgent.append(item)
        if not self.queued:
            self.kernel.ready(self)

    def _run_urgent(self) -> None:
        urgent = self.urgent
        while urgent and self.state != "dead":
            item = urgent.popleft()
            if item[0] == SYS:
                self.handle_other(item)
            elif self.stopping is None:
                self._interrupt()
                self.stop(item[1].reason)
        if not urgent:
            self.urgent = None

    def _interrupt(self) -> None:
        """Abandon the parked callback; its ``finally`` blocks run."""
        coro, self.coro = self.coro, None
        token, self.waiting = self.waiting, None
        self.deadline = None
        self.outcome = UNSET
        if getattr(token, "_asyncio_future_blocking", None) is not None:
            token.cancel()
        if coro is not None:
            self.kernel.driver.unwind(self, coro)

    # Ending

    def crashed(self, error: BaseException) -> None:
        """A callback raised *error*."""
        reason = reason_of(error)
        if isinstance(error, Killed):
            self.kernel.die(self, error.reason)
        elif self.exiting is not UNSET:
            self.kernel.die(self, self.exiting)  # the signal came first (V3)
        elif self.stopping is not None:  # terminate itself failed
            _, caller, reply = self.stopping
            self.stopping = (reason, caller, reply)
            self._terminated()
        elif self.state == "starting":
            self._init_failed(reason)
        else:
            self.stop(reason)

    def stop(self, reason: Any, reply: Any = UNSET) -> None:
        """Run ``terminate``, answer the current call with *reply*, end with *reason*."""
        caller = self.current if type(self.current) is Caller else None
        self.stopping = (reason, caller, reply)
        if self.state == "starting":
            self._terminated()
            return
        try:
            result = self.server.terminate(reason)
        except BaseException as error:
            self.crashed(error)
            return
        if type(result) is CoroutineType:
            self.callback = "terminate"
            self.start_coroutine(result)
        else:
            self._terminated()

    def _terminated(self) -> None:
        reason, caller, reply = self.stopping
        if reply is not UNSET and caller is not None:
            try:
                value = reply if caller.sink is None else self.kernel.isolate(reply)
                self.kernel.answer(caller, True, value)
            except Exception as error:
                reason = reason_of(error)
        self._report(reason)
        self.kernel.die(self, reason)

    def _report(self, reason: Any) -> None:
        if is_clean(reason):
            return
        self.kernel.driver.report(crash_report(self, reason))

    def last_message(self) -> str:
        """Describe the item being handled."""
        item = self.current
        if item is None:
            return ""
        if type(item) is Caller:
            return f"call {text(item.request)}"
        return f"{'cast' if item[0] == CAST else 'info'} {text(item[1])}"

    def describe_class(self) -> str:
        """Name the server's class."""
        cls = type(self.server) if self.start_spec is None else self.start_spec[0]
        return str(cls.__qualname__)

    def describe_state(self) -> str:
        """Show the state, by way of the server's ``format_status``."""
        if self.server is None:
            return ""
        try:
            return text(self.server.format_status(state_of(self.server)))
        except Exception as error:
            return f"<format_status failed: {error!r}>"


register_kind(ServerProcess)
