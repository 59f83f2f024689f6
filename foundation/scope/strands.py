"""What of asyncio belongs to one recorded process: its tasks, timers and callbacks.

They are *handles* of the loop that were made in the context of the process. Those that its own
code makes get numbers in the order in which they are made, as do its tasks and futures; since a
replay runs the same code it numbers them alike. So it is enough to record which handle ran when,
and where a future was completed by somebody else (a thread, a socket, another process) with what.

    ran N                        the handle N has run; what follows happened in it
    done WHOSE N HOW VALUE       a future has been completed from outside
    thread HOW VALUE             a thread was asked; HOW is "" where it has yet to answer

While a ``LoopTap`` is on a loop, attributes of the loop object are in the place of its methods.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from foundation.kernel.kernel import Kernel
from foundation.kernel.process import CURRENT
from foundation.kernel.timers import Timers
from foundation.scope.packing import Packed, pack, packed_error

if TYPE_CHECKING:
    from foundation.otp.server_process import ServerProcess

_TAP = "_foundation_tap"  # the attribute of a loop that keeps its tap
TASK, FUTURE, PROCESS = "task", "future", "process"  # whose future was completed


class Strands:
    """The handles, tasks and futures of one process that is recorded.

    Attributes:
        quiet: above 0 while the library works, whose own doings are not those of the server.
    """

    def __init__(self, process: ServerProcess, note: Callable[..., None]) -> None:
        self.quiet = 0
        self._process = process
        self._note = note
        self._depth = 0  # of handles that run
        self._creating = 0
        self._handles = 0
        self._tasks: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._futures: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._task_count = self._future_count = 0

    @property
    def inside(self) -> bool:
        """Whether code of the server runs now."""
        if self.quiet:
            return False
        process = self._process
        return self._depth > 0 or process.kernel.running is process

    @contextmanager
    def hushed(self) -> Iterator[None]:
        """Let the library do something."""
        self.quiet += 1
        try:
            yield
        finally:
            self.quiet -= 1

    def scheduled(self, callback: Any, args: tuple[Any, ...]) -> int | None:
        """A handle is made; return its number, None when it is not to be recorded."""
        owner = getattr(callback, "__self__", None)
        if self.inside:
            if isinstance(owner, (Kernel, Timers)) or self._foreign(owner):
                return None
        elif not self._completed(owner, args):
            return None
        self._handles += 1
        return self._handles

    def _foreign(self, owner: Any) -> bool:
        """Whether *owner* is a task that no replay knows; one that is being made becomes known."""
        if not isinstance(owner, asyncio.Task) or owner in self._tasks:
            return False
        if not self._creating:
            return True
        self._task_count += 1
        self._tasks[owner] = self._task_count
        return False

    def _completed(self, owner: Any, args: tuple[Any, ...]) -> bool:
        """Note that the future which a callback is about was completed, if it is one of ours."""
        future = args[0] if args else None
        if not isinstance(future, asyncio.Future) or not future.done():
            return False
        if owner is self._process:
            self._note("done", PROCESS, 0, *_outcome(future))
        elif isinstance(owner, asyncio.Task) and owner in self._tasks:
            self._note("done", TASK, self._tasks[owner], *_outcome(future))
        elif future in self._futures:
            self._note("done", FUTURE, self._futures[future], *_outcome(future))
        else:
            return False
        return True

    def future(self, made: Any) -> None:
        """A future was made."""
        if self.inside:
            self._future_count += 1
            self._futures[made] = self._future_count

    def thread(self, made: Any) -> None:
        """A thread was asked for something, of which *made* is the future."""
        self.future(made)
        self._note("thread", "", *(_outcome(made) if made.done() else ("", pack(None))))

    def creating(self, make: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Make a task, by *make*."""
        if not self.inside:
            return make(*args, **kwargs)
        self._creating += 1
        try:
            return make(*args, **kwargs)
        finally:
            self._creating -= 1

    def run(self, number: int, callback: Callable[..., Any], args: tuple[Any, ...]) -> None:
        """Run the handle *number*."""
        creating, self._creating = self._creating, 0
        self._note("ran", "", number)
        self._depth += 1
        try:
            callback(*args)
        finally:
            self._depth -= 1
            self._creating = creating


