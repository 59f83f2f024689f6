"""Handles on a running node: ``Node`` blocks (scripts, threads), ``AsyncNode`` is awaited."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import inspect
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, overload

from foundation.errors import CallExit, CallTimeout, NodeError, NoProc
from foundation.kernel.kernel import Kernel
from foundation.kernel.ops import FutureSink, call_from_task
from foundation.kernel.process import CAST, INFO, Caller, FunctionProcess
from foundation.kernel.starting import start_error
from foundation.kernel.values import Pid
from foundation.runtime.program import Program

T = TypeVar("T")


class Ping:
    """A system request that no server knows; its refusal proves that the server lives."""

    op = "ping"
    args: tuple[Any, ...] = ()


class AsyncNode:
    """A running node, for code on the loop it was started on."""

    def __init__(self, program: Program) -> None:
        self._program = program

    @property
    def name(self) -> str:
        """Name of the node."""
        return self._program.options.name

    @property
    def program(self) -> Program:
        """The runtime object below; for tools."""
        return self._program

    def hosts(self) -> dict[str, int]:
        """Return the operating-system pid of each host but this program."""
        return dict(self._program.os_pids)

    @property
    def actor_system(self) -> Any:
        """The Thespian ``ActorSystem`` of the node; None with ``hosts=0``."""
        return self._program.system

    def actor_address(self, server: Any) -> Any:
        """Return the Thespian ``ActorAddress`` of the host of *server*.

        Any Thespian program may send it an ``Envelope`` (``foundation.runtime.messages``); a
        dedicated server also takes plain messages there.

        Raises:
            NoProc: *server* is a name that nobody holds.
            NodeError: it lives in this program, which is no actor.
        """
        host = self._program.running
        pid = host.kernel.resolve(server)
        if pid is None:
            raise NoProc("noproc", server)
        address = host.actors.get(pid.host)
        if address is None:
            raise NodeError(f"{server!r} lives in {pid.host}, which is no Thespian actor")
        return address

    async def call(self, server: Any, request: Any, *, timeout: float | None = 5.0) -> Any:
        """Call *server* and return its reply; as ``foundation.otp.call``."""
        kernel = self._program.running.kernel
        return await call_from_task(kernel, kernel.outside, server, request, timeout)

    async def system_call(self, server: Any, request: Any, *, timeout: float | None = 5.0) -> Any:
        """Send a system request (``otp/sys.py``) and return its answer."""
        kernel = self._program.running.kernel
        return await call_from_task(kernel, kernel.outside, server, request, timeout, True)

    def cast(self, server: Any, request: Any) -> None:
        """Cast *request* to *server*; never fails."""
        self._deliver(server, request, CAST)

    def send(self, dest: Any, message: Any) -> None:
        """Send *message* to *dest*; raises ``NoProc`` for a name that nobody holds."""
        if not self._deliver(dest, message, INFO):
            raise NoProc("noproc", dest, message)

    def _deliver(self, dest: Any, message: Any, kind: int) -> bool:
        kernel = self._program.running.kernel
        done = kernel.deliver(dest, kernel.isolate(message), kind)
        kernel.wake()
        return done

    def whereis(self, name: Any) -> Pid | None:
        """Return the pid that holds *name*, or None."""
        return self._program.running.kernel.resolve(name)

    async def wait_for(self, name: Any, *, timeout: float = 10.0) -> Pid:
        """Wait until a living server holds *name*, for instance after a crash; return its pid.

        Args:
            name: a name, ``(name, node)`` for one of another node of the cluster, or a via.
            timeout: seconds.

        Raises:
            TimeoutError: nobody did within *timeout* seconds.
        """
        async with asyncio.timeout(timeout):
            while True:
                pid = self.whereis(name)
                if pid is not None and await self._answers(pid):
                    return pid
                await asyncio.sleep(0.002)

    async def _answers(self, pid: Pid) -> bool:
        """Whether *pid* lives: replicas of names may lag, so ask the process itself."""
        kernel = self._program.running.kernel
        if pid.host == kernel.address:
            return pid in kernel.procs
        try:
            # Any answer will do, also that it does not know this request.
            await call_from_task(kernel, kernel.outside, pid, Ping(), 0.5, True)
        except CallExit as error:
            dead = ("noproc", "noconnection", "killed", "normal", "shutdown")
            return not (isinstance(error.reason, str) and error.reason in dead)
        return True

    @overload
    async def run(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T: ...

    @overload
    async def run(self, function: Callable[..., T], *args: Any) -> T: ...

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run *function*, which may be ``async``, in a process of this program; return its result.

        Everything of ``foundation.otp`` may be used in it: start, link, monitor, receive.

        Raises:
            whatever *function* raises; ``CallExit`` when its process was killed by a signal.
        """
        kernel = self._program.running.kernel
        future = kernel.driver.new_future()
        process = kernel.spawn(FunctionProcess, (_run_and_tell, (function, args, future), {}))

        def hook(_: Any, reason: Any) -> None:
            if not future.done():
                future.set_exception(CallExit(reason, function, args))

        process.add_exit_hook(hook)
        try:
            return await future
        finally:
            kernel.signals.signal(kernel.outside, process.pid, "kill")

    async def spawn_server(
        self,
        process_class: Any,
        payload: Any,
        *,
        name: Any = None,
        where: str | None = None,
        what: str = "process",
    ) -> Any:
        """Start a process without a link; return what it acknowledged.

        Raises:
            StartError, AlreadyStarted: as ``start``.
        """
        kernel = self._program.running.kernel
        future = kernel.driver.new_future()
        host = kernel.placer.place(where) if where is not None else kernel.address
        if host == kernel.address:
            starter = Caller(FutureSink(future), kernel.outside, kernel.outside, None)
            kernel.spawn(process_class, payload, name=name, starter=starter)
        else:
            request = (process_class.kind, payload, False, name, None)
            kernel.remote.spawn(host, FutureSink(future), None, request)
        try:
            return await future
        except CallExit as error:
            raise start_error(error.reason, what) from None

    async def stop(
        self, server: Any, reason: Any = "normal", *, timeout: float | None = None
    ) -> None:
        """Stop *server*; as ``foundation.otp.stop``."""
        from_otp = self._program.stop_server
        if from_otp is None:
            raise NodeError("this node was opened without foundation.otp")
        await from_otp(self, server, reason, timeout)


