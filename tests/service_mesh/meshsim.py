"""Helpers for the tests of the service mesh in simulated clusters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from foundation import service_mesh
from foundation.cluster import pubsub
from foundation.entry import Facades
from foundation.kernel.ops import receive, reply
from foundation.kernel.values import Pid
from foundation.otp import GenServer, Stop
from foundation.testing.bodies import Body
from foundation.testing.cluster_sim import ClusterSimulation


@contextmanager
def mesh(seed: int, nodes: Any = 3, workers: int = 1) -> Iterator[ClusterSimulation]:
    """Give a formed cluster with a service mesh on all nodes."""
    app = Facades.spec(id="facades", host="control")
    with ClusterSimulation(seed=seed, nodes=nodes, workers=workers, app=[app]) as c:
        c.form()
        c.advance(0.5)
        yield c


class Worker(GenServer):
    """An instance: answers ``"who"``, ``("fail", …)`` and ``("sleep", …)``; counts casts."""

    async def init(self, name: str, **options: Any) -> None:
        """Register."""
        self.name = name
        self.got: list[Any] = []
        self.well = True
        self.handle = await service_mesh.register(name, **options)

    async def handle_call(self, request: Any, caller: Any) -> Any:
        """Answer."""
        match request:
            case "who":
                return self.handle.pid
            case "handle":
                return self.handle
            case "got":
                return self.got
            case "ping":
                return self.well
            case ("well", well):
                self.well = well
                return True
            case "deregister":
                await self.handle.deregister()
                return True
            case "renew":
                await self.handle.renew()
                return True
            case "crash":
                reply(caller, True)
                raise RuntimeError("told to crash")
            case "stop":
                return Stop("normal", reply=True)
        return super().handle_call(request, caller)

    def handle_cast(self, request: Any) -> None:
        """Count."""
        self.got.append(request)


async def start_worker(name: str, options: dict[str, Any]) -> Pid:
    """Start an instance beside this process."""
    return await Worker.start(name, **options)


def serve(
    c: ClusterSimulation, node: str, name: str = "thumbs", host: str = "w1", **options: Any
) -> Pid:
    """Start an instance of *name* on *node* and let all nodes see it."""
    pid = c.run(node, start_worker, name, options, host=host)
    c.advance(0.3)
    return pid  # type: ignore[no-any-return]


def find(c: ClusterSimulation, node: str, /, *args: Any, host: str = "w1", **kwargs: Any) -> Any:
    """Return what discovery finds on *node*."""
    return c.run(node, lambda: service_mesh.discover_services(*args, **kwargs), host=host)


def pids(c: ClusterSimulation, node: str, /, *args: Any, **kwargs: Any) -> list[Pid]:
    """Return the pids of what discovery finds on *node*."""
    return [info.pid for info in find(c, node, *args, **kwargs)]


class Listener:
    """A process that keeps the events that it gets on ``"foundation:events"``."""

    def __init__(self, c: ClusterSimulation, node: str, host: str = "w1") -> None:
        self.events: list[Any] = []
        self.seen: list[bool] = []  # whether discovery in its host agreed with each event
        self.body: Body = c.spawn(node, self._main, host=host)
        c.advance(0.3)

    async def _main(self) -> None:
        await pubsub.subscribe(service_mesh.EVENTS)
        while True:
            event = await receive()
            self.events.append(event)
            found = service_mesh.discover_services(event.service.name, healthy=None)
            there = [info for info in found if info.pid == event.service.pid]
            up = not isinstance(event, service_mesh.ServiceDown)
            self.seen.append(there == ([event.service] if up else []))

    def take(self, *, exact: bool = True) -> list[tuple[str, Any]]:
        """Return ``(kind, pid)`` of the events since the last time.

        *exact*: nothing changed back so soon that discovery was ahead of an event.
        """
        events, self.events = self.events, []
        seen, self.seen = self.seen, []
        assert all(seen) or not exact
        return [(type(e).__name__, e.service.pid) for e in events]
