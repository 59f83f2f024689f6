"""What ``subscribe`` returns."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from foundation.cluster.pubsub.host import pubsub_of
from foundation.cluster.pubsub.pending import Pending
from foundation.cluster.pubsub.topics import PATTERN
from foundation.errors import NoProc
from foundation.kernel.ops import current
from foundation.kernel.values import Pid

if TYPE_CHECKING:
    from foundation.cluster.pubsub.exchange import Interest


class Subscription:
    """A subscription of a process; it has begun.

    ``await`` it to wait until every node that can be reached knows of it. ``with`` and
    ``async with`` (which waits) end it with their block. Two are equal when they are of the same
    process and topic or pattern: a process has one of these, however often it subscribes.

    Attributes:
        pid: who gets the messages.
        topic, pattern: one of them is None.
        name: of the topics.
    """

    __slots__ = ("_pending", "name", "pattern", "pid", "topic")

    def __init__(self, pid: Pid, interest: Interest, name: str, pending: Pending | None) -> None:
        kind, text = interest
        self.pid = pid
        self.topic = None if kind == PATTERN else text
        self.pattern = text if kind == PATTERN else None
        self.name = name
        self._pending = pending or Pending(done=True)

    @property
    def interest(self) -> Interest:
        """Kind, and topic or pattern."""
        return (0, self.topic) if self.topic is not None else (1, self.pattern or "")

    @property
    def done(self) -> bool:
        """Whether every node that can be reached knows of it."""
        return self._pending.done

    def cancel(self) -> bool:
        """End it; False when it has ended. What is in the mailbox already stays there.

        Raises:
            NoProc: the subscriber is in another host; cancel it in a process of that host.
            NotInProcess: it was called outside a process.
        """
        return end_subscription(self.pid, self.interest, self.name)

    def __await__(self) -> Generator[Any, Any, Subscription]:
        yield from self._pending.__await__()
        return self

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    async def __aenter__(self) -> Subscription:
        return await self

    async def __aexit__(self, *_: object) -> None:
        self.cancel()

    def _key(self) -> tuple[Any, ...]:
        return (self.pid, self.interest, self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Subscription) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __reduce__(self) -> Any:
        return type(self), (self.pid, self.interest, self.name, None)

    def __repr__(self) -> str:
        what = repr(self.topic) if self.topic is not None else f"pattern={self.pattern!r}"
        return f"<Subscription of {self.pid!r} to {what}>"


def end_subscription(pid: Pid, interest: Interest, name: str) -> bool:
    """End a subscription of a process of this host; False when there is none."""
    process = current()
    kernel = process.kernel
    host = pubsub_of(process)
    subscriber = kernel.procs.get(pid)
    if subscriber is None:
        if pid.host != kernel.address:
            raise NoProc("noproc", pid, f"the end of a subscription, in host {kernel.address}")
        return False  # it ended with its process
    host.subscriptions(subscriber).pop((name, *interest), None)
    return host.exchange(name).leave(interest, subscriber)
