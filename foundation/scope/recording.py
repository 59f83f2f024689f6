"""Recording a server: all that comes into it, so that it can live again in ``replay.py``.

What a server does depends on its messages, on what its awaits give it, on what the functions of
this library tell it (a pid, whether somebody is alive, what a registry, the configuration, the
mesh or the cluster answers), and on the order in which its asyncio tasks and timers go on. All of
that is recorded, with what the server sends and its state after each message, by which a replay
knows that it is on the right way. What is not recorded is said in ``record``.

While it is recorded the process is a ``RecordedProcess`` and sees the kernel through a ``Tap``
(``taps_of_one.py``); the functions that ask the host's tables are those of ``boundary.py``, and
the loop tells what it runs for it (``strands.py``). Other processes get the same from all these.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import Any

from foundation.errors import ScopeError
from foundation.kernel.ops import current
from foundation.kernel.process import SYS, UNSET, Caller
from foundation.kernel.reports import Notice
from foundation.kernel.starting import start
from foundation.kernel.values import Pid
from foundation.otp import sys
from foundation.otp.debug import Debug
from foundation.otp.describe import state_of
from foundation.otp.server_process import ServerProcess
from foundation.scope import boundary
from foundation.scope.packing import Packed, pack, plain_text
from foundation.scope.recording_file import Header, Record, Writer
from foundation.scope.states import kind_of, told_by
from foundation.scope.strands import Strands, tap_of
from foundation.scope.taps_of_one import Tap

KEY = "foundation.scope.record"
LIMIT = 64 * 1024 * 1024


async def record(
    server: Any, path: str, *, limit: int = LIMIT, timeout: float | None = 5.0
) -> None:
    """Record *server* from its present state on, until it ends or ``stop_recording``.

    What comes from outside is recorded: messages, replies, results of other processes, threads
    and executors, what functions of ``foundation`` answer or raise, and in which order asyncio
    tasks, timers and timeouts of the server went on. In a replay none of that is done again.

    Not recorded, so that a replay comes to another result where the server depends on it:

    - the clock (``time.time()``), chance (``random``, ``uuid4``), files, environment, global
      variables: ask another process for these, or run ``asyncio.to_thread(time.time)``;
    - connections, subprocesses and pipes that the server opens itself on the event loop (asyncio
      streams, HTTP libraries), which a replay refuses: keep them in another process, or a thread;
    - what other threads do to the server's state, and tasks, locks and futures that were there
      before the recording began: use ``start_recorded`` for these;
    - functions that are given to functions of ``foundation`` and run in these (``dispatch``,
      ``update_value``, ``where=``): their results are recorded, and they are not called again;
    - objects that cannot be pickled: they are there as text, and using one ends the replay.

    It costs the server some tenths of a millisecond a message, more with a large state, which is
    compared and packed after each; nothing when the recording has ended.

    Args:
        server: pid, name or ``Via`` of a ``GenServer``.
        path: of the file, on the machine of the server; it must not exist. Messages and states
            are in it as they are: treat it as you treat these.
        limit: bytes of the file; the recording ends where it is full.
        timeout: seconds to wait for the server, which finishes what it is doing first.

    Raises:
        ScopeError: an argument is wrong, there is no such server, it is a supervisor or is
            recorded already, or the file cannot be made; it says what.
    """
    _check(path, limit)
    with told_by("record", server):
        await sys.install(server, KEY, recorder_of, path, limit, timeout=timeout)


async def stop_recording(server: Any, *, timeout: float | None = 5.0) -> bool:
    """End the recording of *server*; False when it is not recorded.

    Raises:
        ScopeError: it cannot be asked; it says why.
    """
    with told_by("stop_recording", server):
        return await sys.remove(server, KEY, timeout=timeout)


async def start_recorded(
    cls: Any, path: str, *args: Any, name: Any = None, limit: int = LIMIT, **kwargs: Any
) -> Pid:
    """Start a server, linked, beside this process, and record it from its ``init`` on.

    As a child: ``ChildSpec("shop", (start_recorded, (Shop, "shop.rec"), {}))``; each restart
    needs another file, so make the path of something that changes.

    Args:
        cls: a ``GenServer`` subclass.
        path: of the file, which must not exist.
        *args: for ``init``, as **kwargs.
        name: register it under this name.
        limit: bytes of the file.

    Returns:
        Its pid, or ``Ignored()``.

    Raises:
        ScopeError: *cls* is no such class, or the file cannot be made.
        AlreadyStarted, StartError: as ``GenServer.start_link``.
    """
    _check(path, limit)
    if getattr(cls, "__process_class__", None) is not ServerProcess:
        raise ScopeError(f"start_recorded: a GenServer class can be recorded, got {cls!r}")
    writer = Writer(path, limit)
    isolate = current().kernel.isolate
    pid: Pid = await start(
        RecordedProcess,
        (cls, isolate(args), isolate(kwargs)),
        link=True,
        name=name,
        extra={"writer": writer},
        where=current().kernel.address if current().kernel.placer is not None else None,
        what=cls.__qualname__,
    )
    return pid


def _check(path: Any, limit: Any) -> None:
    if not isinstance(path, str) or not path:
        raise ScopeError(f"the path of a recording must be a str, got {path!r}")
    if type(limit) is not int or limit < 1:
        raise ScopeError(f"limit must be an int of 1 or more bytes, got {limit!r}")


def recorder_of(process: ServerProcess, path: str, limit: int) -> Recorder:
    """Begin to record a running server; in its host."""
    if type(process) is not ServerProcess:
        raise ScopeError(
            f"{process!r} is recorded already; stop_recording() ends that"
            if type(process) is RecordedProcess
            else f"only servers (GenServer) can be recorded, {process!r} is a {process.kind}"
        )
    recorder = Recorder(process, Writer(path, limit))
    recorder.begin(None)
    process.__class__ = RecordedProcess
    process.set_extra("recorder", recorder)
    recorder.tap()
    return recorder


class Recorder:
    """The observer of a server that is recorded."""

    def __init__(self, process: ServerProcess, writer: Writer) -> None:
        self._process = process
        self._writer = writer
        self._since = process.kernel.driver.now()
        self._last: dict[str, Packed] = {}
        self._number = 0
        self._over = False  # the file is closed
        self._step: Record | None = None
        self._untap: Any = None
        self.strands = Strands(process, self._ran)
        self.callers: dict[Caller, int] = {}
        self.future: Any = None  # of asyncio, that the callback awaits
        self.fresh = False  # whether a callback is about to begin

    def begin(self, start: tuple[Any, ...] | None) -> None:
        """Write the header. *start*: class and arguments, when it is about to begin."""
        process = self._process
        cls, args, kwargs = start if start is not None else (type(process.server), None, None)
        if start is None:
            self._last = self._packed_state()
        self._writer.header(
            Header(
                pack(cls),
                cls.__qualname__,
                process.pid,
                process.name,
                None if start is None else pack(args),
                None if start is None else pack(kwargs),
                self._last if start is None else None,
            )
        )
        if start is not None:
            self._step = Record(0, "init", None, pack(None), 0.0)

    def tap(self) -> None:
        """From now on be told what the server does and learns."""
        process = self._process
        loop = getattr(process.kernel.driver, "loop", None)
        if loop is not None:
            tap_of(loop).begin(process, self.strands)
        boundary.begin()
        self._untap = weakref.finalize(self, boundary.end)  # also when it is lost with its host
        process.kernel = Tap(process.kernel, self.strands, self.fact)  # type: ignore[assignment]

    def fact(self, what: str, about: str, *values: Any) -> None:
        """The server has done or learned something."""
        if self._step is not None:
            self._step.facts.append([what, about, *values])

    def _ran(self, what: str, about: str, *values: Any) -> None:
        """Something of asyncio that belongs to the server goes on; also between two messages."""
        if self._over:
            return
        if self._step is None:
            at = self._process.kernel.driver.now() - self._since
            self._step = Record(self._number, "tasks", None, pack(None), at)
        self.fact(what, about, *values)

    def pause(self) -> None:
        """Something else is about to come: what is over is a step of its own."""
        step = self._step
        if step is not None and step.kind in ("init", "tasks") and self._process.coro is None:
            self._finish(None)

    # As an observer

    def came(self, process: Any, item: Any) -> None:
        """A step begins."""
        if self._over:
            return
        if self._step is not None:  # init, when it has returned, or tasks
            self._finish(None)
        self._number += 1
        kind, message = kind_of(item)
        sender = None
        if type(item) is Caller:
            sender = item.pid
            self.callers = {c: n for c, n in self.callers.items() if not c.done}
            self.callers[item] = self._number
        at = process.kernel.driver.now() - self._since
        self._step = Record(self._number, kind, sender, pack(message), at)

    def handled(self, process: Any, item: Any) -> None:
        """The step is over."""
        self._finish(None)

    def ended(self, process: Any, reason: Any) -> None:
        """The process has ended, or the recording is to end."""
        if self._over:
            return
        if reason is not None:
            if self._step is None:
                at = process.kernel.driver.now() - self._since
                self._step = Record(self._number + 1, "end", None, pack(None), at)
            self._finish(plain_text(reason))
        else:
            self.pause()
        self._stop()

    def looked_into(self) -> None:
        """A system request was served, which may have changed the state (``replace_state``)."""
        process = self._process
        if self._step is None and not self._over and self._packed_state() != self._last:
            at = process.kernel.driver.now() - self._since
            self._step = Record(self._number, "state", None, pack(None), at)
            self._finish(None)

    def read(self) -> int:
        """Return how many messages have been recorded."""
        return self._number

    def _finish(self, end: str | None) -> None:
        step, self._step = self._step, None
        if step is None:
            return
        now = self._packed_state()
        step.changed = {name: p for name, p in now.items() if self._last.get(name) != p}
        step.gone = [name for name in self._last if name not in now]
        step.end = end
        self._last = now
        try:
            more = self._writer.record(step)
        except OSError as error:  # the disk is full; that must not harm the server
            more = False
            text = f"the recording of {self._process!r} ends: {error}"
            self._process.kernel.driver.report(Notice("warning", text))
        if not more:
            self._stop()

    def _packed_state(self) -> dict[str, Packed]:
        state = {} if self._process.server is None else state_of(self._process.server)
        return {name: pack(value, self.callers) for name, value in state.items()}

    def _stop(self) -> None:
        process = self._process
        self._step, self._over = None, True
        self._writer.close()
        loop = getattr(process.kernel.driver, "loop", None)
        if loop is not None:
            tap_of(loop).end(process)
        if self._untap is not None:
            self._untap()
        if type(process) is RecordedProcess:
            kernel: Any = process.kernel
            if type(kernel) is Tap:
                process.kernel = kernel.plain
            process.__class__ = ServerProcess  # type: ignore[assignment]


class RecordedProcess(ServerProcess):
    """A server that tells its recorder what it awaits, receives and answers."""

    __slots__ = ()

    def begin(self) -> None:
        """Run ``init``, recorded from the beginning."""
        writer = self.get_extra("writer")
        recorder = Recorder(self, writer)
        self.set_extra("recorder", recorder)
        Debug.install(self, KEY, lambda process: recorder, ())
        recorder.begin(self.start_spec)
        recorder.tap()
        super().begin()

    def start_coroutine(self, coro: Any) -> None:
        """Run a callback that awaits."""
        self.get_extra("recorder").fresh = True
        super().start_coroutine(coro)

    def step(self) -> None:
        """Go on with the callback."""
        recorder: Recorder = self.get_extra("recorder")
        future, recorder.future = recorder.future, None
        ok, value = self.outcome
        if recorder.fresh:
            recorder.fresh = False
        elif future is not None and ok and not future.cancelled():
            error = future.exception()
            result = future.result() if error is None else error
            recorder.fact("future", "", error is None, pack(result))
        elif future is not None and ok:
            recorder.fact("outcome", "", False, pack(asyncio.CancelledError()))
        else:
            recorder.fact("outcome", "", ok, pack(value))
        super().step()

    def handle_other(self, item: Any) -> None:
        """Take an item that is neither a call nor a cast."""
        recorder: Recorder = self.get_extra("recorder")
        if item[0] != SYS:
            super().handle_other(item)
            return
        recorder.pause()
        try:
            with recorder.strands.hushed():
                super().handle_other(item)
        finally:
            if self.state == "running":
                recorder.looked_into()

    def _await_future(self, future: Any) -> None:
        self.get_extra("recorder").future = future
        super()._await_future(future)

    def take(self, match: Any) -> Any:
        """Look for a message that a ``receive`` wants."""
        found = super().take(match)
        recorder: Recorder = self.get_extra("recorder")
        if recorder.strands.inside:
            values = () if found is UNSET else (pack(found),)
            recorder.fact("take", "", *values)
        return found

    def _reply(self, caller: Caller, value: Any) -> None:
        recorder: Recorder = self.get_extra("recorder")
        recorder.fact("reply", plain_text(value))
        with recorder.strands.hushed():
            super()._reply(caller, value)


__all__ = ["RecordedProcess", "Recorder", "record", "start_recorded", "stop_recording"]
