"""Waiting until the other hosts of a node have applied what was said to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from foundation.kernel.reports import Notice

if TYPE_CHECKING:
    from foundation.kernel.kernel import Kernel

TIMEOUT = 5.0  # seconds; hosts that are down are noticed earlier, by their connection


class HostSync:
    """The barriers that one host waits for.

    Operations to a host are applied in order, so its answer to the last says that it has
    applied all.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._number = 0
        self._open: dict[int, tuple[dict[str, None], Callable[[], None], Any]] = {}
        kernel.remote.handlers["sync"] = self._on_sync
        kernel.remote.handlers["synced"] = self._on_synced

    def all(
        self, done: Callable[[], None], skip: str | None = None, timeout: float = TIMEOUT
    ) -> None:
        """Call *done* when every host but *skip* has applied all that was said to it so far.

        At once when there is no such host; after *timeout* seconds in any case.
        """
        remote = self._kernel.remote
        waiting: dict[str, None] = {host: None for host in remote.neighbours if host != skip}
        if not waiting:
            done()
            return
        self._number += 1
        number = self._number
        handle = self._kernel.driver.call_later(timeout, lambda: self._late(number))
        self._open[number] = (waiting, done, handle)
        for host in waiting:
            remote.op(host, ("sync", number))

    def without(self, host: str) -> None:
        """Stop waiting for *host*, which has gone."""
        for number in list(self._open):
            self._on_synced(host, number)

    def _on_sync(self, host: str, number: int) -> None:
        self._kernel.remote.op(host, ("synced", number))

    def _on_synced(self, host: str, number: int) -> None:
        barrier = self._open.get(number)
        if barrier is not None:
            waiting, done, handle = barrier
            waiting.pop(host, None)
            if not waiting:
                del self._open[number]
                handle.cancel()
                done()

    def _late(self, number: int) -> None:
        barrier = self._open.pop(number, None)
        if barrier is not None:
            text = f"no answer from {', '.join(barrier[0])} in time; going on"
            self._kernel.driver.report(Notice("warning", text))
            barrier[1]()
            self._kernel.wake()
