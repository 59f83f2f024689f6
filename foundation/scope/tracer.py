"""The tracing of one host: what is recorded, and what caused what.

While it is on, the host's mailboxes are ``TracedMailbox``es and its kernel's parts are those of
``taps.py``; they tell this object of what happens. When it is off nothing of it is left in the
way of a message.

Invariants:
    S1  An event's stamp of sending is above that of the taking of its parent, and below that of
        its own taking.
    S2  At most ``spec.buffer`` events are kept; how many older ones were lost is counted.
    S3  A chain is recorded from its beginning or not at all, in every host.
"""

from __future__ import annotations

import asyncio
import random
import weakref
from collections import deque
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from foundation.errors import CallExit
from foundation.kernel.process import CAST, CURRENT, Caller, FunctionProcess, Process
from foundation.kernel.reports import Notice
from foundation.kernel.values import TIMEOUT, Down, ExitMsg, Pid, Ref, is_clean
from foundation.otp.describe import text as brief
from foundation.runtime.inspect import class_of
from foundation.scope.clock import HybridClock
from foundation.scope.events import UNSAMPLED, Cause, Event, Hop
from foundation.scope.mailbox import TracedMailbox
from foundation.scope.matching import Wanted, matcher
from foundation.scope.own import code_of

if TYPE_CHECKING:
    from foundation.kernel.kernel import Kernel

TABLE = "scope"  # where a kernel keeps its tracer

SPAN: ContextVar[OpenSpan | None] = ContextVar("foundation_span", default=None)


# Those of this program, by which spans outside of processes find one.
TRACERS: weakref.WeakSet[Tracer] = weakref.WeakSet()


class Name(str):
    """A text that is kept as it is: the name of a span, or a note."""

    __slots__ = ()


class OpenSpan:
    """The span that code is in: causes what its process sends."""

    __slots__ = ("hop", "open", "process")

    def __init__(self, hop: Cause, process: Process | None) -> None:
        self.hop = hop
        self.process = process
        self.open = True


@dataclass(frozen=True, slots=True)
class Spec:
    """What a trace records; the same in all hosts.

    Attributes:
        id: of the trace.
        name: for people.
        sample: the share of chains that is recorded, by chance.
        of: which messages; None is all.
        buffer: events kept per host.
        text: characters kept of each message; 0 keeps its type only.
        seconds: when it ends by itself.
        home: the node where it was started.
        everywhere: whether nodes that join take part.
    """

    id: Ref
    name: str
    sample: float = 1.0
    of: Wanted | None = None
    buffer: int = 10_000
    text: int = 80
    seconds: float = 600.0
    home: str = ""
    everywhere: bool = False


@dataclass(slots=True)
class Incoming:
    """What is being applied came from elsewhere: another host, or a timer.

    Attributes:
        cause: of what it leads to.
        sender: who began it.
        message: the event that the next message to arrive is, when it was sent as one.
    """

    cause: Cause
    sender: Pid
    message: Hop | None = None


