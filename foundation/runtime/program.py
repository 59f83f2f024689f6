"""The node as seen from the program that started it, which is a host itself.

``start`` opens a Thespian system, a control host and its worker hosts, and attaches the program
as host ``main``. With ``hosts=0`` there is no Thespian system: one kernel in the program.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import signal
import sys
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thespian.actors import ActorExitRequest

from foundation.errors import NodeError
from foundation.kernel.reports import Notice
from foundation.runtime import directory
from foundation.runtime.borrowed import end_processes
from foundation.runtime.frozen import Frozen
from foundation.runtime.host import Host
from foundation.runtime.messages import (
    Goodbye,
    HostConfig,
    HostFailed,
    HostOptions,
    HostReady,
    NodeFailed,
    NodeReady,
    PeerDown,
)
from foundation.runtime.stock_system import open_stock_system
from foundation.transport import (
    BUSY_WAIT,
    Outside,
    TransportConfig,
    check_busy_wait,
    load_cookie,
    open_system,
    usable_cores,
)

CONTROL_DEATHS = 3  # of the control host within ...
CONTROL_WINDOW = 60.0  # ... these seconds, and the node gives up
START_SECONDS = 30.0
EXIT_SECONDS = 5.0  # for hosts on a system that goes on, then they are killed
GOODBYE_SECONDS = 2.0  # for hosts that are just starting when the node is closed


@dataclass(frozen=True)
class NodeOptions:
    """How a node is started.

    Attributes:
        name: name of the node, unique on the machine.
        hosts: worker hosts; None is one per core that this process may use; 0 runs everything
            in this program.
        cookie: shared secret of the node; None is the one generated for this user.
        port: port of the Thespian admin; 0 takes a free one.
        stock: run on Thespian's own ``multiprocTCPBase`` (slow, not authenticated).
        uvloop: run the hosts on uvloop.
        busy_wait: seconds that an idle host looks for messages before it sleeps.
        bind: the IPv4 address that the node's processes listen at.
        advertise: the address that other nodes dial; None is *bind*.
        unix: Unix-domain sockets between processes of one machine, instead of TCP.
        life: above that of earlier nodes of this name, when others may remember those: it is
            the incarnation of the first hosts.
        system: a Thespian system of the user's to run the hosts on; it outlives the node.
        host_options: see ``HostOptions``.
    """

    name: str
    hosts: int | None = None
    cookie: str | bytes | None = None
    port: int = 0
    stock: bool = False
    uvloop: bool = False
    busy_wait: float = BUSY_WAIT
    bind: str = "127.0.0.1"
    advertise: str | None = None
    unix: bool = True
    life: int = 1
    system: Any = None
    host_options: HostOptions = field(default_factory=HostOptions)

    def __post_init__(self) -> None:
        check_busy_wait(self.busy_wait)
        if self.hosts is not None and (not isinstance(self.hosts, int) or self.hosts < 0):
            raise NodeError(f"hosts must be None or an int of 0 or more, got {self.hosts!r}")
        if not isinstance(self.name, str) or not self.name or "/" in self.name:
            raise NodeError(f"name must be a non-empty string without '/', got {self.name!r}")
        if self.system is not None and self.workers == 0:
            raise NodeError("a node with an actor_system runs its hosts there: hosts=0 leaves none")

    @property
    def workers(self) -> int:
        """How many worker hosts."""
        return usable_cores() if self.hosts is None else self.hosts


def open_actor_system(options: NodeOptions) -> Any:
    """Open the Thespian system of a node; None when it has no hosts. Blocks some 20-300 ms.

    Raises:
        TransportError: the port is taken, or the admin did not start.
    """
    if options.system is not None:
        return options.system
    if options.workers == 0:
        return None
    if options.stock:
        return _open_stock(options)
    secret, explicit = load_cookie(options.cookie)
    config = TransportConfig(
        cookie=secret,
        explicit_cookie=explicit,
        bind_host=options.bind,
        advertise_host=options.advertise,
        unix=options.unix,
        idle_close=None,
        uvloop=options.uvloop,
        busy_wait=options.busy_wait,
    )
    return open_system(config, admin_port=options.port)


def _open_stock(options: NodeOptions) -> Any:
    warnings.warn(
        "stock=True runs on Thespian's multiprocTCPBase: no authentication, loopback only, slow",
        RuntimeWarning,
        stacklevel=4,
    )
    return open_stock_system(options.port)


class Program:
    """The host ``main`` and what belongs to its node. All methods on its loop.

    Args:
        options: how to start.
        system: what ``open_actor_system`` returned.
    """

    def __init__(self, options: NodeOptions, system: Any) -> None:
        self.options = options
        self.system = system
        self.host: Host | None = None
        self.os_pids: dict[str, int] = {}
        self.on_restart: Callable[[], Awaitable[None]] | None = None
        self.stop_server: Callable[..., Awaitable[None]] | None = None  # set by floor 4
        self.failure: BaseException | None = None
        self.failed: asyncio.Future[None] | None = None
        self._entry: Path | None = None
        self._endpoint: Any = None
        self._control: Any = None
        self._frozen = Frozen()
        self._reviving: asyncio.Task[None] | None = None  # the newest restart of the control host
        self._farewell: asyncio.Future[None] | None = None
        self._ready: asyncio.Future[None] | None = None
        self.restarts = 0
        self._deaths: list[float] = []  # of control hosts, when
        self.stopping = False  # the application is being stopped
        self.closing = False  # the node is being closed
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> Host:
        """The host.

        Raises:
            NodeError: the node is not running.
        """
        if self.host is None or self.closing:
            raise NodeError(f"node {self.options.name!r} is not running")
        if self.failure is not None:
            raise NodeError(f"node {self.options.name!r} has failed: {self.failure}")
        return self.host

    @property
    def main(self) -> str:
        """Address of this host."""
        return f"{self.options.name}/main"

    @property
    def control(self) -> str:
        """Address of the control host; this one when there is no other."""
        return self.main if self.system is None else f"{self.options.name}/control"

    async def open(self) -> None:
        """Attach this program and start the hosts.

        Raises:
            NodeError: the hosts were not up in time.
        """
        loop = asyncio.get_running_loop()
        self.failed = loop.create_future()
        if self.system is not None:
            self._endpoint = self._make_endpoint()
            await self._endpoint.open()
        options, life = self.options.host_options, self.options.life
        workers = self.options.workers
        config = HostConfig(self.main, life, "main", self.control, (), options, workers)
        tell = self._tell if self._endpoint is not None else _nowhere
        address = self._endpoint.address if self._endpoint is not None else None
        drop = self._endpoint.drop if hasattr(self._endpoint, "drop") else _nowhere
        transport = getattr(self._endpoint, "config", None)
        self.host = Host(config, loop, tell, address, drop=drop, transport=transport)
        if self._endpoint is not None:
            self._endpoint.on_message = self._received
            self._endpoint.on_lost = self._lost
            loop.call_later(1.0, self._look)
            await self._start_control()

    def _make_endpoint(self) -> Any:
        if self.options.stock:
            from foundation.runtime.stock_endpoint import StockEndpoint

            return StockEndpoint(self.system)
        endpoint = Outside(self.system, idle_close=None)
        # A frame to a host that has just died is no news: the control host tells of deaths.
        endpoint.on_dead_letter = lambda address, message: None
        return endpoint

    async def _start_control(self) -> None:
        from foundation.runtime.control import ControlHost

        assert self.host is not None
        self.restarts += 1
        self._ready = self.host.loop.create_future()
        self._control = await self._endpoint.create_actor(ControlHost)
        mine = self.host.config
        options = mine.options
        incarnation = self.options.life - 1 + self.restarts
        config = HostConfig(
            self.control,
            incarnation,
            "control",
            self.control,
            ((mine.address, mine.incarnation, self._endpoint.address),),
            dataclasses.replace(options, sys_path=tuple(sys.path)),
            self.options.workers,
            os.getpid(),
            self.options.system is not None,
        )
        self._tell(self._control, config)
        self.host.meet(self.control, incarnation, self._control)
        self.host.in_service[self.control] = None
        self._announce()
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._ready
        except TimeoutError:
            raise NodeError(
                f"the hosts of node {self.options.name!r} were not up in {START_SECONDS} s; "
                "start(..., log_level=logging.DEBUG) shows what they do"
            ) from None

    def _announce(self) -> None:
        """Let ``foundation top`` and others find the node."""
        details = self._control.addressDetails
        incarnation = getattr(details, "incarnation", None)
        if incarnation is None:
            return  # a stock base, which tools cannot attach to
        host, port = details.sockname
        entry = directory.Entry(self.options.name, os.getpid(), host, port, incarnation)
        self._entry = directory.announce(entry)

    def _tell(self, address: Any, message: Any) -> None:
        if self._endpoint is not None:
            self._endpoint.tell(address, message)

    def flush(self) -> None:
        """Write what was sent to other hosts, instead of in the next round of the loop."""
        if self._endpoint is not None:
            self._endpoint.flush()

    def _received(self, message: Any, sender: Any) -> None:
        assert self.host is not None
        if isinstance(message, NodeReady):
            self.os_pids.update(message.os_pids)
            if self._ready is not None and not self._ready.done():
                self._ready.set_result(None)
        elif isinstance(message, HostReady):
            self.os_pids[message.address] = message.os_pid
        elif isinstance(message, HostFailed):
            self._control = None  # it knows no goodbye
            if self._ready is not None and not self._ready.done():
                self._ready.set_exception(NodeError(message.error))
        elif isinstance(message, NodeFailed):
            self._fail(NodeError(message.error))
        elif isinstance(message, Goodbye):
            self._take_leave()
        else:
            if isinstance(message, PeerDown):
                self.os_pids.pop(message.address, None)
            self.host.receive(message, sender)

    def _look(self) -> None:
        """Kill a control host that somebody has stopped; its death is then dealt with."""
        if self.host is None or self.closing:
            return
        os_pid = self.os_pids.get(self.control)
        if os_pid is not None and self._frozen.too_long(os_pid, self.host.driver.now()):
            os.kill(os_pid, signal.SIGKILL)
        self.host.loop.call_later(1.0, self._look)

    def _take_leave(self) -> None:
        if self._farewell is not None and not self._farewell.done():
            self._farewell.set_result(None)

    # The death of the control host

    def _lost(self, address: Any) -> None:
        if self.closing and address == self._control:
            self._take_leave()
        if self.closing or self.host is None:
            return
        host = self.host
        if address != self._control:
            host.connection_lost(address)
            return
        host.driver.report(Notice("error", f"the control host of {self.options.name!r} died"))
        self._kill_hosts()
        for peer in list(host.kernel.remote.neighbours.values()):
            host.lose(peer.host, peer.incarnation, "killed")
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(NodeError("the control host died while it started"))
            return
        now = host.loop.time()
        self._deaths = [t for t in self._deaths if t > now - CONTROL_WINDOW] + [now]
        if len(self._deaths) >= CONTROL_DEATHS:
            text = f"the control host died {len(self._deaths)} times in {CONTROL_WINDOW} s"
            self._fail(NodeError(text))
            return
        task = host.loop.create_task(self._revive())
        self._tasks.add(task)
        self._reviving = task
        task.add_done_callback(self._tasks.discard)

    async def _revive(self) -> None:
        try:
            await self._start_control()
            if self.on_restart is not None:
                await self.on_restart()
        except Exception as error:
            if self._reviving is asyncio.current_task():
                self._fail(error)  # else it died again meanwhile, and a later task sees to it

    def fail(self, error: BaseException) -> None:
        """The node cannot go on."""
        self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self.failure = error
        if self.failed is not None and not self.failed.done():
            self.failed.set_exception(error)
            self.failed.exception()  # may be nobody asks

    def _kill_hosts(self) -> None:
        pids, self.os_pids = self.os_pids, {}
        for os_pid in pids.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(os_pid, signal.SIGKILL)

    async def close(self) -> None:
        """Detach; the caller then closes the Thespian system, if it is the node's own."""
        self.closing = True
        for task in list(self._tasks):
            task.cancel()
        if self._entry is not None:
            directory.withdraw(self._entry)
        await self._say_goodbye()
        if self.options.system is not None:
            await self._end_hosts()
        if self.host is not None:
            self.host.close()
        if self._endpoint is not None:
            await self._endpoint.close()

    async def _say_goodbye(self) -> None:
        """Have the control host start nothing any more, and wait for what is starting.

        Thespian stops children whose start it has not seen the end of only after seconds.
        """
        if self._endpoint is None or self._control is None or self.host is None:
            return
        self._farewell = self.host.loop.create_future()
        self._tell(self._control, Goodbye())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._farewell

    async def _end_hosts(self) -> None:
        """The system is the user's and goes on; the hosts of this node do not."""
        if self._endpoint is not None and self._control is not None:
            self._tell(self._control, ActorExitRequest(recursive=True))
        await end_processes(list(self.os_pids.values()), EXIT_SECONDS)


def close_actor_system(system: Any) -> None:
    """Shut the Thespian system down; blocks until its processes are gone."""
    if system is not None:
        system.shutdown()


def _nowhere(address: Any, message: Any = None) -> None:
    """There is no other host."""
