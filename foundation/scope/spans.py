"""Spans and notes: a part of a process's work with a name, and marks, in the traces that run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from foundation.errors import ScopeError
from foundation.kernel.process import CURRENT
from foundation.kernel.values import Pid
from foundation.scope.events import UNSAMPLED
from foundation.scope.tracer import SPAN, TABLE, TRACERS, Name, OpenSpan, Tracer


@contextmanager
def span(name: str) -> Iterator[None]:
    """Record the block as a span; what is sent in it is caused by it.

    In a process, or in an asyncio program on the loop of its node; elsewhere it does nothing. It
    costs a look into a table when nothing is traced.

    Args:
        name: what to call it.
    """
    tracer = _tracer()
    if tracer is None:
        yield
        return
    process = CURRENT.get()
    pid, cause = _outer(tracer, process)
    hop = tracer.new("span", pid, pid, cause, Name(name))
    opened = OpenSpan(UNSAMPLED if hop is None else hop, process)
    token = SPAN.set(opened)
    try:
        yield
    except BaseException:
        if hop is not None:
            hop.ok = False
        raise
    finally:
        opened.open = False
        SPAN.reset(token)
        if hop is not None and tracer.active:
            hop.taken = tracer.clock.tick()


def note(text: str) -> None:
    """Put a mark into the traces that run, where this code is: a deploy, a change of a setting.

    It is kept whatever ``of`` and ``sample`` of the trace say. In a process, or in an asyncio
    program on the loop of its node; elsewhere, and when nothing is traced, it does nothing.

    Args:
        text: what to write there.

    Raises:
        ScopeError: *text* is no text.
    """
    if not isinstance(text, str):
        raise ScopeError(f"note: text must be a str, got {text!r}")
    tracer = _tracer()
    if tracer is not None:
        tracer.mark(*_outer(tracer, CURRENT.get()), Name(text))


def _tracer() -> Tracer | None:
    process = CURRENT.get()
    if process is not None:
        found: Tracer | None = process.kernel.tables.get(TABLE)
    else:
        found = _embedding()
    return found if found is not None and found.active else None


def _embedding() -> Tracer | None:
    """Return the tracer of the node whose loop this code, in no process, runs on."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    here = [t for t in TRACERS if t.active and getattr(t.kernel.driver, "loop", None) is loop]
    return here[0] if len(here) == 1 else None


def _outer(tracer: Tracer, process: Any) -> tuple[Pid, Any]:
    """Return the process that is in the span, and what that is caused by."""
    outer = SPAN.get()
    if outer is not None and outer.open and outer.process is process:
        pid = process.pid if process is not None else tracer.kernel.outside
        return pid, outer.hop
    return tracer.origin() if process is not None else (tracer.kernel.outside, None)


@contextmanager
def hushed() -> Iterator[None]:
    """Have nothing recorded of what this process sends in the block."""
    token = SPAN.set(OpenSpan(UNSAMPLED, CURRENT.get()))
    try:
        yield
    finally:
        SPAN.reset(token)


__all__ = ["hushed", "note", "span"]
