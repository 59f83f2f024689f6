"""The messages of ``"foundation.scope"``, the server that is in each node.

``Begin``, ``Join``, ``End``, ``Count`` and ``Gather`` are about the hosts of its node; the
functions of ``functions.py`` send them to all nodes. ``StartTrace``, ``StopTrace``, ``CountTrace``
and ``CollectTrace`` are these functions as messages: what a tool that is no process sends to one
node, for the whole cluster.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from foundation.facade import Request
from foundation.kernel.values import Ref
from foundation.otp import Call
from foundation.scope.hosts import HostReport
from foundation.scope.report import TraceReport
from foundation.scope.tracer import Spec

if TYPE_CHECKING:
    from foundation.scope.functions import Trace

SERVER = "foundation.scope"
VISITOR = "foundation.scope.visitor"  # one that was started where there was none (yet)


@dataclass(frozen=True, slots=True)
class NodeReport:
    """What the hosts of one node answered.

    Attributes:
        node: its name.
        found: by host address, what it answered.
        missing: the hosts that did not, and why; of the node where a trace of all nodes was
            started also the nodes that have joined and do not take part.
        joined: from that node: the hosts of nodes that have joined, and their incarnations.
    """

    node: str
    found: dict[str, Any] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    joined: dict[str, int] = field(default_factory=dict)

    def reports(self) -> list[HostReport]:
        """Return the answers to ``Gather``."""
        return list(self.found.values())


@dataclass(frozen=True, slots=True)
class Busy:
    """The answer to ``Begin`` when another trace runs on the node: its name."""

    name: str


@dataclass(frozen=True)
class Begin(Call["NodeReport | Busy"]):
    """Trace all hosts of the node, those that start later too; found: their incarnations."""

    spec: Spec


@dataclass(frozen=True)
class Join(Call[NodeReport]):
    """Tell all hosts of the node which hosts of all nodes take part."""

    trace: Ref
    partners: dict[str, int]


@dataclass(frozen=True)
class End(Call[NodeReport]):
    """Trace the hosts of the node no more."""

    trace: Ref


@dataclass(frozen=True)
class Count(Call[NodeReport]):
    """How many events the hosts of the node have recorded; found: numbers."""

    trace: Ref


@dataclass(frozen=True)
class Gather(Call[NodeReport]):
    """What the hosts of the node have recorded; found: ``HostReport``.

    Attributes:
        trace: of which trace.
        timeout: seconds that the hosts have to answer.
    """

    trace: Ref
    timeout: float


@dataclass(frozen=True)
class StartTrace(Request["Trace"]):
    """``start_trace`` as a message."""

    name: str | None = None
    sample: float = 1.0
    of: Any = None
    nodes: tuple[str, ...] | None = None
    buffer: int = 10_000
    text: int = 80
    seconds: float = 600.0

    async def perform(self) -> Trace:
        """Start it."""
        from foundation.scope.functions import start_trace

        return await start_trace(
            self.name,
            sample=self.sample,
            of=self.of,
            nodes=self.nodes,
            buffer=self.buffer,
            text=self.text,
            seconds=self.seconds,
        )


@dataclass(frozen=True)
class StopTrace(Request[None]):
    """``Trace.stop`` as a message."""

    trace: Trace

    async def perform(self) -> None:
        """Stop it."""
        await self.trace.stop()


@dataclass(frozen=True)
class CountTrace(Request[int]):
    """``Trace.count`` as a message."""

    trace: Trace

    async def perform(self) -> int:
        """Count its events."""
        return await self.trace.count()


@dataclass(frozen=True)
class CollectTrace(Request[TraceReport]):
    """``collect`` as a message."""

    trace: Trace
    timeout: float = 15.0

    async def perform(self) -> TraceReport:
        """Collect it."""
        return await self.trace.collect(self.timeout)
