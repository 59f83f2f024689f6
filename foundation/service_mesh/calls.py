"""Messages to a service, whichever instance gets them; see the package's docstring."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from foundation.errors import CallExit, CallingSelf, CallTimeout
from foundation.facade import send_through
from foundation.kernel import ops
from foundation.kernel.process import CURRENT
from foundation.kernel.values import Pid
from foundation.service_mesh.arguments import waiting
from foundation.service_mesh.breaker import BreakerLimits
from foundation.service_mesh.core import CAST, Core, core_of
from foundation.service_mesh.errors import NoInstance
from foundation.service_mesh.strategies import Strategy, check_strategy
from foundation.service_mesh.values import ServiceInfo, check_name, check_seconds

BREAKER = BreakerLimits()
PATIENCE = 0.05  # seconds; that a call was not answered in less is no fault of the instance


def call(
    name: str,
    message: Any,
    timeout: float | None = 5.0,
    strategy: Strategy = "round_robin",
    *,
    breaker: BreakerLimits | None = BREAKER,
) -> Coroutine[Any, Any, Any]:
    """Call an instance of the service *name* and return its reply: ``await call(...)``.

    What this does: chooses one of the healthy instances whose circuit breaker is not open and
    calls it. When that call certainly was not carried out, as its process had just ended, the
    next one is tried; any other failure is raised, since the request may have had its effect.
    Failures open the breaker of that instance for this host, but for calls that gave it less than
    0.05 s.

    Equivalent direct messages::

        from foundation.cluster.registry import lookup
        from foundation.otp import call

        instances = [e.pid for e in lookup("foundation.services", name) if e.value.healthy]
        await call(instances[0], message, timeout=timeout)

    When to bypass: to keep talking to one instance, ``call`` the pid of its ``ServiceInfo``.

    Args:
        name: of the service.
        message: the request, as for ``foundation.otp.call``.
        timeout: seconds for all attempts together; None waits for ever.
        strategy: ``"round_robin"``: each in turn, for each host that calls and each service
            (``call``, ``route`` and ``via`` each have turns of their own); ``"random"``;
            ``"least_outstanding"``: one with the fewest calls of this host under way;
            ``"local_first"``: those of this node in turn, others only when there are none;
            or a function of a list of ``ServiceInfo`` that returns one of them.
        breaker: when breakers open; None neither looks at them nor changes them, and so calls
            an instance whose breaker is open.

    Raises:
        NoInstance: there is none to call.
        CallTimeout, NoConnection, CallExit: the call failed; see ``foundation.otp.call``.
        BlockingCall: at once, in a plain ``def`` callback.
        TypeError, ValueError: an argument is wrong.
        UnknownDistributedRegistry: this node has no service mesh.
        whatever a function given as *strategy* raises.
    """
    check_name(name)
    check_strategy(strategy)
    _check_breaker(breaker)
    if timeout is not None:
        check_seconds("call: timeout", timeout)
    process = waiting(f"call({name!r}, ...) of a service")
    return _call(core_of(process.kernel), name, message, timeout, strategy, breaker)


async def _call(
    core: Core,
    name: str,
    message: Any,
    timeout: float | None,
    strategy: Strategy,
    limits: BreakerLimits | None,
) -> Any:
    now = core.kernel.driver.now
    end = None if timeout is None else now() + timeout
    tried: list[Pid] = []
    failed: CallExit | None = None
    while True:
        try:
            pid = core.choose(name, strategy, limits, tried).pid
        except NoInstance:
            if failed is None:
                raise
            raise failed from None
        left = None if end is None else max(0.0, end - now())
        try:
            return await _call_one(core, pid, message, left, limits)
        except CallExit as error:
            if not error.definite or left == 0.0:
                raise
            failed = error
            tried.append(pid)


async def _call_one(
    core: Core, pid: Pid, message: Any, timeout: float | None, limits: BreakerLimits | None
) -> Any:
    """Call *pid*; its breaker learns how that went."""
    outcome: bool | None = None  # stays None when this process is killed, or cannot send
    era = core.begin(pid, limits)
    try:
        reply = await send_through(ops.call, pid, message, timeout=timeout)
        outcome = True
        return reply
    except CallExit as error:
        outcome = None if isinstance(error, CallingSelf) or _hasty(error, timeout) else False
        raise
    finally:
        core.end(pid, era, outcome, limits)


def _hasty(error: CallExit, timeout: float | None) -> bool:
    """Whether a call failed only because it waited for less than is fair."""
    return isinstance(error, CallTimeout) and timeout is not None and timeout < PATIENCE


def route(name: str, message: Any, strategy: Strategy = "round_robin") -> ServiceInfo:
    """Cast *message* to an instance of the service *name*; return which one.

    What this does: chooses as ``call`` and casts. Whether it arrives is not known, so it tells
    the circuit breakers nothing.

    Equivalent direct messages::

        from foundation.cluster.registry import lookup
        from foundation.otp import cast
        from foundation.service_mesh import ServiceInfo

        instances = [e for e in lookup("foundation.services", name) if e.value.healthy]
        cast(instances[0].pid, message)
        ServiceInfo.of(name, instances[0].pid, instances[0].value)

    When to bypass: to send to all instances, ``cast`` to each that ``discover_services`` finds.

    Args:
        name: of the service.
        message: as for ``foundation.otp.cast``.
        strategy: as ``call``.

    Raises:
        NoInstance: there is none; nothing was sent.
        TypeError, ValueError: an argument is wrong.
        UnknownDistributedRegistry: this node has no service mesh.
        Unsendable: *message* cannot be copied.
        whatever a function given as *strategy* raises.
    """
    check_name(name)
    check_strategy(strategy)
    core = core_of((CURRENT.get() or ops.current()).kernel)
    chosen = core.choose(name, strategy, BREAKER, use=CAST)
    send_through(ops.cast, chosen.pid, message)
    return chosen


def breaker_states() -> dict[Pid, str]:
    """Return the states of this host's circuit breakers that are not closed, by instance.

    ``"open"`` also when trial calls may begin, but none has.

    Raises:
        UnknownDistributedRegistry: this node has no service mesh.
    """
    found = core_of((CURRENT.get() or ops.current()).kernel).breakers
    return {pid: breaker.state for pid, breaker in found.items() if breaker.state != "closed"}


def _check_breaker(breaker: Any) -> None:
    if breaker is not None and not isinstance(breaker, BreakerLimits):
        raise TypeError(f"breaker must be BreakerLimits or None, got {breaker!r}")