def _outcome(future: Any) -> tuple[str, Packed]:
    if future.cancelled():
        return "cancelled", pack(None)
    error = future.exception()
    if error is not None:
        return "error", packed_error(error)
    return "result", pack(future.result())


class _Run:
    """A callback of a process that is recorded."""

    __slots__ = ("_callback", "_number", "_strands")

    def __init__(self, strands: Strands, number: int, callback: Any) -> None:
        self._strands = strands
        self._number = number
        self._callback = callback

    def __call__(self, *args: Any) -> None:
        self._strands.run(self._number, self._callback, args)

    def __repr__(self) -> str:
        return repr(self._callback)


class LoopTap:
    """Sees what is made on a loop while somebody on it is recorded."""

    NAMES = (
        *("call_soon", "call_soon_threadsafe", "call_later", "call_at"),
        *("create_future", "create_task", "run_in_executor"),
    )

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._thread = 0
        self._nested = False
        self._plain: dict[str, Any] = {}
        self.strands: dict[Any, Strands] = {}

    def begin(self, process: Any, strands: Strands) -> None:
        """Record *process*."""
        if not self.strands:
            self._thread = threading.get_ident()
            self._plain = {name: getattr(self._loop, name) for name in self.NAMES}
            for name in self.NAMES:
                setattr(self._loop, name, getattr(self, name))
            setattr(self._loop, _TAP, self)
        self.strands[process] = strands

    def end(self, process: Any) -> None:
        """Record *process* no more."""
        if self.strands.pop(process, None) is not None and not self.strands:
            for name in (*self.NAMES, _TAP):
                delattr(self._loop, name)

    def _of(self, process: Any) -> Strands | None:
        if process is None or threading.get_ident() != self._thread:
            return None
        return self.strands.get(process)

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:
        """Schedule *callback*."""
        return self._schedule("call_soon", (), callback, args, context)

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> Any:
        """Schedule *callback*."""
        return self._schedule("call_soon_threadsafe", (), callback, args, context)

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> Any:
        """Schedule *callback*."""
        return self._schedule("call_later", (delay,), callback, args, context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:
        """Schedule *callback*."""
        return self._schedule("call_at", (when,), callback, args, context)

    def _schedule(
        self, name: str, when: tuple[float, ...], callback: Any, args: Any, context: Any
    ) -> Any:
        plain = self._plain[name]
        if threading.get_ident() != self._thread or self._nested:
            return plain(*when, callback, *args, context=context)
        strands = self._of(CURRENT.get() if context is None else context.get(CURRENT))
        number = None if strands is None else strands.scheduled(callback, args)
        if strands is not None and number is not None:
            callback = _Run(strands, number, callback)
        self._nested = True  # one of these methods may call another
        try:
            return plain(*when, callback, *args, context=context)
        finally:
            self._nested = False

    def create_future(self) -> Any:
        """Make a future."""
        made = self._plain["create_future"]()
        strands = self._of(CURRENT.get())
        if strands is not None:
            strands.future(made)
        return made

    def create_task(self, coro: Any, **options: Any) -> Any:
        """Make a task."""
        plain = self._plain["create_task"]
        strands = self._of(CURRENT.get())
        if strands is None:
            return plain(coro, **options)
        return strands.creating(plain, coro, **options)

    def run_in_executor(self, executor: Any, function: Any, *args: Any) -> Any:
        """Have a thread do something; only the future is of interest, not how that is bridged."""
        plain = self._plain["run_in_executor"]
        strands = self._of(CURRENT.get())
        if strands is None:
            return plain(executor, function, *args)
        inside = strands.inside
        with strands.hushed():
            made = plain(executor, function, *args)
        if inside:
            strands.thread(made)
        return made


def tap_of(loop: Any) -> LoopTap:
    """Return the tap of *loop*, made if need be."""
    found: LoopTap | None = getattr(loop, _TAP, None)
    return LoopTap(loop) if found is None else found


__all__ = ["FUTURE", "PROCESS", "TASK", "LoopTap", "Strands", "tap_of"]