async def _run_and_tell(
    function: Callable[..., Any], args: tuple[Any, ...], future: Any
) -> None:
    try:
        result = function(*args)
        if inspect.isawaitable(result):
            result = await result
    except Exception as error:
        if not future.done():
            future.set_exception(error)
    except BaseException as error:  # Exit, or GeneratorExit when the node is closed meanwhile
        if not future.done():
            future.set_exception(CallExit(getattr(error, "reason", "noconnection"), function, args))
        raise
    else:
        if not future.done():
            future.set_result(result)


class _Waiter:
    """The sink of a call by a thread, which waits for it and may give up at any moment.

    A bare lock: the thread must not wake up to wait for the lock of a condition, too.
    """

    __slots__ = ("_lock", "outcome", "token")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self.outcome: tuple[bool, Any] | None = None
        self.token: Caller | None = None

    def resolve(self, token: Any, ok: bool, value: Any) -> None:
        """Hand the reply over; the first one counts."""
        if self.outcome is None:
            self.outcome = (ok, value)
            self._lock.release()

    def wait(self, timeout: float | None) -> tuple[bool, Any] | None:
        """Wait for the reply; None when there is none in time."""
        if timeout is None:
            self._lock.acquire()
        else:
            self._lock.acquire(timeout=min(max(0.0, timeout), threading.TIMEOUT_MAX))
        return self.outcome


