"""What asyncio libraries see as the current task inside an ``async def`` callback.

The kernel steps coroutines itself: a call to a local server must not cost two turns of the
event loop. asyncio documents how other schedulers do that ("Extending asyncio": task lifetime
support); libraries then need an object with the task protocol, for ``asyncio.timeout``,
cancellation and anyio's cancel scopes.
"""

from __future__ import annotations

import asyncio
from typing import Any

from foundation.kernel.process import UNSET, Process


class ProcessTask:
    """The task face of one process. One for its life; a process runs one callback at a time."""

    def __init__(self, process: Process, loop: asyncio.AbstractEventLoop) -> None:
        self._process = process
        self._loop = loop
        self._must_cancel = False
        self._cancel_requests = 0
        self._message: Any = None

    @property
    def _fut_waiter(self) -> Any:
        return self._process.waiting

    def belongs_to(self, process: Process) -> None:
        """From now on it is *process* that runs the coroutine."""
        self._process = process

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop."""
        return self._loop

    def get_name(self) -> str:
        """Return a name for logs."""
        return f"process-{self._process.pid!r}"

    def set_name(self, name: object) -> None:
        """Accept and ignore a name."""

    def get_coro(self) -> Any:
        """Return the coroutine of the callback that runs."""
        return self._process.coro

    def get_context(self) -> Any:
        """Return the context it runs in."""
        return self._process.context

    def done(self) -> bool:
        """Whether no callback runs."""
        return self._process.coro is None

    def cancelled(self) -> bool:
        """A process is never a cancelled task; it exits with a reason."""
        return False

    def add_done_callback(self, callback: Any, *, context: Any = None) -> None:
        """Accept and ignore: anyio registers its bookkeeping here."""

    def remove_done_callback(self, callback: Any) -> int:
        """Undo nothing."""
        return 0

    def cancelling(self) -> int:
        """Return how many cancellations are pending."""
        return self._cancel_requests

    def uncancel(self) -> int:
        """Withdraw one cancellation; return how many are left."""
        if self._cancel_requests:
            self._cancel_requests -= 1
            if not self._cancel_requests:
                self._must_cancel = False
        return self._cancel_requests

    def cancel(self, msg: Any = None) -> bool:
        """Raise ``CancelledError`` in the callback, where it awaits."""
        process = self._process
        if process.coro is None:
            return False
        self._cancel_requests += 1
        token = process.waiting
        if getattr(token, "_asyncio_future_blocking", None) is not None:
            if token.cancel(msg=msg):
                return True
        elif token is not None:
            process.resolve(token, False, asyncio.CancelledError(*([msg] if msg else [])))
            return True
        if process.outcome is not UNSET and process is not process.kernel.stepping:
            process.outcome = (False, asyncio.CancelledError(*([msg] if msg else [])))
            return True
        self._must_cancel = True
        return True
