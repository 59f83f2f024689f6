"""Replaying a recorded server: the same class, the same messages, in this thread.

::

    replay = scope.replay("shop.rec")
    for step in replay.steps():            # a breakpoint in Shop.handle_call stops here
        print(step, step.state)
    print(replay.divergence or "the same states")

No other process, clock or network takes part: what the server learned from them was recorded, and
its asyncio tasks and timers go on when they did. Where it does something else than it did, the
replay ends and says so: its code has changed, or it depends on something that is not recorded
(the clock, chance, a file: see ``record``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from foundation.errors import CodecError, ReplayError
from foundation.kernel.process import CAST, CURRENT, INFO, UNSET, Caller
from foundation.kernel.values import Pid
from foundation.otp.describe import state_of
from foundation.otp.sys_requests import set_state
from foundation.scope import boundary
from foundation.scope.asking_host import arguments, waited
from foundation.scope.packing import plain_text, same, shown, unpack, unpacked_error
from foundation.scope.recording_file import Header, Record, load
from foundation.scope.replay_kernel import (
    ReplayDriver,
    ReplayKernel,
    ReplayProcess,
    Sink,
)
from foundation.scope.replay_loop import ReplayLoop, replayed


@dataclass(frozen=True, slots=True)
class Divergence:
    """Where a replay did something else than the recorded server.

    Attributes:
        step: number of the step.
        what: of what kind, ``"call"``, ``"state"`` …
        recorded: what there should be.
        replayed: what there is.
    """

    step: int
    what: str
    recorded: str
    replayed: str

    @property
    def advice(self) -> str:
        """What to do about it."""
        if self.what == "connection":
            return _CONNECTION
        return _ADVICE

    def __str__(self) -> str:
        return (
            f"step {self.step} diverged ({self.what}): recorded {self.recorded}; "
            f"replayed {self.replayed}. {self.advice}"
        )


_ADVICE = (
    "Either the code is not the one that was recorded, or it depends on something that is not "
    "recorded, such as the clock, chance or a file: scope.record says what to do about these"
)
_CONNECTION = (
    "Connections, pipes and subprocesses that a server opens itself cannot be replayed: keep them "
    "in another process or a thread (asyncio.to_thread), whose answers are recorded"
)


@dataclass(frozen=True, slots=True)
class Step:
    """One message, replayed.

    Attributes:
        number: 0 is ``init``, or the state at the beginning.
        kind: ``"init"``, ``"start"``, ``"call"``, ``"cast"``, ``"info"``, ``"tasks"`` (what
            its asyncio tasks and timers did between two messages), ``"state"`` (it was changed by
            ``sys.replace_state``) or ``"end"``.
        sender: of a call.
        message: what came.
        at: seconds since the recording began.
        did: what the server did and learned, in order, as text.
        state: its attributes after it: the live ones.
        end: the reason, when the process ended in this step.
        divergence: what was different, if something was.
    """

    number: int
    kind: str
    sender: Pid | None
    message: Any
    at: float
    did: tuple[str, ...] = ()
    state: dict[str, Any] = field(default_factory=dict)
    end: str | None = None
    divergence: Divergence | None = None

    def __str__(self) -> str:
        has_message = self.kind in ("call", "cast", "info")
        message = f" {plain_text(self.message)}" if has_message else ""
        end = "" if self.end is None else f" -> ended: {self.end}"
        return f"{self.number}: {self.kind}{message}{end}"


class Diverged(BaseException):
    """Ends the callback that went another way; never leaves this module."""

    def __init__(self, divergence: Divergence) -> None:
        super().__init__(divergence)
        self.divergence = divergence


def replay(path: str | Path) -> Replay:
    """Return the replay of the recording in the file *path*.

    The file is unpickled, which can run code: replay only files that you trust. The server's
    class must be importable, in the version that was recorded.

    Raises:
        ReplayError: it is no recording, or its class cannot be found.
    """
    return Replay(*load(path))


class Replay:
    """A recorded server that is to live again.

    Attributes:
        header: what was recorded of its beginning.
        records: the steps as they were recorded.
        server: the instance of its class, once ``steps`` has begun.
        divergence: the first difference, if there was one.
    """

    def __init__(self, header: Header, records: list[Record]) -> None:
        self.header = header
        self.records = records
        self.server: Any = None
        self.divergence: Divergence | None = None
        self._record: Record | None = None
        self._place = 0  # of the next fact
        self._did: list[str] = []
        self._callers: dict[Caller, int] = {}
        self._process: ReplayProcess | None = None
        self._loop: ReplayLoop | None = None

    @property
    def state(self) -> dict[str, Any]:
        """The attributes of the server now."""
        return {} if self.server is None else state_of(self.server)

    def run(self) -> list[Step]:
        """Replay everything; the states in the steps are texts, as of their moments."""
        return [
            Step(
                *(step.number, step.kind, step.sender, step.message, step.at, step.did),
                state={name: plain_text(value) for name, value in step.state.items()},
                end=step.end,
                divergence=step.divergence,
            )
            for step in self.steps()
        ]

    def steps(self) -> Iterator[Step]:
        """Replay step by step, each when it is asked for; after a divergence there are no more.

        Raises:
            ReplayError: the class, a message or the arguments cannot be loaded here.
        """
        loop = self._loop = ReplayLoop(self._expect, self._refuse)
        driver = ReplayDriver(loop, lambda report: None)
        kernel = ReplayKernel(self.header.pid, driver, self._expect, self._answer)
        self.divergence, self._record, self._callers = None, None, {}
        boundary.begin()
        try:
            process = self._process = self._make(kernel)
            if self.header.state is not None:
                yield self._begin_with_state(process)
            for record in self.records:
                driver.time = record.at
                with _in_step(process, loop):
                    step = self._replay(process, record)
                yield step
                if step.divergence is not None or step.end is not None:
                    return
        finally:
            boundary.end()
            loop.end()

    def _make(self, kernel: ReplayKernel) -> ReplayProcess:
        header = self.header
        try:
            cls = unpack(header.server)
            args = unpack(header.args) if header.args is not None else ()
            kwargs = unpack(header.kwargs) if header.kwargs is not None else {}
        except CodecError as error:
            raise ReplayError(f"{header.class_name} cannot be loaded here: {error}") from None
        if not isinstance(cls, type):
            raise ReplayError(f"the class {header.class_name} could not be recorded: {cls!r}")
        process = ReplayProcess(kernel, header.pid, None, (cls, args, kwargs))
        process.name = header.name
        dict.__setitem__(kernel.procs, process.pid, process)
        return process

    def _begin_with_state(self, process: ReplayProcess) -> Step:
        assert process.start_spec is not None
        assert self.header.state is not None
        cls = process.start_spec[0]
        process.server = self.server = cls()
        process.start_spec = None
        process.state = "running"
        set_state(self.server, {n: _unpacked(n, p) for n, p in self.header.state.items()})
        return Step(0, "start", None, None, 0.0, state=self.state)

    # One step

    def _replay(self, process: ReplayProcess, record: Record) -> Step:
        self._record, self._place, self._did = record, 0, []
        process.kernel.raised = None  # type: ignore[attr-defined]
        message = _unpacked("the message", record.message)
        reason = self._run(process, record, message)
        divergence = self.divergence or self._compare(process, record, reason)
        self.divergence, self._record = divergence, None
        end = record.end if divergence is None else None
        return Step(
            *(record.number, record.kind, record.sender, message, record.at, tuple(self._did)),
            *(self.state, end, divergence),
        )

    def _run(self, process: ReplayProcess, record: Record, message: Any) -> str | None:
        """Run the callbacks of the step; return why the process has ended, if it has."""
        ended: list[str] = []
        process.set_extra("exit_hooks", (lambda _, reason: ended.append(plain_text(reason)),))
        try:
            if record.kind == "init":
                process.begin()
                self.server = process.server
            elif record.kind == "state":
                new = {name: _unpacked(name, p) for name, p in record.changed.items()}
                kept = {n: v for n, v in self.state.items() if n not in record.gone}
                set_state(self.server, {**kept, **new})
            elif record.kind not in ("tasks", "end"):
                process.handle(self._item(process, record, message))
            self._go_on(process, record)
        except Diverged as diverged:
            self.divergence = diverged.divergence
        return ended[0] if ended else None

    def _item(self, process: ReplayProcess, record: Record, message: Any) -> Any:
        if record.kind != "call":
            return (CAST if record.kind == "cast" else INFO, message)
        sender = record.sender if record.sender is not None else process.pid
        caller = Caller(Sink(), Pid(*sender), process, message)
        self._callers[caller] = record.number
        return caller

    def _go_on(self, process: ReplayProcess, record: Record) -> None:
        """Let callbacks, tasks and timers go on as they did then."""
        while self._coming() in _GOING_ON:
            fact = record.facts[self._place]
            if fact[0] == "ran":
                self._place += 1
                self._run_handle(process, fact)
            elif process.coro is None or process.state == "dead":
                return
            else:
                self._place += 1
                self._did.append(f"got {shown(fact[3])}")
                self._resume(process, *fact)
        if process.coro is None or process.state == "dead":
            return
        if self._place < len(record.facts):
            raise self._diverged("await", _fact_text(record.facts[self._place]), "it awaits")
        if record.end is None:  # else it was ended while it awaited
            raise self._diverged("await", "nothing more is awaited", "the callback awaits")

    def _run_handle(self, process: ReplayProcess, fact: list[Any]) -> None:
        assert self._loop is not None
        kernel = process.kernel
        kernel.running = None
        try:
            found = self._loop.run_handle(fact[2])
        finally:
            kernel.running = process
        if not found:
            raise self._diverged("task", _fact_text(fact), "it was not set, or is cancelled")
        if self.divergence is not None:  # in a task, which has kept it to itself
            raise Diverged(self.divergence)

    def _resume(self, process: ReplayProcess, what: str, _: str, ok: bool, packed: Any) -> None:
        if what == "outcome":
            value = unpack(packed) if ok else unpacked_error(packed)
            process.waiting = process.deadline = None
            process.outcome = (ok, value)
        elif process.outcome is UNSET:
            raise self._diverged("await", "a future of asyncio", f"{process.waiting!r}")
        process.step()

    # Facts

    def _coming(self) -> str:
        """Return the kind of the next fact, "" after the last; complete futures until there."""
        record = self._record
        while record is not None and self._place < len(record.facts):
            fact = record.facts[self._place]
            if fact[0] != "done":
                return str(fact[0])
            self._place += 1
            assert self._loop is not None
            if not self._loop.complete(fact[1], fact[2], self._process, *fact[3:]):
                raise self._diverged("task", _fact_text(fact), "nothing waits for it")
        return ""

    def _expect(self, what: str, about: str, *rest: str) -> list[Any]:
        """The server does *what*; return what was recorded of the same.

        Raises:
            Diverged: something else was.
        """
        record = self._record
        if record is None:
            raise ReplayError("the server did something between two steps of its replay")
        now = " ".join((what, about, *rest)).strip()
        if not self._coming():
            raise self._diverged(what, "nothing", now)
        fact = record.facts[self._place]
        if fact[: 2 + len(rest)] != [what, about, *rest]:
            raise self._diverged(what, _fact_text(fact), now)
        self._place += 1
        if what != "parked":
            self._did.append(now)
        return fact[2 + len(rest) :]

    def _answer(
        self, name: str, plain: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Answer what the function *name* did, without calling it."""
        how, value = self._expect("asked", name, arguments(args, kwargs))
        if how == "raised":
            raise unpacked_error(value)
        if how == "returned":
            return unpack(value)
        assert self._loop is not None
        steps = replayed(self._expect, self._coming, self._process, self._loop, name)
        return waited(steps) if value else steps

    def _refuse(self, name: str) -> NoReturn:
        raise self._diverged("connection", "nothing of it", f"{name} of the event loop was called")

    def _diverged(self, what: str, recorded: str, replayed: str) -> Diverged:
        assert self._record is not None
        found = Divergence(self._record.number, what, recorded, f"{replayed}{self._raised()}")
        self.divergence = self.divergence or found
        return Diverged(self.divergence)

    def _raised(self) -> str:
        """Say what the callback has raised in this step."""
        kernel: Any = None if self._process is None else self._process.kernel
        error = None if kernel is None else kernel.raised
        return "" if error is None else f": it raised {type(error).__qualname__}: {error}"

    def _compare(
        self, process: ReplayProcess, record: Record, reason: str | None
    ) -> Divergence | None:
        number = record.number
        if self._place < len(record.facts):
            fact = _fact_text(record.facts[self._place])
            ended = f"the callback has ended without that{self._raised()}"
            return Divergence(number, "action", fact, ended)
        if reason is not None and record.end is None:
            return Divergence(number, "end", "the server lives", f"it ended with {reason}")
        if reason is not None and record.end != reason:
            return Divergence(number, "end", f"it ended with {record.end}", f"with {reason}")
        return self._compare_states(record)

    def _compare_states(self, record: Record) -> Divergence | None:
        state = self.state
        for name, packed in record.changed.items():
            if name not in state:
                return Divergence(record.number, "state", f"{name} = {shown(packed)}", "no such")
            if not same(packed, state[name], self._callers):
                now = f"{name} = {plain_text(state[name])}"
                return Divergence(record.number, "state", f"{name} = {shown(packed)}", now)
        return self._compare_unchanged(record, state)

    def _compare_unchanged(self, record: Record, state: dict[str, Any]) -> Divergence | None:
        """Attributes that are not in the record must be what they were, or be gone."""
        known: dict[str, Any] = dict(self.header.state or {})
        for each in self.records:
            known |= each.changed
            for name in each.gone:
                known.pop(name, None)
            if each is record:
                break
        for name, packed in known.items():
            if name not in state:
                return Divergence(record.number, "state", f"{name} = {shown(packed)}", "no such")
        for name, value in state.items():
            if name not in known:
                now = f"{name} = {plain_text(value)}"
                return Divergence(record.number, "state", f"no attribute {name}", now)
            if name not in record.changed and not same(known[name], value, self._callers):
                now = f"{name} = {plain_text(value)}"
                return Divergence(record.number, "state", f"{name} = {shown(known[name])}", now)
        return None


