"""Discovery by UDP heartbeats."""

from __future__ import annotations

import asyncio
import logging
import math
import pickle
import socket
import time
from collections.abc import Callable
from typing import Any

import msgpack
import pytest

from foundation.cluster.discovery import Advertisement, UdpGossip
from foundation.cluster.discovery.gossip_wire import (
    LARGEST,
    Heartbeat,
    Malformed,
    NotAuthentic,
    _mac,
    derive_key,
    seal,
    unseal,
)
from foundation.testing import eventually

SECRET = b"a secret of the tests"
KEY = derive_key(SECRET)
BEAT = Heartbeat("shop", "10.0.0.1:5000", b"12345678", 1e9)
ME = Advertisement("shop", "me", "10.0.0.9:5000")


# The datagrams


def test_a_datagram_comes_back_as_it_was() -> None:
    assert unseal(KEY, seal(KEY, BEAT)) == BEAT


def test_every_changed_bit_is_noticed() -> None:
    datagram = seal(KEY, BEAT)
    for bit in range(len(datagram) * 8):
        changed = bytearray(datagram)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises((NotAuthentic, Malformed)):
            unseal(KEY, bytes(changed))


def test_every_other_length_is_refused() -> None:
    datagram = seal(KEY, BEAT)
    for length in range(len(datagram)):
        with pytest.raises((NotAuthentic, Malformed)):
            unseal(KEY, datagram[:length])
    with pytest.raises(NotAuthentic):
        unseal(KEY, datagram + b"\0")
    with pytest.raises(Malformed):
        unseal(KEY, datagram + bytes(LARGEST))


def test_the_secret_matters_and_is_not_used_as_it_is() -> None:
    with pytest.raises(NotAuthentic):
        unseal(derive_key(b"another secret of the tests"), seal(KEY, BEAT))
    with pytest.raises(NotAuthentic):
        unseal(SECRET, seal(KEY, BEAT))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"\x91" * 1000,
        *map(
            msgpack.packb,
            [
                None,
                7,
                "text",
                [],
                {},
                ["shop", "a:1", b"n"],
                ["shop", "a:1", b"n", 1.0, "more"],
                ["shop", "a:1", "n", 1.0],
                ["shop", 7, b"n", 1.0],
                [["shop"], "a:1", b"n", 1.0],
                ["shop", "a:1", b"n", 1],
                {"cluster": "shop", "address": "a:1", "nonce": b"n", "timestamp": 1.0},
                msgpack.ExtType(7, b"x"),
            ],
        ),
    ],
)
def test_an_authentic_datagram_with_another_content_is_refused(body: bytes) -> None:
    with pytest.raises(Malformed):
        unseal(KEY, b"FND1" + _mac(KEY, body) + body)


def test_a_name_that_does_not_fit_is_refused_at_the_start(
    free_ports: Callable[[int], list[int]],
) -> None:
    async def body() -> None:
        gossip = UdpGossip(SECRET, free_ports(1)[0], ["127.0.0.1"], "127.0.0.1")
        with pytest.raises(ValueError, match="shorten the name"):
            await gossip.start(Advertisement("c" * 2000, "me", "a:1"), print)
        await gossip.close()

    asyncio.run(body())


# A started strategy, and a stranger that sends to it


class World:
    """A ``UdpGossip`` and a socket that sends to it."""

    def __init__(self, port: int, **options: Any) -> None:
        options.setdefault("targets", [f"127.0.0.1:{port}"])
        self.gossip = UdpGossip(SECRET, port, interface="127.0.0.1", interval=0.05, **options)
        self.found: list[str] = []
        self.port = port

    def send(self, *datagrams: bytes) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for datagram in datagrams:
                sock.sendto(datagram, ("127.0.0.1", self.port))

    async def counted(self, counter: str, expected: int) -> None:
        await eventually(lambda: self.gossip.counters[counter] >= expected)
        assert self.gossip.counters[counter] == expected

    def run(self, body: Callable[[], Any]) -> None:
        async def whole() -> None:
            await self.gossip.start(ME, self.found.extend)
            try:
                await body()
            finally:
                await self.gossip.close()

        asyncio.run(whole())


@pytest.fixture
def world(free_ports: Callable[[int], list[int]]) -> World:
    return World(free_ports(1)[0])


def sealed(address: str, *, cluster: str = "shop", at: float | None = None) -> bytes:
    return seal(KEY, Heartbeat(cluster, address, b"", time.time() if at is None else at))


def test_heartbeats_are_pushed_and_remembered_once_each(world: World) -> None:
    async def body() -> None:
        world.send(sealed("a:1"), sealed("b:1"), sealed("a:1"))
        await world.counted("heard", 3)
        assert world.found == ["a:1", "b:1", "a:1"]
        assert await world.gossip.discover() == ["b:1", "a:1"]  # the latest last

    world.run(body)


def test_who_is_silent_is_named_no_more(world: World) -> None:
    async def body() -> None:
        world.send(sealed("a:1"))
        await world.counted("heard", 1)
        assert await world.gossip.discover() == ["a:1"]

        async def forgotten() -> bool:
            return await world.gossip.discover() == []

        await eventually(forgotten)

    world.run(body)


def test_old_and_odd_timestamps_count_and_are_candidates_all_the_same(world: World) -> None:
    async def body() -> None:
        now = time.time()
        world.send(sealed("a:1", at=now - 50), sealed("a:1", at=now + 50))
        await world.counted("heard", 2)
        assert world.gossip.counters["stale"] == 0
        for at in (now - 70, now + 70, math.nan, math.inf, -1e300):
            world.send(sealed("b:1", at=at))
        await world.counted("stale", 5)
        assert await world.gossip.discover() == ["a:1", "b:1"]

    world.run(body)


