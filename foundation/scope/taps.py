"""Where a traced kernel differs from a plain one; nothing of this exists in one that is not traced.

``switch_on`` puts subclasses in the place of the kernel's remote, signals, timers and table of
processes, and ``switch_off`` takes them out again. Calls are not handed over meanwhile, so that
all of them pass a mailbox.

Context travels between hosts as ``("traced", context, operation)`` in place of an operation, to
hosts that are known to trace only: those that were told to with this one, or that have said
``("tracing", …)``. Hosts which do not trace apply what is inside, and ignore the rest.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from foundation.errors import CallExit
from foundation.kernel.process import CAST, Caller, Process
from foundation.kernel.remote import Remote
from foundation.kernel.signals import Signals
from foundation.kernel.timers import Timer, Timers
from foundation.kernel.values import Pid, Ref
from foundation.otp.task_process import Go
from foundation.scope.clock import Stamp
from foundation.scope.events import UNSAMPLED, Cause, Hop
from foundation.scope.mailbox import TracedMailbox
from foundation.scope.tracer import (
    TABLE,
    Incoming,
    TimerFired,
    TracedSink,
    Tracer,
    is_silent,
)

if TYPE_CHECKING:
    from foundation.kernel.kernel import Kernel
    from foundation.kernel.peer import Peer

_NONE: Any = object()


def switch_on(tracer: Tracer) -> None:
    """Trace the kernel of *tracer* from now on."""
    kernel = tracer.kernel
    tracer.active = True
    kernel.tables[TABLE] = tracer
    kernel.tables[_KEPT] = (kernel._max_hand_overs, dict(kernel.remote.handlers))
    kernel._max_hand_overs = kernel.hand_overs = 0
    kernel.request = Requests(kernel.request, tracer)  # type: ignore[method-assign]
    kernel.remote.handlers["traced"] = _on_traced(tracer)
    kernel.remote.handlers["tracing"] = _on_tracing(tracer)
    for process in kernel.procs.values():
        if not is_silent(process, kernel):
            tracer.adopt(process, None)
    kernel.procs = TracedProcs(kernel.procs, tracer)
    kernel.remote.__class__ = TracedRemote
    kernel.signals.__class__ = TracedSignals
    kernel.timers.__class__ = TracedTimers
    for host in list(kernel.remote.peers):
        kernel.remote.op(host, ("tracing", False))


def switch_off(tracer: Tracer) -> None:
    """Trace it no more; what was recorded stays with *tracer*."""
    kernel = tracer.kernel
    if not tracer.active:
        return
    tracer.active = False
    kernel._max_hand_overs, handlers = kernel.tables.pop(_KEPT)
    for name in ("traced", "tracing"):
        kernel.remote.handlers[name] = handlers[name]
    del kernel.request
    kernel.remote.__class__ = Remote
    kernel.signals.__class__ = Signals
    kernel.timers.__class__ = Timers
    kernel.procs = dict(kernel.procs)
    for process in kernel.procs.values():
        if type(process.mailbox) is TracedMailbox:
            process.mailbox = deque(process.mailbox)


_KEPT = "scope.kept"


class Requests:
    """In the place of ``kernel.request``: tells of calls that fail at once."""

    __slots__ = ("_plain", "_tracer")

    def __init__(self, plain: Any, tracer: Tracer) -> None:
        self._plain = plain
        self._tracer = tracer

    def __call__(
        self, sink: Any, pid: Pid, server: Any, request: Any, system: bool = False
    ) -> Caller:
        """Make a call."""
        try:
            caller: Caller = self._plain(sink, pid, server, request, system)
        except CallExit as error:
            if not system:
                self._tracer.refused(pid, server, request, error)
            raise
        return caller


class TracedProcs(dict[Pid, Process]):
    """The table of processes: tells of those that start."""

    __slots__ = ("_tracer",)

    def __init__(self, procs: dict[Pid, Process], tracer: Tracer) -> None:
        super().__init__(procs)
        self._tracer = tracer

    def __setitem__(self, pid: Pid, process: Process) -> None:
        super().__setitem__(pid, process)
        self._tracer.born(process)


class TracedSignals(Signals):
    """Tells of processes that end."""

    def die(self, process: Process, reason: Any) -> None:
        """End *process*."""
        if process.state != "dead":
            tracer_of(self._kernel).ended(process, reason)
        super().die(process, reason)


class TracedTimer(Timer):
    """A timer that knows what it was set for."""

    __slots__ = ("cause", "sender")

    def __init__(self, kernel: Kernel, when: float, dest: Any, message: Any) -> None:
        super().__init__(kernel, when, dest, message)
        self.sender, self.cause = tracer_of(kernel).origin()


class TracedTimers(Timers):
    """Carries what caused a timer over to its message."""

    timer_class = TracedTimer

    def timed_out(self, caller: Any) -> None:
        """The time of a call is up."""
        super().timed_out(caller)
        if type(caller.sink) is TracedSink:
            tracer_of(self._kernel).failed(caller.sink.call, "timeout")

    def _send(self, timer: Timer) -> None:
        tracer = tracer_of(self._kernel)
        known = type(timer) is TracedTimer
        cause, sender = (timer.cause, timer.sender) if known else (None, None)  # type: ignore[attr-defined]
        tracer.incoming = TimerFired(cause, sender or self._kernel.outside)
        try:
            super()._send(timer)
        finally:
            tracer.incoming = None


class TracedRemote(Remote):
    """Sends what caused an operation along with it."""

    _saying: Any = _NONE  # the event that the next operation is

    def send(self, pid: Pid, kind: int, message: Any) -> None:
        """Send a message to a process of another host."""
        if type(message) is Go:
            super().send(pid, kind, message)
            return
        tracer = tracer_of(self._kernel)
        sender, cause = tracer.origin()
        hop = tracer.new("cast" if kind == CAST else "info", sender, pid, cause, message)
        self._say_as(hop, super().send, pid, kind, message)

    def call(
        self, sink: Any, pid: Pid, target: Pid, request: Any, system: bool = False
    ) -> Caller:
        """Send a call to another host."""
        if system:
            return super().call(sink, pid, target, request, True)
        tracer = tracer_of(self._kernel)
        hop = tracer.new("call", pid, target, tracer.origin()[1], request)
        traced = sink if hop is None else TracedSink(sink, tracer, hop)
        caller: Caller = self._say_as(hop, super().call, traced, pid, target, request)
        return caller

    def answer(self, caller: Caller, ok: bool, value: Any, untaken: bool = False) -> None:
        """Send the answer to a call that came from another host."""
        tracer = tracer_of(self._kernel)
        call = tracer.calls.pop(caller, None)
        if call is None:
            super().answer(caller, ok, value, untaken)
            return
        self._say_as(tracer.reply(call, ok, value), super().answer, caller, ok, value, untaken)

    def _say_as(self, hop: Hop | None, function: Any, *args: Any) -> Any:
        self._saying = UNSAMPLED if hop is None else hop
        try:
            return function(*args)
        except BaseException:
            if hop is not None:
                tracer_of(self._kernel).forget(hop)
            raise
        finally:
            self._saying = _NONE

    def _say(self, peer: Peer, operation: tuple[Any, ...]) -> None:
        tracer = tracer_of(self._kernel)
        if tracer.partners.get(peer.host) == peer.incarnation:
            message, self._saying = self._saying, _NONE
            if message is not _NONE:
                operation = ("traced", _packed(message, True), operation)
            elif operation[0] != "tracing":
                sender, cause = tracer.origin()
                if cause is not None:
                    context = _packed(cause, False, sender, tracer.clock.tick())
                    operation = ("traced", context, operation)
        super()._say(peer, operation)


def _packed(
    hop: Cause, message: bool, sender: Pid | None = None, stamp: Stamp | None = None
) -> list[Any] | None:
    """Return what travels of *hop*: as the *message* itself, or as the cause of something."""
    if type(hop) is not Hop:
        return None
    sent = hop.sent if stamp is None else stamp
    return [
        *(message, hop.id, hop.chain, hop.parent, hop.kind, sender or hop.sender),
        *(list(sent), hop.answers, hop.keep, hop.receiver),
    ]


def _unpacked(tracer: Tracer, context: list[Any] | None, outside: Pid) -> Incoming:
    if context is None:
        return Incoming(UNSAMPLED, outside)
    message, number, chain, parent, kind, sender, sent, answers, keep, receiver = context[:10]
    stamp = Stamp(*sent)
    tracer.clock.merge(stamp)
    hop = Hop(
        *(Ref(*number), Ref(*chain), parent, kind, Pid(*sender), Pid(*receiver), "", stamp, answers)
    )
    hop.keep = bool(keep)
    return Incoming(hop, hop.sender, hop if message else None)


def _on_traced(tracer: Tracer) -> Any:
    handlers = tracer.kernel.remote.handlers

    def on_traced(host: str, context: list[Any] | None, operation: list[Any]) -> None:
        incoming = _unpacked(tracer, context, tracer.kernel.outside)
        tracer.incoming = incoming
        try:
            handlers[operation[0]](host, *operation[1:])
        finally:
            tracer.incoming = None

    return on_traced


def _on_tracing(tracer: Tracer) -> Any:
    remote = tracer.kernel.remote

    def on_tracing(host: str, answer: bool) -> None:
        tracer.partners[host] = remote.peers[host].incarnation
        if not answer:
            remote.op(host, ("tracing", True))

    return on_tracing


def tracer_of(kernel: Kernel) -> Tracer:
    """Return the tracer of *kernel*, which is on."""
    tracer: Tracer = kernel.tables[TABLE]
    return tracer
