"""Asking the agent of a node from outside, and where that fails, telling in what step."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from dataclasses import dataclass
from typing import Any, Literal

from foundation.transport import Outside, TransportConfig
from foundation.transport.addresses import parse_address
from foundation.transport.handshake import MAX_PAYLOAD, Handshake, HandshakeError, WrongCookie
from foundation.transport.wire import AUTH, REJECT, Decoder, WireError, frame

CHUNK = 4096

Step = Literal["resolve", "connect", "protocol", "cookie", "answer", "done"]


@dataclass(frozen=True)
class Dialled:
    """How far asking came.

    Attributes:
        step: the one that failed: ``"resolve"`` (its host name), ``"connect"`` (TCP),
            ``"protocol"`` (it is no node), ``"cookie"`` (it has another one), ``"answer"``; or
            ``"done"``.
        text: why it failed.
        answer: what the agent said.
    """

    step: Step
    text: str = ""
    answer: bytes = b""


async def ask_agent(
    address: str, question: bytes, config: TransportConfig, timeout: float
) -> Dialled:
    """Ask the agent at *address*.

    Args:
        address: ``"host:port"``.
        question: what to ask.
        config: with the cookie to prove, and the address to be answered at.
        timeout: seconds for each step.
    """
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(timeout):
            ip = await _resolve(host)
    except (OSError, TimeoutError) as error:
        return Dialled("resolve", _why(error, f"the name did not resolve in {timeout:g} s"))
    failed = await _prove(ip, int(port), config.cookie, timeout)
    if failed is not None:
        return failed
    return await _ask(f"{ip}:{port}", question, config, timeout)


def _why(error: Exception, late: str) -> str:
    if isinstance(error, TimeoutError):
        return late
    if isinstance(error, OSError) and error.errno and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno)  # asyncio's own text says the address again
    return getattr(error, "strerror", "") or str(error)


async def _resolve(host: str) -> str:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host.strip("[]"), None, family=socket.AF_INET)
    return str(found[0][4][0])


async def _prove(ip: str, port: int, cookie: bytes, timeout: float) -> Dialled | None:
    """Connect, and prove the cookie to each other; None when that works."""
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(ip, port)
    except (OSError, TimeoutError) as error:
        return Dialled("connect", _why(error, f"no connection in {timeout:g} s"))
    try:
        async with asyncio.timeout(timeout):
            await _handshake(reader, writer, cookie)
    except WrongCookie:
        return Dialled("cookie", "it has another cookie")
    except (HandshakeError, WireError, EOFError, OSError, TimeoutError) as error:
        late = f"it does not speak within {timeout:g} s"
        return Dialled("protocol", _why(error, late) or type(error).__name__)
    finally:
        writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(timeout):
                await writer.wait_closed()
    return None


async def _handshake(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cookie: bytes
) -> None:
    handshake = Handshake(cookie, dialler=True)
    decoder = Decoder(MAX_PAYLOAD)
    writer.write(frame(AUTH, handshake.start()))
    frames: list[tuple[int, int, bytes]] = []
    while not frames:
        data = await reader.read(CHUNK)
        if not data:
            raise HandshakeError("it closed the connection")
        frames = decoder.feed(data, 1)
    kind, _, payload = frames[0]
    if kind == REJECT:
        raise WrongCookie("rejected")
    if kind != AUTH:
        raise HandshakeError("it speaks something else")
    proof = handshake.feed(payload)
    assert proof is not None
    writer.write(frame(AUTH, proof))
    await writer.drain()


async def _ask(
    address: str, question: bytes, config: TransportConfig, timeout: float
) -> Dialled:
    answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def received(message: Any, sender: Any) -> None:
        if isinstance(message, bytes) and not answered.done():
            answered.set_result(message)

    async with Outside(config) as outside:
        outside.on_message = received
        outside.on_dead_letter = lambda address, message: None
        outside.tell(parse_address(address), question)
        try:
            async with asyncio.timeout(timeout):
                return Dialled("done", answer=await answered)
        except TimeoutError:
            return Dialled("answer", f"it accepts the cookie, and says nothing in {timeout:g} s")
