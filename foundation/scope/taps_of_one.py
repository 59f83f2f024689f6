"""The kernel as one recorded process sees it: the same, only that it notes what is said.

Each note is a *fact*, ``fact(what, about, …)``; the replay's kernel (``replay_kernel.py``) makes
the same notes and is told the results.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from foundation.errors import CallExit
from foundation.kernel.kernel import Kernel
from foundation.kernel.ops import cast
from foundation.kernel.process import CAST, INFO, Process
from foundation.kernel.timers import Timer
from foundation.kernel.values import Pid, Ref
from foundation.scope.asking_host import ask
from foundation.scope.packing import Packed, pack, plain_text
from foundation.scope.strands import Strands

Fact = Callable[..., None]


class Forwarding:
    """Passes on what a subclass does not define."""

    _own = frozenset({"plain", "strands", "note"})

    def __init__(self, plain: Any, strands: Strands, note: Fact) -> None:
        self.plain = plain
        self.strands = strands
        self.note = note

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plain, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._own:
            object.__setattr__(self, name, value)
        else:
            setattr(self.plain, name, value)

    def fact(self, what: str, about: str, *values: Any) -> None:
        """Note something that code of the process does."""
        if self.strands.inside:
            self.note(what, about, *values)

    def do(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function of the library, whose own doings are not noted."""
        with self.strands.hushed():
            return function(*args, **kwargs)


