"""Runs one discovery strategy: starts it, polls it, and takes its failures in good part."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from foundation.cluster.discovery.addresses import canonical
from foundation.cluster.discovery.protocol import Advertisement, Strategy

QUICK = (0.3, 0.5, 1.0, 2.0)  # between the first polls; the last one repeats
FIRST_RETRY = 0.5
_SHORTEST_RETRY = 0.05  # full jitter may draw next to nothing, which would be a busy loop
_LONGEST_RETRY = 6  # intervals
_MOST_TEXTS = 50  # of errors logged once each; an endless variety must not fill the log


@dataclass(frozen=True, slots=True)
class StrategyStatus:
    """How one strategy is doing.

    Attributes:
        name: of the strategy; a second one of the same name is ``name#2``.
        polls: how often it was asked.
        errors: how often it failed, to start or to answer.
        last_error: why it failed the last time; None when it works.
        last_found: the candidates in its last answer, or in what it told since.
        next_in: seconds until it is asked again; 0.0 while it is being asked.
    """

    name: str
    polls: int
    errors: int
    last_error: str | None
    last_found: tuple[str, ...]
    next_in: float


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the pollers of one node share.

    Attributes:
        me: this node.
        interval: between polls, in seconds.
        timeout: for each call of a strategy, in seconds.
        report: takes candidates.
        quick: whether to poll quickly, since nobody has been found yet.
        log: takes a level, such as ``"warning"``, and a text.
    """

    me: Advertisement
    interval: float
    timeout: float
    report: Callable[[list[str]], None]
    quick: Callable[[], bool]
    log: Callable[[str, str], None]


class Poller:
    """One strategy at work.

    Args:
        strategy: not started yet.
        name: unique among the pollers of the node.
        around: what it shares with them.
        rng: draws the jitter of the back-off; its own, so that it depends on no other poller.
    """

    def __init__(
        self, strategy: Strategy, name: str, around: Surroundings, rng: random.Random
    ) -> None:
        self.strategy = strategy
        self.name = name
        self._around = around
        self._rng = rng
        self._own = canonical(around.me.address)
        self._counters = dict.fromkeys(("polls", "found", "errors", "empty", "malformed"), 0)
        self._failures = 0  # in a row
        self._quick_polls = 0
        self._last_error: str | None = None
        self._last_found: tuple[str, ...] = ()
        self._next_at: float | None = None
        self._told_errors: set[str] = set()  # until it works again
        self._told_malformed: set[str] = set()
        self._closed = False

    @property
    def counters(self) -> dict[str, int]:
        """What has been counted, and what the strategy itself counts."""
        own = getattr(self.strategy, "counters", None)
        return {**(own if isinstance(own, dict) else {}), **self._counters}

    def status(self, now: float) -> StrategyStatus:
        """Return how the strategy is doing at *now*, by the clock of the event loop."""
        return StrategyStatus(
            name=self.name,
            polls=self._counters["polls"],
            errors=self._counters["errors"],
            last_error=self._last_error,
            last_found=self._last_found,
            next_in=0.0 if self._next_at is None else max(0.0, self._next_at - now),
        )

    async def run(self) -> None:
        """Start the strategy and poll it until cancelled."""
        started = False
        while True:
            error: str | None = None
            if not started:
                error = await self._failure(self._start)
                started = error is None
                if not started:
                    await self._failure(self.strategy.close)  # what it half began
            if started:
                error = await self._failure(self._poll)
            if error is None:
                self._succeeded()
            else:
                self._failed(error)
            await self._pause(self._retry_delay() if error is not None else self._delay())

    async def close(self) -> None:
        """Close the strategy; what it says from now on is ignored."""
        self._closed = True
        self._next_at = None
        error = await self._failure(self.strategy.close)
        if error is not None:
            self._around.log("warning", f"discovery by {self.name} did not close: {error}")

    def found(self, addresses: Iterable[str]) -> None:
        """Take candidates which the strategy names unasked. Never raises."""
        if self._closed:
            return
        try:
            named = _listed(addresses)
        except Exception as error:
            self._failed(_text(error))
            return
        accepted = self._accepted(named)
        self._last_found = tuple(dict.fromkeys((*self._last_found, *accepted)))
        self._report(accepted)

    # One step

    async def _start(self) -> None:
        await self.strategy.start(self._around.me, self.found)

    async def _poll(self) -> None:
        self._counters["polls"] += 1
        accepted = self._accepted(_listed(await self.strategy.discover()))
        if not accepted:
            self._counters["empty"] += 1
            if self._last_found:
                text = f"discovery by {self.name} finds nobody any more; nobody is dropped for it"
                self._around.log("info", text)
        self._last_found = tuple(accepted)
        self._report(accepted)

    async def _failure(self, step: Callable[[], Awaitable[None]]) -> str | None:
        """Take a *step* within the timeout; return what went wrong, or None."""
        limit = asyncio.timeout(self._around.timeout)
        try:
            async with limit:
                await step()
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Nobody has cancelled this poller: it leaked out of the strategy.
            return _text(error)
        except Exception as error:
            if limit.expired():
                return f"no answer within {self._around.timeout:g} s"
            return _text(error)
        return None

    async def _pause(self, seconds: float) -> None:
        self._next_at = asyncio.get_running_loop().time() + seconds
        await asyncio.sleep(seconds)
        self._next_at = None

    # How long to wait

    def _delay(self) -> float:
        if not self._around.quick():
            return self._around.interval
        delay = QUICK[min(self._quick_polls, len(QUICK) - 1)]
        self._quick_polls += 1
        return min(delay, self._around.interval)

    def _retry_delay(self) -> float:
        """Return the exponential back-off with full jitter."""
        doublings = min(self._failures - 1, 30)  # beyond, the limit applies anyway
        limit = min(FIRST_RETRY * 2**doublings, self._around.interval * _LONGEST_RETRY)
        return max(_SHORTEST_RETRY, self._rng.uniform(0.0, limit))

    # What came of it

    def _accepted(self, named: list[object]) -> list[str]:
        """Return what can be used of *named*, each once."""
        accepted: dict[str, None] = {}
        for each in named:
            try:
                accepted[canonical(each)] = None
            except ValueError as error:
                self._malformed(str(error))
        accepted.pop(self._own, None)
        return list(accepted)

    def _report(self, addresses: list[str]) -> None:
        if addresses:
            self._counters["found"] += len(addresses)
            self._around.report(addresses)

    def _malformed(self, text: str) -> None:
        self._counters["malformed"] += 1
        if text not in self._told_malformed and len(self._told_malformed) < _MOST_TEXTS:
            self._told_malformed.add(text)
            self._around.log("warning", f"discovery by {self.name}: malformed address: {text}")

    def _failed(self, error: str) -> None:
        self._failures += 1
        self._counters["errors"] += 1
        self._last_error = error
        if error not in self._told_errors and len(self._told_errors) < _MOST_TEXTS:
            self._told_errors.add(error)
            self._around.log("warning", f"discovery by {self.name} failed: {error}; trying again")

    def _succeeded(self) -> None:
        self._failures = 0
        self._last_error = None
        if self._told_errors:
            self._told_errors.clear()
            self._around.log("info", f"discovery by {self.name} works again")


def _listed(addresses: object) -> list[object]:
    # A string is iterable too, but each of its characters is not an address.
    if isinstance(addresses, (str, bytes)) or not isinstance(addresses, Iterable):
        raise TypeError(f"expected a list of addresses, got {addresses!r}")
    return list(addresses)


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
