"""Serving the dashboard until a signal comes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator, Sequence

import uvicorn

from foundation.errors import NodeError
from foundation.observer.watch import find
from foundation.observer.web.app import make_app
from foundation.observer.web.feed import Feed
from foundation.observer.web.guard import is_loopback


class _Server(uvicorn.Server):
    """Leaves signals to us: a Ctrl-C is an orderly end, not an error."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


async def serve(
    node: str | None,
    cluster: str | None,
    cookie: bytes | None,
    *,
    only: Sequence[str] = (),
    bind: str = "127.0.0.1",
    port: int = 4000,
    hosts: tuple[str, ...] = (),
    interval: float = 1.0,
    ready: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        node, cluster, cookie, only: see ``watch.find``.
        bind, port: where to listen.
        hosts: names that the page may be asked for under, besides those of loopback.
        interval: seconds between looks.
        ready: told the address of the page.

    Raises:
        NodeError: there is nothing to show, or the port is taken.
    """
    async with await find(node, cluster, cookie, only=only) as watch:
        await watch.look()  # what cannot be shown is said now
        with _listening(bind, port) as listener:
            feed = Feed(watch, interval)
            app = make_app(feed, (bind, *hosts))
            config = uvicorn.Config(
                app, log_level="error", access_log=False, server_header=False, lifespan="on",
                timeout_graceful_shutdown=1, ws="none",
            )  # fmt: skip
            server = _Server(config)
            _end_on_signals(server, feed)
            shown = f"[{bind}]" if ":" in bind else bind
            ready(f"http://{shown}:{listener.getsockname()[1]}/")
            await server.serve(sockets=[listener])


def _listening(bind: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((bind, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise NodeError(
            f"cannot listen at {bind} port {port}: {error.strerror}; choose another with --port"
        ) from None
    return listener


def _end_on_signals(server: uvicorn.Server, feed: Feed) -> None:
    loop = asyncio.get_running_loop()
    ending = set()

    def end() -> None:
        server.force_exit = server.should_exit  # the second one does not wait
        server.should_exit = True
        ending.add(loop.create_task(feed.close()))  # who listens would be waited for

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)


__all__ = ["is_loopback", "serve"]