class Tracer:
    """See the module docstring.

    Args:
        kernel: of the host.
        spec: what to record.

    Raises:
        CodecError: the function in *spec* cannot be loaded here.
    """

    def __init__(self, kernel: Kernel, spec: Spec) -> None:
        self.kernel = kernel
        self.spec = spec
        self.active = False
        self.clock = HybridClock(getattr(kernel.driver, "wall", kernel.driver.now))
        self.ring: deque[Hop] = deque()
        self.dropped = 0
        self.labels: dict[Pid, str] = {}
        self.nobodies: dict[str, Pid] = {}  # names that were called and held by nobody
        self.partners: dict[str, int] = {}  # hosts that trace too -> their incarnation
        self.incoming: Incoming | None = None
        # Calls of other hosts, to know their replies by.
        self.calls: weakref.WeakKeyDictionary[Caller, Hop] = weakref.WeakKeyDictionary()
        self._matches = matcher(spec.of, kernel)
        self._random = random.Random(f"{spec.id} {kernel.address} {kernel.incarnation}")
        self.failure = ""  # of the function in the spec
        TRACERS.add(self)

    # Events

    def origin(self) -> tuple[Pid, Cause]:
        """Return who is sending now, and why."""
        incoming = self.incoming
        if incoming is not None:
            return incoming.sender, incoming.cause
        kernel = self.kernel
        process = kernel.running or _process_of_task()
        span = SPAN.get()
        if span is not None and span.open and span.process is process:
            return (process.pid if process is not None else kernel.outside), span.hop
        if process is None:
            return kernel.outside, None
        mailbox = process.mailbox
        if type(mailbox) is not TracedMailbox:
            return process.pid, UNSAMPLED  # a part of the tracing itself
        return process.pid, mailbox.cause

    def new(
        self,
        kind: str,
        sender: Pid,
        receiver: Pid,
        cause: Cause,
        message: Any,
        answers: Ref | None = None,
        keep: bool | None = None,
    ) -> Hop | None:
        """Record an event that happens now; None when it belongs to a chain that is left out.

        *keep*: whether the trace wants it, if that is known.
        """
        if type(cause) is Hop:
            number = self.kernel.new_ref()
            chain, parent = cause.chain, cause.id
        else:
            if cause is not None or not self._sampled():
                return None
            number = chain = self.kernel.new_ref()
            parent = None
        hop = Hop(
            *(number, chain, parent, kind, sender, receiver, self.text(message)),
            *(self.clock.tick(), answers),
        )
        if keep is not False:
            hop.keep = bool(keep)
            self.record(hop)
        return hop

    def _sampled(self) -> bool:
        sample = self.spec.sample
        return sample >= 1.0 or self._random.random() < sample

    def text(self, message: Any) -> str:
        """Return *message*, abbreviated."""
        if type(message) is Name:
            return message
        limit = self.spec.text
        return brief(message, limit) if limit else type(message).__qualname__

    def record(self, hop: Hop) -> None:
        """Keep *hop*, if it is wanted (S2)."""
        if not self.active:
            return
        if not hop.keep and not self._wants(hop):
            return
        hop.keep = True
        ring = self.ring
        if len(ring) >= self.spec.buffer:
            ring.popleft()
            self.dropped += 1
        ring.append(hop)
        for pid in (hop.sender, hop.receiver):
            if pid not in self.labels:
                self._label(pid)

    def _wants(self, hop: Hop) -> bool:
        try:
            return self._matches(hop)
        except Exception as error:
            if not self.failure:
                self.failure = f"the function of= has failed: {error!r}; it must take any Event"
                text = f"the function of trace {self.spec.name!r} failed: {error!r}"
                self.kernel.driver.report(Notice("warning", text))
            return False

    def forget(self, hop: Hop) -> None:
        """It was not sent after all."""
        with suppress(ValueError):
            self.ring.remove(hop)

    def _label(self, pid: Pid) -> None:
        process = self.kernel.procs.get(pid)
        if process is None:
            return
        if len(self.labels) > 4 * self.spec.buffer + 100:  # those of events that were dropped
            seen = {each for hop in self.ring for each in (hop.sender, hop.receiver)}
            self.labels = {each: text for each, text in self.labels.items() if each in seen}
        self.labels[pid] = label(process)

    def events(self) -> tuple[Event, ...]:
        """Return what is kept, in the order in which it was recorded."""
        return tuple(hop.event() for hop in self.ring)

    # What the taps tell

    def arrived(self, process: Process, item: Any) -> Cause:
        """A message has come into the mailbox of *process*; return what it is."""
        incoming = self.incoming
        if incoming is not None and incoming.message is not None:
            hop, incoming.message = incoming.message, None
            self._received(hop, process, item)
        else:
            known = self._sent(process, item)
            if known is None:
                return UNSAMPLED
            hop = known
        if type(item) is Caller:
            if item.sink is None:
                self.calls[item] = hop
            else:
                item.sink = TracedSink(item.sink, self, hop)
        return hop

    def _received(self, hop: Hop, process: Process, item: Any) -> None:
        """What another host has sent as *hop* is here."""
        hop.receiver = process.pid
        hop.text = self.text(item.request if type(item) is Caller else item[1])
        self.record(hop)

    def _sent(self, process: Process, item: Any) -> Hop | None:
        sender, cause = self.origin()
        if type(item) is Caller:
            return self.new("call", item.pid, process.pid, cause, item.request)
        code, message = item
        kind = "cast" if code == CAST else "info"
        if type(message) is ExitMsg:
            kind, sender = "signal", message.pid
        elif type(message) is Down:
            kind = "signal"
            sender = message.object if type(message.object) is Pid else sender
        elif message is TIMEOUT or type(self.incoming) is TimerFired:
            kind = "timer"
            sender = process.pid if sender == self.kernel.outside else sender
        return self.new(kind, sender, process.pid, cause, message)

    def replied(self, call: Hop, ok: bool, value: Any) -> None:
        """The reply to *call*, of a process of this host, is here."""
        if not self.active:
            return
        incoming = self.incoming
        if incoming is not None and incoming.message is not None:
            hop, incoming.message = incoming.message, None
            hop.text = self.text(_plain(value))
            hop.ok = ok
            self.record(hop)
        else:
            known = self.reply(call, ok, _plain(value))
            if known is None:
                return
            hop = known
        hop.taken = self.clock.tick()

    def reply(self, call: Hop, ok: bool, value: Any) -> Hop | None:
        """*call* is being answered by this host."""
        _, cause = self.origin()
        if type(cause) is not Hop:
            cause = call
        hop = self.new("reply", call.receiver, call.sender, cause, value, call.id)
        if hop is not None:
            hop.ok = ok
        return hop

    def refused(self, pid: Pid, server: Any, request: Any, error: CallExit) -> None:
        """A call of *pid* to *server* could not even be sent."""
        more = ""
        if error.reason == "calling_self":
            server = pid
        elif type(server) is not Pid:
            more = f"nobody holds the name {brief(server, 60)}"
            server = error.server
        receiver = server if type(server) is Pid else self._nobody(server)
        call = self.new("call", pid, receiver, self.origin()[1], request)
        if call is not None:
            self.failed(call, error.reason, "" if receiver is server else more)

    def _nobody(self, name: Any) -> Pid:
        """Return a pid that no process has, to stand for who does not hold *name*."""
        text = brief(name, 60)
        if len(self.nobodies) > 1000:
            self.nobodies.clear()
        if text not in self.nobodies:
            self.nobodies[text] = self.kernel.new_pid()
        self.labels[self.nobodies[text]] = f"nobody: {text}"
        return self.nobodies[text]

    def failed(self, call: Hop, reason: Any, more: str = "") -> None:
        """The caller learns that no reply to *call* comes."""
        if not self.active:
            return
        why = reason if type(reason) is str else self.text(reason)
        more = more or _REASONS.get(why, "")
        said = f"{why}: {more}" if more else why
        hop = self.new("failure", call.sender, call.sender, call, Name(said), call.id, call.keep)
        if hop is not None:
            hop.ok, hop.taken = False, hop.sent

    def born(self, process: Process) -> None:
        """A process has just been started."""
        if is_silent(process, self.kernel):
            return
        sender, cause = self.origin()
        if process.parent is not None and self.incoming is not None:
            sender = process.parent
        if cause is None:
            self.adopt(process, None)
            return
        hop = self.new("spawn", sender, process.pid, cause, label(process))
        if hop is not None:
            hop.taken = self.clock.tick()
        self.adopt(process, UNSAMPLED if hop is None else hop)
        self.labels.pop(process.pid, None)  # its name may come later

    def adopt(self, process: Process, cause: Cause) -> None:
        """Give *process* a mailbox that is traced."""
        process.mailbox = TracedMailbox(self, process, cause)

    def ended(self, process: Process, reason: Any) -> None:
        """A process is about to end."""
        mailbox = process.mailbox
        if not self.active or type(mailbox) is not TracedMailbox:
            return
        busy = process.current is not None or process.coro is not None
        cause = mailbox.cause if busy or process is self.kernel.running else self.origin()[1]
        ok = is_clean(reason)
        if type(cause) is not Hop and ok:
            return
        self.labels[process.pid] = label(process)
        hop = self._always("end", process.pid, cause, reason)
        self.record(hop)
        hop.ok, hop.taken = ok, hop.sent
        mailbox.cause = hop  # of what those are told who watched it

    def mark(self, pid: Pid, cause: Cause, text: Name) -> None:
        """Record a note, wanted or not."""
        hop = self._always("note", pid, cause, text)
        hop.keep, hop.taken = True, hop.sent
        self.record(hop)

    def _always(self, kind: str, pid: Pid, cause: Cause, message: Any) -> Hop:
        """Return an event that is a chain of its own where *cause* is left out."""
        number = self.kernel.new_ref()
        known = type(cause) is Hop
        chain, parent = (cause.chain, cause.id) if known else (number, None)  # type: ignore[union-attr]
        text = self.text(message)
        return Hop(number, chain, parent, kind, pid, pid, text, self.clock.tick())


