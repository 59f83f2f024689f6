"""The application of ``foundation demo``: a word index over the standard library's sources.

    Index (rest_for_one)
     ├─ Registry "indexers"      who is at work, and in which host
     ├─ Aggregator               merges counts; each file once, however often it is sent
     ├─ Reader                   hands files out, again when an indexer dies with them
     ├─ DynamicSupervisor "crew" indexers, spread over the worker hosts
     └─ Foreman                  fills the crew

Work is handed out at least once and merged at most once, so any indexer, any worker host and
the reader may be killed at any moment without changing the result. The aggregator holds the
result; when it crashes, everything after it starts anew and indexes from the beginning.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import re
import sysconfig
import tokenize
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundation.errors import StartError
from foundation.otp import (
    Call,
    Caller,
    Continue,
    Down,
    DynamicSupervisor,
    GenServer,
    Pid,
    Registry,
    Stop,
    Supervisor,
    call,
    cast,
    me,
    monitor,
    registry,
    send,
    send_after,
)

WORD = re.compile(r"[A-Za-z_]{3,}")
PROSE = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
BATCH = 4  # files an indexer takes at a time
CREW, INDEXERS = "crew", "indexers"


def source_files(limit: int | None = None) -> list[str]:
    """Return the source files of the standard library, in order; *limit* takes every n-th."""
    root = Path(sysconfig.get_paths()["stdlib"])
    found = sorted(str(p) for p in root.rglob("*.py") if "site-packages" not in p.parts)
    if limit is not None and limit < len(found):
        found = [found[n * len(found) // limit] for n in range(limit)]
    return found


def count_words(path: str) -> dict[str, int]:
    """Count the words of one file: those of its code apart from those of its prose.

    Returns:
        How often ``"code:word"`` (names and keywords) and ``"text:word"`` (comments and
        strings) occur. A file that is no valid Python, as some test data, counts up to there.
    """
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    words: Counter[str] = Counter()
    with contextlib.suppress(tokenize.TokenError, SyntaxError):
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.NAME:
                words["code:" + token.string.lower()] += 1
            elif token.type in PROSE:
                words.update("text:" + word.lower() for word in WORD.findall(token.string))
    return words


def plain_index(
    paths: list[str], seen: Callable[[int], None] = lambda number: None
) -> dict[str, int]:
    """Compute the same index by a plain loop, for comparison; tell *seen* after each file."""
    total: Counter[str] = Counter()
    for number, path in enumerate(paths, 1):
        total.update(count_words(path))
        seen(number)
    return dict(total)


@dataclass(frozen=True)
class Take(Call["list[str] | None"]):
    """Asks the reader for files; None: all is done. An empty list: ask again."""


@dataclass(frozen=True)
class Counted(Call[None]):
    """Gives the aggregator the words of one file."""

    path: str
    words: dict[str, int]


@dataclass(frozen=True)
class Finished:
    """Cast to the reader: these files are merged."""

    paths: tuple[str, ...]


@dataclass(frozen=True)
class HandedBack:
    """Cast to the aggregator by the reader, which may die: an indexer died with so many files."""

    files: int


@dataclass(frozen=True)
class Progress:
    """How far the aggregator is."""

    files: int
    words: int
    repeats: int
    handed_back: int


class Aggregator(GenServer):
    """Holds the index."""

    def init(self) -> None:
        self.total: Counter[str] = Counter()
        self.merged: dict[str, None] = {}
        self.repeats = 0
        self.handed_back = 0

    def handle_call(self, request: Any, caller: Caller) -> Any:
        """Merge a file once; answer questions."""
        match request:
            case Counted(path, words):
                if path in self.merged:
                    self.repeats += 1
                else:
                    self.merged[path] = None
                    self.total.update(words)
                return None
            case "progress":
                return Progress(
                    len(self.merged), len(self.total), self.repeats, self.handed_back
                )
            case "merged":
                return list(self.merged)
            case "index":
                return dict(self.total)
        return super().handle_call(request, caller)

    def handle_cast(self, request: Any) -> None:
        """Count what the reader hands out again."""
        assert isinstance(request, HandedBack)
        self.handed_back += request.files


class Reader(GenServer):
    """Hands files out, and remembers who has which."""

    async def init(self, paths: list[str]) -> None:
        """Begin with what the aggregator does not have yet."""
        done = dict.fromkeys(await call("aggregator", "merged"))
        self.waiting = [path for path in reversed(paths) if path not in done]
        self.given: dict[Pid, dict[str, None]] = {}

    def handle_call(self, request: Any, caller: Caller) -> Any:
        """Give the caller some files."""
        match request:
            case Take():
                return self._give(caller.pid)
        return super().handle_call(request, caller)

    def _give(self, indexer: Pid) -> list[str] | None:
        if not self.waiting:
            return [] if any(self.given.values()) else None
        if indexer not in self.given:
            monitor(indexer)
            self.given[indexer] = {}
        files = [self.waiting.pop() for _ in range(min(BATCH, len(self.waiting)))]
        self.given[indexer].update(dict.fromkeys(files))
        return files

    def handle_cast(self, request: Any) -> None:
        """Files are merged."""
        assert isinstance(request, Finished)
        for files in self.given.values():
            for path in request.paths:
                files.pop(path, None)

    def handle_info(self, message: Any) -> None:
        """An indexer has died: its files are to be done again."""
        if isinstance(message, Down):
            lost = self.given.pop(message.object, {})
            self.waiting.extend(lost)
            cast("aggregator", HandedBack(len(lost)))


class Indexer(GenServer, restart="transient", host="spread"):
    """Counts words in a worker host, until there is nothing left."""

    async def init(self) -> Any:
        """Say where we are."""
        await registry.register(INDEXERS, "indexer", os.getpid())
        send(me(), "work")

    async def handle_info(self, message: Any) -> Any:
        """Do one batch."""
        files = await call("reader", Take())
        if files is None:
            return Stop("normal")
        for path in files:
            await call("aggregator", Counted(path, count_words(path)))
        if files:
            cast("reader", Finished(tuple(files)))
            send(me(), "work")
        else:
            send_after(0.02, me(), "work")
        return None

    def handle_cast(self, request: Any) -> None:
        """Crash, when the demo says so."""
        raise RuntimeError(f"the demo told this indexer to crash: {request}")


class Foreman(GenServer):
    """Fills the crew when it has started."""

    def init(self, count: int) -> Any:
        return Continue(count)

    async def handle_continue(self, argument: Any) -> None:
        """Start the indexers that are missing; where no host is up, wait for one."""
        while (await DynamicSupervisor.count_children(CREW)).specs < argument:
            try:
                await DynamicSupervisor.start_child(CREW, Indexer.spec())
            except StartError:
                await asyncio.sleep(0.05)


class Index(Supervisor):
    """The tree."""

    strategy = "rest_for_one"
    max_restarts = 100

    def init(self, paths: list[str], indexers: int) -> Any:
        """Return the children in the order of who needs whom."""
        return [
            Registry.spec(name=INDEXERS, keys="duplicate"),
            Aggregator.spec(name="aggregator"),
            Reader.spec(paths, name="reader"),
            DynamicSupervisor.spec(name=CREW, max_restarts=1000),
            Foreman.spec(indexers, name="foreman"),
        ]
