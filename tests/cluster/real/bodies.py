"""What runs inside the nodes under test: servers, bodies of processes, looks from outside."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from foundation.cluster import await_cluster, node, subscribe
from foundation.cluster.host import TABLE, ClusterHost
from foundation.otp import (
    CallExit,
    GenServer,
    StartError,
    Stop,
    call,
    exit,
    link,
    monitor,
    receive,
    trap_exit,
)
from foundation.otp import whereis as whereis_here

# Looks at a node, called by ``RealNode.do``


def view_of(running: Any) -> tuple[Any, bool, list[str]]:
    """Return what the program's host knows: view, settled, nodes that are ready."""
    cluster: ClusterHost = running.asynchronous.program.host.kernel.tables[TABLE]
    return cluster.view, cluster.settled, list(cluster.ready)


def hosts(running: Any) -> dict[str, int]:
    """Return the operating-system pids of the hosts."""
    return dict(running.hosts())


# Events

_recorded: list[tuple[float, Any]] = []
_recorders: list[bool] = []


async def record() -> None:
    """Keep all events of the cluster that come from now on."""
    subscribe()
    _recorders.append(True)
    while True:
        message = await receive()
        _recorded.append((time.monotonic(), message))


def recording(running: Any) -> bool:
    """Whether ``record`` has begun."""
    return bool(_recorders)


def recorded(running: Any) -> list[tuple[float, Any]]:
    """Return what ``record`` has kept."""
    return list(_recorded)


# Servers


class Counter(GenServer):
    """Counts, says where it is, and fails on demand."""

    def init(self, value: int = 0) -> None:
        self.value = value

    def handle_call(self, request: Any, caller: Any) -> Any:
        match request:
            case "node":
                return node()
            case "os_pid":
                return os.getpid()
            case "crash":
                raise ValueError("asked to crash")
            case "stop":
                return Stop("normal", reply="bye")
            case int():
                self.value += request
                return self.value
        return super().handle_call(request, caller)

    def handle_cast(self, request: int) -> None:
        self.value += request

    def handle_info(self, message: Any) -> None:
        self.value += message


def counter() -> Any:
    """The application of most nodes: one server with a name."""
    return [Counter.spec(name="counter")]


def whereis(running: Any, name: str) -> Any:
    """Return who holds *name* on the node."""
    return running.whereis(name)


def resolve(running: Any, name: str, on: str) -> Any:
    """Return who holds *name* on the node *on*, as the program's host knows it."""
    return running.asynchronous.program.host.kernel.resolve_on(name, on)


# Bodies of processes

_watched: list[Any] = []


async def watch(pid: Any) -> tuple[Any, float]:
    """Monitor *pid*; return the message that comes of it, and when."""
    monitor(pid)
    _watched.append(pid)
    message = await receive()
    return message, time.monotonic()


def is_watched(running: Any, pid: Any) -> bool:
    """Whether ``watch`` has begun to monitor *pid*."""
    return pid in _watched


async def start_counter(host: str, name: str | None = None) -> Any:
    """Start a `Counter` in that host and let it be; return its pid."""
    return await Counter.start(host=host, name=name)


async def try_start(host: str) -> Any:
    """As ``start_counter``; None when the host is not up."""
    try:
        return await Counter.start(host=host)
    except (StartError, CallExit):
        return None


async def call_it(server: Any, request: Any, timeout: float = 5.0) -> Any:
    """Call *server*."""
    return await call(server, request, timeout=timeout)


async def call_patiently(server: Any, request: Any) -> Any:
    """Call *server*, again after errors that say that it is safe; return the reply."""
    deadline = time.monotonic() + 15
    while True:
        try:
            return await call(server, request, timeout=5)
        except CallExit as error:
            if not error.definite or time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.02)


async def linked_to(pid: Any) -> list[Any]:
    """Link to *pid*; return the reasons of all exits, until none comes for half a second."""
    trap_exit(True)
    link(pid)
    reasons = [(await receive()).reason]
    while True:
        try:
            reasons.append((await receive(timeout=0.5)).reason)
        except TimeoutError:
            return reasons


async def call_for(server: Any, seconds: float) -> dict[str, int]:
    """Call *server* again and again; return how often what came of it, and the longest wait."""
    outcomes: dict[str, int] = {}
    longest = 0.0
    end = time.monotonic() + seconds
    while (began := time.monotonic()) < end:
        try:
            await call(server, "node", timeout=10)
            what = "ok"
        except CallExit as error:
            what = f"{type(error).__name__} {error.reason}"
        outcomes[what] = outcomes.get(what, 0) + 1
        longest = max(longest, time.monotonic() - began)
        await asyncio.sleep(0.01)
    return {**outcomes, "longest ms": round(longest * 1000)}


async def start_linked_and_look(host: str, name: str) -> tuple[bool, Any]:
    """Start a linked server; return whether it is known by name and node, and its plain name."""
    pid = await Counter.start_link(host=host, name=name)
    known = await call((name, node(pid)), "node") == node(pid)
    plain = whereis_here(name)
    trap_exit(True)
    exit(pid, "kill")
    await receive()
    return known, plain


# Discovery


class Failing:
    """A discovery strategy that finds nodes as `StaticList` does, until the file *switch* is full.

    Then it raises, finds nobody, answers nonsense or hangs, as *mode* says.
    """

    def __init__(self, addresses: tuple[str, ...], switch: str, mode: str) -> None:
        self.addresses = addresses
        self.switch = switch
        self.name = mode

    async def start(self, me: Any, found: Any) -> None:
        """There is nothing to start."""

    async def discover(self) -> Any:
        """Return the addresses, or fail."""
        if not self.fails():
            return self.addresses
        if self.name == "raise":
            raise OSError("403 forbidden")
        if self.name == "hang":
            await asyncio.sleep(3600)
        return () if self.name == "empty" else 7

    def fails(self) -> bool:
        """Whether it has been told to."""
        return os.path.getsize(self.switch) > 0

    async def close(self) -> None:
        """There is nothing to close."""


async def wait_for_nodes(count: int, timeout: float) -> Any:
    """Return the view once so many nodes agree."""
    return await await_cluster(count, timeout)
