"""Other libraries doing the same, in the same run; each in an interpreter of its own.

A baseline whose library (or ``elixir``) is not here returns None and is left out of the table.
"""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
import socket
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

from thespian.actors import Actor, ActorSystem

from benchmarks.harness import Effort, rate
from benchmarks.transport import raw

SCRIPT = Path(__file__).with_name("baseline.exs")

# Pykka: actors as threads of one interpreter


def _pykka_actor() -> Any:
    import pykka

    class Counter(pykka.ThreadingActor):
        """Counts what it gets."""

        def __init__(self) -> None:
            super().__init__()
            self.count = 0

        def on_receive(self, message: Any) -> int:
            """Count."""
            self.count += 1
            return self.count

    return Counter


def pykka_ask(effort: Effort) -> float:
    """``ask``, which waits for the reply."""
    actor = _pykka_actor().start()
    try:
        return rate(lambda size: [actor.ask("next") for _ in range(size)], effort)
    finally:
        actor.stop()


def pykka_tell(effort: Effort) -> float:
    """``tell``; counted when handled."""
    actor = _pykka_actor().start()

    def batch(size: int) -> None:
        for _ in range(size // 1000):
            for _ in range(1000):
                actor.tell("next")
            actor.ask("next")

    try:
        return rate(batch, effort, start=1000)
    finally:
        actor.stop()


def pykka_start(effort: Effort) -> float:
    """Start actors; each is a thread, so not too many at once."""
    actor_class = _pykka_actor()
    size = effort.size(500)
    rates = []
    for _ in range(effort.repetitions):
        began = time.perf_counter()
        actors = [actor_class.start() for _ in range(size)]
        rates.append(size / (time.perf_counter() - began))
        for actor in actors:
            actor.stop()
    return statistics.median(rates)


def pykka_lookup(effort: Effort) -> float:
    """Find an actor by its name, among a hundred."""
    import pykka

    actors = [_pykka_actor().start() for _ in range(100)]
    urn = actors[50].actor_urn
    find = pykka.ActorRegistry.get_by_urn
    try:
        return rate(lambda size: [find(urn) for _ in range(size)], effort)
    finally:
        pykka.ActorRegistry.stop_all()


# Thespian as it comes: every actor an operating-system process


class Echo(Actor):  # type: ignore[misc]
    """Sends back what it gets."""

    def receiveMessage(self, message: Any, sender: Any) -> None:
        """See the class."""
        if isinstance(message, str):
            self.send(sender, message)


def _stock_system() -> Any:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return ActorSystem("multiprocTCPBase", {"Admin Port": port}, transientUnique=True)


def thespian_ask(effort: Effort) -> float:
    """A program's ``ask``."""
    system = _stock_system()
    try:
        actor = system.createActor(Echo)
        return rate(lambda size: [system.ask(actor, "next", 10) for _ in range(size)], effort)
    finally:
        system.shutdown()


def thespian_start(effort: Effort) -> float:
    """Start actors, each until it answers."""
    system = _stock_system()
    try:
        rates = []
        for _ in range(effort.size(20)):
            began = time.perf_counter()
            system.ask(system.createActor(Echo), "next", 10)
            rates.append(1 / (time.perf_counter() - began))
        return statistics.median(rates)
    finally:
        system.shutdown()


thespian_roundtrip = raw("stock", "roundtrip")
thespian_burst = raw("stock", "burst")

# xoscar: actors in a pool of processes, asyncio within each


def _xoscar(method: str) -> Any:
    def measure(effort: Effort) -> float | None:
        if importlib.util.find_spec("xoscar") is None:
            return None
        from benchmarks import xoscar_bench

        result: float = asyncio.run(getattr(xoscar_bench, method)(effort))
        return result

    return measure


xoscar_local = _xoscar("local")
xoscar_cross = _xoscar("cross")
xoscar_cross_50 = _xoscar("cross_50")

# Elixir


def elixir(what: str) -> Any:
    """Return the baseline that ``baseline.exs`` prints as *what*."""

    def measure(effort: Effort) -> float | None:
        program = shutil.which("elixir")
        if program is None:
            return None
        milliseconds = str(int(effort.seconds * 1000))
        command = [program, str(SCRIPT), what, milliseconds, str(effort.repetitions)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
        return float(done.stdout.split()[-1])

    return measure