class Tap(Forwarding):
    """In the place of ``process.kernel``."""

    _own = Forwarding._own | {"signals", "timers", "remote", "procs"}

    def __init__(self, plain: Kernel, strands: Strands, note: Fact) -> None:
        super().__init__(plain, strands, note)
        self.signals = SignalsTap(plain.signals, strands, note)
        self.timers = TimersTap(plain.timers, strands, note)
        self.remote = RemoteTap(plain.remote, strands, note)
        self.procs = ProcsTap(plain.procs, strands, note)

    def asks(
        self, name: str, plain: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Call *plain*, a function of ``boundary.py``."""
        return ask(self.strands, self.note, name, plain, args, kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "_ref":  # by ``alias``
            self.fact("alias", "", value)

    def ready(self, process: Process) -> None:
        """Put a process into the run queue."""
        self.do(self.plain.ready, process)

    def wake(self) -> None:
        """Make sure that a turn follows."""
        self.do(self.plain.wake)

    def resolve(self, dest: Any) -> Pid | None:
        """Return who *dest* is."""
        found: Pid | None = self.do(self.plain.resolve, dest)
        if type(dest) is not Pid:
            self.fact("resolve", plain_text(dest), found)
        return found

    def new_ref(self) -> Ref:
        """Return a new reference."""
        ref: Ref = self.plain.new_ref()
        self.fact("ref", "", ref)
        return ref

    def isolate(self, value: Any) -> Any:
        """Return a copy. A cast to a process of this host is seen here, and nowhere else."""
        copy = self.plain.isolate(value)
        frame = sys._getframe(1)
        if frame.f_code is cast.__code__ and frame.f_locals.get("process") is not None:
            target = frame.f_locals["server"]
            self.fact("cast", plain_text(target), plain_text(value), True)
        return copy

    def deliver(self, dest: Any, message: Any, kind: int = INFO) -> bool:
        """Send a message."""
        sent: bool = self.do(self.plain.deliver, dest, message, kind)
        what = "cast" if kind == CAST else "send"
        self.fact(what, plain_text(dest), plain_text(message), sent)
        return sent

    def hand_over(self, process: Process, server: Any, request: Any) -> None:
        """A recorded process sends its calls, so that their replies are awaited."""

    def request(
        self, sink: Any, pid: Pid, server: Any, request: Any, system: bool = False
    ) -> Any:
        """Make a call."""
        try:
            token = self.do(self.plain.request, sink, pid, server, request, system)
        except CallExit as error:
            self.fact("call", plain_text(server), plain_text(request), pack(error))
            raise
        self.fact("call", plain_text(server), plain_text(request))
        return token

    def answer(self, caller: Any, ok: bool, value: Any, untaken: bool = False) -> None:
        """Answer a call."""
        self.fact("reply", plain_text(value))
        self.do(self.plain.answer, caller, ok, value, untaken)

    def spawn(self, process_class: Any, payload: Any, **options: Any) -> Process:
        """Start a process."""
        child: Process = self.do(self.plain.spawn, process_class, payload, **options)
        refused = pack(child.get_extra("refused")) if child.state == "dead" else None
        self.fact("spawn", process_class.kind, child.pid, refused)
        return child

    def claim_name(self, name: Any, pid: Pid, done: Callable[[Any], None]) -> None:
        """Claim a name."""
        said: list[Packed] = []
        at_once = True

        def told(holder: Any) -> None:
            if at_once:
                said.append(pack(holder))
            done(holder)

        self.do(self.plain.claim_name, name, pid, told)
        at_once = False
        self.fact("claim", plain_text(name), *said)


class SignalsTap(Forwarding):
    """In the place of ``kernel.signals``."""

    def monitor(self, process: Process, target: Any, ref: Ref | None = None) -> Ref:
        """Monitor *target*."""
        made: Ref = self.do(self.plain.monitor, process, target, ref)
        self.fact("monitor", plain_text(target), made)
        return made

    def demonitor(self, process: Process, ref: Ref, flush: bool = False) -> bool:
        """Stop a monitor."""
        live: bool = self.do(self.plain.demonitor, process, ref, flush)
        self.fact("demonitor", plain_text(ref), live)
        return live

    def link(self, process: Process, pid: Pid) -> None:
        """Link."""
        self.do(self.plain.link, process, pid)
        self.fact("link", plain_text(pid))

    def unlink(self, process: Process, pid: Pid) -> None:
        """Unlink."""
        self.do(self.plain.unlink, process, pid)
        self.fact("unlink", plain_text(pid))

    def signal(self, sender: Pid, pid: Pid, reason: Any) -> None:
        """Send an exit signal."""
        self.fact("exit", plain_text(pid), plain_text(reason))
        self.do(self.plain.signal, sender, pid, reason)


class RecordedTimer(Timer):
    """A timer whose cancellation is noted."""

    __slots__ = ("noted",)

    noted: Fact

    def cancel(self) -> float | bool:
        """Stop the timer."""
        left = super().cancel()
        self.noted("cancel", "", left)
        return left


class TimersTap(Forwarding):
    """In the place of ``kernel.timers``."""

    def push(self, when: float, entry: Any) -> None:
        """Have *entry* fire."""
        self.do(self.plain.push, when, entry)

    def send_after(self, seconds: float, dest: Any, message: Any) -> Timer:
        """Set a timer."""
        kernel = self.plain._kernel
        timer = RecordedTimer(kernel, kernel.driver.now() + seconds, dest, message)
        timer.noted = self.fact
        if seconds < 0:
            self.plain.send_after(seconds, dest, message)  # raises
        self.do(self.plain.push, timer.when, timer)
        self.fact("send_after", plain_text(dest), f"{seconds!r} {plain_text(message)}")
        return timer


class RemoteTap(Forwarding):
    """In the place of ``kernel.remote``."""

    def spawn(self, host: str, sink: Any, parent: Any, request: Any) -> Any:
        """Start a process in another host."""
        token = self.do(self.plain.spawn, host, sink, parent, request)
        self.fact("spawn", request[0], None, None)
        return token

    def reachable(self, pid: Pid) -> bool:
        """Whether the host of *pid* is up."""
        up: bool = self.plain.reachable(pid)
        self.fact("alive", plain_text(pid), up)
        return up


class ProcsTap(Forwarding):
    """In the place of ``kernel.procs``."""

    def __contains__(self, pid: object) -> bool:
        found = pid in self.plain
        self.fact("alive", plain_text(pid), found)
        return found

    def __getitem__(self, pid: Pid) -> Process:
        process: Process = self.plain[pid]
        return process

    def __iter__(self) -> Any:
        return iter(self.plain)

    def __len__(self) -> int:
        return len(self.plain)
