"""The kernel in which a recorded server lives again: it tells the server what it was told then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from foundation.kernel.kernel import Kernel
from foundation.kernel.process import CAST, INFO, UNSET, Caller, Process
from foundation.kernel.remote import Remote
from foundation.kernel.signals import Signals
from foundation.kernel.timers import Timer, Timers
from foundation.kernel.values import Pid, Ref
from foundation.otp.kernel_setup import install
from foundation.otp.server_process import ServerProcess
from foundation.runtime.driver import AsyncioDriver
from foundation.scope.packing import plain_text, unpack

Expect = Callable[..., list[Any]]  # (what, about, *rest) -> the values that were recorded


class ReplayDriver(AsyncioDriver):
    """Time stands still in a step."""

    def __init__(self, loop: asyncio.AbstractEventLoop, report: Callable[[Any], None]) -> None:
        super().__init__(loop, report=report)
        self.time = 0.0
        self.now = self.wall = loop.time = lambda: self.time  # type: ignore[method-assign]

    def unwind(self, process: Any, coro: Any) -> None:
        """End a callback that awaits."""
        coro.close()


class ReplayKernel(Kernel):
    """See the module docstring.

    Args:
        pid: of the recorded process.
        driver: of the replay.
        expect: notes what the server does, and returns what was recorded of that.
        answers: answers in the place of the functions of ``boundary.py``.
    """

    def __init__(
        self,
        pid: Pid,
        driver: ReplayDriver,
        expect: Expect,
        answers: Callable[..., Any],
    ) -> None:
        self.asks = answers
        self.expect: Expect = lambda what, about, *rest: []
        super().__init__(pid.host, driver, incarnation=pid.incarnation, max_hand_overs=0)
        install(self)
        self.expect = expect
        self.quiet = False
        self.raised: BaseException | None = None  # by the callback of this step
        self.remote = ReplayRemote(self)
        self.signals = ReplaySignals(self)
        self.timers = ReplayTimers(self)
        self.procs = ReplayProcs(self)

    @property
    def _ref(self) -> int:
        return self.__dict__["ref"]  # type: ignore[no-any-return]

    @_ref.setter
    def _ref(self, value: int) -> None:
        found = self.expect("alias", "")
        self.__dict__["ref"] = found[0] if found else value

    def ready(self, process: Process) -> None:
        """Nothing runs but what the replay runs."""

    def wake(self) -> None:
        """Nor here."""

    def resolve(self, dest: Any) -> Pid | None:
        """Return who *dest* was."""
        if type(dest) is Pid:
            return dest
        return _pid(self.expect("resolve", plain_text(dest)))

    def new_ref(self) -> Ref:
        """Return the reference that it was."""
        return Ref(*self.expect("ref", "")[0])

    def deliver(self, dest: Any, message: Any, kind: int = INFO) -> bool:
        """Send nothing."""
        what = "cast" if kind == CAST else "send"
        return bool(self.expect(what, plain_text(dest), plain_text(message))[0])

    def request(
        self, sink: Any, pid: Pid, server: Any, request: Any, system: bool = False
    ) -> Caller:
        """Make no call; its reply is awaited."""
        found = self.expect("call", plain_text(server), plain_text(request))
        if found:
            raise unpack(found[0])
        return Caller(sink, pid, pid, None)

    def answer(self, caller: Caller, ok: bool, value: Any, untaken: bool = False) -> None:
        """Answer nobody."""
        if not caller.done:
            caller.done = True
        if not self.quiet:
            self.expect("reply", plain_text(value))

    def acknowledge(self, process: Process, ok: bool, value: Any) -> None:
        """Nobody waits for the start."""

    def fail_callers(self, process: Process, reason: Any) -> None:
        """Nobody waits for replies."""

    def spawn(self, process_class: Any, payload: Any, **options: Any) -> Process:
        """Start nothing."""
        pid, refused = self.expect("spawn", process_class.kind)
        child = Process(self, Pid(*pid), None)
        if refused is not None:
            child.state = "dead"
            child.set_extra("refused", unpack(refused))
            starter = options.get("starter")
            if starter is not None:
                starter.done = True
        return child

    def claim_name(self, name: Any, pid: Pid, done: Callable[[Any], None]) -> None:
        """Claim nothing."""
        found = self.expect("claim", plain_text(name))
        if found:
            done(unpack(found[0]))

    def release_name(self, name: Any, pid: Pid) -> None:
        """Release nothing."""


def _pid(found: list[Any]) -> Pid | None:
    return None if found[0] is None else Pid(*found[0])


class ReplayProcs(dict[Pid, Process]):
    """Only the process itself lives here; who else did was recorded."""

    __slots__ = ("_kernel",)

    def __init__(self, kernel: ReplayKernel) -> None:
        super().__init__()
        self._kernel = kernel

    def __contains__(self, pid: object) -> bool:
        return bool(self._kernel.expect("alive", plain_text(pid))[0])


class ReplaySignals(Signals):
    """Links and monitors nothing."""

    _kernel: Any

    def monitor(self, process: Process, target: Any, ref: Ref | None = None) -> Ref:
        """Return the reference that it was."""
        return Ref(*self._kernel.expect("monitor", plain_text(target))[0])

    def demonitor(self, process: Process, ref: Ref, flush: bool = False) -> bool:
        """Say whether it was live."""
        return bool(self._kernel.expect("demonitor", plain_text(ref))[0])

    def link(self, process: Process, pid: Pid) -> None:
        """Link nothing."""
        self._kernel.expect("link", plain_text(pid))

    def unlink(self, process: Process, pid: Pid) -> None:
        """Unlink nothing."""
        self._kernel.expect("unlink", plain_text(pid))

    def signal(self, sender: Pid, pid: Pid, reason: Any) -> None:
        """Tell nobody."""
        self._kernel.expect("exit", plain_text(pid), plain_text(reason))


class ReplayTimer(Timer):
    """A timer that never fires: its message is in the recording."""

    __slots__ = ("expect",)

    expect: Expect

    def cancel(self) -> float | bool:
        """Return what it returned."""
        self.dest = self.message = None
        left: float | bool = self.expect("cancel", "")[0]
        return left


class ReplayTimers(Timers):
    """Sets no timers."""

    _kernel: Any

    def push(self, when: float, entry: Any) -> None:
        """No deadline comes."""

    def send_after(self, seconds: float, dest: Any, message: Any) -> Timer:
        """Return a timer that does not run."""
        if seconds < 0:
            super().send_after(seconds, dest, message)  # raises
        self._kernel.expect("send_after", plain_text(dest), f"{seconds!r} {plain_text(message)}")
        timer = ReplayTimer(self._kernel, self._kernel.driver.now() + seconds, dest, message)
        timer.expect = self._kernel.expect
        return timer


class ReplayRemote(Remote):
    """There are no other hosts."""

    def reachable(self, pid: Pid) -> bool:
        """Say whether it was."""
        kernel: Any = self._kernel
        return bool(kernel.expect("alive", plain_text(pid))[0])


class ReplayProcess(ServerProcess):
    """The server, in the thread of who replays it."""

    __slots__ = ()

    def take(self, match: Any) -> Any:
        """Return the message that a ``receive`` found in the mailbox."""
        kernel: Any = self.kernel
        found = kernel.expect("take", "")
        return unpack(found[0]) if found else UNSET

    def crashed(self, error: BaseException) -> None:
        """Remember what was raised: a divergence may come from it."""
        kernel: Any = self.kernel
        kernel.raised = error
        super().crashed(error)

    def _reply(self, caller: Caller, value: Any) -> None:
        kernel: Any = self.kernel
        kernel.expect("reply", plain_text(value))
        kernel.quiet = True
        try:
            super()._reply(caller, value)
        finally:
            kernel.quiet = False


class Sink:
    """Keeps the reply to a replayed call."""

    def __init__(self) -> None:
        self.reply: Any = UNSET

    def resolve(self, token: Any, ok: bool, value: Any) -> None:
        """Keep it."""
        self.reply = value
