"""The application of the cluster's part of ``foundation demo``: the word index over three nodes.

    on each node
     ├─ DistributedRegistry "names"
     ├─ Knife                          cuts its node off from the others when told to
     └─ DistributedSupervisor "jobs"   on_minority="stop": never two of a child
         ├─ "index"                    a singleton: merges counts, each file once, into a file
         └─ ("shard", 0) … (…, n - 1)  partitioned: each counts its share of the files

Whatever node a shard runs on, it asks the index which of its files are missing and goes on with
those; the index goes on from what it has written. Every child writes a *beat* into its node's
journal every few milliseconds, so that afterwards anybody can see whether two lived at one time.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import foundation
from foundation.cli.word_index import count_words, source_files
from foundation.cluster import ClusterConfig, chaos, node
from foundation.cluster.discovery import Loopback
from foundation.cluster.registry import DistributedRegistry
from foundation.cluster.supervisor import DistributedSupervisor, child, generation
from foundation.errors import CallExit
from foundation.otp import Call, Caller, GenServer, NoReply, call, me, reply, send, send_after

JOBS, INDEX, SHARD = "jobs", "index", "shard"
BEAT = 0.02  # seconds
PACE = 0.1  # seconds a shard rests after each file, or it would be over before it can be watched
LOG = "index.jsonl"


@dataclass(frozen=True)
class Settings:
    """What every node of the demo is told.

    Attributes:
        cluster: name of the cluster.
        directory: for rendezvous, journals and the index.
        nodes: how many, the watching program included.
        files: how many source files.
        shards: how many partitions.
    """

    cluster: str
    directory: str
    nodes: int
    files: int
    shards: int

    def config(self) -> ClusterConfig:
        """Return the cluster's settings."""
        return ClusterConfig(
            name=self.cluster,
            strategies=(Loopback(os.path.join(self.directory, "rendezvous")),),
            expected_size=self.nodes,
        )


class Beating(GenServer):
    """Base of the children: writes beats. ``name_`` is set by ``begin``."""

    def begin(self, directory: str, what: str) -> None:
        """Write the first beat."""
        path = Path(directory) / f"journal-{node()}-{os.getpid()}-{me().serial}"
        self.journal = path.open("a", buffering=1)
        self.head = f"{what} {node()} {generation()}"
        self.beat()

    def beat(self) -> None:
        """Write one, and see to the next."""
        self.journal.write(f"{time.monotonic():.6f} {self.head}\n")
        send_after(BEAT, me(), "beat")

    def terminate(self, reason: Any) -> None:
        """Close the journal."""
        self.journal.close()


@dataclass(frozen=True)
class Missing(Call["list[str]"]):
    """Asks the index which of these files it has not."""

    paths: tuple[str, ...]


@dataclass(frozen=True)
class Counted(Call[None]):
    """Gives the index the words of one file."""

    path: str
    words: dict[str, int]


class Index(Beating):
    """The singleton: merges counts into a file, each source file once."""

    def init(self, directory: str) -> None:
        """Go on from what is written."""
        self.path = Path(directory) / LOG
        self.have = {path for path, _ in read_index(directory)}
        self.log = self.path.open("a", buffering=1)
        self.repeats = 0
        self.begin(directory, INDEX)

    def handle_call(self, request: Any, caller: Caller) -> Any:
        """Merge, or say what is missing."""
        match request:
            case Missing(paths):
                return [path for path in paths if path not in self.have]
            case Counted(path, words):
                if path in self.have:
                    self.repeats += 1
                else:
                    self.log.write(json.dumps([path, words]) + "\n")
                    self.have.add(path)
                return None
            case "progress":
                return len(self.have)
        return super().handle_call(request, caller)

    def handle_info(self, message: Any) -> None:
        """Beat."""
        self.beat()

    def terminate(self, reason: Any) -> None:
        """Close the files."""
        self.log.close()
        super().terminate(reason)


class Shard(Beating):
    """One partition: counts the words of its share of the files."""

    def init(self, directory: str, files: int, shards: int, partition: int) -> None:
        """Find out about the share."""
        self.share = tuple(source_files(files)[partition::shards])
        self.todo: list[str] | None = None
        self.begin(directory, f"{SHARD}-{partition}")
        send(me(), "work")

    async def handle_info(self, message: Any) -> None:
        """Beat, or count one file; a call that fails is made again, which does no harm."""
        if message == "beat":
            self.beat()
            return
        rest = PACE
        try:
            index = DistributedRegistry.via("names", INDEX)
            if self.todo is None:
                self.todo = await call(index, Missing(self.share), timeout=1)
            elif self.todo:
                path = self.todo[-1]
                await call(index, Counted(path, count_words(path)), timeout=1)
                self.todo.pop()
        except CallExit:
            rest = 2 * PACE
        if self.todo != []:
            send_after(rest, me(), "work")


class Knife(GenServer):
    """Cuts its node off from others for a while."""

    def handle_call(self, request: Any, caller: Caller) -> Any:
        """Answer, then cut; nobody could hear the answer afterwards."""
        reply(caller, "cutting")
        send_after(0.1, me(), request)
        return NoReply()

    async def handle_info(self, message: Any) -> None:
        """Cut, wait, heal."""
        others, seconds = message
        await chaos.cut_off(*others)
        await asyncio.sleep(seconds)
        await chaos.heal()


def application(settings: Settings) -> list[Any]:
    """Return what runs on each of the three nodes."""
    where = settings.directory
    index = Index.spec(where, name=DistributedRegistry.via("names", INDEX))
    shards = Shard.spec(where, settings.files, settings.shards)
    return [
        names(),
        Knife.spec(name="knife"),
        DistributedSupervisor.spec(
            name=JOBS,
            on_minority="stop",
            max_restarts=100,
            children=[
                child(index, id=INDEX),
                child(shards, id=SHARD, partitions=settings.shards),
            ],
        ),
    ]


def names() -> Any:
    """Return the registry, which the watching program has, too."""
    return DistributedRegistry.spec(name="names")


def read_index(directory: str) -> Iterator[tuple[str, dict[str, int]]]:
    """Iterate over what the index has written; a last line may be torn."""
    try:
        lines = (Path(directory) / LOG).read_text().splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            path, words = json.loads(line)
        except ValueError:
            continue
        yield path, words


def main() -> int:
    """Run one node: ``python -m foundation.cli.cluster_work NAME SETTINGS``."""
    name, text = sys.argv[1:]
    settings = Settings(**json.loads(text))
    threading.Thread(target=_end_with_the_demo, daemon=True).start()
    return foundation.run(
        application(settings), name=name, hosts=1, cluster=settings.config(), log_level=60
    )


def _end_with_the_demo() -> None:
    while os.read(0, 1000):
        pass  # until the demo closes it, or dies
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
