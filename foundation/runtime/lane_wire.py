"""Connections of their own for bulk: one more port of a host, made when it is first needed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from foundation.errors import TransportError
from foundation.transport import Outside, TransportConfig
from foundation.transport.addresses import parse_address

CONNECT_SECONDS = 2.0


class BulkWire:
    """See the module docstring; ``foundation.cluster.lanes`` says what is carried.

    The same cookie and the same handshake protect it as protect the other connections.

    Args:
        config: of the node's transport.

    Attributes:
        address: ``"host:port"``.
        on_message: called as ``on_message(address, payload)``.
        on_lost: called as ``on_lost(address, payload)`` for what was not carried, and with no
            bytes when a connection broke, or never came about.
    """

    def __init__(self, config: TransportConfig) -> None:
        self._outside = Outside(dataclasses.replace(config, connect_timeout=CONNECT_SECONDS))
        self._outside.on_message = self._received
        self._outside.on_lost = self._lost
        self._outside.on_dead_letter = self._undelivered
        self.on_message: Callable[[str, bytes], None] = lambda address, payload: None
        self.on_lost: Callable[[str, bytes], None] = lambda address, payload: None
        self._targets: dict[str, Any] = {}
        self._outside.open_now()
        self.address = _text(self._outside.address)

    def send(self, address: str, payload: bytes) -> None:
        """Send *payload*; lost when it cannot be carried."""
        target = self._targets.get(address)
        if target is None:
            target = self._targets[address] = parse_address(address)
        try:
            self._outside.tell(target, payload)
        except TransportError:
            return  # it is closed

    def drop(self, address: str) -> None:
        """Give up the connection with *address*."""
        target = self._targets.pop(address, None)
        if target is not None:
            self._outside.drop(target)

    def close(self) -> None:
        """Release everything."""
        self._outside.close_now()

    def _received(self, message: Any, sender: Any) -> None:
        if type(message) is bytes:
            address = _text(sender)
            self._targets[address] = sender  # to answer over the same connection
            self.on_message(address, message)

    def _lost(self, address: Any) -> None:
        self.on_lost(_text(address), b"")

    def _undelivered(self, address: Any, message: Any) -> None:
        if type(message) is bytes:
            self.on_lost(_text(address), message)


def _text(address: Any) -> str:
    host, port = address.addressDetails.sockname[:2]
    return f"{host}:{port}"
