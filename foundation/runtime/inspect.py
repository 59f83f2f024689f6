"""Looking at a running node from outside: what each host says of itself.

A tool sends ``Inspect`` to the control host, which asks all hosts and answers with what came in
time, and who did not answer.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from typing import TYPE_CHECKING, Any

from foundation.errors import NodeError
from foundation.kernel.kernel import Kernel
from foundation.kernel.process import Process
from foundation.kernel.values import Pid
from foundation.runtime.attach import Attached
from foundation.runtime.directory import Entry
from foundation.runtime.messages import Inspect, Inspected

if TYPE_CHECKING:
    from foundation.runtime.host import Host

GATHER_SECONDS = 1.0  # the control host waits for the other hosts
PARTS = "inspect"  # where a kernel keeps what upper floors add: name -> function
STANDS_FOR = "stands_for"  # extra of a process that has the children of the server so named
PROCESSES_MAX = 5000  # described one by one, per host; the rest is counted


def snapshot(kernel: Kernel) -> dict[str, Any]:
    """Describe a host as plain data."""
    processes = list(kernel.procs.values())
    remote = kernel.remote
    return {
        "host": kernel.address,
        "incarnation": kernel.incarnation,
        "os_pid": os.getpid(),
        "rss_bytes": resident_bytes(),
        "cpu_seconds": time.process_time(),
        "process_count": len(processes),
        "slices": kernel.slices,
        "mailboxes": sum(len(p.mailbox) for p in processes),
        "frames_in": remote.frames_in,
        "frames_out": remote.frames_out,
        "processes": [describe(p) for p in processes[:PROCESSES_MAX]],
        **{name: part() for name, part in kernel.tables.get(PARTS, {}).items()},
    }


def describe(process: Process) -> dict[str, Any]:
    """Describe a process as plain data."""
    name = process.name
    return {
        "pid": text(process.pid),
        "name": None if name is None else name if isinstance(name, str) else repr(name),
        "kind": process.kind,
        "class": class_of(process),
        "state": state_of(process),
        "mailbox": len(process.mailbox),
        "links": len(process.links or ()),
        "monitored_by": len(process.watchers or ()),
        "parent": None if process.parent is None else text(process.parent),
        "stands_for": process.get_extra(STANDS_FOR),
        "restarts": process.get_extra("restarts", 0),
    }


def class_of(process: Process) -> str:
    """Return the name of the class that *process* runs, or is about to."""
    server = getattr(process, "server", None)
    start = getattr(process, "start_spec", None)
    if server is None and start:  # it is about to begin
        return getattr(start[0], "__qualname__", repr(start[0]))
    return getattr(server, "module", "") or type(server or process).__qualname__


def state_of(process: Process) -> str:
    """Return what *process* is doing, in one word."""
    if process.state != "running":
        return process.state
    if process.coro is not None:
        return "waiting"
    return "idle" if process.idle else "ready"


def text(pid: Pid) -> str:
    """Return a pid as the text that tools show."""
    return f"{pid.host}.{pid.incarnation}.{pid.serial}"


def resident_bytes() -> int:
    """Return how much memory this operating-system process has now; elsewhere its peak."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


class Inspector:
    """Answers and gathers snapshots; one in each host."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._gathering: dict[int, tuple[Any, dict[str, Any], list[str]]] = {}
        handlers = host.kernel.remote.handlers
        handlers["inspect"] = self._on_inspect
        handlers["inspected"] = self._on_inspected

    def _on_inspect(self, host: str, number: int) -> None:
        kernel = self._host.kernel
        kernel.remote.op(host, ("inspected", number, snapshot(kernel)))

    def gather(self, asker: Any, number: int) -> None:
        """Ask all hosts, for *asker*; answer when all have, or after ``GATHER_SECONDS``."""
        kernel = self._host.kernel
        mine = snapshot(kernel)
        missing = list(kernel.remote.neighbours)
        self._gathering[number] = (asker, {kernel.address: mine}, missing)
        for host in missing:
            kernel.remote.op(host, ("inspect", number))
        kernel.wake()
        self._host.loop.call_later(GATHER_SECONDS, self._finish, number)

    def _on_inspected(self, host: str, number: int, found: dict[str, Any]) -> None:
        entry = self._gathering.get(number)
        if entry is not None and host in entry[2]:
            entry[1][host] = found
            entry[2].remove(host)
            if not entry[2]:
                self._finish(number)

    def _finish(self, number: int) -> None:
        entry = self._gathering.pop(number, None)
        if entry is not None:
            asker, hosts, missing = entry
            self._host.tell(asker, Inspected(number, hosts, tuple(missing)))


async def look(entry: Entry, cookie: bytes | None = None) -> Inspected:
    """Attach to a node, take a snapshot of all its hosts, detach.

    Args:
        entry: from ``directory.find``.
        cookie: its shared secret; None is this user's.

    Raises:
        NodeError: it has another cookie, or does not answer.
    """
    async with Attached(entry, cookie) as node:
        found = await node.ask(Inspect(os.getpid()))
    if not isinstance(found, Inspected):
        raise NodeError(f"node {entry.name!r} answered with {found!r}")
    return found
