"""What all facades share: showing what they send, and serving it to those who send messages.

A facade (``process_manager``, ``channels``, ``service_mesh``, ``config``) names a common need and
sends a few messages to the primitives below it. Nothing is hidden: the docstring of each function
gives the equivalent direct messages, logger ``foundation`` shows them at level debug (but for the
few functions that are called very often), and ``explain`` collects what was really sent::

    with foundation.explain() as plan:
        await start_singleton(Scheduler)
    print(plan)     # start_child('foundation.processes', …, id='app.Scheduler', …)

A function that asks or changes something is also a message: a ``Request``, which the facade's
server answers to any process that sends it. What is about the process or the host that calls
(``process_manager.watch``, ``channels.drained``) or sends nothing (``via``) is none.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from foundation.errors import Unsendable
from foundation.kernel.ops import spawn
from foundation.kernel.process import CURRENT
from foundation.kernel.values import Pid
from foundation.otp import Call, GenServer, NoReply, reply
from foundation.runtime.logs import log

R = TypeVar("R")
_PLAN: ContextVar[Plan | None] = ContextVar("foundation_plan", default=None)


@dataclass(frozen=True, slots=True)
class Step:
    """One call of a primitive by a facade.

    Attributes:
        function: what was called.
        args: with these arguments,
        kwargs: and these keywords.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    @property
    def path(self) -> str:
        """Where the primitive is found, as ``foundation.cluster.pubsub.broadcast``."""
        name = self.function.__qualname__
        inner = self.function.__module__
        for module in (inner.rpartition(".")[0], "foundation.otp", inner):
            if getattr(importlib.import_module(module), name, None) is self.function:
                return f"{module}.{name}"
        return f"{inner}.{name}"

    def __str__(self) -> str:
        parts = [repr(each) for each in self.args]
        parts += [f"{key}={value!r}" for key, value in self.kwargs.items()]
        return f"{self.function.__qualname__}({', '.join(parts)})"


@dataclass(eq=False)
class Plan:
    """What facades sent inside ``with explain() as plan``, in order."""

    steps: list[Step] = field(default_factory=list)
    outer: Plan | None = field(default=None, repr=False)
    closed: bool = field(default=False, repr=False)
    owner: Pid | None = field(default=None, repr=False)
    since: int = field(default=0, repr=False)  # processes of the owner with a higher serial

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def __str__(self) -> str:
        return "\n".join(map(str, self.steps))


class _Watching:
    """The plans that are open in this program; a fast path looks here before anything else."""

    def __init__(self) -> None:
        self.plans: list[Plan] = []


watching = _Watching()


@contextlib.contextmanager
def explain() -> Iterator[Plan]:
    """Collect what facades send inside this block.

    That is what this process sends, and what the asyncio tasks and the processes of this host
    send that it starts inside the block (``Task.run``, ``spawn``), until the block ends. What
    is sent is sent: this is no dry run. A block inside another adds to both.
    """
    plan = Plan(outer=_plan())
    process = CURRENT.get()
    if process is not None:
        plan.owner = process.pid
        plan.since = next(reversed(process.kernel.procs)).serial
    token = _PLAN.set(plan)
    watching.plans.append(plan)
    try:
        yield plan
    finally:
        plan.closed = True  # a task that was begun in the block may outlive it
        watching.plans.remove(plan)
        _PLAN.reset(token)


def _plan() -> Plan | None:
    """Return the plan in whose block this code runs, or the process that started this one."""
    found = _PLAN.get()
    process = CURRENT.get() if found is None and watching.plans else None
    while process is not None and process.parent is not None:
        for plan in reversed(watching.plans):
            if plan.owner == process.parent and plan.since < process.pid.serial:
                return plan
        process = process.kernel.procs.get(process.parent)
    return found


def note(function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Say that a facade calls *function*: for those that look at ``watching.plans`` themselves."""
    plan = _plan()
    while plan is not None:
        if not plan.closed:
            plan.steps.append(Step(function, args, kwargs))
        plan = plan.outer


def send_through(function: Callable[..., R], *args: Any, **kwargs: Any) -> R:
    """Call the primitive *function* for a facade, so that users can see it."""
    if watching.plans:
        note(function, *args, **kwargs)
    if log.isEnabledFor(logging.DEBUG):
        log.debug("facade: %s", Step(function, args, kwargs))
    return function(*args, **kwargs)


@dataclass(frozen=True)
class Failed:
    """A facade's server answers this when the function of the same name would have raised."""

    error: Exception


class Request(Call[R], Generic[R]):
    """A message to a facade's server that stands for a function of its package."""

    async def perform(self) -> R:
        """Do it, in a process of its own."""
        raise NotImplementedError


class FacadeServer(GenServer):
    """Answers ``Request`` messages, each in a process of its own: a slow one delays nobody.

    The reply is the function's result, or ``Failed(error)``.
    """

    def handle_call(self, request: Any, caller: Any) -> Any:
        """Serve *request*."""
        if isinstance(request, Request):
            spawn(_perform, request, caller)
            return NoReply()
        name = type(self).__name__
        text = f"{name} answers the messages of its package, got {request!r:.200}"
        return Failed(TypeError(text))

    def handle_cast(self, request: Any) -> None:
        """Drop it: no client's mistake may end a server that others use."""
        log.warning("%s takes no casts, got %.200r", type(self).__name__, request)


async def _perform(request: Request[Any], caller: Any) -> None:
    try:
        answer = await request.perform()
    except Exception as error:
        answer = Failed(error)
    except (SystemExit, KeyboardInterrupt) as error:  # of the user's code, not of this program
        answer = Failed(RuntimeError(repr(error)))
    try:
        reply(caller, answer)
    except Unsendable as error:
        reply(caller, Failed(RuntimeError(f"the answer {answer!r:.200} cannot be sent: {error}")))
