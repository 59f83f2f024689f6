"""The scheduler of the light processes of one host. Pure: the world comes in by a ``Driver``.

A turn (``pump``) runs slices of ready processes, at most ``max_slices``; then what was said to
other hosts leaves in one frame each, and the loop gets its turn for I/O and timers.

Invariants:
    K1  Everything happens in the thread of the driver.
    K2  Messages of one sender to one receiver are handled in the order sent, signals included.
    K3  A process that dies frees its names first, then fails its callers, then tells its
        links and monitors; each of them exactly once, all with the same reason.
    K4  Each call is answered once: by its reply, its server's death, or its timeout.

A call to an idle server of the same host is *handed over*: the server runs at once, on top of the
caller, who need not park for the reply. It is a slice like any other, only not from the queue;
``max_hand_overs`` in one slice of the caller keep that fair.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from foundation.errors import CallingSelf, NoProc
from foundation.kernel.codec import dumps
from foundation.kernel.counts import Counts
from foundation.kernel.driver import Driver
from foundation.kernel.isolation import isolate
from foundation.kernel.names import Names
from foundation.kernel.process import (
    CAST,
    CURRENT,
    INFO,
    SYS,
    UNSET,
    Caller,
    FunctionProcess,
    Process,
    exit_error,
)
from foundation.kernel.remote import Remote
from foundation.kernel.signals import Signals
from foundation.kernel.timers import Timers
from foundation.kernel.values import Alias, Pid, Ref, reason_of


class HandedOver:
    """Takes the reply to a call that was handed over."""

    __slots__ = ("outcome",)

    def __init__(self) -> None:
        self.outcome: tuple[bool, Any] = (True, None)

    def resolve(self, token: Any, ok: bool, value: Any) -> None:
        """Keep the reply for the caller, who takes it at once."""
        self.outcome = (ok, value)


class Kernel:
    """Processes, run queue, names, timers of one host.

    Args:
        address: address of this host, ``"<node>/<host>"``.
        driver: the world.
        incarnation: which life of this host.
        share_messages: pass messages by reference instead of copying mutable ones. For those
            who measured and whose servers never change a message.
        budget: messages a process may handle in one slice.
        max_slices: slices in one turn of the loop.
        max_hand_overs: calls handed over in one slice.
        pick: for the simulator: chooses the index of the next process, given the ready ones;
            None is first come, first served.
    """

    def __init__(
        self,
        address: str,
        driver: Driver,
        *,
        incarnation: int = 1,
        share_messages: bool = False,
        budget: int = 200,
        max_slices: int = 100,
        max_hand_overs: int = 50,
        pick: Callable[[deque[Process]], int] | None = None,
    ) -> None:
        self.address = address
        self.incarnation = incarnation
        self.driver = driver
        self.isolate: Callable[[Any], Any] = (lambda v: v) if share_messages else isolate
        self.share_messages = share_messages
        self.budget = budget
        self.procs: dict[Pid, Process] = {}
        self.stepping: Process | None = None  # whose coroutine is on the stack now
        self.running: Process | None = None  # whose slice it is
        self.slices = 0  # how many slices have been run, for the watchdog
        self.counts = Counts()
        self.hand_overs = 0  # how many calls may still be handed over in this slice
        self._max_hand_overs = max_hand_overs
        self.handed_over = HandedOver()
        self._aside = copy_context()  # what is handed over runs in it, not in its caller's
        self.timers = Timers(self)
        self.names = Names(self)
        self.signals = Signals(self)
        self.remote = Remote(self)
        self.placer: Any = None  # decides where children start; set by the runtime
        self.tables: dict[str, Any] = {}  # shared tables of upper floors, by their name
        self.outside = Pid(address, incarnation, 0)  # stands for callers that are no process
        self._serial = 0
        self._ref = 0
        self._runq: deque[Process] = deque()
        self._awake = False
        self._max_slices = max_slices
        self._pick = pick
        self.closed = False

    # Scheduling

    def ready(self, process: Process) -> None:
        """Put *process* into the run queue; the caller has checked that it is not there."""
        process.idle = False
        process.queued = True
        self._runq.append(process)
        if not self._awake:
            self._awake = True
            self.driver.call_soon(self.pump)

    def wake(self) -> None:
        """Make sure that a turn follows, for something other than a ready process."""
        if not self._awake:
            self._awake = True
            self.driver.call_soon(self.pump)

    def turn(self, action: Callable[..., None], *args: Any) -> None:
        """Run *action*, something that comes from outside, and a turn at once.

        As if a turn followed in the next round of the loop, only without that round.
        """
        if self._awake:  # one follows, or runs
            action(*args)
            return
        self._awake = True
        try:
            action(*args)
        finally:
            self.pump()

    def later(self, seconds: float, action: Callable[..., None], *args: Any) -> Any:
        """Run *action* by ``turn`` after *seconds*, unless closed by then; return the timer."""

        def run() -> None:
            if not self.closed:
                self.turn(action, *args)

        return self.driver.call_later(seconds, run)

    def pump(self) -> None:
        """Run one turn."""
        runq = self._runq
        pick = self._pick
        slices = self._max_slices
        hand_overs = self._max_hand_overs
        try:
            while runq and slices:
                slices -= 1
                if pick is not None:
                    runq.rotate(-pick(runq))
                process = runq.popleft()
                process.queued = False
                if process.state != "dead":
                    self.slices += 1
                    self.hand_overs = hand_overs
                    self.running = process
                    CURRENT.set(process)
                    process.run()
        finally:
            self.counts.queued_slices += self._max_slices - slices
            self.running = None
            CURRENT.set(None)
            self.remote.flush()
            if runq and not self.closed:
                self.driver.call_soon(self.pump)
            else:
                self._awake = False

    # Starting and ending

    def new_ref(self) -> Ref:
        """Return a reference that nothing else has."""
        self._ref += 1
        return Ref(self.address, self.incarnation, self._ref)

    def new_pid(self) -> Pid:
        """Return a pid that nothing else has."""
        self._serial += 1
        return Pid(self.address, self.incarnation, self._serial)

    def spawn(
        self,
        process_class: type[Process],
        payload: Any,
        *,
        parent: Process | None = None,
        parent_pid: Pid | None = None,
        ancestors: tuple[Any, ...] = (),
        link: bool = False,
        name: Any = None,
        starter: Caller | None = None,
        extra: dict[str, Any] | None = None,
    ) -> Process:
        """Start a process in this host; link, name and start are one step (PROC-20).

        Args:
            process_class: what kind of process.
            payload: what its constructor takes after the parent.
            parent: the local process that starts it, or None.
            parent_pid: the pid of a parent in another host.
            ancestors: the chain of that parent.
            link: whether to link it to its parent.
            name: a name to claim before it begins; when taken, it never begins and the starter
                fails with ``("already_started", holder)``.
            starter: who wants to know how the start went.
            extra: rare attributes to set.
        """
        self._serial += 1
        pid = Pid(self.address, self.incarnation, self._serial)
        if parent is not None:
            parent_pid = parent.pid
        process = process_class(self, pid, parent_pid, payload)  # type: ignore[call-arg]
        process.starter = starter
        if extra is not None:
            process.extra = dict(extra)
        if parent is not None:
            process.set_extra("ancestors", self.child_ancestors(parent))
        elif ancestors:
            process.set_extra("ancestors", ancestors)
        self.procs[pid] = process
        if name is None:
            if link and parent_pid is not None:
                self.signals.link(process, parent_pid)
            self.ready(process)
        else:
            self._claim(process, name, link)
        return process

    def child_ancestors(self, parent: Process) -> tuple[Any, ...]:
        """Return the ancestors of children of *parent*; all siblings share one tuple."""
        chain: tuple[Any, ...] | None = parent.get_extra("child_ancestors")
        if chain is None:
            chain = (parent.name or parent.pid, *parent.get_extra("ancestors", ()))
            parent.set_extra("child_ancestors", chain)
        return chain

    def _claim(self, process: Process, name: Any, link: bool) -> None:
        def done(holder: Any) -> None:  # a pid, None, or an exception: why it cannot be had
            if process.state == "dead":
                if holder is None:
                    self.release_name(name, process.pid)
                return
            if holder is not None:
                self.procs.pop(process.pid, None)
                process.state = "dead"
                taken = type(holder) is Pid
                reason = ("already_started", holder) if taken else reason_of(holder)
                process.set_extra("refused", reason)
                for hook in process.get_extra("exit_hooks", ()):
                    hook(process, reason)
                self.acknowledge(process, False, reason)
                return
            process.name = name
            if link and process.parent is not None:
                self.signals.link(process, process.parent)
            self.ready(process)

        self.claim_name(name, process.pid, done)

    def claim_name(self, name: Any, pid: Pid, done: Callable[[Any], None]) -> None:
        """Claim *name*, a plain name or a ``Via``, for the local *pid*.

        *done* gets None, or the holder, or the exception that a ``Via`` failed with.
        """
        claim = getattr(name, "__claim__", None)
        if claim is None:
            self.names.claim(name, pid, done)
        else:
            claim(self, pid, done)

    def release_name(self, name: Any, pid: Pid) -> None:
        """Give up *name* of the local *pid*."""
        release = getattr(name, "__release__", None)
        if release is None:
            self.names.release(name, pid)
        else:
            release(self, pid)

    def acknowledge(self, process: Process, ok: bool, value: Any) -> None:
        """Tell the starter of *process* how its start went, once."""
        starter, process.starter = process.starter, None
        if starter is not None:
            self.answer(starter, ok, value)

    def die(self, process: Process, reason: Any) -> None:
        """End *process* with *reason* (K3)."""
        self.signals.die(process, reason)

    # Messages

    def resolve(self, dest: Any) -> Pid | None:
        """Return the pid that *dest* (pid, name, via) denotes now, or None."""
        kind = type(dest)
        if kind is Pid:
            return dest  # type: ignore[no-any-return]
        if kind is str:
            return self.names.lookup(dest)
        resolve = getattr(dest, "__resolve__", None)
        if resolve is not None:
            return resolve(self)  # type: ignore[no-any-return]
        found = self.names.lookup(dest)
        if found is None and kind is tuple and len(dest) == 2:
            return self.resolve_on(*dest)
        return found

    def resolve_on(self, name: Any, node: Any) -> Pid | None:
        """Return who holds *name* on *node*, or None."""
        if node == self.address.partition("/")[0]:
            return self.names.lookup(name)
        return self.names.elsewhere(name, node)

    def deliver(self, dest: Any, message: Any, kind: int = INFO) -> bool:
        """Send *message* (already isolated); False when a name is held by nobody."""
        if type(dest) is Alias:
            return self._deliver_alias(dest, message)
        pid = dest if type(dest) is Pid else self.resolve(dest)
        if pid is None:
            return False
        process = self.procs.get(pid)
        if process is None:
            if pid[0] != self.address:
                self.remote.send(pid, kind, message)
            return True
        process.mailbox.append((kind, message))
        if process.idle:
            self.ready(process)
        elif process.waiting is not None:
            process.parked_message()
        return True

    def _deliver_alias(self, alias: Alias, message: Any) -> bool:
        process = self.procs.get(alias.pid)
        if process is None:
            if alias.pid.host != self.address:
                # Encoded on its own: what cannot travel must not spoil the frame.
                self.remote.op(alias.pid.host, ("alias", alias, dumps(message)))
            return True
        aliases: dict[int, bool] = process.get_extra("aliases", {})
        once = aliases.get(alias.number)
        if once is None:
            return True
        if once:
            del aliases[alias.number]
        return self.deliver(alias.pid, message)

    def request(
        self, sink: Any, pid: Pid, server: Any, request: Any, system: bool = False
    ) -> Caller:
        """Send *request* as a call of *sink*, a process or future sink of this host.

        A *system* request is served by the process itself, not by its callbacks.

        Raises:
            NoProc: nobody is there.
            CallingSelf: *sink* is the server.
        """
        target: Any = server if type(server) is Pid else self.resolve(server)
        process = self.procs.get(target)
        self.counts.requests += 1
        if process is None:
            if target is None or target[0] == self.address:
                self.counts.calls_failed += 1
                raise NoProc("noproc", server, request)
            return self.remote.call(sink, pid, target, request, system)
        if process is sink:
            raise CallingSelf("calling_self", server, request)
        caller = Caller(sink, pid, process, self.isolate(request))
        if system:
            process.mailbox.append((SYS, caller))
            process.set_extra("overtakers", True)  # a server that parks must look for it
        else:
            process.mailbox.append(caller)
        if process.idle:
            self.ready(process)
        elif process.waiting is not None:
            process.parked_message()
        return caller

    def hand_over(self, process: Process, server: Any, request: Any) -> Caller | None:
        """Let an idle server of this host take a call of *process* at once.

        *process* is on the stack. The caller that is returned is ``done`` when the server has
        replied (or failed), with the reply in ``handed_over``; otherwise *process* waits for it.
        None: it cannot be done, make a ``request``.
        """
        kind = type(server)
        if kind is not Pid and kind is not str and getattr(server, "__chooses__", False):
            return None  # it would be resolved twice, to one and to another
        pid: Any = server if kind is Pid else self.resolve(server)
        target = self.procs.get(pid)
        if target is None or not target.idle or not target.serves or self.running is not process:
            return None
        caller = Caller(self.handed_over, process.pid, target, self.isolate(request))
        self.hand_overs -= 1
        self.slices += 1
        self.running = target
        try:
            self._aside.run(target.serve, caller)
        finally:
            self.running = process
        if not caller.done:
            caller.sink = process
        return caller

    def answer(self, caller: Caller, ok: bool, value: Any, untaken: bool = False) -> None:
        """Answer *caller* once (K4); *value* is isolated already. For ``ok=False``: a reason.

        *untaken*: the request was certainly not carried out.

        Raises:
            Unsendable: the reply cannot travel to the caller's host; it is still unanswered.
        """
        if caller.done:
            return
        sink = caller.sink
        if sink is None:
            self.remote.answer(caller, ok, value, untaken)
        caller.done = True
        server = caller.server
        if type(server) is not Pid and server.deferred is not None:
            server.deferred.pop(caller, None)
        if sink is None:
            return
        if ok:
            sink.resolve(caller, True, value)
        else:
            self.counts.calls_failed += 1
            error = exit_error(value, None, None)
            if untaken:
                error.definite = True
            sink.resolve(caller, False, error)

    def fail_callers(self, process: Process, reason: Any) -> None:
        """Fail everyone who waits for the dead *process*."""
        current = process.current
        if type(current) is Caller:
            self.answer(current, False, reason)
        if process.deferred is not None:
            for caller in list(process.deferred):
                self.answer(caller, False, reason)
        if process.urgent:
            process.mailbox.extend(process.urgent)
        for item in process.mailbox:
            if type(item) is Caller:
                self.answer(item, False, reason, untaken=True)
            elif item[0] == SYS:
                self.answer(item[1], False, reason)
        process.mailbox.clear()

    def close(self) -> None:
        """Stop for good: no process runs any more, no user code is called."""
        self.closed = True
        self.timers.close()
        self._runq.clear()
        processes = list(self.procs.values())
        calls = [call for peer in self.remote.peers.values() for call in peer.calls.values()]
        self.remote.peers.clear()
        self.remote.neighbours.clear()
        for process in processes:
            process.state = "dead"
            process.waiting = None
            if process.coro is not None and process is not self.stepping:
                try:
                    process.coro.close()
                except BaseException:
                    continue
        self.procs.clear()
        for process in processes:  # code that is no process must not wait for ever (K4)
            self.acknowledge(process, False, "noconnection")
            self.fail_callers(process, "noconnection")
        for caller in calls:
            self.answer(caller, False, "noconnection")


__all__ = ["CAST", "INFO", "UNSET", "FunctionProcess", "Kernel"]
