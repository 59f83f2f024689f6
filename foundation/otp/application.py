"""Starting an application: a node, and the user's supervision tree on it.

The tree hangs under a root supervisor in the control host, which starts it in a worker host
(its *home*) and starts it again in another when that host dies.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from foundation.errors import CallExit, FoundationError, InvalidChildSpec, NodeError
from foundation.otp import kernel_setup
from foundation.otp.child_spec import ChildSpec, child_spec, to_spec
from foundation.otp.restart_window import RestartWindow
from foundation.otp.supervisor import Supervisor
from foundation.otp.supervisor_engine import SupervisorEngine
from foundation.otp.sys_requests import SysRequest
from foundation.runtime.borrowed import check_borrowed
from foundation.runtime.messages import HostOptions
from foundation.runtime.node import AsyncNode, Node
from foundation.runtime.program import (
    NodeOptions,
    Program,
    close_actor_system,
    open_actor_system,
)
from foundation.transport import BUSY_WAIT

ROOT = "foundation.root"
INSTALLERS = ("foundation.otp.application:install",)
LOST_HOSTS = (30, 60.0)  # so many in so many seconds move the application; more count as crashes
log = logging.getLogger("foundation")


def install(kernel: Any) -> None:
    """Prepare the kernel of a host for everything of floor 4; called in every host."""
    kernel_setup.install(kernel)


class _RootEngine(SupervisorEngine):
    """Does not count lost hosts against the application, unless hosts die without end."""

    def __init__(self) -> None:
        super().__init__()
        self._lost_hosts = RestartWindow(*LOST_HOSTS)

    def may_restart(self, event: Any, waited: bool = False) -> bool:
        """Count a lost host in a window of its own."""
        if event is None or waited:
            return super().may_restart(event, waited)
        now = self.process.kernel.driver.now()
        self._lost_hosts = self._lost_hosts.record(now, event)
        if self._lost_hosts.exceeded:
            return super().may_restart(event)
        self.count_restart()
        return True


class _Root(Supervisor):
    """The root supervisor of a node."""

    __engine__ = _RootEngine


class Application:
    """A node that is about to be started, by ``with`` or ``async with``.

    Made by ``foundation.start``; see there.
    """

    def __init__(self, root: tuple[ChildSpec, ...], options: NodeOptions) -> None:
        self._root = root
        self._options = options
        self._program: Program | None = None
        self._system: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    # Blocking

    def open(self) -> Node:
        """Start the node and the application; ``close`` stops them. As entering ``with``."""
        self._fresh()
        self._system = open_actor_system(self._options)
        try:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=_run_loop, args=(self._loop,), name="foundation-node", daemon=True
            )
            self._thread.start()
            inner = asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()
        except BaseException:
            self.close()
            raise
        return Node(inner, self._loop)

    def close(self) -> None:
        """Stop the application in reverse order of its start, then the node."""
        loop, self._loop = self._loop, None
        try:
            if loop is not None:
                asyncio.run_coroutine_threadsafe(self._close(), loop).result()
                asyncio.run_coroutine_threadsafe(_end_tasks(), loop).result()
                loop.call_soon_threadsafe(loop.stop)
                if self._thread is not None:
                    self._thread.join()
                loop.close()
        finally:
            self._close_system()

    def __enter__(self) -> Node:
        return self.open()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    # Asynchronous

    async def __aenter__(self) -> AsyncNode:
        self._fresh()
        self._system = open_actor_system(self._options)
        try:
            return await self._open()
        except BaseException:
            await self._close()
            self._close_system()
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        try:
            await self._close()
        finally:
            self._close_system()

    # Both

    def _fresh(self) -> None:
        if self._program is not None or self._system is not None:
            raise NodeError("this application was started already; call foundation.start again")

    async def _open(self) -> AsyncNode:
        program = self._program = Program(self._options, self._system)
        program.stop_server = _stop_server
        program.on_restart = self._start_root
        await program.open()
        await self._start_root()
        return AsyncNode(program)

    async def _start_root(self) -> None:
        assert self._program is not None
        if not self._root:
            return
        node = AsyncNode(self._program)
        host = self._program.running
        payload: Any = (_Root, (list(self._root),), {})
        root = await node.spawn_server(
            Supervisor.__process_class__,
            payload,
            name=ROOT,
            where=self._program.control,
            what="application",
        )
        # What the application registered while it started is known here too from now on.
        synced = host.loop.create_future()
        host.when_synced(lambda: None if synced.done() else synced.set_result(None))
        await synced
        kernel = host.kernel
        starts = self._program.restarts

        async def watch() -> None:
            from foundation.kernel.ops import monitor, receive
            from foundation.kernel.values import Down

            ref = monitor(root)
            down: Down = await receive(lambda m: isinstance(m, Down) and m.ref == ref)
            program = self._program
            if program is None or program.stopping or program.restarts != starts:
                return
            if down.reason in ("killed", "noconnection") and program.system is not None:
                return  # its host died; the program starts it anew
            program.fail(NodeError(f"the application ended: {down.reason!r}"))

        from foundation.kernel.process import FunctionProcess

        kernel.spawn(FunctionProcess, (watch, (), {}))

    async def _close(self) -> None:
        program, self._program = self._program, None
        if program is None:
            return
        try:
            if program.host is not None and program.failure is None:
                program.stopping = True
                await self._stop_root(AsyncNode(program))
        finally:
            await program.close()

    async def _stop_root(self, node: AsyncNode) -> None:
        if not self._root or node.whereis(ROOT) is None:
            return
        try:
            await _stop_server(node, ROOT, "shutdown", None)
        except FoundationError as error:
            log.warning("the application did not stop in order: %s", error)

    def _close_system(self) -> None:
        system, self._system = self._system, None
        if self._options.system is None:  # else it is the user's
            close_actor_system(system)


async def _stop_server(
    node: AsyncNode, server: Any, reason: Any, timeout: float | None
) -> None:
    try:
        await node.system_call(server, SysRequest("stop", (reason,)), timeout=timeout)
    except CallExit as error:
        if error.reason != reason or error.definite:
            raise


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()


async def _end_tasks() -> None:
    """No thread may wait for a task of a loop that has stopped."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for _ in range(3):
        await asyncio.sleep(0)  # those whose answer has just come take it
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=1.0)
        await asyncio.sleep(0)


