"""Runs the discovery strategies of a node, each in a task of its own.

Invariants:
    D1  Nobody is ever reported as gone: an error, a timeout or an empty answer of a strategy
        changes nothing but the log, the counters and the time of the next poll.
    D2  No strategy delays another.
    D3  After ``close`` no candidate is reported.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable

from foundation.cluster.discovery.poller import Poller, StrategyStatus, Surroundings
from foundation.cluster.discovery.protocol import Advertisement, Strategy

QUICK_FOR = 10.0  # seconds from the start in which polls are quick while nobody is found

_logger = logging.getLogger("foundation")


class Discovery:
    """The strategies of a node at work, on the running asyncio loop.

    Args:
        strategies: not started yet.
        me: this node.
        candidates: called with addresses where a node might be: well-formed, each once, not
            this node's own. The same addresses come again with each poll.
        rng: draws the jitter.
        interval: between polls, in seconds. At first they are quicker, until somebody is found.
        log: takes a level, such as ``"warning"``, and a text; by default Python's logging.
        timeout: for each call of a strategy, in seconds.

    Raises:
        ValueError: an argument is wrong.
    """

    def __init__(
        self,
        strategies: Iterable[Strategy],
        me: Advertisement,
        candidates: Callable[[list[str]], None],
        *,
        rng: random.Random,
        interval: float = 5.0,
        log: Callable[[str, str], None] | None = None,
        timeout: float = 10.0,
    ) -> None:
        for name, value in (("interval", interval), ("timeout", timeout)):
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not value > 0:
                raise ValueError(f"{name} must be a number of seconds above 0, got {value!r}")
        self._candidates = candidates
        self._log = log or _log
        self._tasks: list[asyncio.Task[None]] = []
        self._somebody = False
        self._quick_until = 0.0
        self._closing: asyncio.Task[None] | None = None
        around = Surroundings(me, interval, timeout, self._report, self._quick, self._log)
        self._pollers = [
            Poller(strategy, name, around, random.Random(rng.getrandbits(64)))
            for name, strategy in _named(strategies)
        ]
        self._timeout = timeout

    @property
    def counters(self) -> dict[str, dict[str, int]]:
        """By strategy: ``polls``, ``found``, ``errors``, ``empty``, ``malformed``, its own."""
        return {poller.name: poller.counters for poller in self._pollers}

    def status(self) -> list[StrategyStatus]:
        """Return how each strategy is doing. Only on the event loop."""
        now = asyncio.get_running_loop().time()
        return [poller.status(now) for poller in self._pollers]

    async def start(self) -> None:
        """Start all strategies; their first polls follow at once, in the background.

        Raises:
            RuntimeError: it was started before.
        """
        if self._tasks or self._closing is not None:
            raise RuntimeError("a Discovery starts once; make a new one")
        loop = asyncio.get_running_loop()
        self._quick_until = loop.time() + QUICK_FOR
        for poller in self._pollers:
            task = loop.create_task(poller.run(), name=f"discovery {poller.name}")
            task.add_done_callback(self._ended)
            self._tasks.append(task)

    async def close(self) -> None:
        """Stop polling and close all strategies. Idempotent; raises nothing."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close())
        # Whoever waits may give up; the strategies are closed all the same.
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            # A strategy that swallows the cancellation must not hold up the others.
            await asyncio.wait(self._tasks, timeout=self._timeout)
        await asyncio.gather(*(poller.close() for poller in self._pollers))

    def _quick(self) -> bool:
        return not self._somebody and asyncio.get_running_loop().time() < self._quick_until

    def _report(self, addresses: list[str]) -> None:
        if self._closing is not None:
            return
        self._somebody = True
        try:
            self._candidates(addresses)
        except Exception as error:
            # Not the strategy's fault, so it does not count as its error.
            self._log("error", f"candidates {addresses} were not taken: {error!r}")

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._log("error", f"{task.get_name()} has stopped: {task.exception()!r}")


def _named(strategies: Iterable[Strategy]) -> list[tuple[str, Strategy]]:
    """Give each strategy a name of its own."""
    seen: dict[str, int] = {}
    named = []
    for strategy in strategies:
        if isinstance(strategy, type) or not isinstance(strategy, Strategy):
            raise ValueError(
                f"{strategy!r} is not a discovery strategy: that is an object with `name`, "
                "`start`, `discover` and `close`, such as StaticList, Loopback, MulticastDNS, "
                "UdpGossip, Dns or Kubernetes"
            )
        name = strategy.name
        seen[name] = seen.get(name, 0) + 1
        named.append((name if seen[name] == 1 else f"{name}#{seen[name]}", strategy))
    return named


def _log(level: str, text: str) -> None:
    _logger.log(logging.getLevelNamesMapping().get(level.upper(), logging.WARNING), "%s", text)
