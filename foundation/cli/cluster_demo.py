"""The cluster's part of ``foundation demo``: one node gets ``kill -9``, another is cut off."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import foundation
from foundation.cli import cluster_work, word_index
from foundation.cli.cluster_work import INDEX, JOBS, Settings
from foundation.cli.progress import Screen
from foundation.cluster import NodeDown, NodeUp, await_cluster, subscribe, view
from foundation.cluster.registry import DistributedRegistry
from foundation.cluster.supervisor import UnknownSupervisor, which_children
from foundation.errors import CallExit, FoundationError
from foundation.otp import GenServer, call
from foundation.runtime.node import Node

NODES = ("n1", "n2", "n3")
STEP = 0.01  # seconds between looks
CUT = 6.0  # seconds
LIMIT = 240.0


@dataclass
class ClusterScore:
    """What happened; times in seconds."""

    files: int = 0
    seconds: float = 0.0
    formed: float = 0.0
    kill_noticed: float = 0.0
    kill_recovered: float = 0.0
    cut_noticed: float = 0.0
    cut_recovered: float = 0.0
    healed: float = 0.0
    lives: int = 0
    overlaps: list[str] = field(default_factory=list)
    missing: int = 0
    doubled: int = 0
    equal: bool = False

    @property
    def good(self) -> bool:
        """Whether nothing was lost and nothing ran twice."""
        return self.equal and not (self.overlaps or self.missing or self.doubled)


class Events(GenServer):
    """Collects what the watching node is told of the others."""

    def init(self) -> None:
        subscribe()
        self.down: dict[str, tuple[float, str]] = {}
        self.up: dict[str, float] = {}

    def handle_info(self, message: Any) -> None:
        """Note when nodes came and went."""
        if isinstance(message, NodeDown):
            self.down[message.node] = (time.monotonic(), message.reason)
        elif isinstance(message, NodeUp):
            self.up[message.node] = time.monotonic()

    def handle_call(self, request: Any, caller: Any) -> Any:
        """Return what is noted."""
        return (dict(self.down), dict(self.up))


class ClusterDemo:
    """One run.

    Args:
        files: how many source files.
        screen: shows what happens.
        shards: over how many partitions.
    """

    def __init__(self, files: int, screen: Screen, shards: int = 6) -> None:
        self._paths = word_index.source_files(files)
        self._screen = screen
        self._shards = shards
        self._programs: dict[str, subprocess.Popen[bytes]] = {}
        self._score = ClusterScore(files=len(self._paths))
        self._began = 0.0

    def run(self) -> ClusterScore:
        """Run the demo and return the score."""
        with tempfile.TemporaryDirectory(prefix="foundation-demo-") as directory:
            name, files = f"demo-{os.getpid()}", len(self._paths)
            self._settings = Settings(name, directory, len(NODES) + 1, files, self._shards)
            try:
                self._watch()
            finally:
                self._stop_programs()
            self._verify(directory)
        return self._score

    def _watch(self) -> None:
        self._began = time.monotonic()
        self._say(f"starting the nodes {', '.join(NODES)}; this program watches as a fourth")
        for name in NODES:
            self._start(name)
        with foundation.start(
            [cluster_work.names(), Events.spec(name="events")],
            name="watcher",
            hosts=1,
            cluster=self._settings.config(),
            log_level=60,
        ) as node:
            node.run(await_cluster, len(NODES) + 1)
            self._score.formed = time.monotonic() - self._began
            self._wait("all children to run", lambda: self._all_run(node, NODES))
            self._say(f"all {self._shards + 1} children run: {self._placement(node)}")
            self._until_done(node, 0.2)
            self._kill(node, "n2")
            self._until_done(node, 0.4)
            self._restart(node, "n2")
            self._until_done(node, 0.55)
            self._cut_off(node, "n3")
            self._until_done(node, 1.0)
            self._score.seconds = time.monotonic() - self._began
            self._say("all files are indexed; stopping the nodes")

    # The acts

    def _kill(self, node: Node, name: str) -> None:
        self._say(f"kill -9 to node {name} (all its processes)")
        began = time.monotonic()
        program = self._programs.pop(name)
        program.send_signal(signal.SIGKILL)
        program.wait()
        if program.stdin is not None:
            program.stdin.close()
        at, reason = self._down(node, name, began)
        self._score.kill_noticed = at - began
        rest = [other for other in NODES if other != name]
        self._wait("the others to take over", lambda: self._all_run(node, rest))
        self._score.kill_recovered = time.monotonic() - began
        self._say(
            f"the others knew after {self._score.kill_noticed * 1000:.0f} ms ({reason}); all "
            f"children ran again after {self._score.kill_recovered * 1000:.0f} ms: "
            f"{self._placement(node)}"
        )

    def _restart(self, node: Node, name: str) -> None:
        self._start(name)
        node.run(await_cluster, len(NODES) + 1)
        self._wait("its share to move there", lambda: name in self._placement(node))
        self._wait("all children to run", lambda: self._all_run(node, NODES))
        self._say(f"node {name} is back and got its share: {self._placement(node)}")

    def _cut_off(self, node: Node, name: str) -> None:
        others = [other for other in (*NODES, "watcher") if other != name]
        rest = [other for other in NODES if other != name]
        self._say(f"cutting {name} off from all others for {CUT:.0f} s (it lives on)")
        node.call(("knife", name), (others, CUT))
        began = time.monotonic()
        at, reason = self._down(node, name, began)
        self._score.cut_noticed = at - began
        self._wait("the others to take over", lambda: self._all_run(node, rest))
        self._score.cut_recovered = time.monotonic() - began
        self._say(
            f"the others missed it after {self._score.cut_noticed:.1f} s ({reason}); it is in the "
            f"minority and has stopped its children; they ran elsewhere after "
            f"{self._score.cut_recovered:.1f} s: {self._placement(node)}"
        )
        node.run(await_cluster, len(NODES) + 1)
        self._score.healed = time.monotonic() - began - CUT
        self._wait("its share to move back", lambda: name in self._placement(node))
        self._wait("all children to run", lambda: self._all_run(node, NODES))
        self._say(f"healed: {name} is a member again; {self._placement(node)}")

    # Looking

    def _say(self, text: str) -> None:
        self._screen.say(f"  {time.monotonic() - self._began:6.2f} s  {text}")

    def _wait(self, what: str, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not condition():
            if time.monotonic() > deadline:
                raise FoundationError(f"the demo waited for {what} for 30 s")
            time.sleep(STEP)

    def _all_run(self, node: Node, nodes: Any) -> bool:
        states = node.run(_children)
        alive = node.run(_members)
        return len(states) == self._shards + 1 and all(
            s.status == "running" and s.node in nodes and s.node in alive for s in states
        )

    def _placement(self, node: Node) -> str:
        count = Counter(s.node for s in node.run(_children) if s.pid is not None)
        return ", ".join(f"{name} has {count[name]}" for name in sorted(count, key=str))

    def _down(self, node: Node, name: str, since: float) -> tuple[float, str]:
        found: list[tuple[float, str]] = []

        def noticed() -> bool:
            down, _ = node.call("events", "look")
            if name in down and down[name][0] >= since:
                found.append(down[name])
            return bool(found)

        self._wait(f"news of the end of {name}", noticed)
        return found[0]

    def _until_done(self, node: Node, part: float) -> None:
        deadline = time.monotonic() + LIMIT
        while True:
            done = node.run(_progress)
            if done is not None:
                self._screen.progress("three nodes", done, len(self._paths))
                if done >= part * len(self._paths):
                    return
            if time.monotonic() > deadline:
                raise FoundationError(f"the cluster's part was not done in {LIMIT} s: {done}")
            time.sleep(5 * STEP)

    # Programs

    def _start(self, name: str) -> None:
        settings = json.dumps(dataclasses.asdict(self._settings))
        command = [sys.executable, "-m", "foundation.cli.cluster_work", name, settings]
        self._programs[name] = subprocess.Popen(
            command, stdin=subprocess.PIPE, start_new_session=True
        )

    def _stop_programs(self) -> None:
        for program in self._programs.values():
            program.terminate()
        for program in self._programs.values():
            try:
                program.wait(15)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()
            if program.stdin is not None:
                program.stdin.close()

    # Afterwards

    def _verify(self, directory: str) -> None:
        score = self._score
        score.lives, score.overlaps = overlaps(directory)
        entries = list(cluster_work.read_index(directory))
        score.missing = len(self._paths) - len({path for path, _ in entries})
        score.doubled = len(entries) - len({path for path, _ in entries})
        total: Counter[str] = Counter()
        for _, words in entries:
            total.update(words)
        score.equal = dict(total) == word_index.plain_index(self._paths)


def overlaps(directory: str) -> tuple[int, list[str]]:
    """Return how many lives the children had, and which of one child met each other."""
    lives: dict[str, dict[tuple[str, str, str], list[float]]] = {}
    for path in sorted(Path(directory).glob("journal-*")):
        for line in path.read_text().splitlines():
            parts = line.split()
            if len(parts) == 4:
                at, what, where, number = parts
                life = lives.setdefault(what, {}).setdefault((where, number, path.name), [])
                life.append(float(at))
    found = []
    for what, by_life in lives.items():
        spans = sorted((min(beats), max(beats), life) for life, beats in by_life.items())
        for (_, end, one), (start, _, other) in itertools.pairwise(spans):
            if start <= end:
                found.append(f"{what}: {one[:2]} and {other[:2]} for {end - start:.3f} s")
    return sum(map(len, lives.values())), found


async def _children() -> list[Any]:
    try:
        return which_children(JOBS)
    except UnknownSupervisor:
        return []  # the nodes are there, and have not started their applications yet


async def _members() -> tuple[str, ...]:
    return view().names


async def _progress() -> int | None:
    try:
        found: int = await call(DistributedRegistry.via("names", INDEX), "progress", timeout=1)
    except CallExit:
        return None
    return found


def report(score: ClusterScore) -> list[str]:
    """Return what the demo says at the end."""
    ran = f"{score.lives} lives of the children, no two of one child at a time"
    twice = f"RAN TWICE: {score.overlaps}." if score.overlaps else f"Nothing ran twice: {ran}."
    lost = "Nothing was lost" if not (score.missing or score.doubled) else "LOST or doubled"
    equal = "EQUALS" if score.equal else "DIFFERS from"
    return [
        f"Three nodes: formed in {score.formed:.1f} s; after kill -9 of one all ran again in "
        f"{score.kill_recovered * 1000:.0f} ms; with one cut off, in {score.cut_recovered:.1f} s; "
        f"whole again {max(0.0, score.healed):.1f} s after the cut was mended.",
        twice,
        f"{lost}: {score.missing} of {score.files} files are missing, {score.doubled} were merged "
        f"twice; the index {equal} the one computed by the plain loop.",
    ]


__all__ = ["ClusterDemo", "ClusterScore", "overlaps", "report"]
