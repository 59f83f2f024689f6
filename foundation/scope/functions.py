"""``start_trace``, ``Trace`` and ``collect``: what code inside a process calls."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from foundation.cluster.host import TABLE as CLUSTER
from foundation.errors import ScopeError
from foundation.kernel.ops import current
from foundation.scope.asking import NODE_SECONDS, ask_nodes, sorted_out
from foundation.scope.hosts import HostReport
from foundation.scope.matching import wanted
from foundation.scope.messages import (
    Begin,
    Busy,
    Count,
    End,
    Gather,
    Join,
    NodeReport,
)
from foundation.scope.report import TraceReport, assemble
from foundation.scope.tracer import Spec

COLLECT_SECONDS = 15.0


@dataclass(frozen=True)
class Trace:
    """A trace, running or not. Plain data: any process of the cluster may stop and collect it.

    ``async with await start_trace() as trace:`` stops it at the end of the block.

    Attributes:
        spec: what it records.
        nodes: the nodes that it was started on; of a trace of all nodes, those that join later
            take part, too.
        hosts: their hosts that began, and their incarnations.
        missing: the nodes and hosts that did not, and why.
    """

    spec: Spec
    nodes: tuple[str, ...]
    hosts: dict[str, int] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What it is called."""
        return self.spec.name

    async def stop(self) -> None:
        """Record nothing more; what there is can be collected for ten minutes.

        A node that cannot be reached stops by itself when ``seconds`` have passed.
        """
        await ask_nodes(_everyone(self), End(self.spec.id), NODE_SECONDS)

    async def count(self) -> int:
        """Return how many events have been recorded so far, messages between hosts twice."""
        answers = await ask_nodes(_everyone(self), Count(self.spec.id), NODE_SECONDS)
        reports = [a for a in answers.values() if isinstance(a, NodeReport)]
        return sum(number for report in reports for number in report.found.values())

    async def collect(self, timeout: float = COLLECT_SECONDS) -> TraceReport:
        """Return what has been recorded; as the function ``collect``."""
        return await collect(self, timeout)

    async def __aenter__(self) -> Trace:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


async def start_trace(
    name: str | None = None,
    *,
    sample: float = 1.0,
    of: Any = None,
    nodes: Iterable[str] | None = None,
    buffer: int = 10_000,
    text: int = 80,
    seconds: float = 600.0,
) -> Trace:
    """Trace the messages of the cluster from now on.

    What this does: it has the server ``"foundation.scope"`` of each node (which is started where
    there is none) switch tracing on in all hosts of that node, then tells all hosts who takes
    part. When it returns, every message between hosts that take part is traced. Hosts of these
    nodes that start later are found within a second; without *nodes*, so are nodes that join: the
    server of this node, which is told of them, has them take part. One trace at a time runs on a
    node.

    Equivalent direct messages::

        from foundation.kernel.ops import current
        from foundation.otp import call
        from foundation.scope import Begin, Join, Spec, Trace

        node = current().pid.host.partition("/")[0]
        spec = Spec(current().kernel.new_ref(), "trace", home=node, everywhere=True)
        report = await call("foundation.scope", Begin(spec))
        await call("foundation.scope", Join(spec.id, report.found))
        Trace(spec, (report.node,), report.found)

    When to bypass: to trace the hosts of one node from a tool that knows only that node.

    Args:
        name: for people.
        sample: the share of chains to record, from 0 to 1: drawn where a chain begins, valid for
            all that follows from it.
        of: record only messages from or to a pid, a name, or a list of these; or those for which
            a function of an ``Event`` returns True; ``APPLICATION`` leaves out what processes of
            Foundation tell each other. A function is not asked in control hosts, which run
            no user code; other nodes must be able to import it, or accept code.
        nodes: names; None is all nodes of the cluster.
        buffer: events that each host keeps; older ones are dropped, and counted.
        text: characters kept of each message; 0 keeps its type only.
        seconds: when it ends by itself.

    Raises:
        ScopeError: an argument is wrong, another trace runs, or no node could begin.
        NotInProcess: it was called outside a process; there use ``node.run(start_trace)``.
    """
    spec = _spec(name, sample, of, buffer, text, seconds, nodes is None)
    targets = _nodes(nodes)
    answers = await ask_nodes(targets, Begin(spec), NODE_SECONDS)
    hosts, missing = sorted_out(answers)
    began = tuple(node for node, answer in answers.items() if isinstance(answer, NodeReport))
    busy = {node: a.name for node, a in answers.items() if isinstance(a, Busy)}
    if busy or not hosts:
        await ask_nodes(began, End(spec.id), NODE_SECONDS)
        raise ScopeError(_refusal(busy, missing))
    if len(hosts) > 1 or spec.everywhere:
        joined = await ask_nodes(began, Join(spec.id, hosts), NODE_SECONDS)
        missing |= sorted_out(joined)[1]
    return Trace(spec, targets, hosts, missing)


