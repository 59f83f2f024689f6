"""One light process: mailbox, coroutine, waits. What a process *does* is in its subclasses.

States of a process (P = may take a message):

    idle     nothing to do; a message makes it ready           P
    ready    in the run queue                                  P
    parked   its coroutine awaits a reply, a future or a message; messages wait in the mailbox
    dead     gone from the table; nothing reaches it

Invariants:
    P1  A process is in the run queue exactly when ``queued`` is True.
    P2  ``waiting`` is the one thing a parked coroutine awaits; a reply to anything else is late
        and dropped.
    P3  At most one pending heap entry no later than ``deadline`` exists (``alarm_at``).
"""

from __future__ import annotations

import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from typing import TYPE_CHECKING, Any, ClassVar

from foundation.errors import CallExit, CallingSelf, CallTimeout, Exit, NoConnection, NoProc
from foundation.kernel.values import ExitMsg, Pid, reason_of

if TYPE_CHECKING:
    from foundation.kernel.kernel import Kernel

CURRENT: ContextVar[Process | None] = ContextVar("foundation_current_process", default=None)

# Kinds of mailbox items: (kind, payload). A call is a bare ``Caller`` instead.
INFO, CAST, SYS = 0, 1, 2


class Unset:
    """The type of ``UNSET``: "no value", where None is a value."""

    __slots__ = ()
    __immutable__ = True

    def __repr__(self) -> str:
        return "UNSET"

    def __reduce__(self) -> str:
        return "UNSET"  # there is one, on each host


UNSET = Unset()


class Killed(BaseException):
    """Unwinds a process that signalled itself; unlike ``Exit`` no ``terminate`` follows."""

    def __init__(self, reason: Any) -> None:
        super().__init__(reason)
        self.reason = reason


class Caller:
    """Who made a call, and how to answer: the ``caller`` of ``handle_call``. Opaque to users.

    One object serves as request, reply address and wait token, because a local call is the
    hottest path of all.
    """

    __slots__ = ("__weakref__", "done", "pid", "ref", "request", "server", "sink")
    __immutable__ = True

    def __init__(self, sink: Any, pid: Pid, server: Any, request: Any, ref: int = 0) -> None:
        self.sink = sink  # where the reply goes: a Process, a future sink, None = another host
        self.pid = pid  # the calling process
        self.server = server  # the Process that owes the reply; a reference while remote
        self.request = request
        self.ref = ref
        self.done = False

    def __repr__(self) -> str:
        return f"<Caller {self.pid!r}>"


@types.coroutine
def park(token: Any) -> Generator[Any, Any, Any]:
    """Park the current process until *token* (its ``waiting``) is resolved."""
    return (yield token)


class Receive:
    """Wait token of ``receive``: the first message that *match* accepts."""

    __slots__ = ("match",)

    def __init__(self, match: Callable[[Any], bool] | None) -> None:
        self.match = match


