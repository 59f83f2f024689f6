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
from foundation.otp import cast, registry
from foundation.runtime.node import Node

STEP = 0.05  # seconds between looks
LIMIT = 600.0  # seconds after which the demo gives up


@dataclass
class Score:
    """What happened."""

    files: int = 0
    words: int = 0
    crashes: int = 0
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
    shots += [(rng.uniform(0.05, 0.95), "indexer") for _ in range(2 * kills)]
    if kills:
        shots.append((rng.uniform(0.2, 0.8), "reader"))
    return sorted(shots)


class Demo:
    """One run.

    Args:
        files: how many source files; None is all.
        kills: how many worker hosts to kill; twice as many indexers are crashed.
        hosts: worker hosts.
        seed: of the moments and the victims.
        screen: shows progress.
        index: computes the index the plain way; tests replace it.
    """

    def __init__(
        self,
        files: int | None,
        kills: int,
        hosts: int,
        seed: int,
        screen: Screen,
        index: Callable[[list[str]], dict[str, int]] = word_index.plain_index,
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
            name=f"demo-{os.getpid()}",
            log_level=60,
        ) as node:
            self._watch(node)
            score.seconds = time.monotonic() - began
            index = node.call("aggregator", "index", timeout=60)
            score.handed_back = node.call("reader", "handed back")
        screen.say("Done. Now the same by a plain loop, to compare ...")
        began = time.monotonic()
        plain = self._plain_index(self._paths)
        score.plain_seconds = time.monotonic() - began
        score.words = len(index)
        score.equal = index == plain
        return score

    def _watch(self, node: Node) -> None:
        deadline = time.monotonic() + LIMIT
        while True:
            try:
                progress = node.call("aggregator", "progress")
                at_work = len(node.run(_at_work))
            except (CallExit, NoProc):
                time.sleep(STEP)
                continue
            self._recovered(at_work)
            self._screen.progress(progress.files, len(self._paths), at_work, vars(self._score))
            self._score.repeats = progress.repeats
            if progress.files == len(self._paths):
                return
            if time.monotonic() > deadline:
                raise FoundationError(f"the demo was not done in {LIMIT} s: {progress}")
            while self._shots and self._shots[0][0] * len(self._paths) <= progress.files:
                self._shoot(node, self._shots.pop(0)[1])
            time.sleep(STEP)

    def _recovered(self, at_work: int) -> None:
        if self._shot_at is not None and at_work == self._indexers:
            self._score.recoveries.append(time.monotonic() - self._shot_at)
            self._shot_at = None

    def _shoot(self, node: Node, what: str) -> None:
        if what == "host":
            hosts = {a: p for a, p in node.hosts().items() if "/w" in a}
            if not hosts:
                return
            address = self._rng.choice(sorted(hosts))
            os.kill(hosts[address], signal.SIGKILL)
            self._score.host_kills += 1
            self._screen.say(f"  SIGKILL to worker host {address} (pid {hosts[address]})")
        elif what == "reader":
            node.run(_kill, "reader")
            self._score.reader_kills += 1
            self._screen.say("  killed the reader")
        else:
            indexers = node.run(_at_work)
            if not indexers:
                return
            victim = self._rng.choice(indexers)
            node.run(_crash, victim)
            self._score.crashes += 1
            self._screen.say(f"  made {victim!r} crash")
        if self._shot_at is None:
            self._shot_at = time.monotonic()


async def _at_work() -> list[Any]:
    return [pid for pid, _ in registry.lookup(word_index.INDEXERS, "indexer")]


async def _crash(pid: Any) -> None:
    cast(pid, "now")


async def _kill(name: str) -> None:
    from foundation.otp import exit, whereis

    pid = whereis(name)
    if pid is not None:
        exit(pid, "kill")


def report(score: Score) -> list[str]:
    """Return what the demo says at the end."""
    lines = [
        f"{score.files} files, {score.words} different words.",
        f"Survived {score.crashes} crashes of indexers, {score.reader_kills} of the reader and "
        f"{score.host_kills} SIGKILLs of worker hosts; {score.handed_back} files were handed "
        f"out again, {score.repeats} came twice and counted once.",
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