async def collect(trace: Trace, timeout: float = COLLECT_SECONDS) -> TraceReport:
    """Return what the hosts have recorded of *trace*, running or stopped.

    What this does: it asks the server of each node, which asks its hosts, and puts together what
    they answer. A host that does not answer in time, or has ended since the trace began, is in
    ``missing``, as is a node that joined and could not take part, and a host in which the function
    of ``of=`` failed; then the report is not ``complete``.

    Equivalent direct messages::

        from foundation.otp import call
        from foundation.scope import Gather, assemble

        report = await call("foundation.scope", Gather(trace.spec.id, timeout))
        assemble(trace.name, [report.node], report.reports(), report.missing)

    When to bypass: to look at the events of one host or node only.

    Args:
        trace: what ``start_trace`` returned.
        timeout: seconds in all.

    Raises:
        ScopeError: *timeout* is wrong.
        NotInProcess: it was called outside a process; there use ``node.run(collect, trace)``.
    """
    if not timeout > 0:
        raise ScopeError(f"collect: timeout must be above 0 seconds, got {timeout!r}")
    current()
    request = Gather(trace.spec.id, timeout * 0.8)
    answers = await ask_nodes(_everyone(trace), request, timeout)
    late = [n for n, a in answers.items() if n not in trace.nodes and not _took_part(a)]
    answers = {node: answer for node, answer in answers.items() if node not in late}
    reports = [a for a in answers.values() if isinstance(a, NodeReport)]
    found: list[HostReport] = [host for report in reports for host in report.reports()]
    missing = {n: str(a) for n, a in answers.items() if not isinstance(a, NodeReport)}
    hosts = dict(trace.hosts)
    for report in reports:
        missing |= report.missing
        hosts |= report.joined
    lives = {host.host: host.incarnation for host in found}
    for host, incarnation in hosts.items():
        known = host in missing or host.partition("/")[0] in missing
        if not known and lives.get(host) != incarnation:
            missing[host] = "it has ended, and what it had recorded with it"
    return assemble(trace.name, [report.node for report in reports], found, missing)


def _everyone(trace: Trace) -> tuple[str, ...]:
    """Return the nodes that may have recorded something: of all nodes, those of now, too."""
    now = _nodes(None) if trace.spec.everywhere else ()
    return tuple(dict.fromkeys((*trace.nodes, *now)))


def _took_part(answer: Any) -> bool:
    return isinstance(answer, NodeReport) and bool(answer.found)


def _spec(
    name: str | None,
    sample: float,
    of: Any,
    buffer: int,
    text: int,
    seconds: float,
    everywhere: bool,
) -> Spec:
    kernel = current().kernel
    home = kernel.address.partition("/")[0]
    if name is not None and not isinstance(name, str):
        raise ScopeError(f"start_trace: name must be a str, got {name!r}")
    if isinstance(sample, bool) or not isinstance(sample, (int, float)) or not 0 <= sample <= 1:
        raise ScopeError(f"start_trace: sample must be from 0 to 1, got {sample!r}")
    for what, value, least in (("buffer", buffer, 1), ("text", text, 0)):
        if type(value) is not int or value < least:
            raise ScopeError(f"start_trace: {what} must be an int from {least} on, got {value!r}")
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds > 0:
        raise ScopeError(f"start_trace: seconds must be above 0, got {seconds!r}")
    number = kernel.new_ref()
    return Spec(
        *(number, name or f"trace-{number.number}", float(sample), wanted(of, home)),
        *(buffer, text, float(seconds), home),
        everywhere=everywhere,
    )


def _nodes(nodes: Iterable[str] | None) -> tuple[str, ...]:
    kernel = current().kernel
    cluster = kernel.tables.get(CLUSTER)
    here = kernel.address.partition("/")[0]
    known: tuple[str, ...] = (here,) if cluster is None else cluster.view.names
    if nodes is None:
        return known or (here,)
    if isinstance(nodes, str):
        raise ScopeError(f"start_trace: nodes must be several names, got {nodes!r}")
    wanted_nodes = tuple(dict.fromkeys(nodes))
    unknown = [node for node in wanted_nodes if node not in known and node != here]
    if unknown or not wanted_nodes:
        raise ScopeError(
            f"start_trace: there is no node {unknown[0]!r}; nodes are {', '.join(known)}"
            if unknown
            else "start_trace: nodes=[] would trace nothing; leave it out for all nodes"
        )
    return wanted_nodes


def _refusal(busy: dict[str, str], missing: dict[str, str]) -> str:
    if busy:
        node, name = next(iter(busy.items()))
        return (
            f"start_trace: the trace {name!r} runs on node {node!r}, and one runs at a time; stop "
            "it first (await trace.stop()), or wait until its seconds have passed"
        )
    why = "; ".join(f"{who}: {text}" for who, text in missing.items())
    return f"start_trace: no host could begin: {why}"
