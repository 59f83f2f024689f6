"""A whole actor system on our base: opening, talking, closing."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import Any

import pytest
from thespian.actors import ActorExitRequest, PoisonMessage

from foundation.errors import CookieError, TransportError
from foundation.transport import TransportConfig, open_system
from tests.transport.actors import BytesFailing, DeadLetters, Echo
from tests.transport.conftest import COOKIE, wait_for


def test_ask_tell_listen(system: Any) -> None:
    echo = system.createActor(Echo)
    assert system.ask(echo, "text", 5) == "text"
    assert system.ask(echo, b"bytes", 5) == b"bytes"
    assert system.ask(echo, {"a": [1, 2]}, 5) == {"a": [1, 2]}
    system.tell(echo, 5)
    assert system.listen(5) == 5
    assert system.listen(0.01) is None


def test_running_loop_inside_receive_message_and_sends_from_callbacks(system: Any) -> None:
    echo = system.createActor(Echo)
    assert system.ask(echo, "loop", 5) is True
    system.tell(echo, ("later", 500))
    assert [system.listen(5) for _ in range(500)] == [b"%d" % n for n in range(500)]


def test_tcp_without_unix_sockets() -> None:
    asys = open_system(TransportConfig(cookie=COOKIE, unix=False))
    try:
        echo = asys.createActor(Echo)
        assert asys.ask(echo, "x" * 3_000_000, 10) == "x" * 3_000_000
    finally:
        asys.shutdown()


def test_uvloop() -> None:
    pytest.importorskip("uvloop")
    asys = open_system(TransportConfig(cookie=COOKIE, uvloop=True))
    try:
        echo = asys.createActor(Echo)
        assert asys.ask(echo, "child", 5) == "child"
        assert asys.ask(echo, b"bytes", 5) == b"bytes"
    finally:
        asys.shutdown()


def test_taken_port_is_an_error_at_once(config: TransportConfig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        began = time.monotonic()
        with pytest.raises(TransportError, match=f"port {port} is taken"):
            open_system(config, admin_port=port)
        assert time.monotonic() - began < 2


def test_second_system_on_a_port_does_not_attach(config: TransportConfig) -> None:
    first = open_system(config)
    try:
        port = first._systemBase.adminAddr.addressDetails.sockname[1]
        with pytest.raises(TransportError):
            open_system(config, admin_port=port)
    finally:
        first.shutdown()
    again = open_system(config, admin_port=port)  # and the port is free after shutdown
    again.shutdown()


def test_from_a_program_with_threads(config: TransportConfig) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        asys = open_system(config)
        try:
            assert asys.ask(asys.createActor(Echo), "threads", 10) == "threads"
        finally:
            asys.shutdown()
    finally:
        stop.set()
        thread.join()


def test_opened_in_a_thread_that_ends(config: TransportConfig) -> None:
    opened: list[Any] = []
    thread = threading.Thread(target=lambda: opened.append(open_system(config)))
    thread.start()
    thread.join()
    asys = opened[0]
    try:
        assert asys.ask(asys.createActor(Echo), "alive", 10) == "alive"
    finally:
        asys.shutdown()


def test_inside_a_running_loop(config: TransportConfig) -> None:
    async def main() -> Any:
        asys = open_system(config)
        try:
            answer = asys.ask(asys.createActor(Echo), "in loop", 5)
            assert asyncio.get_running_loop().is_running()
            return answer
        finally:
            asys.shutdown()

    assert asyncio.run(main()) == "in loop"


def test_a_thousand_messages_wait_for_a_busy_actor(system: Any) -> None:
    echo = system.createActor(Echo)
    system.tell(echo, ("sleep", 0.3))
    relay = system.createActor(Echo)
    for number in range(1000):
        system.tell(relay, ("forward", echo, ("quiet", number)))
    assert system.listen(10) == "slept"
    wait_for(lambda: system.ask(echo, "count", 5) >= 1002, what="all messages arrived")


def test_oversize_message_is_refused_by_the_sender(config: TransportConfig) -> None:
    small = TransportConfig(cookie=COOKIE, max_frame=100_000)
    asys = open_system(small)
    try:
        echo = asys.createActor(Echo)
        with pytest.raises(TransportError, match="max_frame"):
            asys.tell(echo, b"x" * 200_000)
        assert asys.ask(echo, b"x" * 90_000, 5) == b"x" * 90_000
    finally:
        asys.shutdown()


def test_a_handler_failing_on_bytes_runs_twice_as_in_thespian(system: Any) -> None:
    failing = system.createActor(BytesFailing)
    answer = system.ask(failing, b"boom", 5)
    assert isinstance(answer, PoisonMessage)
    assert system.ask(failing, "attempts", 5) == 2


def test_bytes_for_a_dead_actor_become_dead_letters(system: Any) -> None:
    letters = system.createActor(DeadLetters)
    assert system.ask(letters, "start", 5) == "started"
    sender, victim = system.createActor(Echo), system.createActor(Echo)
    assert system.ask(victim, "hello", 5) == "hello"
    system.tell(victim, ActorExitRequest())
    system.tell(sender, ("forward", victim, b"late"))
    wait_for(lambda: b"late" in system.ask(letters, "letters", 5), what="dead letter")


def test_stock_semantics_child_created_by_actor(system: Any) -> None:
    assert system.ask(system.createActor(Echo), "child", 5) == "child"


def test_cookie_never_in_capabilities(system: Any) -> None:
    assert COOKIE not in repr(system._systemBase.transport.config).encode()
    assert COOKIE.decode() not in repr(system.capabilities)


def test_generated_cookie_is_for_loopback_only() -> None:
    with pytest.raises(CookieError, match="explicit cookie"):
        TransportConfig(cookie=COOKIE, explicit_cookie=False, bind_host="0.0.0.0")
    with pytest.raises(CookieError, match="at least 16"):
        TransportConfig(cookie=b"short")
