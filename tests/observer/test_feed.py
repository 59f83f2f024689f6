"""One look for all who watch, none when nobody does; what is lost is said."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

pytest.importorskip("starlette")

from foundation.errors import NodeError
from foundation.observer.picture import picture
from foundation.observer.web.feed import MATCHES, Feed, TooMany, event
from tests.observer.kit import found, host, node, process


class Shown:
    """A watch of something made up."""

    def __init__(self) -> None:
        self.looks: list[str] = []
        self.moves = 0
        self.broken = False
        self.others = 0  # nodes that answer, when the one that is asked does not
        self.prometheus = ""

    async def look(self, match: str = "") -> dict[str, Any]:
        self.looks.append(match)
        if self.broken:
            raise NodeError("node 'a' did not answer")
        rows = [process("a/w1.1.1", name=f"look {len(self.looks)}")]
        return picture(found(node("a", host("a/w1", *rows))))

    async def metrics(self) -> str:
        if self.broken:
            raise NodeError("node 'a' did not answer")
        return self.prometheus

    async def move_on(self) -> None:
        self.moves += 1
        if not self.others:
            raise NodeError("no other node")
        self.others -= 1
        self.broken = False


def run(body: Callable[[Shown, Feed], Any], interval: float = 0.05) -> None:
    async def running() -> None:
        watch = Shown()
        feed = Feed(watch, interval)
        task = asyncio.create_task(feed.run())
        try:
            async with asyncio.timeout(20):
                await body(watch, feed)
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    asyncio.run(running())


async def take(events: AsyncIterator[str], kind: str) -> Any:
    async for text in events:
        head, _, rest = text.partition("\n")
        if head == f"event: {kind}":
            return json.loads(rest.partition(": ")[2])
    raise AssertionError("the events have ended")


async def until(condition: Callable[[], Any]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


def test_each_listener_gets_picture_after_picture() -> None:
    async def body(watch: Shown, feed: Feed) -> None:
        events = feed.listen()
        assert await anext(events) == "retry: 1000\n\n"
        names = [(await take(events, "picture"))["processes"][0]["name"] for _ in range(3)]
        assert names == ["look 1", "look 2", "look 3"]

    run(body)


def test_many_listeners_cost_one_look() -> None:
    async def body(watch: Shown, feed: Feed) -> None:
        many = [feed.listen() for _ in range(20)]
        seen = await asyncio.gather(*(take(events, "picture") for events in many))
        assert len({one["processes"][0]["name"] for one in seen}) == 1
        assert len(watch.looks) == 1

    run(body, interval=10.0)


def test_nobody_looks_when_nobody_listens() -> None:
    async def body(watch: Shown, feed: Feed) -> None:
        await asyncio.sleep(0)
        assert watch.looks == []
        events = feed.listen()
        await take(events, "picture")
        await events.aclose()
        assert feed._topics == {}
        await until(lambda: not feed._wanted.is_set())
        looks = len(watch.looks)
        again = feed.listen()
        await take(again, "picture")
        assert len(watch.looks) == looks + 1

    run(body, interval=0.01)


def test_a_slow_listener_misses_pictures() -> None:
    async def body(watch: Shown, feed: Feed) -> None:
        events = feed.listen()
        await take(events, "picture")
        await until(lambda: len(watch.looks) >= 6)
        name = (await take(events, "picture"))["processes"][0]["name"]
        assert int(name.partition(" ")[2]) >= 5

    run(body, interval=0.01)


def test_each_text_to_match_is_looked_for_and_there_are_few() -> None:
    async def body(watch: Shown, feed: Feed) -> None:
        many = [feed.listen(str(n)) for n in range(MATCHES)]
        for events in many:
            await take(events, "picture")
        assert sorted(set(watch.looks)) == [str(n) for n in range(MATCHES)]
        with pytest.raises(TooMany):
            await anext(feed.listen("more"))
        await many[0].aclose()
        await take(feed.listen("more"), "picture")

    run(body)


def test_what_is_lost_is_said_and_another_node_is_tried() -> None:
    async def body(watch: Shown, feed: Feed) -> None:
        events = feed.listen()
        await take(events, "picture")
        watch.broken = True
        assert await take(events, "trouble") == {"text": "node 'a' did not answer"}
        await until(lambda: watch.moves > 0)
        watch.broken = False
        assert (await take(events, "picture"))["asked"] == "a"

    run(body)


def test_who_does_not_listen_is_answered_by_another_node_too() -> None:
    async def body(watch: Shown, feed: Feed) -> None:
        watch.prometheus = "nodes 2"
        for ask in (feed.look, feed.metrics):
            watch.broken, watch.others = True, 1
            assert await ask()
            watch.broken = True
            with pytest.raises(NodeError, match="node 'a' did not answer"):
                await ask()
            watch.broken = False
            assert await ask()
        assert watch.moves == 4

    run(body)


def test_listeners_hear_of_no_trouble_when_another_node_answers() -> None:
    async def body(watch: Shown, feed: Feed) -> None:
        events = feed.listen()
        await take(events, "picture")
        watch.broken, watch.others = True, 1
        while watch.moves == 0:
            assert (await anext(events)).startswith("event: picture")
        assert (await anext(events)).startswith("event: picture")

    run(body, interval=0.01)


def test_the_end_ends_all_that_listen() -> None:
    async def body(watch: Shown, feed: Feed) -> None:
        events = feed.listen()
        await take(events, "picture")
        await feed.close()
        assert [text async for text in events if text.startswith("event: trouble")] == []

    run(body, interval=30.0)


def test_an_event_is_one_line_of_data() -> None:
    text = event("picture", {"name": "a\n\ndata: x\r\n\u2028"})
    assert text.count("\n") == 3
    assert text.endswith("\n\n")
    assert text.isascii()
