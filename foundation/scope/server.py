"""The scope server of a node: has functions run in the node's hosts and says what came back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from foundation.cluster.host import TABLE as CLUSTER
from foundation.cluster.values import NodeDown, NodeUp, ViewChanged
from foundation.facade import FacadeServer
from foundation.kernel.ops import current, reply, send, send_after, spawn, trap_exit, whereis
from foundation.kernel.values import Crash
from foundation.otp import NoReply, Stop
from foundation.otp.describe import text
from foundation.otp.task import Exited, Result, Task
from foundation.scope import hosts
from foundation.scope.asking import HOST_SECONDS
from foundation.scope.joining import Guests, invite
from foundation.scope.messages import (
    SERVER,
    VISITOR,
    Begin,
    Busy,
    Count,
    End,
    Gather,
    Join,
    NodeReport,
)
from foundation.scope.tracer import Spec

LOOK_SECONDS = 1.0  # between looks for hosts that have started meanwhile
UNKNOWN = "it knows of no such trace: it has begun since, or another trace took its place"
IDLE_SECONDS = 2.0  # after which a server that nobody supervises ends


class Scope(FacadeServer):
    """See the module docstring.

    Args of ``init``:
        supervised: False for one that was started when it was needed, under a name of its own: it
            ends with its work, or gives it to the supervised one, if that starts meanwhile.
    """

    __silent__ = True

    def init(self, supervised: bool = True) -> Any:
        """Nothing is traced."""
        self.supervised = supervised
        self.session: Spec | None = None
        self.until = 0.0  # by when the session is over in any case
        self.traced: dict[str, int] = {}  # the hosts of the session -> their incarnations
        self.guests = Guests()  # where a trace of all nodes was started
        self.last: Any = None  # the trace that ``guests`` is about, or the last one
        self.asked = 0  # requests so far
        self._rest()

    def handle_call(self, request: Any, caller: Any) -> Any:
        """Serve *request*, in a process of its own."""
        self.asked += 1
        self._rest()
        match request:
            case Begin(spec):
                return self._begin(spec, caller)
            case Join(trace, partners):
                self._joined(trace, partners)
                spawn(_ask_hosts, caller, hosts.join, (trace, partners), HOST_SECONDS)
            case End(trace):
                if self.session is not None and self.session.id == trace:
                    self._over(self.session)
                spawn(_ask_hosts, caller, hosts.end, (trace,), HOST_SECONDS)
            case Count(trace):
                spawn(_ask_hosts, caller, hosts.count, (trace,), HOST_SECONDS)
            case Gather(trace, timeout):
                guests = self.guests if trace == self.last else Guests()
                more = (guests.absent, guests.joined)
                spawn(_ask_hosts, caller, hosts.gather, (trace,), timeout, *more)
            case _:
                return super().handle_call(request, caller)
        return NoReply()

    def _begin(self, spec: Spec, caller: Any) -> Any:
        now = current().kernel.driver.now()
        running = self.session
        if running is not None and now < self.until and running.id != spec.id:
            return Busy(running.name)
        if running is None or running.id != spec.id:
            self.traced = {}
            self.guests, self.last = Guests(), spec.id
            send_after(LOOK_SECONDS, current().pid, ("look", spec.id))
        self.session, self.until = spec, now + spec.seconds
        spawn(_begin_hosts, current().pid, spec, node_hosts(), caller)
        return NoReply()

    def handle_info(self, message: Any) -> Any:
        """Look after the hosts, or end when there is nothing to do."""
        match message:
            case ("look", trace):
                return self._look(trace)
            case ("adopt", work) if self.session is None:
                vars(self).update(work)
                self._rejoin()
            case ("began", trace, found):
                if self.session is not None and self.session.id == trace:
                    self.traced |= found
            case ("invited", trace, node, found, why) if trace == self.last:
                self.guests.invited(node, found, why)
                self._invite()
            case NodeUp(node):
                if self._tracing():
                    self.guests.came(node)
                    self._invite()
            case NodeDown(node):
                self.guests.absent.pop(node, None)
            case ViewChanged() | ("invited", *_):
                pass
            case ("rest", asked):
                if asked == self.asked and not self._needed() and not current().deferred:
                    return Stop("normal")
                if asked == self.asked:
                    self._rest()
            case _:
                return super().handle_info(message)
        return None

    def _joined(self, trace: Any, partners: dict[str, int]) -> None:
        """These hosts take part; where the trace was started, look after those that are to."""
        session, kernel = self.session, current().kernel
        cluster = kernel.tables.get(CLUSTER)
        here = kernel.address.partition("/")[0]
        if session is None or session.id != trace or cluster is None or session.home != here:
            return
        if session.everywhere:
            cluster.subscribe(current())
            self.guests.told(partners, cluster.view.names)
            self._invite()

    def _invite(self) -> None:
        if self.session is not None:
            node = self.guests.next()
            if node is not None:
                spawn(invite, current().pid, self.session, node, self.guests.partners)

    def _over(self, session: Spec) -> None:
        self.session = None
        cluster = current().kernel.tables.get(CLUSTER)
        if cluster is not None:
            cluster.unsubscribe(current().pid)
        self.until = current().kernel.driver.now() + hosts.KEEP_SECONDS

    def _needed(self) -> bool:
        """Whether it has to do, or something to tell to who collects."""
        now = current().kernel.driver.now()
        known = bool(self.guests.joined or self.guests.absent)
        return now < self.until and (self.session is not None or known)

    def _tracing(self) -> bool:
        return self.session is not None and current().kernel.driver.now() < self.until

    def _look(self, trace: Any) -> Any:
        """Have hosts that have started since take part."""
        session = self.session
        if session is None or session.id != trace or not self._tracing():
            return None
        server = None if self.supervised else whereis(SERVER)
        if server is not None and not self.guests.busy:
            kept = ("session", "until", "traced", "guests", "last")
            send(server, ("adopt", {name: getattr(self, name) for name in kept}))
            return Stop("normal")
        new = {h: i for h, i in node_hosts().items() if self.traced.get(h) != i}
        if new:
            spawn(_begin_hosts, current().pid, session, new, None)
        send_after(LOOK_SECONDS, current().pid, ("look", trace))
        return None

    def _rejoin(self) -> None:
        """Go on with the work of another server."""
        if self.session is not None:
            send_after(LOOK_SECONDS, current().pid, ("look", self.session.id))
            self._joined(self.session.id, {})

    def _rest(self) -> None:
        if not self.supervised:
            send_after(IDLE_SECONDS, current().pid, ("rest", self.asked))


def node_hosts() -> dict[str, int]:
    """Return the hosts of this node that are up, this one included, and their incarnations."""
    kernel = current().kernel
    peers = {peer.host: peer.incarnation for peer in kernel.remote.neighbours.values()}
    return {kernel.address: kernel.incarnation, **peers}


async def on_hosts(
    function: Callable[..., Any], args: tuple[Any, ...], where: list[str], timeout: float
) -> NodeReport:
    """Run *function* in each host of *where*; return what each returned, or why it did not."""
    trap_exit()
    node = current().kernel.address.partition("/")[0]
    report = NodeReport(node)
    tasks: list[tuple[str, Task[Any]]] = []
    for host in where:
        try:
            tasks.append((host, Task.run(function, *args, host=host)))
        except Exception as error:
            report.missing[host] = str(error)
    outcomes = await Task.yield_many([task for _, task in tasks], timeout)
    for (host, task), outcome in zip(tasks, outcomes, strict=True):
        match outcome:
            case Result(None) if function is hosts.gather or function is hosts.count:
                report.missing[host] = UNKNOWN
            case Result(value):
                report.found[host] = value
            case Exited(reason):
                report.missing[host] = _why(reason)
            case None:
                report.missing[host] = f"no answer within {timeout:g} s"
                task.ignore()
    return report


def _why(reason: Any) -> str:
    return reason.message if isinstance(reason, Crash) else f"it ended with {text(reason, 200)}"


async def _ask_hosts(
    caller: Any,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    timeout: float,
    absent: dict[str, str] | None = None,
    joined: dict[str, int] | None = None,
) -> None:
    report = await on_hosts(function, args, list(node_hosts()), timeout)
    report.missing.update(absent or {})
    report.joined.update(joined or {})
    reply(caller, report)


async def _begin_hosts(server: Any, spec: Spec, where: dict[str, int], caller: Any) -> None:
    report = await on_hosts(hosts.begin, (spec,), list(where), HOST_SECONDS)
    began = dict(report.found.values())
    with contextlib.suppress(Exception):  # the server has ended
        send(server, ("began", spec.id, began))
    if caller is not None:
        reply(caller, NodeReport(report.node, began, report.missing))


class Door:
    """Stands for the scope server of the host that it reaches; starts it there if need be.

    So tools that are no processes can ask any control host: ``Envelope(Door(), request)``.
    """

    __immutable__ = True

    def __resolve__(self, kernel: Any) -> Any:
        pid = kernel.names.lookup(SERVER) or kernel.names.lookup(VISITOR)
        if pid is None:
            payload: Any = (Scope, (False,), {})
            pid = kernel.spawn(Scope.__process_class__, payload, name=VISITOR).pid
        return pid

    def __repr__(self) -> str:
        return repr(SERVER)
