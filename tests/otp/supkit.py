"""Servers and helpers for the tests of supervisors."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from foundation.errors import Exit
from foundation.kernel.ops import (
    alive,
    call,
    current,
    exit,
    me,
    monitor,
    receive,
    send,
    spawn_link,
    trap_exit,
    unlink,
)
from foundation.kernel.values import Down, ExitMsg, Pid, Ref
from foundation.otp.child_spec import ChildSpec
from foundation.otp.gen_server import GenServer
from foundation.otp.results import Fail, Ignore
from foundation.otp.supervisor import Supervisor

PERMANENT, TRANSIENT, TEMPORARY = "permanent", "transient", "temporary"


class Probe(GenServer):
    """Tells *log* of its life: ``("init", label)``, ``("terminate", label, reason)``."""

    def init(self, log: Pid, label: Any, trap: bool = False, unlinked: bool = False) -> None:
        self.log = log
        self.label = label
        trap_exit(trap)
        if unlinked:
            unlink(current().parent)
        send(log, ("init", label))

    def handle_call(self, request: Any, caller: Any) -> Any:
        if request == "label":
            return self.label
        if request == "vars":
            return {key: value for key, value in vars(self).items() if key != "log"}
        setattr(self, *request)
        return None

    def handle_cast(self, request: Any) -> Any:
        if request == "boom":
            raise ValueError("boom")
        raise Exit(request)

    def handle_info(self, message: Any) -> None:
        send(self.log, ("info", self.label, message))

    def terminate(self, reason: Any) -> None:
        send(self.log, ("terminate", self.label, reason))


class Slow(GenServer):
    """Takes its time to start and to end; traps exits."""

    async def init(self, log: Pid, label: Any, start: float = 0.0, end: float = 0.0) -> None:
        self.log, self.label, self.end = log, label, end
        trap_exit()
        send(log, ("starting", label))
        if start:
            await asyncio.sleep(start)
        send(log, ("init", label))

    async def terminate(self, reason: Any) -> None:
        send(self.log, ("ending", self.label, reason))
        if self.end:
            await asyncio.sleep(self.end)
        send(self.log, ("ended", self.label))


class Stubborn(GenServer):
    """Traps exits and hangs in ``terminate``."""

    def init(self, log: Pid, label: Any) -> None:
        self.log, self.label = log, label
        trap_exit()
        send(log, ("init", label))

    async def terminate(self, reason: Any) -> None:
        send(self.log, ("terminate", self.label, reason))
        await asyncio.sleep(3600)


class Script(GenServer):
    """Says what the next start of each ``Actor`` does."""

    def init(self, log: Pid, **outcomes: list[str]) -> None:
        self.log = log
        self.outcomes = {label: list(todo) for label, todo in outcomes.items()}

    def handle_call(self, request: Any, caller: Any) -> Any:
        if isinstance(request, tuple):
            label, outcomes = request
            self.outcomes[label] = list(outcomes)
            return None
        todo = self.outcomes.get(request, [])
        outcome = "ok" if not todo else todo[0] if todo[0].endswith("!") else todo.pop(0)
        send(self.log, (outcome.rstrip("!"), request))
        return outcome.rstrip("!")


class Actor(Probe):
    """A probe whose start follows a script; ``"fail!"`` is for ever, ``"slow_fail"`` waits."""

    async def init(self, script: Pid, label: str, log: Pid | None = None) -> Any:  # type: ignore[override]
        self.log = log or script
        self.label = label
        outcome = await call(script, label)
        if outcome == "ignore":
            return Ignore()
        if outcome == "fail":
            return Fail("on purpose")
        if outcome == "raise":
            raise ValueError("on purpose")
        if outcome == "slow_fail":
            await asyncio.sleep(0.02)
            return Fail("on purpose")
        return None


class Nosy(GenServer):
    """Calls its own supervisor from ``init`` or ``terminate``."""

    async def init(self, log: Pid, when: str) -> None:
        self.log, self.when, self.parent = log, when, current().parent
        trap_exit()
        if when == "init":
            await self.ask()

    async def ask(self) -> None:
        try:
            found: Any = await Supervisor.which_children(self.parent)
        except Exception as error:
            found = type(error).__name__
        send(self.log, ("asked", found))

    async def terminate(self, reason: Any) -> None:
        if self.when == "terminate":
            await self.ask()


# Start functions


async def start_probe(log: Pid, label: Any) -> Any:
    return await Probe.start_link(log, label)


async def start_with_info(log: Pid, label: Any) -> Any:
    return await Probe.start_link(log, label), {"label": label}


async def start_odd(value: Any) -> Any:
    return value


async def start_raising() -> Any:
    raise ValueError("cannot start")


async def start_generator_exit() -> Any:
    raise GeneratorExit


async def start_exiting() -> Any:
    raise Exit("not today")


async def start_failing() -> Any:
    return await Failing.start_link()


class Failing(GenServer):
    """Does not start."""

    def init(self, reason: Any = "on purpose") -> Any:
        return Fail(reason)


class Raising(GenServer):
    """Does not start either."""

    def init(self) -> Any:
        raise ValueError("raised in init")


class Ignoring(GenServer):
    """Does not want to run."""

    def init(self) -> Any:
        return Ignore()


def by(function: Any, *args: Any, id: Any = None, **options: Any) -> ChildSpec:
    """Return a spec with a start function."""
    return ChildSpec(id or function.__name__, (function, args, {}), **options)


def probe(label: Any, restart: str = PERMANENT, **options: Any) -> ChildSpec:
    """Return the spec of a probe whose log is the current process."""
    init = {key: options.pop(key) for key in ("trap", "unlinked") if key in options}
    options.setdefault("id", label)
    return Probe.spec(me(), label, restart=restart, **init, **options)


def actor(script: Pid, label: str, restart: str = PERMANENT, **options: Any) -> ChildSpec:
    """Return the spec of an actor that follows *script*."""
    options.setdefault("id", label)
    return Actor.spec(script, label, me(), restart=restart, **options)


# Looking


async def events(count: int) -> list[Any]:
    """Return the next *count* events, without their reasons' detail."""
    return [await receive(_is_event, timeout=10) for _ in range(count)]


