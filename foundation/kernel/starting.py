"""Starting a process and waiting until it has begun: start, link and name in one step."""

from __future__ import annotations

from typing import Any, Protocol

from foundation.errors import AlreadyStarted, BlockingCall, CallExit, CallTimeout, StartError
from foundation.kernel.codec import ByValue
from foundation.kernel.ops import FutureSink, current
from foundation.kernel.process import Caller, Process, park
from foundation.kernel.signals import flush_exits
from foundation.kernel.values import Pid


class Placer(Protocol):
    """Decides in which host a process starts; the runtime sets ``kernel.placer``.

    Attributes:
        home: where processes start that ask for nothing; None is beside their starter.
    """

    home: str | None

    def place(self, where: str) -> str:
        """Return the host address that *where* (``"spread"``, a host's name) means now."""

    async def find(self, where: str) -> str:
        """As ``place``; waits for a host that is about to come up."""

    async def dedicated(self, label: str) -> str:
        """Start a host for one process alone and return its address."""


async def start(
    process_class: type[Process],
    payload: Any,
    *,
    link: bool = False,
    name: Any = None,
    timeout: float | None = None,
    where: str | None = None,
    isolation: str | None = None,
    extra: dict[str, Any] | None = None,
    what: str = "process",
    started: Any = None,
    ship: bool = False,
) -> Any:
    """Start a process and wait until its ``init`` is done; return what it acknowledged.

    Args:
        process_class: what kind of process.
        payload: for its constructor; the caller has isolated it.
        link: link it to the current process.
        name: register it before it begins.
        timeout: seconds its start may take; then it is killed.
        where: a host, for the placer; None is the placer's ``home``.
        isolation: ``"host"`` starts it in a host of its own.
        extra: rare attributes.
        what: describes it in errors.
        started: called with the new pid as soon as that is known, before ``init`` has run.
        ship: send the class by value, to a node that cannot import it and accepts code.

    Raises:
        AlreadyStarted: the name is held.
        StartError: ``init`` failed or took too long.
    """
    me = current()
    if me.coro is None:
        raise BlockingCall(
            f"{what} was started in a plain `def` callback of {me!r}, which cannot wait for "
            "its init; write the callback as `async def` and await the start"
        )
    kernel = me.kernel
    placer: Placer | None = kernel.placer
    host = None
    if placer is not None:
        where = where or placer.home
        if isolation == "host":
            host = await placer.dedicated(what)
        elif where is not None:
            host = await placer.find(where)
    child: Process | None = None
    # In an asyncio task of this process (gather, wait_for) a future waits, not the process.
    sink: Any = me if kernel.stepping is me else FutureSink(kernel.driver.new_future())
    if host is None or host == kernel.address:
        token = Caller(sink, me.pid, me.pid, None)
        child = kernel.spawn(
            process_class, payload, parent=me, link=link, name=name, starter=token, extra=extra
        )
        if started is not None:
            started(child.pid)
    else:
        if ship:
            payload = (ByValue(payload[0]), *payload[1:])
        request = (process_class.kind, payload, link, name, extra)
        token = kernel.remote.spawn(host, sink, me, request)
    result = await _started(me, sink, token, child, timeout, what)
    plain = name is not None and not hasattr(name, "__claim__")
    if child is None and plain and type(result) is Pid:
        _learn(me, name, result)
    return result


def _learn(me: Process, name: Any, pid: Pid) -> None:
    """The authority's word on *name* may come later, by another route."""
    names, remote = me.kernel.names, me.kernel.remote
    if pid.host not in remote.neighbours:
        names.learn(name, pid)
    elif pid in (me.links or ()):  # its end comes by the link
        names.on_up(pid.host, name, pid)


async def _started(
    me: Process,
    sink: Any,
    token: Caller,
    child: Process | None,
    timeout: float | None,
    what: str,
) -> Any:
    kernel = me.kernel
    try:
        if sink is not me:
            return await sink.wait(kernel, timeout, lambda: CallTimeout("timeout"))
        if token.done and child is not None and child.state == "dead":
            raise start_error(child.get_extra("refused"), what)
        me.waiting = token
        if timeout is not None:
            me.set_deadline(kernel.driver.now() + timeout)
        return await park(token)
    except CallExit as error:
        if not token.done:
            _abandon(me, token, child)
        raise start_error(error.reason, what) from None
    except BaseException:
        if not token.done and me.coro is not None:  # cancelled, as by asyncio.timeout
            _abandon(me, token, child)
        raise


def _abandon(me: Process, token: Caller, child: Process | None) -> None:
    """The start took too long: kill the child and leave no trace of it."""
    token.done = True
    kernel = me.kernel
    if child is not None:
        kernel.signals.unlink(me, child.pid)
        flush_exits(me, child.pid)
        kernel.signals.signal(me.pid, child.pid, "kill")
    elif type(token.server) is Pid:
        kernel.remote.op(token.server.host, ("spawn_cancel", token.ref))
        kernel.remote.forget_call(token)


def start_error(reason: Any, what: str) -> StartError:
    """Return the exception for a start that failed with *reason*."""
    if isinstance(reason, (tuple, list)) and len(reason) == 2 and reason[0] == "already_started":
        return AlreadyStarted(reason[1], what)
    return StartError(reason, what)
