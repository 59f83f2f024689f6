"""Peers without the cookie: nothing of theirs runs, they are cut off, the node goes on."""

from __future__ import annotations

import asyncio
import os
import pickle
import random
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundation.transport import Outside, TransportConfig, open_system, wire
from foundation.transport.addresses import unix_name
from foundation.transport.handshake import MAGIC, Handshake
from tests.transport.actors import Echo
from tests.transport.conftest import COOKIE, wait_for


class Exploit:
    """Makes a directory when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


def half_a_handshake(cookie: bytes) -> Callable[[socket.socket], None]:
    def attack(sock: socket.socket) -> None:
        handshake = Handshake(cookie, dialler=True)
        sock.sendall(wire.frame(wire.AUTH, handshake.start()))

    return attack


def wrong_cookie(sock: socket.socket) -> None:
    """Answers with a proof made from another cookie, without checking the listener."""
    handshake = Handshake(b"wrong" * 8, dialler=True)
    sock.sendall(wire.frame(wire.AUTH, handshake.start()))
    time.sleep(0.05)
    sock.sendall(wire.frame(wire.AUTH, b"p" * 32))


def attacks(marker: str) -> dict[str, Callable[[socket.socket], None]]:
    evil = pickle.dumps(Exploit(marker))
    stock = b"%d:" % len(evil) + evil
    rng = random.Random(7)
    hello = wire.frame(wire.HELLO, evil)
    return {
        "silence": lambda sock: None,
        "random bytes": lambda sock: sock.sendall(rng.randbytes(5000)),
        "half a frame": lambda sock: sock.sendall(wire.frame(wire.AUTH, MAGIC)[:7]),
        "half a handshake": half_a_handshake(COOKIE),
        "wrong cookie": wrong_cookie,
        "oversize frame": lambda sock: sock.sendall(wire.pack_header(2**31, 0, wire.AUTH)),
        "pickle as greeting": lambda sock: sock.sendall(hello),
        "pickle as message": lambda sock: sock.sendall(wire.frame(wire.PICKLE, evil)),
        "pickle in the handshake": lambda sock: sock.sendall(wire.frame(wire.AUTH, evil)),
        "pickle as stock Thespian sends it": lambda sock: sock.sendall(stock),
        "greeting behind half a handshake": lambda sock: sock.sendall(
            wire.frame(wire.AUTH, Handshake(COOKIE, dialler=True).start()) + hello
        ),
    }


def connect(port: int, unix: bool) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX if unix else socket.AF_INET, socket.SOCK_STREAM)
    sock.connect(unix_name("127.0.0.1", port) if unix else ("127.0.0.1", port))
    sock.settimeout(0.5)
    return sock


def is_closed(sock: socket.socket) -> bool:
    try:
        while sock.recv(4096):
            pass
        return True
    except TimeoutError:
        return False
    except OSError:
        return True


def listeners(system: Any) -> tuple[Any, list[int]]:
    echo = system.createActor(Echo)
    assert system.ask(echo, 1, 5) == 1
    admin = system._systemBase.adminAddr
    return echo, [echo.addressDetails.sockname[1], admin.addressDetails.sockname[1]]


@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
def test_hostile_peers_get_nothing_and_are_cut_off(system: Any, tmp_path: Path, unix: bool) -> None:
    marker = str(tmp_path / "pwned")
    echo, ports = listeners(system)
    began = time.monotonic()
    socks = []
    for port in ports:
        for attack in attacks(marker).values():
            sock = connect(port, unix)
            socks.append(sock)
            try:
                attack(sock)
            except OSError:
                pass  # cut off already
    assert system.ask(echo, "still serving", 5) == "still serving"
    while socks and time.monotonic() - began < 5:
        socks = [sock for sock in socks if not is_closed(sock) or sock.close()]
    still_open = len(socks)
    for sock in socks:
        sock.close()
    assert not still_open, f"{still_open} connections survived 5 s"
    assert not os.path.exists(marker)
    assert system.ask(echo, "after", 5) == "after"
    assert system.ask(system.createActor(Echo), "new actor", 5) == "new actor"


def test_many_silent_connections_do_not_stop_the_node(system: Any) -> None:
    echo, ports = listeners(system)
    socks = [connect(ports[0], True) for _ in range(600)]
    try:
        assert system.ask(echo, "serving", 5) == "serving"
        assert system.ask(system.createActor(Echo), ("forward", echo, "x"), 0.05) is None
        assert system.ask(echo, "serving", 5) == "serving"
    finally:
        for sock in socks:
            sock.close()


def test_garbage_after_authentication_only_ends_that_connection(system: Any) -> None:
    echo, ports = listeners(system)
    with connect(ports[0], True) as sock:
        handshake = Handshake(COOKIE, dialler=True)
        sock.sendall(wire.frame(wire.AUTH, handshake.start()))
        header = wire.HEADER.unpack(sock.recv(wire.HEADER_SIZE))
        proof = handshake.feed(sock.recv(header[0]))
        sock.sendall(wire.frame(wire.AUTH, proof or b"") + b"\xff" * 100)
        wait_for(lambda: is_closed(sock), 5)
    assert system.ask(echo, "serving", 5) == "serving"


def test_a_peer_with_another_cookie_is_counted_logged_once_and_told() -> None:
    """Both directions: the message becomes a dead letter at the sender."""

    async def main(caplog_records: list[str]) -> None:
        good = Outside(TransportConfig(cookie=COOKIE))
        bad = Outside(TransportConfig(cookie=b"another cookie, long enough"))
        async with good, bad:
            dead, got = [], []
            good.on_message = lambda message, sender: got.append(message)
            bad.on_dead_letter = lambda address, message: dead.append(message)
            for number in range(3):
                bad.tell(good.address, ("secret", number))
                while len(dead) <= number:
                    await asyncio.sleep(0.005)
            assert dead == [("secret", number) for number in range(3)]
            assert not got
            engine = bad._engine
            assert engine is not None
            assert sum(engine.refused_peers.values()) == 3  # the dialler finds out first

    asyncio.run(asyncio.wait_for(main([]), 20))


def test_refusals_are_logged_once_per_peer(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> int:
        async with Outside(TransportConfig(cookie=COOKIE)) as victim:
            port = victim.address.addressDetails.sockname[1]
            for _ in range(5):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"\xff" * 100)
                assert await asyncio.wait_for(reader.read(), 5) == b""
                writer.close()
                await writer.wait_closed()
            assert victim._engine is not None
            return victim._engine.refused_peers["127.0.0.1"]

    with caplog.at_level("WARNING", "foundation.transport"):
        assert asyncio.run(main()) == 5
    assert sum("refused a connection" in record.message for record in caplog.records) == 1


def test_system_with_another_cookie_cannot_use_ours(system: Any) -> None:
    echo, _ports = listeners(system)
    other = open_system(TransportConfig(cookie=b"another cookie, long enough"))
    try:
        assert other.ask(echo, "let me in", 2) is None
    finally:
        other.shutdown()
    assert system.ask(echo, "count", 5) == 2
