"""A host as a Thespian actor: the first message configures it, then it carries frames.

On our transport the actor's process runs an asyncio loop already. On a stock Thespian base the
loop is run from within ``receiveMessage`` (``stock_loop.py``).
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from typing import Any

from thespian.actors import (
    Actor,
    ActorExitRequest,
    ChildActorExited,
    DeadEnvelope,
    PoisonMessage,
    WatchMessage,
)

from foundation.errors import FoundationError
from foundation.kernel.process import Process
from foundation.kernel.values import Pid
from foundation.runtime.bridge import Bridge
from foundation.runtime.host import Host
from foundation.runtime.logs import log
from foundation.runtime.messages import HostConfig, HostFailed, HostReady
from foundation.runtime.stock_loop import StockLoop
from foundation.transport.hygiene import restore_crash_signals
from foundation.transport.peers import (
    drop_peer,
    keep_connections,
    transport_config,
    watch_peer_loss,
)

UNUSED_SECONDS = 10.0  # a dedicated host that nobody has used by then ends

GC_THRESHOLD = (10_000, 10, 10)


class HostActor(Actor):  # type: ignore[misc]
    """Hosts one kernel; a worker or dedicated host."""

    host: Host | None = None
    parent: Any = None
    stock: StockLoop | None = None
    bridge: Bridge | None = None

    def receiveMessage(self, message: Any, sender: Any) -> Any:
        """Take any message. Nothing may be raised: Thespian would run the handler again."""
        try:
            self._receive(message, sender)
        except Exception:
            log.exception("host %s: a message could not be handled", self._name())
        return self.stock.pump() if self.stock is not None else None

    def _name(self) -> str:
        return self.host.config.address if self.host is not None else "(not configured)"

    def _receive(self, message: Any, sender: Any) -> None:
        host = self.host
        if type(message) is bytes:
            if host is not None and self.stock is not None:
                self.stock.loop.call_soon(host.receive, message, sender)  # user code wants a loop
            elif host is not None:
                host.receive(message, sender)
        elif isinstance(message, HostConfig):
            if host is None:
                # The program may send from one endpoint and listen at another (stock).
                self.parent = message.peers[0][2] if message.role == "control" else sender
                self._try_to_configure(message)
        elif isinstance(message, ActorExitRequest):
            self.close()
        elif host is None or host.receive(message, sender) or self.control(message, sender):
            return
        elif isinstance(message, ChildActorExited):
            assert self.bridge is not None
            self.bridge.actor_exited(message.childAddress)
        elif not isinstance(message, (DeadEnvelope, PoisonMessage, WatchMessage)):
            assert self.bridge is not None
            self.bridge.receive(message, sender)

    def control(self, message: Any, sender: Any) -> bool:
        """Take a message that only the control host knows; False when it is none."""
        return False

    def _try_to_configure(self, config: HostConfig) -> None:
        try:
            self.configure(config)
        except FoundationError as error:
            if config.role != "control":
                raise
            self.send(self.parent, HostFailed(str(error)))

    def configure(self, config: HostConfig) -> None:
        """Start the kernel and tell the parent."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program (T-22)
        # A host is many small objects that live long: by default the collector looks at all of
        # the young ones every 700, which takes a fifth of the time to start a server.
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLD)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            restore_crash_signals()
            self.stock = StockLoop()
            loop = self.stock.loop
        keep_connections(self)
        self.host = self.make_host(config, loop)
        self.bridge = Bridge(self, self.host)
        if config.role == "dedicated":
            self._close_when_empty(self.host)
        if not watch_peer_loss(self, self.peer_lost) and config.role == "control":
            self.watch_program()
        ready = HostReady(config.address, config.incarnation, os.getpid())
        if config.role == "control":
            self.send(self.parent, ready)
        else:
            self.host.when_synced(lambda: self.send(self.parent, ready))

    def make_host(self, config: HostConfig, loop: asyncio.AbstractEventLoop) -> Host:
        """Make the host object, which talks through this actor."""
        return Host(
            config,
            loop,
            self.send,
            self.myAddress,
            drop=lambda address: drop_peer(self, address),
            transport=transport_config(self),
        )

    def peer_lost(self, address: Any) -> None:
        """The connection to *address* broke. A host without its control host ends itself."""
        if address == self.parent:
            os._exit(0)
        if self.host is not None:
            self.host.connection_lost(address)

    def watch_program(self) -> None:
        """On a base that does not report lost peers: watch the program some other way."""

    def _close_when_empty(self, host: Host) -> None:
        spawn = host.kernel.spawn

        def spawn_and_watch(*args: Any, **kwargs: Any) -> Process:
            process = spawn(*args, **kwargs)
            process.add_exit_hook(self._process_gone)
            if process.state == "dead":  # its name was refused at once
                self._process_gone(process, None)
            return process

        host.kernel.spawn = spawn_and_watch  # type: ignore[method-assign]
        # Who asked for this host may have died, or given up, before it used it.
        host.loop.call_later(UNUSED_SECONDS, self._leave)

    def _process_gone(self, process: Process, reason: Any) -> None:
        host = self.host
        if host is not None and not host.kernel.procs:
            # The turn ends first, so that links and monitors hear of it.
            host.loop.call_later(0.05, self._leave)

    def _leave(self) -> None:
        if self.host is not None and not self.host.kernel.procs:
            self.send(self.parent, HostLeaves(self.host.config.address))

    def close(self) -> None:
        """Stop the kernel; Thespian ends the process."""
        if self.host is not None:
            self.host.close()
        if self.stock is not None:
            self.stock.close()

    def main_process(self) -> Pid | None:
        """Return the process a dedicated host was opened for."""
        procs = self.host.kernel.procs if self.host is not None else {}
        return next(iter(procs), None)


class HostLeaves:
    """From a dedicated host whose process has ended, to the control host."""

    def __init__(self, address: str) -> None:
        self.address = address
