"""A server that does what its messages say, and helpers for tests of servers."""

from __future__ import annotations

from typing import Any

from foundation.otp import ExitMsg, GenServer, Pid, exit, link, me, receive, send, trap_exit


class Doer(GenServer):
    """Each request is a function of the server; tells *log* what comes and how it ends.

    *first* runs in ``init`` and gives its result.
    """

    def init(self, log: Pid | None = None, first: Any = None, trap: bool = False) -> Any:
        self.log = log
        self.count = 0
        trap_exit(trap)
        return None if first is None else first(self)

    def handle_call(self, request: Any, caller: Any) -> Any:
        if request == "count":
            self.count += 1
            return self.count
        return request(self, caller)

    def handle_cast(self, request: Any) -> Any:
        if callable(request):
            return request(self)
        self.tell("cast", request)
        return None

    def handle_info(self, message: Any) -> Any:
        if callable(message):
            return message(self)
        self.tell("info", message)
        return None

    def handle_continue(self, argument: Any) -> Any:
        if callable(argument):
            return argument(self)
        self.tell("continue", argument)
        return None

    def terminate(self, reason: Any) -> Any:
        self.tell("terminate", reason)

    def tell(self, *what: Any) -> None:
        """Send *what* to the log."""
        if self.log is not None:
            send(self.log, what)


class Bare(GenServer):
    """Has no callbacks."""


async def events(count: int, timeout: float = 5.0) -> list[Any]:
    """Receive *count* messages."""
    return [await receive(timeout=timeout) for _ in range(count)]


async def nothing(seconds: float = 0.03) -> bool:
    """Whether no message comes for a moment."""
    try:
        await receive(timeout=seconds)
    except TimeoutError:
        return True
    return False


async def ends(pid: Pid, timeout: float = 5.0) -> Any:
    """Wait for the EXIT of the linked *pid*; return its reason."""
    message = await receive(lambda m: type(m) is ExitMsg and m.pid == pid, timeout=timeout)
    return message.reason


def raiser(error: BaseException) -> Any:
    """Raise *error*, where an expression is wanted."""
    raise error


async def parent_of(log: Pid, trap: bool = True) -> None:
    """Start a ``Doer`` linked to this process and tell *log*; end as told by a message."""
    pid = await Doer.start_link(log, None, trap)
    send(log, pid)
    reason = await receive()
    exit(me(), reason)


async def caller_of(log: Pid, server: Pid, request: Any, timeout: float | None = 5.0) -> None:
    """Call *server* and tell *log* the reply, or the reason why there is none."""
    from foundation.otp import CallExit, call

    try:
        send(log, ("reply", await call(server, request, timeout=timeout)))
    except CallExit as error:
        send(log, ("failed", error.reason))


__all__ = [
    "Bare",
    "Doer",
    "caller_of",
    "ends",
    "events",
    "link",
    "nothing",
    "parent_of",
    "raiser",
]
