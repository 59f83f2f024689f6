"""One host: a kernel, its driver, and the addresses of the other hosts.

The same object lives in a Thespian actor (``host_actor.py``) and in the embedding program
(``program.py``); they differ in how a message is told to an address.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

from foundation.errors import NodeError, StartError
from foundation.kernel.kernel import Kernel
from foundation.kernel.reports import Notice
from foundation.runtime.driver import AsyncioDriver
from foundation.runtime.inspect import PARTS, Inspector
from foundation.runtime.logs import log, log_report
from foundation.runtime.messages import Hello, HostConfig, NodeFailed, PeerDown, PeerUp
from foundation.runtime.overview import Overlook
from foundation.runtime.placement import HostPlacer
from foundation.runtime.watchdog import Watchdog
from foundation.transport import TransportConfig

Tell = Callable[[Any, Any], None]


class Host:
    """A kernel among other kernels.

    Args:
        config: who this host is.
        loop: the event loop it runs on.
        tell: sends a Thespian message to an actor address; must not raise.
        me: the actor address of this host.
        drop: gives up the connection to an actor address.
        transport: settings of the node's transport, where it is ours.
    """

    def __init__(
        self,
        config: HostConfig,
        loop: asyncio.AbstractEventLoop,
        tell: Tell,
        me: Any,
        *,
        drop: Callable[[Any], None] = lambda address: None,
        transport: TransportConfig | None = None,
    ) -> None:
        self.config = config
        self.loop = loop
        self.tell = tell
        self.me = me
        self.transport = transport
        self._drop = drop
        self.actors: dict[str, Any] = {}
        self._foreign: list[tuple[Any, str]] = []  # an ActorAddress has no hash
        self.in_service: dict[str, None] = {}  # hosts that processes may be sent to
        self.replaces_workers = config.workers > 0  # when all have died, others will come
        self._unsynced: dict[str, None] = {}
        self._on_synced: Callable[[], None] | None = None
        self._opening: dict[int, asyncio.Future[str]] = {}
        options = config.options
        _extend_path(options.sys_path)
        log.setLevel(options.log_level)  # the object that reports use: Thespian swaps the manager
        self.driver = AsyncioDriver(loop, send_frame=self._send_frame, report=log_report)
        self.kernel = Kernel(
            config.address,
            self.driver,
            incarnation=config.incarnation,
            share_messages=options.share_messages,
        )
        if config.authority != config.address:
            self.kernel.names.authority = config.authority
        self.kernel.placer = HostPlacer(self)
        remote = self.kernel.remote
        remote.handlers["host_opened"] = self._on_opened
        remote.handlers["host_sync"] = lambda host: remote.op(host, ("host_synced",))
        remote.handlers["host_synced"] = self._on_peer_synced
        remote.on_host.append(lambda host, up: None if up else self._on_peer_synced(host))
        self.inspector = Inspector(self)
        self.overlook = Overlook(self.kernel)
        for path in options.installers:
            module, _, function = path.partition(":")
            getattr(importlib.import_module(module), function)(self.kernel)
        # The control host runs no user code, and a process with threads cannot fork: without
        # the watchdog's thread it replaces a killed host ten times as fast.
        self.watchdog: Watchdog | None = None
        if config.role != "control":
            watchdog = Watchdog(self.kernel, options.hog_seconds, self._report_threadsafe)
            self.watchdog = watchdog
            self.kernel.tables.setdefault(PARTS, {})["hogs"] = lambda: watchdog.hogs
        for address, incarnation, actor in config.peers:
            self.meet(address, incarnation, actor)
            self.in_service[address] = None
        self.extensions = [each.attach(self) for each in options.extensions]

    # Other hosts

    def meet(self, address: str, incarnation: int, actor: Any) -> None:
        """Get to know another host, and introduce this one to it."""
        if self._met(address, incarnation, actor):
            self.tell(actor, Hello(self.config.address, self.config.incarnation, self.me))

    def _met(self, address: str, incarnation: int, actor: Any) -> bool:
        if address == self.config.address:
            return False
        known = self.actors.get(address)
        self.actors[address] = actor  # first: who is told of the host may want to send to it
        if self.kernel.remote.host_up(address, incarnation):
            return True
        self.actors[address] = known
        return False

    def when_synced(self, done: Callable[[], None]) -> None:
        """Call *done* when what the known hosts told this new one (names, tables) has arrived.

        Each of them tells a new host what it owns as soon as it hears of it; the answer to a
        ``host_sync`` said after that comes after it.
        """
        self._on_synced = done
        self._unsynced = dict.fromkeys(self.kernel.remote.neighbours)
        for host in list(self._unsynced):
            self.kernel.remote.op(host, ("host_sync",))
        self._on_peer_synced(None)

    def _on_peer_synced(self, host: str | None) -> None:
        self._unsynced.pop(host or "", None)
        if not self._unsynced and self._on_synced is not None:
            done, self._on_synced = self._on_synced, None
            done()

    def lose(self, address: str, incarnation: int, reason: str) -> None:
        """That life of that host is over."""
        peer = self.kernel.remote.peers.get(address)
        if reason == "killed":
            self.kernel.remote.bury(address, incarnation)
        if peer is not None and peer.incarnation == incarnation:
            self.in_service.pop(address, None)
            self.kernel.remote.host_down(address, reason)
            self.actors.pop(address, None)

    # Hosts of other nodes (``foundation.cluster``)

    def foreign_up(self, address: str, incarnation: int, actor: Any) -> None:
        """A host of another node can be reached at *actor*."""
        self.actors[address] = actor
        self._foreign.append((actor, address))
        self.kernel.remote.foreign.up(address, incarnation)

    def foreign_down(self, address: str, reason: str) -> None:
        """A host of another node is gone, or cannot be reached."""
        actor = self.actors.pop(address, None)
        if actor is not None:
            self._foreign = [known for known in self._foreign if known[1] != address]
            self.kernel.remote.host_down(address, reason)
            self._drop(actor)  # it may hang for longer than the node is away

    def fail(self, text: str) -> None:
        """In the control host: the node cannot go on; the program is told."""
        self.tell(self.config.peers[0][2], NodeFailed(text))

    def connection_lost(self, actor: Any) -> None:
        """The connection to *actor* broke; that matters where it is of another node."""
        for known, address in self._foreign:
            if known == actor:
                self.kernel.turn(self.kernel.remote.foreign.connection_lost, address)

    def receive(self, message: Any, sender: Any) -> bool:
        """Take a message of the host protocol; False when it is none."""
        if type(message) is bytes:
            try:
                self.kernel.remote.on_frame(message)
            except Exception as error:
                self.driver.report(Notice("error", f"a frame was dropped: {error}"))
        elif isinstance(message, Hello):
            self._met(message.address, message.incarnation, message.actor)
        elif isinstance(message, PeerUp):
            self.meet(message.address, message.incarnation, message.actor)
            self.in_service[message.address] = None
        elif isinstance(message, PeerDown):
            self.lose(message.address, message.incarnation, message.reason)
        else:
            return False
        return True

    def _send_frame(self, host: str, frame: bytes) -> None:
        actor = self.actors.get(host)
        if actor is not None:
            self.tell(actor, frame)

    # Dedicated hosts

    async def open_dedicated(self, label: str) -> str:
        """Ask the control host for a host of its own; return its address.

        Raises:
            StartError: the control host could not start it.
        """
        authority = self.config.authority
        number = max(self._opening, default=0) + 1
        future: asyncio.Future[str] = self.loop.create_future()
        self._opening[number] = future
        try:
            if authority == self.config.address:
                self.open_host(self.config.address, number, label)
            else:
                self.kernel.remote.op(authority, ("host_open", number, label))
            async with asyncio.timeout(20):
                return await future
        except TimeoutError:
            raise StartError("the control host did not answer within 20 s", label) from None
        finally:
            del self._opening[number]

    def open_host(self, requester: str, number: int, label: str) -> None:
        """Start a dedicated host; only the control host can (``control.py``)."""
        raise NodeError(
            "isolation='host' needs a node with hosts; this one was started with hosts=0"
        )

    def _on_opened(self, host: str, number: int, address: str | None, error: str) -> None:
        future = self._opening.get(number)
        if future is None or future.done():
            return
        if address is None:
            future.set_exception(StartError(error, "dedicated host"))
        else:
            future.set_result(address)

    # Housekeeping

    def _report_threadsafe(self, report: Any) -> None:
        try:
            self.loop.call_soon_threadsafe(self.driver.report, report)
        except RuntimeError:
            log_report(report)  # the loop is closed already

    def close(self) -> None:
        """Stop the kernel and the watchdog."""
        for extension in self.extensions:
            extension.close()
        if self.watchdog is not None:
            self.watchdog.close()
        self.kernel.close()


def _extend_path(entries: tuple[str, ...]) -> None:
    for entry in entries:
        if entry not in sys.path and os.path.exists(entry or "."):
            sys.path.append(entry)
