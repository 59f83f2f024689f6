"""The dashboard's pages.

==================  =============================================================================
``/``               the page
``/events``         the picture, again and again, as server-sent events; ``?match=`` as ``Survey``
``/picture.json``   the picture of now
``/health``         200 when the cluster is healthy, else 503; JSON
``/metrics``        Prometheus text, where the health monitor exports it
==================  =============================================================================
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from foundation.errors import NodeError
from foundation.observer.web.feed import Feed, TooMany
from foundation.observer.web.guard import Guard

PAGE = {  # what is served, and as what
    "index.html": "text/html",
    "style.css": "text/css",
    "icon.svg": "image/svg+xml",
    **{f"{name}.js": "text/javascript" for name in ("app", "format", "spark", "table", "tree",
                                                    "views")},
}  # fmt: skip
FRESH = {"cache-control": "no-store"}
METRICS = "text/plain; version=0.0.4; charset=utf-8"


def make_app(feed: Feed, hosts: Iterable[str] = ()) -> ASGIApp:
    """Return the ASGI application.

    Args:
        feed: where the pictures come from; it is run while the application is.
        hosts: names that it answers to, besides those of loopback.
    """

    @contextlib.asynccontextmanager
    async def running(app: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(feed.run())
        try:
            yield
        finally:
            await feed.close()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    pages = _Pages(feed)
    routes = [
        Route("/", lambda request: _file("index.html")),
        Route("/events", pages.events),
        Route("/picture.json", pages.picture),
        Route("/health", pages.health),
        Route("/metrics", pages.metrics),
        Route("/{name}", lambda request: _file(request.path_params["name"])),
    ]
    return _Started(Starlette(routes=routes, lifespan=running), hosts)


class _Started:
    """The guarded application; what is not a request (the start, the end) goes to it directly."""

    def __init__(self, app: Starlette, hosts: Iterable[str]) -> None:
        self._app = app
        self._guard = Guard(app, hosts)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await (self._app if scope["type"] == "lifespan" else self._guard)(scope, receive, send)


def _file(name: str) -> Response:
    kind = PAGE.get(name)
    if kind is None:
        return PlainTextResponse("there is no such page", 404)
    data = files("foundation.observer.web").joinpath("page", name).read_bytes()
    return Response(data, media_type=kind, headers={"cache-control": "no-cache"})


class _Pages:
    """What is looked up."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    async def events(self, request: Request) -> Response:
        events = self._feed.listen(request.query_params.get("match", "")[:200])
        try:
            first = await anext(events)
        except TooMany:
            return PlainTextResponse("too many different filters at a time", 503)

        async def all_of_them() -> AsyncIterator[str]:
            async with contextlib.aclosing(events):  # type: ignore[type-var]
                yield first
                async for event in events:
                    yield event

        return StreamingResponse(all_of_them(), media_type="text/event-stream", headers=FRESH)

    async def picture(self, request: Request) -> Response:
        try:
            picture = await self._feed.look(request.query_params.get("match", "")[:200])
        except NodeError as error:
            return _lost(error)
        return JSONResponse(picture, headers=FRESH)

    async def health(self, request: Request) -> Response:
        try:
            picture = await self._feed.look()
        except NodeError as error:
            return _lost(error)
        health = picture["health"]
        found = {name: health[name] for name in ("status", "reasons", "recommendations", "source")}
        found["missing"] = picture["missing"]
        return JSONResponse(found, 200 if health["status"] == "healthy" else 503, headers=FRESH)

    async def metrics(self, request: Request) -> Response:
        try:
            text = await self._feed.metrics()
        except NodeError as error:
            return PlainTextResponse(f"# {error}\n", 503, headers=FRESH)
        if not text:
            return PlainTextResponse("no health monitor that exports metrics runs there\n", 404)
        return Response(text, media_type=METRICS, headers=FRESH)


def _lost(error: NodeError) -> Response:
    found = {"status": "unknown", "reasons": [str(error)], "recommendations": [], "source": "none"}
    return JSONResponse(found, 503, headers=FRESH)