def start(
    app: Any = None,
    *args: Any,
    name: str | None = None,
    hosts: int | None = None,
    home: str = "worker",
    cookie: str | bytes | None = None,
    port: int = 0,
    stock: bool = False,
    uvloop: bool = False,
    busy_wait: float = BUSY_WAIT,
    share_messages: bool = False,
    log_level: int = logging.ERROR,
    hog_seconds: float = 0.5,
    extensions: tuple[Any, ...] = (),
    parts: tuple[ChildSpec, ...] = (),
    actor_system: Any = None,
) -> Application:
    """Start a node that runs *app*; use the result with ``with`` or ``async with``.

    Args:
        app: a ``Supervisor`` or ``GenServer`` subclass, a ``ChildSpec``, a list of these, or
            None for a node without an application.
        *args: for the ``init`` of a class.
        name: name of the node; default: from the process id.
        hosts: worker hosts, each an operating-system process; None is one per core that this
            process may use, 0 runs
            everything in this program, without Thespian.
        home: where the application's tree starts: ``"worker"``, ``"control"``, ``"main"`` or a
            host's name.
        cookie: shared secret; default ``$FOUNDATION_COOKIE`` or one generated for this user.
        port: of the Thespian admin; 0 takes a free one.
        stock: run on Thespian's ``multiprocTCPBase`` instead of our transport.
        uvloop: run the hosts on uvloop (extra ``uvloop``).
        busy_wait: seconds that a host looks for further messages before it sleeps, as ``+sbwt``
            of Erlang: halves the time of a lone call between hosts, for some processor time when
            little happens. 0 turns it off; at most 0.01. Not on uvloop.
        share_messages: pass messages by reference, see ``Kernel``.
        log_level: level of logger ``foundation`` in this program and the hosts.
        hog_seconds: a callback that runs longer is reported in the log.
        extensions: of upper floors: each may choose options of the node by ``node_options``,
            and is attached to every host (``HostOptions``).
        parts: of upper floors: children of the root that start before *app* and end after it.
        actor_system: a Thespian ``ActorSystem`` that runs already, on our transport
            (``foundation.transport.open_system``) or on ``multiprocTCPBase``: the hosts run there.
            It can be used as before meanwhile, and goes on when the node is closed. What it was
            opened with decides, so *cookie*, *port*, *stock*, *uvloop* and *busy_wait* must be left
            out, and *hosts* cannot be 0.

    Returns:
        ``with start(Bank) as node:`` gives a ``Node`` whose methods block; ``async with`` an
        ``AsyncNode`` on the running loop. ``open()`` and ``close()`` do the same by hand.

    Raises:
        InvalidChildSpec: *app* is none of these.
        TransportError: *busy_wait* is no such number.
        NodeError: *actor_system* is none that hosts can run on, or does not go with an option.
        NodeError, TransportError, StartError: on entering, when something could not start.
    """
    root = (*parts, *root_specs(app, args, None if hosts == 0 else home))
    chosen: dict[str, Any] = {}
    for extension in extensions:
        chosen |= extension.node_options()
    if actor_system is not None:
        opening = {"cookie": cookie, "port": port or None, "stock": stock or None}
        tuned = {"uvloop": uvloop or None, "busy_wait": _unless(busy_wait, BUSY_WAIT)}
        stock = check_borrowed(actor_system, {**opening, **tuned})
    options = NodeOptions(
        **chosen,
        system=actor_system,
        name=name or f"node-{os.getpid()}",
        hosts=hosts,
        cookie=cookie,
        port=port,
        stock=stock,
        uvloop=uvloop,
        busy_wait=busy_wait,
        host_options=HostOptions(
            sys_path=tuple(sys.path),
            installers=INSTALLERS,
            share_messages=share_messages,
            log_level=log_level,
            hog_seconds=hog_seconds,
            extensions=extensions,
        ),
    )
    return Application(root, options)


