"""Waiting for a condition instead of sleeping."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05


async def eventually(predicate: Callable[[], Any], timeout: float = 5.0) -> Any:
    """Wait until *predicate* is true and return what it returned.

    Works in processes (``async def`` code) and in any asyncio test; on virtual time the wait
    takes no real time.

    Args:
        predicate: a ``def`` or ``async def`` function without arguments. An ``AssertionError``
            that it raises counts as "not yet"; any other exception comes through.
        timeout: seconds.

    Raises:
        AssertionError: it was not true in time.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    pause = _FIRST_PAUSE
    while True:
        failure: AssertionError | None = None
        value: Any = None
        try:
            value = predicate()
            if inspect.isawaitable(value):
                value = await value
        except AssertionError as error:
            failure = error
        if value:
            return value
        left = deadline - loop.time()
        if left <= 0:
            what = getattr(predicate, "__qualname__", repr(predicate))
            raise AssertionError(
                f"{what} did not become true within {timeout} s; the last answer was {value!r}"
            ) from failure
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 2, _LONGEST_PAUSE)
