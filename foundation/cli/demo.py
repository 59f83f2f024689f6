"""``foundation demo``: the word index at work while its servers and hosts are shot at."""

from __future__ import annotations

import os
import random
import signal
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import foundation
from foundation.cli import word_index
from foundation.cli.progress import Screen
from foundation.errors import CallExit, FoundationError, NoProc
from foundation.otp import cast, exit, registry
from foundation.runtime.node import Node

STEP = 0.05  # seconds between looks
LIMIT = 600.0  # seconds after which the demo gives up


@dataclass
class Score:
    """What happened."""

    files: int = 0
    words: int = 0
    crashes: int = 0
    exits: int = 0
    host_kills: int = 0
    reader_kills: int = 0
    handed_back: int = 0
    repeats: int = 0
    seconds: float = 0.0
    plain_seconds: float = 0.0
    recoveries: list[float] = field(default_factory=list)
    equal: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return plain data for ``--json``."""
        data = dict(vars(self))
        data["recoveries"] = [round(s, 4) for s in self.recoveries]
        return data


def plan(kills: int, rng: random.Random) -> list[tuple[float, str]]:
    """Return at which part of the work what is shot, in order: mostly hosts and indexers."""
    shots = [(rng.uniform(0.05, 0.9), "host") for _ in range(kills)]
    for what in ("crash", "exit"):  # by an exception, by an exit signal
        shots += [(rng.uniform(0.05, 0.9), what) for _ in range(kills)]
    if kills:
        shots.append((rng.uniform(0.2, 0.8), "reader"))
    return sorted(shots)


class Demo:
    """One run.

    Args:
        files: how many source files.
        kills: how many worker hosts to kill; twice as many indexers and the reader are shot too.
        hosts: worker hosts.
        seed: of the moments and the victims.
        screen: shows progress.
        index: computes the index the plain way; tests replace it.
    """

    def __init__(
        self,
        files: int,
        kills: int,
        hosts: int,
        seed: int,
        screen: Screen,
        index: Callable[..., dict[str, int]] = word_index.plain_index,
    ) -> None:
        self._paths = word_index.source_files(files)
        self._rng = random.Random(seed)
        self._shots = plan(kills, self._rng)
        self._hosts = hosts
        self._indexers = 2 * hosts
        self._screen = screen
        self._plain_index = index
        self._score = Score(files=len(self._paths))
        self._shot_at: float | None = None
        self._victims: set[Any] = set()

    def run(self) -> Score:
        """Run the demo and return the score."""
        score, screen = self._score, self._screen
        screen.say(
            f"Indexing {len(self._paths)} source files of the standard library with "
            f"{self._indexers} indexers in {self._hosts} worker hosts; "
            f"{len(self._shots)} shots will be fired."
        )
        began = time.monotonic()
        with foundation.start(
            word_index.Index,
            self._paths,
            self._indexers,
            hosts=self._hosts,
            home="main",
            cluster=False,
            name=f"demo-{os.getpid()}",
            log_level=60,
        ) as node:
            self._watch(node)
            score.seconds = time.monotonic() - began
            index = node.call("aggregator", "index", timeout=60)
        screen.say("Done. Now the same by a plain loop, to compare ...")
        began = time.monotonic()
        plain = self._plain_index(self._paths, self._show_plain)
        score.plain_seconds = time.monotonic() - began
        score.words = len(index)
        score.equal = index == plain
        return score

    def _show_plain(self, done: int) -> None:
        self._screen.progress("plain loop", done, len(self._paths))

    def _watch(self, node: Node) -> None:
        deadline = time.monotonic() + LIMIT
        while True:
            try:
                progress = node.call("aggregator", "progress")
                at_work = node.run(_at_work)
            except (CallExit, NoProc):
                time.sleep(STEP)
                continue
            self._recovered(at_work)
            score = self._score
            self._show(progress.files, len(at_work))
            score.repeats, score.handed_back = progress.repeats, progress.handed_back
            if progress.files == len(self._paths):
                return
            if time.monotonic() > deadline:
                raise FoundationError(f"the demo was not done in {LIMIT} s: {progress}")
            if self._shots and self._shots[0][0] * len(self._paths) <= progress.files:
                self._shoot(node, self._shots[0][1], at_work)
            time.sleep(STEP)

    def _show(self, done: int, at_work: int) -> None:
        score = self._score
        crashes = score.crashes + score.exits + score.reader_kills
        state = f"{at_work} indexers, {crashes} crashes, {score.host_kills} host kills"
        self._screen.progress("supervised", done, len(self._paths), state)

    def _recovered(self, at_work: list[Any]) -> None:
        if (
            self._shot_at is not None
            and len(at_work) == self._indexers
            and self._victims.isdisjoint(at_work)
        ):
            self._score.recoveries.append(time.monotonic() - self._shot_at)
            self._shot_at = None
            self._victims.clear()

    def _shoot(self, node: Node, what: str, at_work: list[Any]) -> None:
        """Fire one shot; one that finds no target is kept for the next look."""
        began = time.monotonic()
        if what == "host":
            victims = self._shoot_host(node, at_work)
        elif what == "reader":
            victims = self._shoot_reader(node, at_work)
        else:
            victims = self._shoot_indexer(node, what, at_work)
        if victims is None:
            return
        self._shots.pop(0)
        self._victims.update(victims)
        if self._shot_at is None:
            self._shot_at = began

    def _shoot_host(self, node: Node, at_work: list[Any]) -> list[Any] | None:
        hosts = {a: p for a, p in node.hosts().items() if "/w" in a}
        if not hosts:
            return None
        address = self._rng.choice(sorted(hosts))
        try:
            os.kill(hosts[address], signal.SIGKILL)
        except ProcessLookupError:
            return None  # the last shot's victim, whose death has not got around yet
        self._score.host_kills += 1
        self._screen.say(f"  SIGKILL to worker host {address} (pid {hosts[address]})")
        return [pid for pid in at_work if pid.host == address]

    def _shoot_reader(self, node: Node, at_work: list[Any]) -> list[Any] | None:
        reader = node.whereis("reader")
        if reader is None:
            return None
        node.run(_kill, reader)
        self._score.reader_kills += 1
        self._screen.say("  exit signal 'kill' to the reader")
        return at_work  # the tree is rest_for_one: the indexers start anew with their reader

    def _shoot_indexer(self, node: Node, what: str, at_work: list[Any]) -> list[Any] | None:
        alive = [pid for pid in at_work if pid not in self._victims]
        if not alive:
            return None
        victim = self._rng.choice(alive)
        if what == "crash":
            node.run(_crash, victim)
            self._score.crashes += 1
            self._screen.say(f"  an exception in indexer {victim!r}")
        else:
            node.run(_kill, victim)
            self._score.exits += 1
            self._screen.say(f"  exit signal 'kill' to indexer {victim!r}")
        return [victim]


async def _at_work() -> list[Any]:
    return [pid for pid, _ in registry.lookup(word_index.INDEXERS, "indexer")]


async def _crash(pid: Any) -> None:
    cast(pid, "now")


async def _kill(pid: Any) -> None:
    exit(pid, "kill")


def report(score: Score) -> list[str]:
    """Return what the demo says at the end."""
    lines = [
        f"{score.files} files, {score.words} different words.",
        f"Survived {score.crashes} exceptions and {score.exits} exit signals in indexers, "
        f"{score.reader_kills} in the reader, and {score.host_kills} SIGKILLs of worker hosts; "
        f"{score.handed_back} files were handed out again when their indexer died, "
        f"{score.repeats} came twice and counted once.",
    ]
    if score.recoveries:
        lines.append(
            "Back to full strength after a shot: "
            f"median {statistics.median(score.recoveries) * 1000:.0f} ms, "
            f"longest {max(score.recoveries) * 1000:.0f} ms "
            f"(looked every {STEP * 1000:.0f} ms)."
        )
    lines.append(f"Supervised: {score.seconds:.1f} s; plain loop: {score.plain_seconds:.1f} s.")
    if score.equal:
        lines.append("The index EQUALS the one computed by the plain loop.")
    else:
        lines.append("The index DIFFERS from the one computed by the plain loop.")
    return lines