class Process:
    """A light process; see the module docstring. Subclasses implement ``begin`` and ``run``."""

    __slots__ = (
        "__weakref__",
        "alarm_at",
        "context",
        "coro",
        "current",
        "deadline",
        "deferred",
        "exiting",
        "extra",
        "idle",
        "kernel",
        "links",
        "mailbox",
        "monitors",
        "name",
        "outcome",
        "parent",
        "pid",
        "queued",
        "starter",
        "state",
        "task",
        "trapping",
        "urgent",
        "waiting",
        "watchers",
    )

    kind: ClassVar[str] = "process"
    serves: ClassVar[bool] = False  # calls may be handed over to it (``Kernel.hand_over``)

    def __init__(self, kernel: Kernel, pid: Pid, parent: Pid | None) -> None:
        self.kernel = kernel
        self.pid = pid
        self.parent = parent
        self.mailbox: deque[Any] = deque()
        self.idle = False  # True = a new message must put it into the run queue
        self.queued = False
        self.trapping = False
        self.name: Any = None
        self.links: dict[Pid, None] | None = None
        self.watchers: dict[Any, tuple[Pid, Any]] | None = None  # ref -> (who, object)
        self.monitors: dict[Any, Any] | None = None  # ref -> target pid or None
        self.coro: Coroutine[Any, Any, Any] | None = None
        self.context: Context | None = None
        self.task: Any = None
        self.waiting: Any = None
        self.outcome: Any = UNSET  # (ok, value) for the coroutine, when resolved
        self.deadline: float | None = None
        self.alarm_at: float | None = None
        self.urgent: deque[Any] | None = None
        self.exiting: Any = UNSET
        self.starter: Caller | None = None
        self.current: Any = None  # the mailbox item being handled
        self.deferred: dict[Caller, None] | None = None  # calls whose reply is still owed
        self.extra: dict[str, Any] | None = None  # rare attributes: ancestors, aliases, hooks
        self.state = "starting"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.pid!r}>"

    # What subclasses define

    def begin(self) -> None:
        """Run the first slice: start the behaviour."""
        raise NotImplementedError

    def run(self) -> None:
        """Run one slice: resume the coroutine, then take messages."""
        raise NotImplementedError

    def serve(self, caller: Caller) -> None:
        """Take a call that is handed over, if it ``serves``; it is idle."""
        raise NotImplementedError

    def finished(self, value: Any) -> None:
        """Take the result of a coroutine that ran to its end."""
        raise NotImplementedError

    def crashed(self, error: BaseException) -> None:
        """Take an exception that left user code."""
        self.kernel.die(self, error.reason if isinstance(error, Killed) else reason_of(error))

    def expired(self) -> None:
        """The ``deadline`` has come while no coroutine waited."""

    def parked_message(self) -> None:
        """A message has come while parked on something other than ``receive``."""

    def last_message(self) -> str:
        """Describe what was being handled, for crash reports."""
        return ""

    def describe_state(self) -> str:
        """Describe the state, for crash reports."""
        return ""

    # Waits

    def set_deadline(self, deadline: float | None) -> None:
        """Arrange for ``alarm`` at *deadline*; cheap when an earlier alarm is pending (P3)."""
        self.deadline = deadline
        if deadline is not None and (self.alarm_at is None or self.alarm_at > deadline):
            self.alarm_at = deadline
            self.kernel.timers.push(deadline, self)

    def alarm(self, when: float, now: float) -> None:
        """A heap entry of this process has come due."""
        if self.alarm_at == when:
            self.alarm_at = None
        deadline = self.deadline
        if deadline is None or self.state == "dead":
            return
        if deadline > now:
            self.set_deadline(deadline)
            return
        self.deadline = None
        token = self.waiting
        if token is None:
            self.expired()
        elif isinstance(token, Receive):
            self.resolve(token, True, UNSET)
        else:
            if isinstance(token, Caller):
                self.kernel.timers.timed_out(token)
            self.resolve(token, False, _timeout_error(token))

    def resolve(self, token: Any, ok: bool, value: Any) -> None:
        """Give the parked coroutine its *value* (or exception), unless *token* is stale (P2)."""
        if self.waiting is token and token is not None:
            self.waiting = None
            self.deadline = None
            self.outcome = (ok, value)
            if not self.queued:
                self.kernel.ready(self)

    def start_coroutine(self, coro: Coroutine[Any, Any, Any]) -> None:
        """Run *coro* as this process's code, from now until it ends."""
        self.coro = coro
        if self.context is None:
            self.context = copy_context()
            self.context.run(CURRENT.set, self)
        self.outcome = (True, None)
        if self.kernel.stepping is None:
            self.step()
        elif not self.queued:  # handed over: two coroutines cannot be stepped at a time
            self.kernel.ready(self)

    def step(self) -> None:
        """Resume the coroutine with ``outcome`` until it parks or ends."""
        ok, value = self.outcome
        self.outcome = UNSET
        kernel, coro, context = self.kernel, self.coro, self.context
        assert coro is not None
        assert context is not None
        driver = kernel.driver
        task = self.task
        if task is None:
            task = self.task = driver.new_task(self)
        driver.enter_task(task)
        kernel.stepping = self
        try:
            if ok:
                token = context.run(coro.send, value)
            else:
                token = context.run(coro.throw, value)
        except StopIteration as stop:
            ended, result = True, stop.value
        except BaseException as error:
            ended, result = False, error
        else:
            kernel.stepping = None
            driver.leave_task(task)
            self._await_token(token)
            return
        kernel.stepping = None
        driver.leave_task(task)
        self.coro = None
        if ended:
            self.finished(result)
        else:
            self.crashed(result)

    def _await_token(self, token: Any) -> None:
        if self.exiting is not UNSET:
            self.kernel.die(self, self.exiting)
        elif self.waiting is token and token is not None:
            return  # parked
        elif token is None:  # a bare yield, as asyncio.sleep(0) does
            self.outcome = (True, None)
            self.kernel.ready(self)
        elif getattr(token, "_asyncio_future_blocking", None) is not None:
            self._await_future(token)
        else:  # resolved already, or not one of ours
            if self.outcome is UNSET:
                error = RuntimeError(f"cannot await {token!r} in a process")
                self.outcome = (False, error)
            if not self.queued:
                self.kernel.ready(self)

    def _await_future(self, future: Any) -> None:
        future._asyncio_future_blocking = False
        self.waiting = future
        future.add_done_callback(self._future_done)
        task = self.task
        if task is not None and task._must_cancel and future.cancel():
            task._must_cancel = False

    def _future_done(self, future: Any) -> None:
        if self.waiting is future:
            # The future itself raises or returns when the coroutine goes on.
            self.resolve(future, True, None)
        elif not future.cancelled():
            future.exception()  # looked at, since nobody else will: asyncio would complain

    # Receiving (function bodies; servers use handle_info)

    def accepts(self, token: Receive, message: Any) -> bool:
        """Whether the parked ``receive`` takes *message*; it gets what its *match* raises."""
        if token.match is None:
            return True
        assert self.context is not None
        try:
            return bool(self.context.run(token.match, message))
        except BaseException as error:  # not to be raised to the sender, who calls this
            self.resolve(token, False, error)
            return False

    def take(self, match: Callable[[Any], bool] | None) -> Any:
        """Remove and return the first user message that *match* accepts, else UNSET."""
        mailbox = self.mailbox
        for index, item in enumerate(mailbox):
            if type(item) is Caller or item[0] == SYS:
                continue
            if match is None or match(item[1]):
                del mailbox[index]
                return item[1]
        return UNSET

    def add_exit_hook(self, hook: Callable[[Any, Any], None]) -> None:
        """Have ``hook(process, reason)`` called when this process ends, after earlier ones."""
        self.set_extra("exit_hooks", (*self.get_extra("exit_hooks", ()), hook))

    def get_extra(self, key: str, default: Any = None) -> Any:
        """Return a rare attribute."""
        return default if self.extra is None else self.extra.get(key, default)

    def set_extra(self, key: str, value: Any) -> None:
        """Set a rare attribute."""
        if self.extra is None:
            self.extra = {}
        self.extra[key] = value


