"""Bounds what bulk may pile up in the mailboxes of a host.

Mailboxes have no bound. For ordinary messages that is as in OTP; bulk that comes from other
hosts faster than a subscriber takes it would fill the memory. So a subscriber that has ``LIMIT``
bytes, or ``COUNT`` messages, of bulk in its mailbox gets no more until it has taken some: it
misses messages, nobody else does or waits, and they are counted (``Volume.overrun``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from foundation.kernel.process import INFO, Process

if TYPE_CHECKING:
    from foundation.cluster.pubsub.exchange import Route
    from foundation.kernel.kernel import Kernel

LIMIT = 64 * 1024 * 1024  # bytes of bulk in one mailbox
COUNT = 10_000  # messages of bulk in one mailbox: bounds the time to look through it


class BulkItem(tuple[int, Any]):
    """A mailbox item as any other, that knows how large its message is."""

    size: int


class _Account:
    """What may be in a mailbox: never less than what is."""

    __slots__ = ("count", "length", "size")

    def __init__(self) -> None:
        self.size = self.count = 0
        self.length = 0  # of the mailbox when it had no room; 0 when it had


class Mailboxes:
    """See the module docstring."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._accounts: WeakKeyDictionary[Process, _Account] = WeakKeyDictionary()

    def those_with_room(self, route: Route, size: int) -> tuple[Route, int]:
        """Return the route without those who have no room for *size*, and how many these are."""
        full = [each for each in route.processes() if not self.has_room(each, size)]
        return (route.without(full), len(full)) if full else (route, 0)

    def has_room(self, process: Process, size: int) -> bool:
        """Whether *process* may get a message of *size*; an empty mailbox has room for any."""
        account = self._accounts.get(process)
        if account is None or self._fits(account, size):
            return True
        if 0 < account.length <= len(process.mailbox):
            return False  # as when it was last looked at
        items = [item for item in process.mailbox if type(item) is BulkItem]
        account.count, account.size = len(items), sum(item.size for item in items)
        fits = self._fits(account, size)
        account.length = 0 if fits else len(process.mailbox)
        return fits

    def _fits(self, account: _Account, size: int) -> bool:
        return not account.count or (account.size + size <= LIMIT and account.count < COUNT)

    def put(self, process: Process, message: Any, size: int) -> None:
        """Put a message of *size* into the mailbox of *process*."""
        account = self._accounts.get(process)
        if account is None:
            account = self._accounts[process] = _Account()
        account.count += 1
        account.size += size
        item = BulkItem((INFO, message))
        item.size = size
        process.mailbox.append(item)
        if process.idle:
            self._kernel.ready(process)
        elif process.waiting is not None:
            process.parked_message()
