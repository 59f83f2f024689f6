"""Scope: what happened in the cluster, and why; and a server's life again, step by step.

Causal traces: each message knows what it was sent for, over processes, hosts and nodes::

    trace = await scope.start_trace()
    ...
    report = await trace.collect()
    print(report.diagram())        # or report.mermaid(), report.timeline, report.errors

The states of one server (``watch_state``), and its recording (``record``), which ``replay`` runs
again in this thread, under a debugger if you like.

A node that traces nothing pays nothing for it: see ``taps.py``.
"""

from __future__ import annotations

from foundation.errors import ReplayError, ScopeError
from foundation.otp import ChildSpec
from foundation.scope.clock import HybridClock, Stamp
from foundation.scope.events import Event
from foundation.scope.functions import Trace, collect, start_trace
from foundation.scope.matching import APPLICATION, Wanted
from foundation.scope.messages import (
    SERVER,
    Begin,
    Busy,
    CollectTrace,
    Count,
    CountTrace,
    End,
    Gather,
    Join,
    NodeReport,
    StartTrace,
    StopTrace,
)
from foundation.scope.recording import record, start_recorded, stop_recording
from foundation.scope.replay import Divergence, Replay, Step, replay
from foundation.scope.report import Moment, TraceReport, assemble
from foundation.scope.server import Door, Scope
from foundation.scope.spans import note, span
from foundation.scope.states import StateChange, state_history, unwatch_state, watch_state
from foundation.scope.tracer import Spec


def specs() -> list[ChildSpec]:
    """Return what each node runs: the scope server, ``"foundation.scope"``.

    Without it the first trace starts one, which ends when it has nothing to do.
    """
    return [Scope.spec(name=SERVER, host="control")]


__all__ = [
    "APPLICATION",
    "SERVER",
    "Begin",
    "Busy",
    "CollectTrace",
    "Count",
    "CountTrace",
    "Divergence",
    "Door",
    "End",
    "Event",
    "Gather",
    "HybridClock",
    "Join",
    "Moment",
    "NodeReport",
    "Replay",
    "ReplayError",
    "Scope",
    "ScopeError",
    "Spec",
    "Stamp",
    "StartTrace",
    "StateChange",
    "Step",
    "StopTrace",
    "Trace",
    "TraceReport",
    "Wanted",
    "assemble",
    "collect",
    "note",
    "record",
    "replay",
    "span",
    "specs",
    "start_recorded",
    "start_trace",
    "state_history",
    "stop_recording",
    "unwatch_state",
    "watch_state",
]
