"""How a process changes a registry: at once in the registry's host, else by a round trip."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, Final

from foundation.errors import BlockingCall, UnknownRegistry
from foundation.kernel import ops
from foundation.kernel.process import Caller, Process, park
from foundation.kernel.values import Pid
from foundation.otp.registry_host import RegistryHost, install
from foundation.otp.via import known_table


class Done:
    """The result of a write that has taken effect; may be awaited or not."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, Any, None]:
        return None
        yield


DONE: Final = Done()


class Updated(tuple[Any, Any]):
    """``(new, old)``, which may be awaited or not."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, Any, Updated]:
        return self
        yield


def write(
    process: Process,
    registry: str,
    verb: str,
    args: tuple[Any, ...],
    finish: Callable[[Any], Any] = lambda outcome: None,
) -> Awaitable[Any]:
    """Have *verb* done for *process*: now where possible, else when the result is awaited.

    Args:
        process: the current process.
        registry: a registry's name.
        verb: of ``RegistryHost.apply``, as *args*.
        args: isolated already.
        finish: turns the outcome into the result, or raises; None stands for ``DONE``.

    Raises:
        BlockingCall: it has to wait, and *process* cannot.
        UnknownRegistry: no such registry runs.
    """
    kernel = process.kernel
    host = install(kernel)
    table = host.by_name.get(registry)
    if table is None and not kernel.remote.neighbours:
        raise UnknownRegistry(registry)
    if table is not None and table.owner.host == kernel.address:
        outcome = host.decide(table, verb, process.pid, args)
        # Refused because of a process in another host: its death may be on its way.
        stale = type(outcome) is Pid and outcome.host != kernel.address
        if not stale or not can_wait(process):
            done = finish(outcome)
            return DONE if done is None else done
    check_waiting(process, registry)
    return _asked(process, host, registry, verb, args, finish)


def can_wait(process: Process) -> bool:
    """Whether *process* may wait now: it does not run a plain ``def`` callback."""
    return process.coro is not None or process.kernel.running is not process


def check_waiting(process: Process, registry: str) -> None:
    """Raise BlockingCall when *process* runs a plain ``def`` callback."""
    must_wait(
        process, f"registry {registry!r} runs in another host, so a change of it must be awaited"
    )


def must_wait(process: Process, why: str) -> Process:
    """Return *process*, which is about to wait; *why* is half a sentence for the error.

    Raises:
        BlockingCall: it cannot: it runs a plain ``def`` callback.
    """
    if not can_wait(process):
        raise BlockingCall(
            f"{why}, but {process!r} is in a plain `def` callback, where waiting would block its "
            "whole host; write it as `async def` and await"
        )
    return process


async def _asked(
    process: Process,
    host: RegistryHost,
    registry: str,
    verb: str,
    args: tuple[Any, ...],
    finish: Callable[[Any], Any],
) -> Any:
    if registry not in host.by_name:  # this host may be too new to have heard of it
        await wait(process, lambda done: host.sync.all(lambda: done(None)))
    table = known_table(host.kernel, registry)
    return finish(
        await wait(process, lambda done: host.request(table, verb, process.pid, args, done))
    )


async def wait(process: Process, begin: Callable[[Callable[[Any], None]], None]) -> Any:
    """Wait until the callback given to *begin* is called; return, or raise, what it got."""
    kernel = process.kernel
    if kernel.stepping is not process:  # in an asyncio task of the process
        sink = ops.FutureSink(kernel.driver.new_future())
        begin(lambda got: sink.resolve(None, not isinstance(got, Exception), got))
        return await sink.future
    token = Caller(process, process.pid, process.pid, None)
    at_once: list[Any] = []

    def done(got: Any) -> None:
        if process.waiting is token:
            process.resolve(token, not isinstance(got, Exception), got)
        else:
            at_once.append(got)

    begin(done)
    if not at_once:
        process.waiting = token
        return await park(token)
    if isinstance(at_once[0], Exception):
        raise at_once[0]
    return at_once[0]