def test_other_clusters_are_counted_only(world: World) -> None:
    async def body() -> None:
        world.send(sealed("a:1", cluster="another"))
        await world.counted("foreign", 1)
        assert await world.gossip.discover() == []
        assert world.found == []

    world.run(body)


def test_a_wrong_secret_is_logged_once_per_peer(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async def body() -> None:
        forged = seal(derive_key(b"another secret of the tests"), BEAT)
        world.send(*[forged] * 5)
        await world.counted("bad_mac", 5)
        assert world.found == []

    with caplog.at_level(logging.WARNING, logger="foundation"):  # a node's start may have set it
        world.run(body)
    assert [record.getMessage() for record in caplog.records] == [
        "discovery by gossip: 127.0.0.1 sends heartbeats made with another secret"
    ]


def test_rubbish_is_counted_only(world: World) -> None:
    async def body() -> None:
        world.send(b"", b"x", bytes(2000), bytes(60_000), b"FND2" + sealed("a:1")[4:])
        await world.counted("malformed_datagrams", 5)
        assert world.found == []

    world.run(body)


def test_heartbeats_keep_coming_and_each_differs(free_ports: Callable[[int], list[int]]) -> None:
    port, other = free_ports(2)
    world = World(port, targets=[f"127.0.0.1:{other}"])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", other))
        sock.settimeout(5.0)

        async def body() -> None:
            loop = asyncio.get_running_loop()
            got = [await loop.run_in_executor(None, sock.recv, 2000) for _ in range(4)]
            assert len(set(got)) == 4
            for datagram in got:
                beat = unseal(KEY, datagram)
                assert (beat.cluster, beat.address) == ("shop", ME.address)
                assert abs(time.time() - beat.timestamp) < 30

        world.run(body)


def test_nobody_listening_is_no_error(free_ports: Callable[[int], list[int]]) -> None:
    port, nobody = free_ports(2)
    world = World(port, targets=[f"127.0.0.1:{nobody}"])

    async def body() -> None:
        world.send(sealed("a:1"))
        await world.counted("heard", 1)
        await eventually(lambda: world.gossip.counters["sent"] >= 5)
        world.send(sealed("b:1"))
        await world.counted("heard", 2)
        assert world.gossip.counters["send_errors"] == 0

    world.run(body)


def test_what_cannot_be_sent_is_an_error_unless_somebody_is_heard(
    free_ports: Callable[[int], list[int]],
) -> None:
    # From a socket of the loopback interface there is no way out.
    world = World(free_ports(1)[0], targets=["198.51.100.1"])

    async def body() -> None:
        async def fails() -> bool:
            try:
                await world.gossip.discover()
            except OSError as error:
                return "cannot send heartbeats" in str(error)
            return False

        await eventually(fails)
        assert world.gossip.counters["send_errors"] > 0
        world.send(sealed("a:1"))
        await world.counted("heard", 1)
        assert await world.gossip.discover() == ["a:1"]

    world.run(body)


def test_nodes_of_one_host_share_a_port(
    multicast: None, free_ports: Callable[[int], list[int]]
) -> None:
    (port,) = free_ports(1)
    group = "239.255.45.95"

    async def body() -> None:
        nodes = []
        for n in range(5):
            node = UdpGossip(SECRET, port, [group], "127.0.0.1", interval=0.05)
            await node.start(Advertisement("shop", f"n{n}", f"10.0.0.{n + 1}:5000"), lambda _: None)
            nodes.append(node)

        async def all_found() -> bool:
            return all([len(list(await node.discover())) == 4 for node in nodes])

        await eventually(all_found)
        for node in nodes:
            await node.close()

    asyncio.run(body())


def test_a_taken_port_is_an_error_and_leaves_nothing() -> None:
    async def body() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))  # without SO_REUSEPORT
            port = taken.getsockname()[1]
            gossip = UdpGossip(SECRET, port, ["127.0.0.1"], "127.0.0.1")
            with pytest.raises(OSError, match="in use"):
                await gossip.start(ME, print)
            await gossip.close()

    asyncio.run(body())


# Arguments


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"secret": "too short"}, "16 bytes"),
        ({"secret": None}, "16 bytes"),
        ({"port": 0}, "a port is"),
        ({"targets": []}, "must be a list"),
        ({"targets": "127.0.0.1"}, "must be a list"),
        ({"targets": ["web"]}, "targets: 'web' is not an IPv4"),
        ({"targets": ["::1"]}, "not an IPv4"),
        ({"targets": [7]}, "not an IPv4"),
        ({"targets": ["127.0.0.1:x"]}, "malformed port"),
        ({"targets": ["127.0.0.1:0"]}, "a port is"),
        ({"interface": "lo"}, "interface: 'lo'"),
        ({"interval": 0}, "interval"),
        ({"interval": True}, "interval"),
        ({"ttl": 256}, "ttl"),
    ],
)
def test_arguments_are_checked(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        UdpGossip(**{"secret": SECRET, **options})


def test_the_secret_is_not_shown() -> None:
    gossip = UdpGossip("a secret of the tests")
    assert "secret" not in repr(gossip)
    assert pickle.loads(pickle.dumps(gossip)) == gossip == UdpGossip(SECRET)
