"""What one process can do with another: run within a node, and between nodes, with equal results.

*host* is a host of another operating-system process, of this node or of another one.
"""

from __future__ import annotations

import asyncio
from typing import Any

from foundation.otp import (
    AlreadyStarted,
    CallExit,
    Crash,
    Down,
    ExitMsg,
    GenServer,
    NoReply,
    StartError,
    Stop,
    abcast,
    call,
    cast,
    demonitor,
    exit,
    link,
    me,
    monitor,
    multi_call,
    receive,
    send,
    stop,
    sys,
    trap_exit,
    unlink,
)


class Echo(GenServer):
    """Keeps what it is told, and obeys."""

    def init(self, fail: Any = None) -> None:
        if fail is not None:
            raise ValueError(fail)
        self.kept: list[Any] = []

    def handle_call(self, request: Any, caller: Any) -> Any:
        match request:
            case "kept":
                return self.kept
            case "crash":
                raise ValueError("asked to crash")
            case "hang":
                return NoReply()
            case "stop":
                return Stop("normal", reply="bye")
            case ("echo", value):
                return value
            case ("link", pid):
                link(pid)
                return "ok"
        return super().handle_call(request, caller)

    def handle_cast(self, request: Any) -> None:
        self.kept.append(("cast", request))

    def handle_info(self, message: Any) -> None:
        self.kept.append(("info", message))


class Trapper(Echo):
    """Keeps exits, too."""

    def init(self, fail: Any = None) -> None:
        trap_exit(True)
        super().init(fail)


def fails(error: BaseException | None) -> tuple[str, Any]:
    """Return what is to be compared of an error."""
    reason = getattr(error, "reason", None)
    if isinstance(reason, Crash):
        reason = reason.type.rpartition(".")[2]
    return type(error).__name__, reason


async def the_next(kind: type) -> Any:
    """Wait for a message of that class."""
    return await receive(lambda message: isinstance(message, kind), timeout=10)


async def failure(server: Any, request: Any, timeout: float = 5.0) -> tuple[str, Any, bool]:
    """Call *server*; return how that failed."""
    try:
        return "no failure", await call(server, request, timeout=timeout), False
    except CallExit as error:
        return *fails(error), error.definite


async def calls(host: str) -> list[Any]:
    """Replies, values, timeouts, crashes, processes that have ended."""
    pid = await Echo.start(host=host)
    values = [None, 1.5, "x", b"\0", (1, (2,)), [1, {"a": {3}}], {"k": (1, 2)}, 2**70, pid, me()]
    echoed = [await call(pid, ("echo", value)) == value for value in values]
    big = bytes(5_000_000)
    outcome: list[Any] = [echoed, await call(pid, ("echo", big)) == big]
    many = await asyncio.gather(*(call(pid, ("echo", n)) for n in range(500)))
    outcome += [many == list(range(500)), await failure(pid, "hang", 0.1)]
    outcome += [await call(pid, ("echo", "still there")), await failure(pid, "unknown")]
    outcome += [await failure(pid, "x")]
    other = await Echo.start(host=host)
    outcome += [await failure(other, "crash"), await failure(other, "crash")]
    third = await Echo.start(host=host)
    outcome += [await call(third, "stop"), await failure(third, "stop")]
    return outcome


async def messages(host: str) -> list[Any]:
    """Casts and sends arrive in order, and before a call made after them."""
    pid = await Echo.start(host=host)
    for number in range(2000):
        cast(pid, number)
        send(pid, number)
    kept = await call(pid, "kept", timeout=20)
    wanted = [pair for n in range(2000) for pair in (("cast", n), ("info", n))]
    await stop(pid)
    cast(pid, 1)  # to nobody: no error
    send(pid, 1)
    return [kept == wanted]


