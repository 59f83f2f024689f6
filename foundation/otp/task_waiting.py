"""Waiting for several tasks at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from foundation.errors import CallTimeout
from foundation.kernel import ops
from foundation.kernel.process import exit_error
from foundation.kernel.values import Ref
from foundation.otp.task import Exited, Result, Task, ref_of

T = TypeVar("T")


async def await_many(tasks: Sequence[Task[T]], timeout: float | None) -> list[T]:
    """See ``Task.await_many``."""
    me = ops.current()
    outcomes = await _collect(tasks, timeout, stop_at_failure=True)
    waiting = [task for task in tasks if task.ref not in outcomes]
    for task in tasks:
        outcome = outcomes.get(task.ref)
        if type(outcome) is Exited:
            for other in waiting:
                other.release(me)
            raise exit_error(outcome.reason, task, "result", timeout)
    if waiting:
        for task in waiting:
            task.release(me)
        raise CallTimeout("timeout", waiting[0], "result", timeout)
    return [outcomes[task.ref].value for task in tasks]  # type: ignore[union-attr]


async def yield_many(
    tasks: Sequence[Task[T]], timeout: float | None
) -> list[Result[T] | Exited | None]:
    """See ``Task.yield_many``."""
    outcomes = await _collect(tasks, timeout, stop_at_failure=False)
    return [outcomes.get(task.ref) for task in tasks]


async def _collect(
    tasks: Sequence[Task[T]], timeout: float | None, stop_at_failure: bool
) -> dict[Ref, Result[T] | Exited]:
    """Take the outcomes of *tasks* until all are there, or *timeout*, or one has failed."""
    me = ops.current()
    pending = {task.ref: task for task in tasks}
    for task in tasks:
        task._check_owner()
    now = me.kernel.driver.now
    deadline = None if timeout is None else now() + timeout
    outcomes: dict[Ref, Result[T] | Exited] = {}
    while pending:
        left = None if deadline is None else max(0.0, deadline - now())
        try:
            message = await ops.receive(lambda m: ref_of(m) in pending, timeout=left)
        except TimeoutError:
            break
        ref = ref_of(message)
        assert ref is not None
        outcome = outcomes[ref] = pending.pop(ref).settle(me, message)
        if stop_at_failure and type(outcome) is Exited:
            break
    return outcomes