async def no_event(sup: Any = None) -> None:
    """Check that nothing more has been told, once *sup* has done what it had to."""
    if sup is not None:
        await Supervisor.which_children(sup)
    try:
        event = await receive(_is_event, timeout=0.02)
    except TimeoutError:
        return
    raise AssertionError(f"unexpected event {event!r}")


def _is_event(message: Any) -> bool:
    return isinstance(message, tuple) and not isinstance(message, Pid)


async def forget_events() -> None:
    """Drop the events so far."""
    with contextlib.suppress(TimeoutError):
        while True:
            await receive(_is_event, timeout=0.005)


async def pids(sup: Any) -> dict[Any, Any]:
    """Return the pids of the children, by id, in start order."""
    children = await Supervisor.which_children(sup)
    return {child.id: child.pid for child in reversed(children)}


async def pid_of(sup: Any, id: Any) -> Any:
    """Return the pid of a child."""
    return (await pids(sup))[id]


async def until(condition: Callable[[], Any], timeout: float = 10.0) -> Any:
    """Return the first true value of the coroutine function *condition*."""
    driver = current().kernel.driver
    deadline = driver.now() + timeout
    while True:
        value = await condition()
        if value:
            return value
        assert driver.now() < deadline, "the condition did not come true"
        await asyncio.sleep(0.002)


async def gone(pid: Pid, timeout: float = 10.0) -> Any:
    """Wait for the end of *pid*; return the reason."""
    return await reason_of(monitor(pid), timeout)


async def reason_of(ref: Ref, timeout: float = 10.0) -> Any:
    """Wait for the ``Down`` of a monitor; return the reason."""
    down = await receive(lambda m: isinstance(m, Down) and m.ref == ref, timeout=timeout)
    return down.reason


async def kill(pid: Pid, reason: Any = "kill") -> None:
    """Send *pid* an exit signal and wait for its end."""
    ref = monitor(pid)
    exit(pid, reason)
    await reason_of(ref)


async def exit_of(pid: Pid) -> Any:
    """Wait for the EXIT message of the linked *pid*; return the reason."""
    message = await receive(lambda m: isinstance(m, ExitMsg) and m.pid == pid, timeout=10)
    return message.reason


@contextlib.asynccontextmanager
async def supervisor(children: list[Any], **flags: Any) -> AsyncIterator[Pid]:
    """Run a supervisor, linked to the current process, which traps exits from then on."""
    trap_exit()
    pid = await Supervisor.start_link(children, **flags)
    try:
        yield pid
    finally:
        await stop(pid)


async def stop(pid: Pid) -> None:
    """Stop a supervisor if it still runs."""
    with contextlib.suppress(Exception):
        await Supervisor.stop(pid, "shutdown")


def now() -> float:
    """Return the time of the driver."""
    time: float = current().kernel.driver.now()
    return time


async def script(**outcomes: list[str]) -> Pid:
    """Start a script."""
    return await Script.start_link(me(), **outcomes)


__all__ = [name for name in dir() if not name.startswith("_")]
_ = (alive, spawn_link)
