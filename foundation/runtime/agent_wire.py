"""What agents of different nodes say to each other, over the transport.

Each control host listens at a port of its own for this, which does not change while it lives,
and by which other nodes find it first.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from foundation.errors import NodeError, TransportError
from foundation.transport import Outside, TransportConfig
from foundation.transport.addresses import parse_address

CONNECT_SECONDS = 1.0  # a peer that does not answer is dialled anew, soon after it may again
KNOCK_SECONDS = 1.0


class AgentWire:
    """The wire of one agent.

    Args:
        config: of the node's transport.
        port: to listen at; 0 takes a free one.

    Attributes:
        address: ``"host:port"``, what others dial.
        on_message: called as ``on_message(sender, payload)``.
        on_lost: called as ``on_lost(address, refused)`` when a connection broke; *refused* says
            that nobody listens there any more.

    Raises:
        NodeError: the port is taken.
    """

    def __init__(self, config: TransportConfig, port: int) -> None:
        patient = dataclasses.replace(config, connect_timeout=CONNECT_SECONDS)
        self._outside = Outside(patient, port=port)
        self._outside.on_message = self._received
        self._outside.on_lost = self._lost
        self._outside.on_dead_letter = lambda address, message: None  # what matters is repeated
        self.on_message: Callable[[str, bytes], None] = lambda sender, payload: None
        self.on_lost: Callable[[str, bool], None] = lambda address, refused: None
        self.muted: frozenset[str] = frozenset()  # addresses that nothing goes to or comes from
        self._addresses: dict[str, Any] = {}
        self._knocking: dict[str, asyncio.Task[None]] = {}
        try:
            self._outside.open_now()
        except OSError as error:
            raise NodeError(
                f"the cluster port {port} of {config.bind_host} cannot be had: {error}; stop what "
                "listens there, or choose another port (0 takes a free one)"
            ) from None
        self.address = _text(self._outside.address)

    def send(self, address: str, payload: bytes) -> None:
        """Send *payload* to the agent at *address*; lost when it cannot be reached."""
        if address in self.muted:
            return
        target = self._addresses.get(address)
        if target is None:
            if len(self._addresses) > 1000:
                self._addresses.clear()
            target = self._addresses[address] = parse_address(address)
        try:
            self._outside.tell(target, payload)
        except TransportError:
            return  # closed, or too long; it will be repeated, or not

    def mute(self, addresses: Iterable[str]) -> None:
        """Throw away what goes to and comes from *addresses*, and nothing else."""
        self.muted = frozenset(addresses)

    def drop(self, address: str) -> None:
        """Give up the connection with a node that went silent: TCP's patience is longer."""
        target = self._addresses.get(address)
        if target is not None:
            self._outside.drop(target)

    def flush(self) -> None:
        """Write what has been said, instead of in the next round of the loop."""
        self._outside.flush()

    def close(self) -> None:
        """Release everything."""
        for task in self._knocking.values():
            task.cancel()
        self._outside.flush()
        self._outside.close_now()

    def _received(self, message: Any, sender: Any) -> None:
        peer = _text(sender)
        if type(message) is bytes and peer not in self.muted:
            self.on_message(peer, message)

    def _lost(self, address: Any) -> None:
        peer = _text(address)
        if peer not in self._knocking and peer not in self.muted:
            task = asyncio.get_running_loop().create_task(self._knock(peer))
            self._knocking[peer] = task

    async def _knock(self, peer: str) -> None:
        """Find out whether anybody still listens there."""
        host, _, port = peer.rpartition(":")
        refused = False
        try:
            async with asyncio.timeout(KNOCK_SECONDS):
                _, writer = await asyncio.open_connection(host, int(port))
                writer.close()
        except ConnectionRefusedError:
            refused = True
        except (OSError, TimeoutError):
            refused = False
        finally:
            self._knocking.pop(peer, None)
        # Not from inside this task: what follows may run processes, which are tasks, too.
        asyncio.get_running_loop().call_soon(self.on_lost, peer, refused)


def _text(address: Any) -> str:
    host, port = address.addressDetails.sockname[:2]
    return f"{host}:{port}"