class FunctionProcess(Process):
    """A process whose whole life is one function or coroutine function: ``spawn(fn, *args)``.

    It may ``await receive(...)``. Its exit reason is ``normal`` when the function returns.
    """

    __slots__ = ("args", "function", "kwargs")

    kind = "function"

    def __init__(
        self, kernel: Kernel, pid: Pid, parent: Pid | None, payload: tuple[Any, ...]
    ) -> None:
        super().__init__(kernel, pid, parent)
        self.function, self.args, self.kwargs = payload

    def begin(self) -> None:
        """Acknowledge the start, then call the function."""
        self.kernel.acknowledge(self, True, self.pid)
        self.state = "running"
        try:
            result = self.function(*self.args, **self.kwargs)
        except BaseException as error:
            self.crashed(error)
            return
        if isinstance(result, types.CoroutineType):
            self.start_coroutine(result)
        else:
            self.finished(result)

    def run(self) -> None:
        """Resume the body; a message may complete its ``receive``."""
        if self.state == "starting":
            self.begin()
        token = self.waiting
        if isinstance(token, Receive) and self.outcome is UNSET:
            try:
                message = self.take(token.match)
            except BaseException as error:  # of *match*
                message = UNSET
                self.waiting = None
                self.deadline = None
                self.outcome = (False, error)
            if message is not UNSET:
                self.waiting = None
                self.deadline = None
                self.outcome = (True, message)
        if self.outcome is not UNSET:
            self.step()
        if self.state != "dead" and not self.queued:
            self.idle = True

    def finished(self, value: Any) -> None:
        """End with ``normal``."""
        self.kernel.die(self, "normal" if self.exiting is UNSET else self.exiting)

    def last_message(self) -> str:
        """Name the function."""
        return f"{getattr(self.function, '__qualname__', self.function)!s}{self.args!r}"


def _timeout_error(token: Any) -> BaseException:
    if isinstance(token, Caller):
        return CallTimeout("timeout")
    return TimeoutError("the wait timed out")


_CALL_ERRORS: dict[str, type[CallExit]] = {
    "noproc": NoProc,
    "noconnection": NoConnection,
    "calling_self": CallingSelf,
    "timeout": CallTimeout,
}


def exit_error(
    reason: Any, server: Any, request: Any, timeout: float | None = None
) -> CallExit:
    """Return the exception a caller gets when its server ended with *reason*."""
    kind = _CALL_ERRORS.get(reason, CallExit) if isinstance(reason, str) else CallExit
    return kind(reason, server, request, timeout)


def exit_message(pid: Pid, reason: Any) -> tuple[int, ExitMsg]:
    """Return the mailbox item that tells a trapping process of an exit."""
    return (INFO, ExitMsg(pid, reason))


__all__ = [
    "CAST",
    "CURRENT",
    "INFO",
    "SYS",
    "UNSET",
    "Caller",
    "Exit",
    "FunctionProcess",
    "Killed",
    "Process",
    "Receive",
    "park",
]
