"""Connections between endpoints on one loop: order, reuse of ports, goodbye, back-pressure."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from foundation.errors import TransportError
from foundation.transport import Outside, TransportConfig
from foundation.transport.addresses import EndpointAddress, actor_address
from foundation.transport.outside import _OutsideEngine
from tests.transport.actors import Echo
from tests.transport.conftest import COOKIE

CONFIG = TransportConfig(cookie=COOKIE)


def run(main: Callable[[], Awaitable[Any]]) -> Any:
    return asyncio.run(asyncio.wait_for(main(), 30))


async def until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)


def collector(outside: Outside) -> list[Any]:
    got: list[Any] = []
    outside.on_message = lambda message, sender: got.append(message)
    return got


def connections(outside: Outside) -> list[Any]:
    assert outside._engine is not None
    return outside._engine.connections()


@pytest.mark.parametrize("unix", [True, False], ids=["unix", "tcp"])
def test_messages_keep_their_order_and_come_once(unix: bool) -> None:
    async def main() -> None:
        config = dataclasses.replace(CONFIG, unix=unix)
        async with Outside(config) as one, Outside(config) as two:
            got, back = collector(two), collector(one)
            expected: list[Any] = []
            for number in range(5000):
                message: Any = b"%d" % number if number % 2 else ("n", number)
                if number % 1000 == 0:
                    message = b"x" * 3_000_000
                expected.append(message)
                one.tell(two.address, message)
            two.tell(one.address, "hello")  # dials at the same time
            await until(lambda: len(got) == 5000 and back)
            assert got == expected
            assert one._engine is not None
            await until(lambda: one._engine.pending == 0)

    run(main)


def test_one_connection_serves_both_directions() -> None:
    async def main() -> None:
        async with Outside(CONFIG) as one, Outside(CONFIG) as two:
            got, back = collector(two), collector(one)
            one.tell(two.address, 1)
            await until(lambda: got)
            two.tell(one.address, 2)
            await until(lambda: back)
            assert len(connections(one)) == len(connections(two)) == 1

    run(main)


def test_a_message_for_a_dead_endpoint_never_reaches_its_successor_on_the_port() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with Outside(CONFIG) as sender:
            dead: list[Any] = []
            sender.on_dead_letter = lambda address, message: dead.append(message)
            first = Outside(CONFIG)
            await first.open()
            old_address = first.address
            port = old_address.addressDetails.sockname[1]
            got = collector(first)
            sender.tell(old_address, "for the first")
            await until(lambda: got)
            await first.close()
            received: list[Any] = []
            second = _OutsideEngine(CONFIG, loop, received.append)
            second.shut()
            heir_details = EndpointAddress("127.0.0.1", port, 4711)
            heir = object.__new__(_OutsideEngine)
            heir._deliver, heir._again = received.append, None
            heir._late, heir._late_timer = [], None
            super(_OutsideEngine, heir).__init__(CONFIG, loop, heir_details)
            heir.ack_on_receipt = True
            try:
                for number in range(10):
                    sender.tell(old_address, ("late", number))
                await until(lambda: len(dead) == 10)
                assert not received
                sender.tell(actor_address("127.0.0.1", port, 4711), "for the heir")
                sender.tell(actor_address("127.0.0.1", port), "for whoever is there")
                await until(lambda: len(received) == 2)
            finally:
                heir.shut()

    run(main)


def test_goodbye_of_idle_connections_is_no_loss_and_loses_nothing() -> None:
    async def main() -> None:
        config = dataclasses.replace(CONFIG, idle_close=0.1)
        async with Outside(config) as one, Outside(config) as two:
            got, dead, lost = collector(two), [], []
            for each in (one, two):
                each.on_dead_letter = lambda address, message: dead.append(message)
                each.on_lost = lost.append
            for number in range(5):
                one.tell(two.address, number)
                await until(lambda n=number: got[-1:] == [n])
                assert connections(one)
                await until(lambda: not connections(one) and not connections(two))
            assert got == list(range(5))
            assert not dead
            assert not lost

    run(main)


def test_traffic_during_goodbyes_is_neither_lost_nor_doubled_nor_reordered() -> None:
    async def main() -> None:
        config = dataclasses.replace(CONFIG, idle_close=300.0)
        async with Outside(config) as one, Outside(config) as two:
            got, back, dead = collector(two), collector(one), []
            one.on_dead_letter = two.on_dead_letter = lambda a, m: dead.append(m)
            for number in range(2000):
                one.tell(two.address, number)
                two.tell(one.address, number)
                if number % 20 == 0:
                    await asyncio.sleep(0)
                if number % 7 == 0:  # a goodbye at the worst moments
                    for conn in connections(one if number % 2 else two):
                        if conn.idle:
                            conn.say_bye()
                if number % 50 == 0:
                    await asyncio.sleep(0.002)
            await until(lambda: len(got) + len(back) + len(dead) >= 4000)
            assert not dead
            assert got == list(range(2000))
            assert back == list(range(2000))

    run(main)


def test_a_lost_connection_turns_unacknowledged_messages_into_dead_letters_once() -> None:
    async def main() -> None:
        async with Outside(CONFIG) as one, Outside(CONFIG) as two:
            got, dead, lost = collector(two), [], []
            one.on_dead_letter = lambda address, message: dead.append(message)
            one.on_lost = lost.append
            one.tell(two.address, "first")
            await until(lambda: got and not one._engine.pending)
            for conn in connections(two):
                conn.pause(True)  # two hears nothing any more
            for number in range(100):
                one.tell(two.address, number)
            await asyncio.sleep(0.01)
            for conn in connections(two):
                conn.lost("cut for the test")
            await until(lambda: len(dead) == 100 and lost)
            assert dead == list(range(100))
            assert got == ["first"]
            one.tell(two.address, "again")  # a new connection, nothing is resent
            await until(lambda: len(got) == 2)
            assert got == ["first", "again"]

    run(main)


def test_a_full_receiver_stops_reading_and_everything_arrives_later() -> None:
    async def main() -> None:
        config = dataclasses.replace(CONFIG, inbox_high=100)
        async with Outside(config) as one, Outside(config) as two:
            assert two._engine is not None
            engine = two._engine
            got = collector(two)
            pump, engine.pump = engine.pump, lambda: None  # type: ignore[method-assign]
            for number in range(100_000):
                one.tell(two.address, b"%06d" % number)
            await until(lambda: engine._paused)
            await asyncio.sleep(0.05)
            waiting = len(engine.inbox)
            await asyncio.sleep(0.05)
            assert waiting == len(engine.inbox) < 60_000  # one read past the mark, not all
            engine.pump = pump  # type: ignore[method-assign]
            engine.pump()
            await until(lambda: len(got) == 100_000, 20)
            assert got == [b"%06d" % number for number in range(100_000)]

    run(main)


def test_a_bounded_sender_returns_what_it_cannot_hold() -> None:
    async def main() -> None:
        config = dataclasses.replace(CONFIG, max_unsent=1000)
        async with Outside(config) as one, Outside(config) as two:
            got, dead = collector(two), []
            one.on_dead_letter = lambda address, message: dead.append(message)
            for number in range(1500):
                one.tell(two.address, number)
            await until(lambda: len(got) + len(dead) == 1500)
            assert dead == list(range(1000, 1500))

    run(main)


def test_tell_threadsafe() -> None:
    async def main() -> None:
        async with Outside(CONFIG) as one, Outside(CONFIG) as two:
            got = collector(two)

            def work(start: int) -> None:
                for number in range(200):
                    one.tell_threadsafe(two.address, start + number)

            threads = [threading.Thread(target=work, args=(k * 1000,)) for k in range(4)]
            for thread in threads:
                thread.start()
            await until(lambda: len(got) == 800)
            for thread in threads:
                thread.join()
            for k in range(4):
                mine = [each for each in got if each // 1000 == k]
                assert mine == sorted(mine)

    run(main)


def test_closed_endpoint_says_so() -> None:
    async def main() -> None:
        outside = Outside(CONFIG)
        with pytest.raises(TransportError, match="not open"):
            _ = outside.address
        await outside.open()
        address = outside.address
        await outside.close()
        await outside.close()
        with pytest.raises(TransportError, match="not open"):
            outside.tell(address, 1)
        with pytest.raises(TransportError, match="admin"):
            async with Outside(CONFIG) as other:
                await other.create_actor(Echo)

    run(main)