async def links(host: str) -> list[Any]:
    """Exits of linked processes, both ways; none after ``unlink``."""
    trap_exit(True)
    outcome: list[Any] = []
    for how in ("crash", "stop"):
        pid = await Echo.start_link(host=host)
        with_reply = await failure(pid, how)
        message = await the_next(ExitMsg)
        outcome += [with_reply[:2], message.pid == pid, fails(message)]
    pid = await Echo.start_link(host=host)
    exit(pid, "kill")
    outcome.append((await the_next(ExitMsg)).reason)
    pid = await Echo.start_link(host=host)
    exit(pid, "shutdown")
    outcome.append((await the_next(ExitMsg)).reason)
    pid = await Echo.start_link(host=host)
    unlink(pid)
    exit(pid, "kill")
    ref = monitor(pid)
    down = await the_next(Down)
    outcome += [down.ref == ref, down.reason in ("killed", "noproc")]
    link(pid)  # that is dead
    outcome.append((await the_next(ExitMsg)).reason)
    return [*outcome, *await linked_back(host)]


async def linked_back(host: str) -> list[Any]:
    """A process there is linked to one here, which ends: it is told, or ends too."""
    trapper, other = await Trapper.start(host=host), await Echo.start(host=host)
    here = await Echo.start(host="main")
    await call(trapper, ("link", here))
    await call(other, ("link", here))
    ref = monitor(other)
    exit(here, "boom")
    down = await the_next(Down)
    outcome = [down.ref == ref, down.reason]
    for _ in range(500):
        kept = await call(trapper, "kept")
        if kept:
            break
        await asyncio.sleep(0.01)
    return [*outcome, [(m.pid == here, m.reason) for _, m in kept]]


async def monitors(host: str) -> list[Any]:
    """``Down`` with the reason, once; of names; none after ``demonitor``."""
    outcome: list[Any] = []
    for how in ("crash", "stop"):
        pid = await Echo.start(host=host)
        ref, second = monitor(pid), monitor(pid)
        demonitor(second, flush=True)
        await failure(pid, how)
        down = await the_next(Down)
        outcome += [down.ref == ref, down.object == pid, fails(down)]
    down_ref = monitor(pid)
    down = await the_next(Down)
    outcome += [down.ref == down_ref, down.reason]
    pid = await Echo.start(host=host)
    monitor(pid)
    await stop(pid, "because")
    outcome.append((await the_next(Down)).reason)
    try:
        await receive(timeout=0.2)
        outcome.append("a further message")
    except TimeoutError:
        outcome.append("no further message")
    return outcome


async def starts(host: str) -> list[Any]:
    """Starts that fail; names that are held; the system functions; stops."""
    outcome: list[Any] = []
    try:
        await Echo.start("a bad start", host=host)
    except StartError as error:
        outcome += [*fails(error), "a bad start" in str(error)]
    pid = await Echo.start(host=host, name="remote-echo")
    try:
        await Echo.start(host=host, name="remote-echo")
    except AlreadyStarted as error:
        outcome.append(error.pid == pid)
    state = await sys.get_state(pid)
    outcome.append(state["kept"])
    await stop(pid, "shutdown")
    outcome.append(await failure(pid, "kept"))
    again = await Echo.start(host=host, name="remote-echo")  # the name is free at once
    outcome.append(again != pid)
    await stop(again)
    return outcome


async def names(node: str) -> list[Any]:
    """``(name, node)`` works wherever a pid does."""
    there = ("remote-named", node)
    outcome: list[Any] = [await failure(there, "kept")]
    pid = await Echo.start(host=f"{node}/w1", name="remote-named")
    cast(there, 1)
    send(there, 2)
    outcome.append(await call(there, "kept"))
    ref = monitor(there)
    await stop(there)
    down = await the_next(Down)
    outcome += [down.ref == ref, down.object, down.reason, await failure(there, "kept")]
    assert isinstance(down.object, tuple) or down.object == pid
    return outcome


async def everywhere(nodes: list[str]) -> list[Any]:
    """``multi_call`` and ``abcast`` to one name on many nodes, one of which has none."""
    for node in nodes:
        await Echo.start(host=f"{node}/w1", name="remote-many")
    servers = [("remote-many", node) for node in [*nodes, "nowhere"]]
    abcast(servers, "all")
    replies, bad = await multi_call(servers, "kept")
    for node in nodes:
        await stop(("remote-many", node))
    return [replies, bad]
