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

import contextlib
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from foundation.errors import Exit
from foundation.kernel.process import CAST, SYS, UNSET, Caller, Killed, Process
from foundation.kernel.remote import register_kind
from foundation.kernel.reports import CrashReport
from foundation.kernel.values import TIMEOUT, BadReturn, ExitMsg, Pid, is_clean, reason_of
from foundation.otp.results import IGNORED, Fail, Ignore, NoReply, Reply, Stop

if TYPE_CHECKING:
    from foundation.kernel.kernel import Kernel

SPECIAL = frozenset({CoroutineType, NoReply, Reply, Stop})


class ServerProcess(Process):
    """Runs one instance of a ``GenServer`` subclass."""

    __slots__ = ("callback", "debug", "idle_timeout", "server", "start_spec", "stopping")

    kind = "server"

    def __init__(
        self, kernel: Kernel, pid: Pid, parent: Pid | None, payload: tuple[Any, ...]
    ) -> None:
        super().__init__(kernel, pid, parent)
        self.start_spec: tuple[Any, ...] | None = payload  # (class, args, kwargs), until init
        self.server: Any = None
        self.callback = "init"  # which callback runs, or ran last
        self.idle_timeout: float | None = None
        self.stopping: Any = None  # (reason, caller, reply) while terminate runs
        self.debug: Any = None  # otp/debug.py when switched on

    # Init

    def begin(self) -> None:
        """Make the instance and run its ``init``."""
        assert self.start_spec is not None
        cls, args, kwargs = self.start_spec
        self.start_spec = None
        try:
            self.server = cls()
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
            self._init_failed(BadReturn(_text(result), "init"))

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
            return
        if self.deadline is not None:
            self.deadline = None
        mailbox = self.mailbox
        if self.debug is not None:
            self.debug.run(self)
        else:
            budget = self.kernel.budget
            server = self.server
            while mailbox:
                item = mailbox.popleft()
                self.current = item
                self.idle_timeout = None
                if type(item) is Caller:
                    try:
                        self.callback = "handle_call"
                        result = server.handle_call(item.request, item)
                    except BaseException as error:
                        self.crashed(error)
                        return
                    if type(result) not in SPECIAL:
                        self._reply(item, result)
                    else:
                        self._returned(result)
                elif item[0] == CAST:
                    try:
                        self.callback = "handle_cast"
                        result = server.handle_cast(item[1])
                    except BaseException as error:
                        self.crashed(error)
                        return
                    if result is not None:
                        self._returned(result)
                else:
                    self.handle_other(item)
                if self.exiting is not UNSET and self.coro is None:
                    self.kernel.die(self, self.exiting)
                if self.coro is not None or self.state != "running":
                    return
                budget -= 1
                if not budget:
                    break
        self._rest()

    def _rest(self) -> None:
        """Between slices: wait for messages, or for silence to have lasted long enough."""
        if self.state != "running" or self.coro is not None:
            return
        self.current = None
        if self.mailbox and (self.debug is None or not self.debug.suspended):
            if not self.queued:
                self.kernel.ready(self)
            return
        self.idle = True
        if self.idle_timeout is not None:
            self.set_deadline(self.kernel.driver.now() + self.idle_timeout)

    def _reply(self, caller: Caller, value: Any) -> None:
        """Answer with a plain return value; an unsendable one is a crash of the server."""
        if caller.done:
            return
        kernel = self.kernel
        if caller.sink is None:
            kernel.answer(caller, True, value)
            return
        try:
            value = kernel.isolate(value)
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

            sys_requests.serve(self, message)
            return
        if type(message) is ExitMsg and message.pid == self.parent and self.trapping:
            self.stop(message.reason)
            return
        self.invoke("handle_info", message)

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
        self.idle_timeout = None
        if type(item) is Caller:
            self.invoke("handle_call", item.request, item)
        elif item[0] == CAST:
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
            self.stop(BadReturn(_text(result), self.callback))

    def _defer(self, caller: Caller) -> None:
        if self.deferred is None:
            self.deferred = {}
        self.deferred[caller] = None

    def _options(self, result: NoReply | Reply) -> None:
        if result.timeout is not None:
            self.idle_timeout = result.timeout
        if result.continue_ is not UNSET:
            self.current = None
            self.invoke("handle_continue", result.continue_)

    def expired(self) -> None:
        """The silence has lasted ``timeout``."""
        self.idle_timeout = None
        self.mailbox.append((0, TIMEOUT))
        if self.idle:
            self.kernel.ready(self)

    # While parked

    def parked_message(self) -> None:
        """Let system requests and the parent's exit through to a parked server."""
        item = self.mailbox[-1]
        if type(item) is Caller:
            return
        kind, message = item
        if kind == SYS:
            if not getattr(message.request, "in_order", False):
                self._make_urgent()
        elif type(message) is ExitMsg and message.pid == self.parent and self.stopping is None:
            self._make_urgent()

    def _make_urgent(self) -> None:
        from collections import deque

        if self.urgent is None:
            self.urgent = deque()
        self.urgent.append(self.mailbox.pop())
        if not self.queued:
            self.kernel.ready(self)

    def _run_urgent(self) -> None:
        urgent, self.urgent = self.urgent, None
        for kind, message in urgent or ():
            if self.state == "dead":
                return
            if kind == SYS:
                self.handle_other((kind, message))
            else:
                self._interrupt()
                self.stop(message.reason)

    def _interrupt(self) -> None:
        """Abandon the parked callback; its ``finally`` blocks run."""
        coro, self.coro = self.coro, None
        token, self.waiting = self.waiting, None
        self.deadline = None
        self.outcome = UNSET
        if getattr(token, "_asyncio_future_blocking", None) is not None:
            token.cancel()
        if coro is not None and self.context is not None:
            with contextlib.suppress(BaseException):
                self.context.run(coro.close)

    # Ending

    def crashed(self, error: BaseException) -> None:
        """A callback raised *error*."""
        reason = reason_of(error)
        if isinstance(error, Killed):
            self.kernel.die(self, error.reason)
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
        client = self.current.pid if type(self.current) is Caller else None
        self.kernel.driver.report(
            CrashReport(
                pid=self.pid,
                name=self.name,
                kind=type(self.server).__qualname__,
                reason=reason,
                last_message=self.last_message(),
                state=self.describe_state(),
                client=client,
                ancestors=self.get_extra("ancestors", ()),
                callers=self.get_extra("callers", ()),
            )
        )

    def last_message(self) -> str:
        """Describe the item being handled."""
        item = self.current
        if item is None:
            return ""
        if type(item) is Caller:
            return f"call {_text(item.request)}"
        return f"{'cast' if item[0] == CAST else 'info'} {_text(item[1])}"

    def describe_state(self) -> str:
        """Show the state, by way of the server's ``format_status``."""
        if self.server is None:
            return ""
        try:
            return _text(self.server.format_status(state_of(self.server)))
        except Exception as error:
            return f"<format_status failed: {error!r}>"


def state_of(server: Any) -> dict[str, Any]:
    """Return the attributes of a server, which are its state."""
    return dict(vars(server))


def _text(value: Any, limit: int = 500) -> str:
    try:
        text = repr(value)
    except Exception:
        text = f"<unprintable {type(value).__name__}>"
    return text if len(text) <= limit else text[: limit - 3] + "..."


register_kind(ServerProcess)

__all__ = ["Exit", "ServerProcess", "state_of"]
