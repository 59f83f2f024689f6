"""Making, hiding and disowning event loops."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

from foundation.transport.busy_wait import BusyWaitSelector, worth_it
from foundation.transport.config import TransportConfig


def new_loop(config: TransportConfig) -> asyncio.AbstractEventLoop:
    """The loop of one process; uvloop only where the user asked for it (it leaks on fork)."""
    if config.uvloop:
        import uvloop

        made: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        return made
    if config.busy_wait and worth_it():
        return asyncio.SelectorEventLoop(BusyWaitSelector(config.busy_wait))
    return asyncio.SelectorEventLoop()


@contextlib.contextmanager
def hidden_running_loop() -> Iterator[None]:
    """Let a blocking call run its own loop inside a program whose loop is running."""
    outer = asyncio._get_running_loop()
    if outer is None:
        yield
        return
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(outer)


def close_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Close *loop*, unless this very call comes from one of its callbacks."""
    if not loop.is_running() and not loop.is_closed():
        loop.close()


def disown_loop(loop: Any) -> None:
    """In a forked child: close the inherited descriptors without touching the parent's epoll.

    ``loop.close()`` would unregister descriptors from the epoll set that parent and child
    share. uvloop keeps its descriptors out of reach; the hygiene step overlays them.
    """
    asyncio._set_running_loop(None)
    selector = getattr(loop, "_selector", None)
    if selector is None:
        return
    for name in ("_ssock", "_csock"):
        sock = getattr(loop, name, None)
        if sock is not None:
            sock.close()
            setattr(loop, name, None)
    selector.close()
    loop._closed = True  # its finaliser would close the epoll set the other way
