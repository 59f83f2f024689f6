"""Thespian's system base on our transport, and the way to open a system."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from thespian.actors import ActorSystem
from thespian.system.messages.admin import SystemShutdown, SystemShutdownCompleted
from thespian.system.messages.multiproc import EndpointConnected
from thespian.system.multiprocCommon import detach_child, multiprocessCommon
from thespian.system.transport import ReceiveEnvelope

from foundation.errors import TransportError
from foundation.transport import boot, core_fixes
from foundation.transport.addresses import port_is_taken
from foundation.transport.asyncio_transport import AsyncioTransport
from foundation.transport.config import TransportConfig
from foundation.transport.endpoints import BOOT_CAPABILITY, HOST_CAPABILITY, default_config

ADMIN_START_LIMIT = 15.0  # seconds; spawn on a busy machine is slow
ADMIN_EXIT_LIMIT = 3.0  # seconds between the admin's last word and the end of its process
PORT_ATTEMPTS = 5


class FoundationBase(multiprocessCommon):  # type: ignore[misc]
    """The system base object; `open_system` makes it.

    Args:
        system: anything with ``.capabilities``.
        logDefs: a ``logging.config.dictConfig`` dictionary for the logger process.
        config: transport settings; None: the user's cookie and defaults.
        exclusive: refuse to attach to a system that runs already.
    """

    transportType: Any = AsyncioTransport
    shutdown_limit = 10.0
    _admin_process: Any = None

    def __init__(
        self,
        system: Any,
        logDefs: Any = None,
        config: TransportConfig | None = None,
        exclusive: bool = False,
    ) -> None:
        core_fixes.check_version()
        config = config or default_config()
        capabilities = system.capabilities
        capabilities["Thespian ActorSystem Name"] = "foundation"
        capabilities["Thespian ActorSystem Version"] = 1
        capabilities["Thespian Watch Supported"] = True
        capabilities[HOST_CAPABILITY] = config.host
        if exclusive:
            _require_free(config, capabilities["Admin Port"])
            capabilities[BOOT_CAPABILITY] = secrets.randbits(62) | 1
        self.config = config
        self.transportType = functools.partial(AsyncioTransport, config=config)
        try:
            super().__init__(system, logDefs)
        except BaseException:
            self._release()
            raise

    def _startAdmin(
        self, adminAddr: Any, addrOfStarter: Any, capabilities: dict[str, Any], logDefs: Any
    ) -> None:
        endpoint = self.transport.prepEndpoint(adminAddr, capabilities)
        context: Any = boot.StartContext()
        if "Process Startup Method" in capabilities:
            context = multiprocessing.get_context(capabilities["Process Startup Method"])
        admin = context.Process(
            target=boot.start_admin,
            args=(
                addrOfStarter, endpoint, type(self.transport), adminAddr, capabilities, logDefs,
                context,
            ),
            name="FoundationAdmin",
        )  # fmt: skip
        with _importable_main():
            admin.start()
        detach_child(admin)  # its end is ours to await, not multiprocessing's
        self._admin_process = admin
        self._await_admin(admin, capabilities.get("Admin Port"))

    def _await_admin(self, admin: Any, port: Any) -> None:
        deadline = time.monotonic() + ADMIN_START_LIMIT
        self.transport.loop.add_reader(admin.sentinel, self.transport.abort_run)
        try:
            while time.monotonic() < deadline and admin.is_alive():
                response = self.transport.run(None, deadline - time.monotonic())
                if isinstance(response, ReceiveEnvelope) and isinstance(
                    response.message, EndpointConnected
                ):
                    return
        finally:
            self.transport.loop.remove_reader(admin.sentinel)
        if admin.is_alive():
            self._kill_group()
            raise TransportError(f"the admin process was not ready in {ADMIN_START_LIMIT} s")
        if admin.exitcode == boot.EXIT_PORT_TAKEN:
            raise _PortTaken(_taken(port))
        raise TransportError(
            f"the admin process ended with code {admin.exitcode} while starting; in a program "
            'that runs threads, protect the main script with `if __name__ == "__main__":`'
        )

    def shutdown(self) -> None:
        """Stop the system and wait for the end of all its processes.

        Actors that do not end within ``shutdown_limit`` seconds are killed.
        """
        deadline = time.monotonic() + self.shutdown_limit
        patience = 0.0
        try:
            watch = self._tx_to_admin(SystemShutdown())
            while not watch.failed:
                left = timedelta(seconds=max(0.0, deadline - time.monotonic()))
                response = self._run_transport(left)
                if not isinstance(response, ReceiveEnvelope):
                    break
                if isinstance(response.message, SystemShutdownCompleted):
                    patience = ADMIN_EXIT_LIMIT
                    break
        finally:
            self._release(patience)

    def _release(self, patience: float = 0.0) -> None:
        admin, self._admin_process = self._admin_process, None
        if admin is not None:
            admin.join(patience)
            self._kill_group(admin)
        transport = getattr(self, "transport", None)
        if transport is not None:
            transport.close()

    def _kill_group(self, admin: Any = None) -> None:
        """End whatever is left of the node: admin, actors and logger share one group."""
        admin = admin or self._admin_process
        if admin.pid in (None, os.getpid()):
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(admin.pid, signal.SIGKILL)
        admin.join(1.0)
        _await_group_end(admin.pid)


class _PortTaken(TransportError):
    """The admin port was taken between choosing and binding it."""


def open_system(
    config: TransportConfig,
    *,
    capabilities: dict[str, Any] | None = None,
    admin_port: int = 0,
    log_defs: dict[str, Any] | None = None,
) -> Any:
    """Start a Thespian actor system on this transport.

    Safe in programs with threads (the admin is spawned then, not forked; protect the main
    script with ``if __name__ == "__main__"``) and inside a running asyncio loop, which it
    blocks for some 20 ms (fork) to 300 ms (spawn).

    Args:
        config: transport settings, see `TransportConfig`.
        capabilities: of the system; published to others, so no secrets.
        admin_port: 0 takes a free one.
        log_defs: a ``logging.config.dictConfig`` dictionary for the logger process.

    Returns:
        A ``thespian.actors.ActorSystem``; its ``shutdown()`` leaves no process behind.

    Raises:
        TransportError: the port is taken, or the admin did not start.
    """
    for attempt in range(PORT_ATTEMPTS):
        chosen = dict(capabilities or {})
        chosen["Admin Port"] = admin_port or _free_port(config)
        holder = SimpleNamespace(capabilities=chosen)
        try:
            base = FoundationBase(holder, log_defs, config=config, exclusive=True)
        except _PortTaken:
            if admin_port or attempt == PORT_ATTEMPTS - 1:
                raise
            continue
        return ActorSystem(base, chosen, transientUnique=True)
    raise AssertionError("unreachable")


def admin_address(system: Any) -> Any:
    """The address of the admin of *system*."""
    return system._systemBase.adminAddr


@contextlib.contextmanager
def _importable_main() -> Iterator[None]:
    """Spawn imports the main script again, which fails for a script that came by stdin."""
    main = sys.modules.get("__main__")
    path = getattr(main, "__file__", None)
    if main is None or path is None or os.path.exists(path):
        yield
        return
    del main.__file__
    try:
        yield
    finally:
        main.__file__ = path


def _free_port(config: TransportConfig) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((config.bind_host, 0))
        return int(probe.getsockname()[1])


def _require_free(config: TransportConfig, port: int) -> None:
    if port_is_taken(config.bind_host, port):
        raise _PortTaken(_taken(port))


def _taken(port: Any) -> str:
    return (
        f"admin port {port} is taken, perhaps by a node that is still running; "
        "stop it, or choose another port (0 takes a free one)"
    )


def _await_group_end(group: int) -> None:
    """Wait a moment for killed processes to be gone."""
    deadline = time.monotonic() + 0.2
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except (ProcessLookupError, PermissionError):
            return
        time.sleep(0.005)


__all__ = ["FoundationBase", "admin_address", "open_system"]
