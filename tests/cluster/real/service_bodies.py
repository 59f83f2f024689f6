"""What uses the registry, the topics, presence and distributed children inside the nodes."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from foundation.cluster import node, pubsub, registry, supervisor
from foundation.cluster.pubsub import Tracker
from foundation.cluster.registry import (
    DistributedRegistry,
    NameConflict,
    UnknownDistributedRegistry,
)
from foundation.cluster.supervisor import DistributedSupervisor
from foundation.otp import (
    AlreadyRegistered,
    CallExit,
    GenServer,
    call,
    me,
    receive,
    send_after,
    trap_exit,
)

NAMES = "names"
JOBS = "jobs"
STRICT = "strict"
BEAT = 0.05  # seconds between two lines of a job


def services() -> Any:
    """The application of a node with everything."""
    return [
        DistributedRegistry.spec(name=NAMES, keys="unique"),
        DistributedSupervisor.spec(name=JOBS),
    ]


def strict_services() -> Any:
    """The same with children that must never run twice."""
    return [
        DistributedRegistry.spec(name=NAMES, keys="unique"),
        DistributedSupervisor.spec(name=STRICT, on_minority="stop"),
    ]


# Distributed children


class Job(GenServer):
    """Writes a line when it starts, when it ends in order, and every ``BEAT``."""

    def init(self, id: Any, folder: str) -> None:
        trap_exit(True)
        self.life = f"{id} {node()} {supervisor.generation()} {os.getpid()}-{me().serial}"
        self.file = os.open(Path(folder) / "jobs", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.write("start")
        send_after(BEAT, me(), "beat")

    def write(self, what: str) -> None:
        os.write(self.file, f"{time.monotonic():.4f} {what} {self.life}\n".encode())

    def handle_info(self, message: Any) -> None:
        if message == "beat":
            self.write("beat")
            send_after(BEAT, me(), "beat")

    def handle_call(self, request: Any, caller: Any) -> Any:
        return node()

    def terminate(self, reason: Any) -> None:
        self.write("end")
        os.close(self.file)


async def start_jobs(name: str, count: int, folder: str) -> int:
    """Start children 0 … of the supervisor *name*; return how many it has."""
    spawned = (
        supervisor.start_child(name, Job.spec(number, folder), id=number) for number in range(count)
    )
    await asyncio.gather(*spawned)
    return supervisor.count_children(name)["children"]


async def jobs_of(name: str) -> list[tuple[int, str | None, str]]:
    """Return ``(id, node, status)`` of all children, sorted, as this node knows them."""
    return sorted(
        (c.id, c.node, c.status) for c in supervisor.which_children(name) if type(c.id) is int
    )


async def explained(name: str, count: int) -> dict[int, Any]:
    """Say of each child that does not run once why."""
    found = {}
    for number in range(count):
        mine = [c for c in supervisor.which_children(name) if c.id == number]
        if [c.status for c in mine] != ["running"]:
            found[number] = mine, await supervisor.explain(name, number)
    return found


async def call_jobs(name: str, count: int) -> list[str | None]:
    """Call all children; return the node each says it is on."""
    found = []
    for number in range(count):
        pid = supervisor.whereis_child(name, number)
        try:
            found.append(None if pid is None else await call(pid, "where", timeout=2))
        except CallExit:
            found.append(None)
    return found


# A service with a name, used by clients that count


class Ledger(GenServer):
    """Remembers which increments it has carried out, in a file, as a database would."""

    def init(self, folder: str) -> Any:
        trap_exit(True)
        self.path = Path(folder) / "ledger"

    def handle_call(self, request: str, caller: Any) -> str:
        with self.path.open("a") as file:
            file.write(f"{request} {time.monotonic():.4f} {me()}\n")
        return node()


class KeptLedger(Ledger):
    """Hands its number of increments on when it moves."""

    def init(self, folder: str) -> Any:
        super().init(folder)
        self.count = 0

    def handle_call(self, request: str, caller: Any) -> Any:
        self.count += 1
        return super().handle_call(request, caller), self.count

    def export_state(self) -> int:
        return self.count

    def import_state(self, state: int) -> None:
        self.count = state


async def start_ledger(folder: str, name: str = JOBS) -> Any:
    """Start the ledger, once in the cluster, under a name of the registry."""
    spec = KeptLedger.spec(folder, name=DistributedRegistry.via(NAMES, "ledger"))
    return await supervisor.start_child(name, spec, id="ledger")


async def scribe(label: str, folder: str) -> None:
    """Increment for ever, and write down what came of it."""
    ledger = DistributedRegistry.via(NAMES, "ledger")
    files = {
        what: (Path(folder) / f"{what}-{label}").open("a", buffering=1)
        for what in ("asking", "acknowledged", "unsure", "retries")
    }
    number = 0
    while True:
        number += 1
        request = f"{label}-{number}"
        files["asking"].write(request + "\n")
        while True:
            try:
                await call(ledger, request, timeout=5)
                files["acknowledged"].write(request + "\n")
                break
            except CallExit as error:
                if not error.definite:
                    files["unsure"].write(request + "\n")
                    break
                files["retries"].write(f"{request} {time.monotonic():.4f} {error!r}\n")
            except UnknownDistributedRegistry:
                pass  # that of this node is being started
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.02)


_stop: list[bool] = []


def stop_clients(running: Any) -> None:
    """Let ``client`` come to an end."""
    _stop.append(True)


async def client(label: str) -> dict[str, Any]:
    """Increment until told to stop, again after errors that say it is safe.

    Returns:
        ``acknowledged`` and ``unsure`` requests, ``retries``, ``longest`` wait in seconds, the
        last ``count``, and texts of the errors that were not safe.
    """
    acknowledged, unsure, texts, retries, longest, count = [], [], [], 0, 0.0, 0
    ledger = DistributedRegistry.via(NAMES, "ledger")
    number = 0
    while not _stop:
        number += 1
        request, began = f"{label}-{number}", time.monotonic()
        while not _stop or time.monotonic() < began + 20:
            try:
                _, count = await call(ledger, request, timeout=10)
                acknowledged.append(request)
                break
            except CallExit as error:
                if not error.definite:
                    unsure.append(request)
                    texts.append(f"{type(error).__name__}: {error}")
                    break
                retries += 1
                await asyncio.sleep(0.01)
        longest = max(longest, time.monotonic() - began)
        await asyncio.sleep(0.005)
    return {
        "acknowledged": acknowledged,
        "unsure": unsure,
        "retries": retries,
        "longest": longest,
        "count": count,
        "texts": texts,
    }


# Names


_held: list[Any] = []
_lost: list[Any] = []


async def hold(keys: list[Any]) -> None:
    """Register those of *keys* that are free, and stay; keep what is said of conflicts."""
    trap_exit(True)
    for key in keys:
        try:
            await registry.register(NAMES, key, node())
            _held.append(key)
        except AlreadyRegistered:
            continue
    while True:
        message = await receive()
        reason = getattr(message, "reason", message)
        _lost.append(reason.key if isinstance(reason, NameConflict) else repr(message))


def held(running: Any) -> tuple[list[Any], list[Any]]:
    """Return the keys that ``hold`` has got, and those it was told to have lost."""
    return list(_held), list(_lost)


async def holders(keys: list[Any]) -> list[str | None]:
    """Return on which node each key is held, as this node knows."""
    found = []
    for key in keys:
        entries = registry.lookup(NAMES, key)
        found.append(entries[0].node if entries else None)
    return found


async def race(keys: list[Any]) -> dict[Any, int]:
    """Register *keys* all at once; return the tokens of those won. Holds them for ever."""
    won: dict[Any, int] = {}

    async def one(key: Any) -> None:
        try:
            won[key] = await registry.register(NAMES, key, node())
        except AlreadyRegistered:
            return

    await asyncio.gather(*map(one, keys))
    _won.update(won)
    while True:
        await receive()


_won: dict[Any, int] = {}


def won(running: Any) -> dict[Any, int]:
    """Return what ``race`` has won."""
    return dict(_won)


# Topics and presence

_news: list[Any] = []


async def listen(topic: str) -> None:
    """Keep what is said on *topic*, and be present there."""
    await pubsub.subscribe(topic)
    await Tracker.track(topic, f"user-{node()}", {"node": node()})
    _news.append("listening")
    while True:
        _news.append(await receive())


def news(running: Any) -> list[Any]:
    """Return what ``listen`` has kept."""
    return list(_news)


async def say(topic: str, messages: list[Any]) -> None:
    """Broadcast on *topic*."""
    for message in messages:
        pubsub.broadcast(topic, message)


async def present(topic: str) -> list[str]:
    """Return who is present on *topic*, sorted."""
    return sorted(map(str, Tracker.list(topic)))
