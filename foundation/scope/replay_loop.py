"""The loop of a replay: it runs what the recording says was run, when it says so.

Handles, tasks and futures are numbered as ``strands.py`` numbers them. Nothing is read or written:
what threads, sockets and other processes gave was recorded, and completes the futures.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from foundation.scope.asking_host import AWAITED, BARE, Steps
from foundation.scope.packing import Packed, unpack, unpacked_error
from foundation.scope.strands import FUTURE, TASK

# What would reach out of the process.
REFUSED = (
    *("create_connection", "create_server", "create_datagram_endpoint", "sendfile", "start_tls"),
    *("create_unix_connection", "create_unix_server", "connect_accepted_socket"),
    *("connect_read_pipe", "connect_write_pipe", "subprocess_exec", "subprocess_shell"),
    *("sock_recv", "sock_recv_into", "sock_recvfrom", "sock_recvfrom_into", "sock_sendall"),
    *("sock_sendto", "sock_connect", "sock_accept", "sock_sendfile"),
    *("add_reader", "add_writer", "add_signal_handler"),
)


class ReplayLoop(asyncio.SelectorEventLoop):
    """See the module docstring.

    Args:
        expect: returns what was recorded.
        refuse: is told what the server wants of the outer world; raises.
    """

    def __init__(self, expect: Callable[..., Any], refuse: Callable[[str], Any]) -> None:
        self._expect = expect
        self.handles: dict[int, asyncio.Handle] = {}
        self.tasks: dict[int, Any] = {}
        self.futures: dict[int, Any] = {}
        self._known: dict[int, Any] = {}  # tasks by their identity
        self._made = 0
        super().__init__()
        self.set_exception_handler(lambda loop, context: None)
        for name in REFUSED:
            setattr(self, name, _Refused(name, refuse))

    # What is made

    def call_soon(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.Handle:
        """Keep *callback*, until it is its turn."""
        return self._keep(asyncio.Handle(callback, args, self, context))

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        """Keep *callback*, until it is its turn."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._keep(handle)
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        """Keep *callback*, until it is its turn."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def _keep(self, handle: asyncio.Handle) -> asyncio.Handle:
        owner = getattr(handle._callback, "__self__", None)  # type: ignore[attr-defined]
        if isinstance(owner, asyncio.Task) and id(owner) not in self._known:
            self._known[id(owner)] = owner
            self.tasks[len(self.tasks) + 1] = owner
        self._made += 1
        self.handles[self._made] = handle
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        """Make a future."""
        made = self.futures[len(self.futures) + 1] = super().create_future()
        return made

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """Run nothing: its result was recorded."""
        made = self.create_future()
        made.add_done_callback(lambda future: None)  # as the bridge to a thread has one
        how, packed = self._expect("thread", "")
        if how:
            _complete(made, how, packed)
        return made

    def stand_in(self) -> Any:
        """Return a future for what a function of the library awaited."""
        made = super().create_future()
        made._asyncio_future_blocking = True
        return made

    # What happens

    def run_handle(self, number: int) -> bool:
        """Run a handle; False when there is none of this number to run."""
        handle = self.handles.pop(number, None)
        if handle is None or handle.cancelled():
            return False
        handle._run()
        return True

    def complete(self, whose: str, number: int, process: Any, how: str, packed: Any) -> bool:
        """Complete a future as it was from outside; False when there is none."""
        if whose == FUTURE:
            future = self.futures.get(number)
        elif whose == TASK:
            future = getattr(self.tasks.get(number), "_fut_waiter", None)
        else:
            future = process.waiting
        if not isinstance(future, asyncio.Future) or isinstance(future, asyncio.Task):
            return False
        if not future.done():
            _complete(future, how, packed)
        return True

    def end(self) -> None:
        """End all tasks, and close."""
        for task in self.tasks.values():
            if not task.done():
                task._log_destroy_pending = False
                with contextlib.suppress(BaseException):
                    task.get_coro().close()
        self.close()


def _complete(future: asyncio.Future[Any], how: str, packed: Packed) -> None:
    if how == "cancelled":
        future.cancel()
    elif how == "error":
        future.set_exception(unpacked_error(packed))
    else:
        future.set_result(unpack(packed))


class _Refused:
    """Stands in for a method of the loop that would reach out of the process."""

    def __init__(self, name: str, refuse: Callable[[str], Any]) -> None:
        self._name = name
        self._refuse = refuse

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._refuse(self._name)


def replayed(
    expect: Callable[..., Any], coming: Callable[[], str], process: Any, loop: ReplayLoop, name: str
) -> Steps:
    """Wait where the function *name* waited, and answer what it answered.

    Args:
        expect: returns what was recorded.
        coming: says what kind of fact is next.
        process: that lives again.
        loop: of the replay.
        name: of the function.
    """
    while coming() == "parked":
        (kind,) = expect("parked", "")
        try:
            if kind == BARE:
                yield None
            elif kind == AWAITED:
                yield loop.stand_in()
            else:
                process.waiting = token = object()
                yield token
        except GeneratorExit:
            raise
        except BaseException:  # what was thrown into the function; it made of it what follows
            continue
    how, packed = expect("answered", name)
    if how == "error":
        raise unpacked_error(packed)
    return unpack(packed)


__all__ = ["ReplayLoop", "replayed"]
