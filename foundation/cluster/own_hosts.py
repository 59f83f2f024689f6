"""What an agent says to the other hosts of its node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foundation.kernel.kernel import Kernel

LAZY = 0.003  # ``OwnHosts.hold_back`` at the start


class OwnHosts:
    """Says operations to hosts, in order; those that nobody waits for a little later, together.

    Each frame wakes a process, which costs more than the operations in it.

    Attributes:
        hold_back: seconds that what nobody waits for may be held back; may be changed at any time,
            and need not be the same on all nodes.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.hold_back = LAZY
        self._held: dict[str, list[tuple[Any, ...]]] = {}
        self._timer = False

    def say(self, host: str, operation: tuple[Any, ...]) -> None:
        """Say *operation* to *host*, after what was held back for it."""
        self._release(host)
        self._kernel.remote.op(host, operation)

    def say_all(self, operation: tuple[Any, ...]) -> None:
        """Say *operation* to all hosts."""
        self.release()
        self._kernel.remote.broadcast(operation)

    def say_lazily(self, operation: tuple[Any, ...]) -> None:
        """Say *operation* to all hosts, before whatever else is said, or ``hold_back`` later."""
        for host in self._kernel.remote.neighbours:
            self._held.setdefault(host, []).append(operation)
        if self._held and not self._timer:
            self._timer = True
            self._kernel.driver.call_later(self.hold_back, self._late)

    def release(self) -> None:
        """Say what was held back."""
        for host in list(self._held):
            self._release(host)

    def _late(self) -> None:
        self._timer = False
        if not self._kernel.closed:
            self.release()

    def _release(self, host: str) -> None:
        for operation in self._held.pop(host, ()):
            self._kernel.remote.op(host, operation)
