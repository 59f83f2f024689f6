"""Servers inside an asyncio web application (Starlette); the node lives in its lifespan.

    python examples/web_app.py            # serves three requests to itself and ends
    python examples/web_app.py --serve    # http://127.0.0.1:8000/hits until Ctrl-C
"""

import asyncio
import contextlib
import sys

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

import foundation
from foundation.otp import GenServer, Supervisor


class Hits(GenServer):
    """Counts for all requests, in a worker host: an OS process beside the web server's."""

    def init(self):
        self.hits = 0

    def handle_call(self, request, caller):
        self.hits += 1
        return self.hits


class App(Supervisor):
    def init(self):
        return [Hits.spec(name="hits")]


@contextlib.asynccontextmanager
async def lifespan(app):
    async with foundation.start(App) as node:  # on the loop that uvicorn runs already
        app.state.node = node
        yield


async def hits(request):
    return JSONResponse({"hits": await request.app.state.node.call("hits", "hit")})


app = Starlette(routes=[Route("/hits", hits)], lifespan=lifespan)


async def visit():
    async with lifespan(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            replies = await asyncio.gather(*(client.get("/hits") for _ in range(3)))
    print(sorted(reply.json()["hits"] for reply in replies))  # [1, 2, 3]


if __name__ == "__main__":
    if "--serve" in sys.argv:
        uvicorn.run(app, host="127.0.0.1", port=8000)
    else:
        asyncio.run(visit())
