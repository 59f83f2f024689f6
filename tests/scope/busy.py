"""Servers that use asyncio and the library as servers do."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any

from foundation import channels, config, process_manager, service_mesh
from foundation.cluster import await_cluster, pubsub, registry, view
from foundation.cluster import nodes as cluster_nodes
from foundation.errors import CallTimeout, FoundationError
from foundation.otp import GenServer, NoReply, call, cast, reply, send, send_after
from foundation.otp import registry as local

REGISTRY = "test.names"


class Echo(GenServer):
    """Answers late, or never."""

    def init(self) -> None:
        self.waiting: list[Any] = []

    def handle_call(self, request: Any, caller: Any) -> Any:
        match request:
            case ("after", seconds):
                self.waiting.append(caller)
                send_after(seconds, "echo", "now")
                return NoReply()
            case "never":
                return NoReply()
            case "boom":
                raise ValueError("boom")
        return request

    def handle_cast(self, request: Any) -> None:
        """Take it."""

    def handle_info(self, message: Any) -> None:
        if self.waiting:
            reply(self.waiting.pop(0), "late")


class Busy(GenServer):
    """Does one thing after the other, and keeps what came of it."""

    async def init(self) -> None:
        self.log: list[Any] = []
        self.count = 0
        await asyncio.wait_for(asyncio.sleep(0.001), 1)

    async def handle_call(self, request: Any, caller: Any) -> Any:
        kind, *args = request if isinstance(request, tuple) else (request,)
        result = await getattr(self, f"do_{kind}")(*args)
        self.log.append(result)
        return result

    def handle_cast(self, request: Any) -> None:
        self.count += 1

    def handle_info(self, message: Any) -> None:
        self.log.append(("info", message))

    # asyncio

    async def do_wait_for(self) -> Any:
        return await asyncio.wait_for(self._nap(0.01, "in time"), 1)

    async def do_late(self) -> Any:
        try:
            return await asyncio.wait_for(self._nap(1, "never"), 0.01)
        except TimeoutError:
            return "too late"

    async def do_timeout(self) -> Any:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(1)
        except TimeoutError:
            return "timeout"
        return "no timeout"

    async def do_timeout_of_call(self) -> Any:
        try:
            async with asyncio.timeout(0.01):
                await call("echo", "never")
        except TimeoutError:
            return "call cancelled"
        return "no timeout"

    async def do_call_timeout(self) -> Any:
        try:
            return await call("echo", "never", timeout=0.01)
        except CallTimeout:
            return "call too late"

    async def do_group(self) -> Any:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._ask(n)) for n in range(3)]
        return [task.result() for task in tasks]

    async def do_broken_group(self) -> Any:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._nap(1, "cancelled"))
                group.create_task(self._fail(0.01))
        except ExceptionGroup as error:
            return [str(each) for each in error.exceptions]
        return "no error"

    async def do_gather(self) -> Any:
        some = asyncio.gather(self._ask(1), self._fail(0.01), self._ask(2), return_exceptions=True)
        return [str(each) for each in await some]

    async def do_race(self) -> Any:
        tasks = [asyncio.create_task(self._nap(0.01 * n, n)) for n in (3, 1, 2)]
        done, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()
        return [task.result() for task in done]

    async def do_background(self) -> Any:
        """Goes on when the call is over."""
        self.task = asyncio.create_task(self._background())
        asyncio.get_running_loop().call_later(0.03, self._tick)
        return "begun"

    async def do_queue(self) -> Any:
        queue: asyncio.Queue[int] = asyncio.Queue(1)
        event = asyncio.Event()

        async def produce() -> None:
            for number in range(3):
                await queue.put(number)
            event.set()

        task = asyncio.create_task(produce())
        got = [await queue.get() for _ in range(3)]
        await event.wait()
        await task
        async with asyncio.Lock():
            await asyncio.sleep(0)
        return got

    async def do_thread(self) -> Any:
        return await asyncio.to_thread(lambda: threading.current_thread().name != "MainThread")

    async def do_shield(self) -> Any:
        inner = asyncio.create_task(self._nap(0.02, "shielded"))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(inner), 0.01)
        return await inner

    # the library

    async def do_config(self) -> Any:
        await config.declare("test.rate", int, 7)
        await config.set("test.rate", config.get("test.rate") + 1)
        try:
            config.get("test.unknown")
        except FoundationError as error:
            return (config.get("test.rate"), type(error).__name__, config.paths())
        return "no error"

    async def do_mesh(self) -> Any:
        handle = await service_mesh.register("busy", metadata={"n": 1})
        found = [info.name for info in service_mesh.discover_services("echoes")]
        answer = await service_mesh.call("echoes", "over the mesh")
        await handle.deregister()
        return (found, answer, service_mesh.list_services())

    async def do_no_mesh(self) -> Any:
        try:
            await service_mesh.call("nobody", 1)
        except FoundationError as error:
            return str(error)
        return "no error"

    async def do_subscribe(self) -> Any:
        subscription = await pubsub.subscribe("topic")
        async with await channels.subscribe("events"):
            pubsub.broadcast("topic", "news")
            channels.broadcast("events", "event")
        return (subscription.done, pubsub.topics(), pubsub.unsubscribe("topic"))

    async def do_registry(self) -> Any:
        await registry.register(REGISTRY, ("key", self.count), 1)
        await registry.update_value(REGISTRY, ("key", self.count), 2)
        await local.register("local", "key", self.count)
        async with local.lock("local", "key"):
            found = local.lookup("local", "key")
        await local.unregister("local", "key")
        return (registry.lookup(REGISTRY, ("key", self.count)), found)

    async def do_cluster(self) -> Any:
        here = await await_cluster(1)
        return (cluster_nodes(), view().names, len(here), process_manager.lookup("no such"))

    async def do_both(self) -> Any:
        """The library in asyncio tasks, at the same time."""
        async with asyncio.timeout(5):
            return await asyncio.gather(
                self.do_config(), self.do_subscribe(), self.do_mesh(), self._ask(1)
            )

    async def do_cancelled_library(self) -> Any:
        try:
            async with asyncio.timeout(0.01):
                await service_mesh.wait_for("never", timeout=1.0)
        except TimeoutError:
            return "gave up"
        return "found"

    # Parts

    async def _nap(self, seconds: float, result: Any) -> Any:
        await asyncio.sleep(seconds)
        self.count += 1
        return result

    async def _ask(self, number: int) -> Any:
        answer = await call("echo", ("after", 0.01 * number))
        self.count += 1
        return (number, answer)

    async def _fail(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        raise ValueError("failed")

    async def _background(self) -> None:
        for number in range(3):
            await asyncio.sleep(0.02)
            self.log.append(("background", number, await call("echo", number)))
            cast("echo", number)

    def _tick(self) -> None:
        self.count += 100
        send("echo", "tick")


class Echoes(Echo):
    async def init(self) -> None:
        super().init()
        await service_mesh.register("echoes")