def _unpacked(what: str, packed: Any) -> Any:
    try:
        return unpack(packed)
    except CodecError as error:
        raise ReplayError(f"{what} cannot be loaded here: {error}") from None


_GOING_ON = ("ran", "outcome", "future")


def _fact_text(fact: list[Any]) -> str:
    what, about, *values = fact
    match what:
        case "outcome" | "future":
            return f"it awaited, and got {shown(values[1])}"
        case "ran":
            return "a task or timer of the server went on"
        case "done":
            return f"something that was awaited came to {shown(values[2])}"
        case "parked":
            return "it waited in a function of foundation"
        case "answered" | "asked" if values[-2] in ("result", "returned", "error", "raised"):
            values[-2:] = [f"({values[-2]} {shown(values[-1])})"]
    return " ".join([what, about, *(v for v in values if isinstance(v, str))]).strip()


@contextmanager
def _in_step(process: ReplayProcess, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Let code find its process and an asyncio loop, as it did in its host."""
    kernel = process.kernel
    outer = asyncio._get_running_loop()
    token = CURRENT.set(process)
    asyncio._set_running_loop(loop)
    kernel.running = process
    try:
        yield
    finally:
        kernel.running = None
        asyncio._set_running_loop(outer)
        CURRENT.reset(token)


__all__ = ["Divergence", "Replay", "Step", "replay"]
