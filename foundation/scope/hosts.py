"""What the scope server of a node does in each host: small functions that run there as tasks."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from foundation.kernel.ops import current
from foundation.kernel.values import Pid, Ref
from foundation.scope.events import Event
from foundation.scope.taps import switch_off, switch_on
from foundation.scope.tracer import TABLE, Spec, Tracer

F = TypeVar("F", bound=Callable[..., Any])

KEEP_SECONDS = 600.0  # that events stay in a host after the end of their trace


@dataclass(frozen=True, slots=True)
class HostReport:
    """What one host has recorded.

    Attributes:
        host: its address.
        incarnation: which life of it.
        packed: the events, by pickle: many thousand are one message.
        dropped: how many older events did not fit.
        labels: what its processes are called.
        failure: of the function that says which messages are wanted; "" is none.
    """

    host: str
    incarnation: int
    packed: bytes
    dropped: int
    labels: dict[Pid, str]
    failure: str = ""

    def events(self) -> tuple[Event, ...]:
        """Return the events."""
        found: tuple[Event, ...] = pickle.loads(self.packed)
        return found


def silent(function: F) -> F:
    """Mark *function*: processes that run it are not traced."""
    function.__silent__ = True  # type: ignore[attr-defined]
    return function


@silent
def begin(spec: Spec) -> tuple[str, int]:
    """Trace this host, unless it does already; return its address and incarnation."""
    kernel = current().kernel
    tracer: Tracer | None = kernel.tables.get(TABLE)
    if tracer is None or tracer.spec.id != spec.id:
        new = Tracer(kernel, spec)
        if tracer is not None:
            switch_off(tracer)
        switch_on(new)
        kernel.later(spec.seconds, switch_off, new)
    return kernel.address, kernel.incarnation


@silent
def join(trace: Ref, partners: dict[str, int]) -> None:
    """Other hosts that take part in *trace*: context may be sent to them."""
    tracer: Tracer | None = current().kernel.tables.get(TABLE)
    if tracer is not None and tracer.spec.id == trace:
        tracer.partners.update(partners)


@silent
def end(trace: Ref) -> None:
    """Trace this host no more; the events stay for ``KEEP_SECONDS``."""
    kernel = current().kernel
    tracer: Tracer | None = kernel.tables.get(TABLE)
    if tracer is None or tracer.spec.id != trace or not tracer.active:
        return
    switch_off(tracer)

    def drop() -> None:
        if kernel.tables.get(TABLE) is tracer:
            del kernel.tables[TABLE]

    kernel.later(KEEP_SECONDS, drop)


@silent
def count(trace: Ref) -> int | None:
    """Return how many events this host keeps of *trace*; None when it knows of no such trace."""
    tracer: Tracer | None = current().kernel.tables.get(TABLE)
    if tracer is None or tracer.spec.id != trace:
        return None
    return len(tracer.ring) + tracer.dropped


@silent
def gather(trace: Ref) -> HostReport | None:
    """Return what this host has recorded of *trace*; None when it knows of no such trace."""
    kernel = current().kernel
    tracer: Tracer | None = kernel.tables.get(TABLE)
    if tracer is None or tracer.spec.id != trace:
        return None
    packed = pickle.dumps(tracer.events(), 5)
    labels = dict(tracer.labels)
    return HostReport(
        *(kernel.address, kernel.incarnation, packed, tracer.dropped, labels, tracer.failure)
    )