_REASONS = {
    "noproc": "the process has ended",
    "noconnection": "its host or node cannot be reached",
    "calling_self": "it is the caller itself",
    "timeout": "no reply has come in time",
}


class TimerFired(Incoming):
    """A timer of ``send_after`` sends its message."""

    __slots__ = ()


class TracedSink:
    """Sees the reply to a call before who waits for it."""

    __slots__ = ("_sink", "_tracer", "call")

    def __init__(self, sink: Any, tracer: Tracer, call: Hop) -> None:
        self._sink = sink
        self._tracer = tracer
        self.call = call

    def resolve(self, token: Any, ok: bool, value: Any) -> None:
        """Pass the reply on."""
        self._tracer.replied(self.call, ok, value)
        self._sink.resolve(token, ok, value)


def label(process: Process) -> str:
    """Return what people call *process*: its name, or its class or function."""
    if process.name is not None:
        return str(process.name) if isinstance(process.name, str) else brief(process.name, 60)
    if isinstance(process, FunctionProcess):
        function = process.function
        name: str = getattr(function, "__qualname__", None) or type(function).__qualname__
        return name.rpartition(".<locals>.")[2]
    return class_of(process).rpartition(".<locals>.")[2]


def is_silent(process: Process, kernel: Kernel) -> bool:
    """Whether *process* belongs to the tracing itself, which is not traced."""
    if getattr(code_of(process), "__silent__", False):
        return True
    parent = kernel.procs.get(process.parent) if process.parent is not None else None
    return parent is not None and type(parent.mailbox) is not TracedMailbox


def _process_of_task() -> Process | None:
    """Return the process that started the asyncio task which runs now.

    Callbacks of the loop see the context of who arranged for them, which is not who sends.
    """
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return None
    return CURRENT.get() if task is not None else None


def _plain(value: Any) -> Any:
    return value.reason if isinstance(value, CallExit) else value


__all__ = [
    *("SPAN", "TABLE", "TRACERS", "Incoming", "Name", "OpenSpan", "Spec", "TimerFired", "Tracer"),
]