def _unless(value: Any, default: Any) -> Any:
    return None if value == default else value


def root_specs(app: Any, args: tuple[Any, ...], host: str | None) -> tuple[ChildSpec, ...]:
    """Return the children of the root supervisor for *app*, which start in *host*."""
    return tuple(
        spec if spec.host is not None else child_spec(spec, host=host)
        for spec in _specs_of(app, args)
    )


def spawn_root(kernel: Any, specs: tuple[ChildSpec, ...]) -> Any:
    """Start the root supervisor in *kernel*; for the simulator, which has no program."""
    payload: Any = (_Root, (list(specs),), {})
    return kernel.spawn(Supervisor.__process_class__, payload, name=ROOT)


def _specs_of(app: Any, args: tuple[Any, ...]) -> list[ChildSpec]:
    if app is None:
        return []
    if isinstance(app, list):
        if args:
            raise InvalidChildSpec("start([...]) takes no further arguments for init")
        return [to_spec(child) for child in app]
    return [to_spec((app, *args) if isinstance(app, type) else app)]


def run(
    app: Any, *args: Any, on_ready: Callable[[Node], None] | None = None, **options: Any
) -> int:
    """Run *app* in the foreground until SIGTERM or SIGINT; stop its tree in reverse order.

    Args:
        app: as ``start``, and *args*, **options** too.
        on_ready: called with the node once the application runs.

    Returns:
        0 after a signal; 1 when the application ended by itself. A second signal gives up
        waiting for an orderly stop and ends the program.
    """
    wake = threading.Event()
    signals = 0

    def stop(number: int, frame: Any) -> None:
        nonlocal signals
        signals += 1
        if signals > 1:
            os._exit(130)
        wake.set()

    before = {s: signal.signal(s, stop) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        with start(app, *args, **options) as node:
            if on_ready is not None:
                on_ready(node)
            program = node.asynchronous.program
            while not wake.is_set() and program.failure is None:
                wake.wait(0.2)
            if program.failure is not None:
                log.error("%s", program.failure)
                return 1
        return 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
