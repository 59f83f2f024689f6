"""Something that has begun, and may be waited for."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from foundation.kernel import ops
from foundation.otp.registry_write import wait
from foundation.otp.results import Ignored

if TYPE_CHECKING:
    from foundation.cluster.agent import Agent


class Pending:
    """The result of a change: it has begun; ``await`` it to wait until all hosts have it.

    A plain ``def`` callback, which cannot wait, need not.
    """

    __slots__ = ("_waiting", "done")

    def __init__(self, done: bool = False) -> None:
        self.done = done
        self._waiting: list[Callable[[Any], None]] = []

    def finish(self) -> None:
        """Let those go on who wait."""
        self.done = True
        waiting, self._waiting = self._waiting, []
        for go_on in waiting:
            go_on(None)

    def begin_anew(self) -> None:
        """It is not done (any more); those who wait go on waiting."""
        self.done = False

    def __await__(self) -> Generator[Any, Any, None]:
        if not self.done:
            yield from wait(ops.current(), self._waiting.append).__await__()


async def nothing_to_start() -> Ignored:
    """The start function of children that need no process."""
    return Ignored()


class Commits:
    """Answers requests when all hosts of all nodes have applied what was said before.

    One barrier at a time; what comes meanwhile shares the next (group commit).
    """

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._next: list[Callable[[], None]] = []
        self._running = False

    def after(self, done: Callable[[], None]) -> None:
        """Call *done* when everybody has what this node has said so far."""
        self._next.append(done)
        if not self._running:
            self._begin()

    def _begin(self) -> None:
        batch, self._next = self._next, []
        self._running = True
        self._agent.barriers.all(lambda: self._finish(batch))

    def _finish(self, batch: list[Callable[[], None]]) -> None:
        self._running = False
        for done in batch:
            done()
        if self._next and not self._running:
            self._begin()