class Node:
    """A running node, for code that blocks: scripts, the REPL, notebooks, threads.

    The kernel of this program runs in a thread of its own; methods may be called from any
    thread. Do not call them from inside a process: use the functions of ``foundation.otp``.
    """

    def __init__(self, inner: AsyncNode, loop: asyncio.AbstractEventLoop) -> None:
        self._inner = inner
        self._loop = loop

    @property
    def name(self) -> str:
        """Name of the node."""
        return self._inner.name

    @property
    def asynchronous(self) -> AsyncNode:
        """The handle for code on the node's own loop."""
        return self._inner

    def hosts(self) -> dict[str, int]:
        """Return the operating-system pid of each host but this program."""
        return self._inner.hosts()

    @property
    def actor_system(self) -> Any:
        """The Thespian ``ActorSystem`` of the node; None with ``hosts=0``."""
        return self._inner.actor_system

    def actor_address(self, server: Any) -> Any:
        """Return the ``ActorAddress`` of the host of *server*; as ``AsyncNode``."""
        return self.submit(_later(self._inner.actor_address, server))

    def call(self, server: Any, request: Any, *, timeout: float | None = 5.0) -> Any:
        """Call *server* and return its reply; errors as ``foundation.otp.call``.

        Args:
            server: pid, registered name or ``Via``.
            request: anything that can be copied.
            timeout: seconds; None waits for ever.
        """
        self._not_inside()
        waiter = _Waiter()
        try:
            self._loop.call_soon_threadsafe(self._request, waiter, server, request)
        except RuntimeError:
            raise self._closed() from None
        outcome = waiter.wait(timeout)
        if outcome is None:
            self._forget(waiter)
            raise CallTimeout("timeout", server, request, timeout)
        ok, value = outcome
        if ok:
            return value
        if isinstance(value, CallExit):
            value.server, value.request, value.timeout = server, request, timeout
            value.args = (value.reason, server, request, timeout)
        raise value

    def _request(self, waiter: _Waiter, server: Any, request: Any) -> None:
        try:
            program = self._inner.program
            kernel = program.running.kernel
            kernel.turn(self._send_request, kernel, waiter, server, request)
            program.flush()
        except Exception as error:
            waiter.resolve(None, False, error)

    def _send_request(
        self, kernel: Kernel, waiter: _Waiter, server: Any, request: Any
    ) -> None:
        waiter.token = kernel.request(waiter, kernel.outside, server, request)

    def _forget(self, waiter: _Waiter) -> None:
        def forget() -> None:
            host = self._inner.program.host
            token = waiter.token
            if host is None or token is None:
                return
            if not token.done:
                host.kernel.timers.timed_out(token)
            if token.ref:
                host.kernel.remote.forget_call(token)

        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(forget)

    def _closed(self) -> NodeError:
        return NodeError(f"node {self.name!r} is closed")

    def cast(self, server: Any, request: Any) -> None:
        """Cast *request* to *server*; never fails."""
        self.submit(_later(self._inner.cast, server, request))

    def send(self, dest: Any, message: Any) -> None:
        """Send *message* to *dest*."""
        self.submit(_later(self._inner.send, dest, message))

    def whereis(self, name: Any) -> Pid | None:
        """Return the pid that holds *name*, or None."""
        return self.submit(_later(self._inner.whereis, name))

    def wait_for(self, name: Any, *, timeout: float = 10.0) -> Pid:
        """Wait until a living server holds *name*; return its pid. As ``AsyncNode.wait_for``."""
        return self.submit(self._inner.wait_for(name, timeout=timeout))

    @overload
    def run(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T: ...

    @overload
    def run(self, function: Callable[..., T], *args: Any) -> T: ...

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run *function* in a process of this program; see ``AsyncNode.run``."""
        return self.submit(self._inner.run(function, *args))

    def stop(
        self, server: Any, reason: Any = "normal", *, timeout: float | None = None
    ) -> None:
        """Stop *server*; as ``foundation.otp.stop``."""
        self.submit(self._inner.stop(server, reason, timeout=timeout))

    def submit(self, work: Coroutine[Any, Any, T]) -> T:
        """Run the coroutine *work* on the node's loop and wait for it."""
        self._not_inside(work)
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result()
        except concurrent.futures.CancelledError:
            raise self._closed() from None
        except RuntimeError as error:
            if not self._loop.is_closed():
                raise
            work.close()
            raise self._closed() from error

    def _not_inside(self, work: Any = None) -> None:
        if threading.get_ident() == getattr(self._loop, "_thread_id", None):
            if work is not None:
                work.close()
            raise NodeError(
                "a blocking method of Node was called on the node's own loop, where it would "
                "wait for itself; inside processes use `await call(...)` of foundation.otp"
            )


async def _later(function: Callable[..., T], *args: Any) -> T:
    return function(*args)


__all__ = ["AsyncNode", "Node"]
