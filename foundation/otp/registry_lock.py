"""Locks by key, kept by a registry's process: ``async with lock("reg", key): ...``.

Invariants:
    L1  Of each key at most one request is granted: the first of its queue.
    L2  A request leaves its queue when released, or when the process that made it ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from foundation.errors import CallExit
from foundation.kernel import ops
from foundation.kernel.codec import register
from foundation.kernel.process import Caller
from foundation.kernel.values import Pid, Ref
from foundation.otp.registry_table import normal_key
from foundation.otp.via import check_key, known_table


@dataclass(frozen=True, slots=True)
class Acquire:
    """A call to the registry's process: reply when *key* is granted to *request*."""

    key: Any
    request: Ref


@dataclass(frozen=True, slots=True)
class Release:
    """A cast to the registry's process: *request* is over."""

    request: Ref


class Locks:
    """The queues of the locks, in the registry's process."""

    def __init__(self) -> None:
        self._queues: dict[Any, dict[Ref, Caller]] = {}
        self._requests: dict[Ref, tuple[Any, Ref]] = {}  # request -> (key, monitor)
        self._monitors: dict[Ref, Ref] = {}  # monitor -> request

    def acquire(self, key: Any, request: Ref, caller: Caller) -> bool:
        """Queue *request*; True when it is granted at once, else *caller* is answered later."""
        filed = normal_key(key)
        queue = self._queues.setdefault(filed, {})
        queue[request] = caller
        monitor = ops.monitor(caller.pid)
        self._requests[request] = (filed, monitor)
        self._monitors[monitor] = request
        return len(queue) == 1

    def down(self, monitor: Ref) -> None:
        """A process that holds or waits has ended."""
        request = self._monitors.get(monitor)
        if request is not None:
            self.release(request)

    def release(self, request: Ref) -> None:
        """End *request*, held or waiting; grant the key to the next."""
        filed, monitor = self._requests.pop(request, (None, None))
        if monitor is None:
            return
        del self._monitors[monitor]
        ops.demonitor(monitor, flush=True)
        queue = self._queues[filed]
        held = next(iter(queue)) == request
        del queue[request]
        if not queue:
            del self._queues[filed]
        elif held:
            ops.reply(next(iter(queue.values())), True)


class Lock:
    """One use of a lock, as an asynchronous context manager."""

    __slots__ = ("_key", "_registry", "_request")

    def __init__(self, registry: str, key: Any) -> None:
        self._registry = registry
        self._key = key
        self._request: tuple[Pid, Ref] | None = None

    async def __aenter__(self) -> None:
        kernel = ops.current().kernel
        owner = known_table(kernel, self._registry).owner
        request = kernel.new_ref()
        try:
            await ops.call(owner, Acquire(self._key, request), timeout=None)
        except CallExit:  # the registry has ended
            raise
        except BaseException:
            ops.cast(owner, Release(request))
            raise
        self._request = (owner, request)

    async def __aexit__(self, *_: object) -> None:
        if self._request is not None:
            owner, request = self._request
            self._request = None
            ops.cast(owner, Release(request))


def lock(registry: str, key: Any) -> Lock:
    """Let one process at a time do something: ``async with lock("reg", key): ...``.

    Waits as long as it takes; limit it with ``asyncio.timeout``. The lock is released when the
    block is left, by an exception too, and when the process ends. Not reentrant: a process
    that asks for a lock it holds waits for itself. Keys of locks and keys of entries have
    nothing to do with each other. When the registry ends, so do its locks.

    Args:
        registry: name of a running registry.
        key: hashable; different keys do not wait for each other.

    Raises:
        UnknownRegistry: no such registry runs; raised on entry.
        CallExit: the registry ended meanwhile; raised on entry.
        TypeError: *key* is not hashable.
    """
    check_key(key)
    return Lock(registry, key)


register(Acquire, 111)
register(Release, 112)
