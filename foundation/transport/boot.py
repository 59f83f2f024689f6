"""How the processes of a node begin and end: admin, actors, logger.

Thespian starts its processes from functions and classes that it looks up as globals of
``multiprocCommon``. In the processes of our nodes, and only there, those globals are replaced.
"""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import os
import signal
import threading
import time
from typing import Any

from thespian.system import logdirector, multiprocCommon
from thespian.system.transport import TransmitIntent

from foundation.transport import core_fixes, hygiene
from foundation.transport.endpoints import Endpoint

EXIT_PORT_TAKEN = 71
EXIT_GRACE = 2.0  # seconds an ending process waits for its children to finish their clean-up

_StockAdmin: Any = multiprocCommon.MultiProcAdmin
_StockManager: Any = multiprocCommon.MultiProcManager
_stock_start_child = multiprocCommon.startChild
_stock_start_logger_process = logdirector.startupASLogger


class StartContext:
    """Chooses how to start a process: fork, or spawn where threads make fork unsafe."""

    @property
    def Process(self) -> Any:
        """The process class to use now."""
        method = "fork" if threading.active_count() == 1 else "spawn"
        if method not in multiprocessing.get_all_start_methods():
            method = "spawn"
        context: Any = multiprocessing.get_context(method)
        return context.Process


class FoundationAdmin(core_fixes.QuickSending, core_fixes.ChildExits, _StockAdmin):  # type: ignore[misc]
    """Thespian's admin with its defects mended; outlives the death of its logger."""

    _logger_seen = False

    def _logger_died(self) -> None:
        if not self.isShuttingDown():
            self.asLogProc = None
            multiprocCommon._startLogger(
                self.transport.__class__, self.transport, self, self.capabilities,
                self.logdefs, self.mpcontext,
            )  # fmt: skip

    def h_LoggerConnected(self, envelope: Any) -> Any:
        """The second logger takes the place of the first, at the same address."""
        if self._logger_seen:
            self.asLogger = envelope.sender
            self._activate()
            return True
        self._logger_seen = True
        self.transport._logger_details = envelope.sender.addressDetails
        return super().h_LoggerConnected(envelope)


class FoundationManager(core_fixes.QuickSending, core_fixes.ChildExits, _StockManager):  # type: ignore[misc]
    """Thespian's wrapper of an actor, with a short way for messages that are plain bytes."""

    actorInst: Any

    def run(self) -> None:
        """Run the actor; segmentation faults end it."""
        hygiene.restore_crash_signals()
        super().run()

    def actor_send(self, target: Any, message: Any) -> None:
        """The actor's ``self.send``."""
        if type(message) is bytes and self.transport.send_bytes(
            target, message, self._bytes_undeliverable
        ):
            return
        super().actor_send(target, message)

    def _bytes_undeliverable(self, target: Any, message: bytes) -> None:
        intent = TransmitIntent(target, message)
        self.actor_send_fail(multiprocCommon.SendStatus.DeadTarget, intent)

    def handleMessages(self, envelope: Any) -> Any:
        """One message; plain bytes go straight to the actor."""
        message = envelope.message
        if type(message) is not bytes or self._receiveQueue or getattr(self, "_exiting", False):
            return super().handleMessages(envelope)
        sender = envelope.sender
        if "eqOverride" not in sender.__dict__:
            self._addrManager.importAddr(sender)
        try:
            result = self.actorInst.receiveMessage(message, sender)
        except Exception as error:
            return self._handle_again(envelope, error)
        if result is not None or self.transport._watched:
            watch = isinstance(result, multiprocCommon.ThespianWatch)
            self.transport.set_watch(result.filenos if watch else [])
        return self._after_queue() if self._receiveQueue else True

    def _after_queue(self) -> Any:
        more = True
        while more and self._receiveQueue:
            more = self._handleOneMessage(self._receiveQueue.pop(0))
        return more

    def _handle_again(self, envelope: Any, error: Exception) -> Any:
        """Thespian's second attempt, with the failed first one replayed instead of repeated."""
        actor = self.actorInst
        self.actorInst = _Replay(self, actor, error)
        try:
            return super().handleMessages(envelope)
        finally:
            self.actorInst = actor


class _Replay:
    """Stands in for the actor while the core looks at a failure that has happened already."""

    def __init__(self, manager: FoundationManager, actor: Any, error: Exception) -> None:
        self._manager, self._actor, self._error = manager, actor, error

    def receiveMessage(self, message: Any, sender: Any) -> Any:
        """Fail as the actor did; the next call goes to the actor itself."""
        self._manager.actorInst = self._actor
        raise self._error


def adopt_process() -> None:
    """Make this process one of ours: defects mended, Thespian's entry points replaced."""
    core_fixes.install()
    multiprocCommon.MultiProcManager = FoundationManager
    multiprocCommon.startChild = start_child
    multiprocCommon.startupASLogger = start_logger


def _enter(endpoint: Endpoint) -> None:
    if endpoint.die_with_parent:
        hygiene.die_with_parent(endpoint.parent_pid)
    hygiene.overlay_inherited()
    adopt_process()


def start_admin(
    starter: Any, endpoint: Endpoint, transport_class: Any, admin_address: Any,
    capabilities: dict[str, Any], log_defs: Any, context: Any,
) -> None:  # fmt: skip
    """Process entry: the admin. A direct child of the program, in a session of its own."""
    os.setsid()
    hygiene.overlay_inherited()
    adopt_process()
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        transport = transport_class(endpoint)
    except OSError as error:
        os._exit(EXIT_PORT_TAKEN if error.errno == errno.EADDRINUSE else 1)
    if endpoint.config.die_with_parent:
        hygiene.when_process_ends(transport.loop, endpoint.parent_pid, hygiene.kill_own_group)
    admin = FoundationAdmin(transport, admin_address, capabilities, log_defs, context)
    admin.addrOfStarter = starter
    multiprocCommon.setProcName("FoundationAdmin", transport.myAddress)
    signal.signal(signal.SIGCHLD, admin.signalChildDied)
    signal.signal(signal.SIGUSR1, multiprocCommon.signal_admin_sts(admin))
    multiprocCommon._startLogger(
        transport_class, transport, admin, capabilities, log_defs, context
    )
    admin.run()
    logger = getattr(admin, "asLogProc", None)
    _join([*getattr(admin, "_child_procs", []), *([logger] if logger else [])])
    transport.close()


def start_child(child_class: Any, global_name: Any, endpoint: Endpoint, *args: Any) -> None:
    """Process entry: an actor."""
    _enter(endpoint)
    managers: list[Any] = []
    _remember_manager(managers)
    _stock_start_child(child_class, global_name, endpoint, *args)
    for manager in managers:
        _join(getattr(manager, "_child_procs", []))


def _remember_manager(managers: list[Any]) -> None:
    """Thespian keeps the manager in a local variable; we need its children at the end."""

    def make(*args: Any) -> FoundationManager:
        manager = FoundationManager(*args)
        managers.append(manager)
        return manager

    multiprocCommon.MultiProcManager = make


def start_logger(starter: Any, endpoint: Endpoint, *args: Any) -> None:
    """Process entry: the logger."""
    _enter(endpoint)
    _stock_start_logger_process(starter, endpoint, *args)


def _join(children: list[Any]) -> None:
    """Give children that are ending the time to run their exit handlers: they die with us."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    deadline = time.monotonic() + EXIT_GRACE
    for child in children:
        child.childProc.join(max(0.0, deadline - time.monotonic()))
