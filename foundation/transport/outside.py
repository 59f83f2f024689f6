"""An endpoint of an ordinary asyncio program, living on the program's own loop."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from thespian.actors import ActorAddress, DeadEnvelope, PoisonMessage
from thespian.system.messages.admin import PendingActor, PendingActorResponse
from thespian.system.transport import ForwardMessage, ReceiveEnvelope, SendStatus

from foundation.errors import TransportError
from foundation.transport import wire
from foundation.transport.addresses import EndpointAddress, new_incarnation
from foundation.transport.config import TransportConfig
from foundation.transport.engine import Engine
from foundation.transport.routing import RoutingMixin

BATCH = 256
ACK_DELAY = 0.005  # seconds that an acknowledgement may wait for a message to travel with
ACK_AT_ONCE = 1000  # so many do not wait
_log = logging.getLogger("foundation.transport")


class _OutsideEngine(RoutingMixin, Engine):
    """Delivers every message to one callback, on a loop that somebody else runs."""

    def __init__(
        self, config: TransportConfig, loop: Any, deliver: Callable[[Any], None], port: int = 0
    ) -> None:
        self._deliver = deliver
        self._again: Any = None
        self._late: list[Any] = []  # connections whose acknowledgements wait
        self._late_timer: Any = None
        super().__init__(config, loop, EndpointAddress(config.host, port, new_incarnation()))
        self.myAddress = self.address
        self.ack_on_receipt = True  # what reaches this process is in the program's hands

    def pump(self) -> None:
        """Deliver a batch, write what that produced, come back for the rest."""
        budget = BATCH
        while self.inbox and budget and not self._closed:
            budget -= 1
            source, kind, payload = self.inbox.popleft()
            if kind == wire.BYTES:
                self._deliver(ReceiveEnvelope(source.sender, payload))
                continue
            try:
                message = self.decode(payload)
            except Exception as error:
                self.report_unreadable(source, error)
                continue
            if type(message) is ForwardMessage:
                self._deliver(ReceiveEnvelope(message.fwdFrom, message.fwdMessage))
            else:
                self._deliver(ReceiveEnvelope(source.sender, message))
        if self._closed:
            return
        self.relieve()
        self.flush()
        if self.inbox and self._again is None:
            self._again = self.loop.call_soon(self._pump_again)

    def _pump_again(self) -> None:
        self._again = None
        if not self._closed:
            self.pump()

    def owe(self, conn: Any) -> None:
        """Acknowledge a little later, mostly together with the next message to that peer.

        Here that is only news of the receipt, and a frame for it would wake the peer.
        """
        conn.owed += 1
        if conn.owed == 1:
            self._late.append(conn)
            if self._late_timer is None:
                self._late_timer = self.loop.call_later(ACK_DELAY, self._acknowledge)
        elif conn.owed == ACK_AT_ONCE:
            conn.flush()

    def _acknowledge(self) -> None:
        self._late_timer = None
        late, self._late = self._late, []
        for conn in late:
            if conn.owed:
                conn.flush()

    def shut(self) -> None:
        """Acknowledge, then release everything."""
        if self._late_timer is not None:
            self._late_timer.cancel()
        self._acknowledge()
        super().shut()


class Outside:
    """An endpoint living on the caller's running loop; several may exist in one process.

    All methods but `tell_threadsafe` belong to the loop's thread. No threads are made.

    Args:
        system: what `open_system` returned, or a `TransportConfig` together with *admin*.
        admin: the address of the admin, needed for `create_actor` and dead letters.
        port: to listen at; 0 takes a free one.
        idle_close: instead of the system's own setting; None: idle connections stay.

    Attributes:
        on_message: called as ``on_message(message, sender)`` with what no `ask` waits for.
        on_lost: called as ``on_lost(address)`` when the connection to a peer broke, or a peer
            cannot be reached.
        on_dead_letter: called as ``on_dead_letter(address, message)`` when a `tell` could not
            be delivered; by default such messages go to Thespian's dead-letter handler.
    """

    def __init__(
        self, system: Any, *, admin: Any = None, port: int = 0, idle_close: float | None = -1.0
    ) -> None:
        if isinstance(system, TransportConfig):
            self._config: TransportConfig = system
            self._admin = admin
        else:
            base = system._systemBase
            if base is None or not isinstance(getattr(base, "config", None), TransportConfig):
                raise TransportError(
                    "Outside needs a system opened by open_system(), or a TransportConfig"
                )
            self._config, self._admin = base.config, base.adminAddr
        if idle_close != -1.0:
            self._config = dataclasses.replace(self._config, idle_close=idle_close)
        self._port = port
        self.on_message: Callable[[Any, Any], None] | None = None
        self.on_lost: Callable[[Any], None] | None = None
        self.on_dead_letter: Callable[[Any, Any], None] | None = None
        self._engine: _OutsideEngine | None = None
        self._waiting: dict[tuple[str, int, int], deque[asyncio.Future[Any]]] = {}
        self._creating: dict[int, asyncio.Future[Any]] = {}
        self._numbers = itertools.count(1)
        self._thread = 0

    async def open(self) -> Outside:
        """Start listening on the running loop; returns self."""
        if self._engine is None:
            self.open_now()
        return self

    def open_now(self) -> None:
        """`open`, for callbacks of the running loop.

        Raises:
            OSError: the port is taken.
        """
        loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._engine = _OutsideEngine(self._config, loop, self._received, self._port)
        self._engine.lost_callbacks.append(self._lost)

    async def __aenter__(self) -> Outside:
        return await self.open()

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    @property
    def address(self) -> Any:
        """The picklable `ActorAddress` others can send to."""
        return self._living().address

    @property
    def config(self) -> TransportConfig:
        """The settings it was made with."""
        return self._config

    @property
    def refusals(self) -> int:
        """How many connections failed, on either side, for the lack of a common cookie."""
        return sum(self._living().refused_peers.values())

    def tell(self, address: Any, message: Any) -> None:
        """Send *message*; never blocks. Loop thread only.

        Raises:
            TransportError: this endpoint is closed, or the message exceeds ``max_frame``.
        """
        engine = self._living()
        kind, payload = engine.encode(message)
        self._send(engine, address, kind, payload, message)

    def drop(self, address: Any) -> None:
        """Give up the connections with *address*: what is said next dials anew."""
        if self._engine is not None:
            self._engine.drop(address)

    def close_now(self) -> None:
        """Release everything at once; what has not been written is lost."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.shut()

    def flush(self) -> None:
        """Write what has been told, instead of in the next round of the loop."""
        self._living().flush()

    def tell_threadsafe(self, address: Any, message: Any) -> None:
        """`tell` from any thread; serialises in the calling thread."""
        engine = self._living()
        kind, payload = engine.encode(message)
        if threading.get_ident() == self._thread:
            self._send(engine, address, kind, payload, message)
        else:
            engine.loop.call_soon_threadsafe(
                self._send, engine, address, kind, payload, message
            )

    async def ask(self, address: Any, message: Any, timeout: float | None = None) -> Any:
        """Send *message* and wait for the next message from *address*.

        Thespian's messages carry no correlation: concurrent asks to one actor are answered in
        order, and a reply that comes after its timeout is taken for that of the next ask.

        Args:
            address: the actor.
            message: anything picklable.
            timeout: seconds; None waits until the actor's process is gone.

        Raises:
            TimeoutError: no reply in time.
            TransportError: the actor is gone.
        """
        queue = self._waiting.setdefault(_key(address), deque())
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        queue.append(future)
        try:
            self.tell(address, message)
            async with asyncio.timeout(timeout):
                return await future
        finally:
            if future in queue:
                queue.remove(future)
            if not queue:
                self._waiting.pop(_key(address), None)

    async def create_actor(
        self,
        actor_class: Any,
        requirements: dict[str, Any] | None = None,
        *,
        global_name: str | None = None,
        timeout: float = 50.0,
    ) -> Any:
        """Have the admin start an actor.

        Args:
            actor_class: an importable class, or its dotted name.
            requirements: capabilities the actor's system must have.
            global_name: return the actor of this name if there is one.
            timeout: seconds.

        Returns:
            Its `ActorAddress`. The actor's ``__init__`` may still be running, or have failed.

        Raises:
            TransportError: the admin refused, with its reason, or is gone.
            TimeoutError: no answer in time.
        """
        if self._admin is None:
            raise TransportError("this endpoint does not know an admin; pass admin= to Outside")
        name = actor_class
        if hasattr(actor_class, "__name__"):
            name = f"{actor_class.__module__}.{actor_class.__name__}"
        number = next(self._numbers)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._creating[number] = future
        try:
            self.tell(
                self._admin,
                PendingActor(name, None, number, requirements, globalName=global_name),
            )
            async with asyncio.timeout(timeout):
                response = await future
        finally:
            del self._creating[number]
        if response.errorCode:
            reason = getattr(response, "errorStr", None) or f"error {response.errorCode}"
            raise TransportError(f"the admin could not start {name}: {reason}")
        return response.actualAddress

    async def close(self) -> None:
        """Say what is still to be said (at most a second), then release everything."""
        engine = self._engine
        if engine is None:
            return
        deadline = engine.loop.time() + 1.0
        while engine.pending and engine.loop.time() < deadline:
            await asyncio.sleep(0.002)
        self._engine = None
        engine.shut()
        for future in [*self._creating.values(), *itertools.chain(*self._waiting.values())]:
            if not future.done():
                future.set_exception(TransportError("the endpoint was closed"))

    # -- inside ------------------------------------------------------------------------------

    def _living(self) -> _OutsideEngine:
        if self._engine is None:
            raise TransportError("the endpoint is not open; await outside.open() first")
        return self._engine

    def _send(self, engine: Any, address: Any, kind: int, payload: bytes, message: Any) -> None:
        if not engine._closed:
            link = engine.link_to(address.addressDetails)
            engine.send(link, kind, payload, (self._undelivered, address, message))

    def _received(self, envelope: Any) -> None:
        message, sender = envelope.message, envelope.sender
        if self._creating and isinstance(message, PendingActorResponse):
            creating = self._creating.get(message.instanceNum)
            if creating is not None and not creating.done():
                creating.set_result(message)
                return
        queue = self._waiting.get(_key(sender)) if self._waiting else None
        while queue:
            future = queue.popleft()
            if not future.done():
                if isinstance(message, PoisonMessage):
                    future.set_exception(TransportError(f"the actor failed: {message.details}"))
                else:
                    future.set_result(message)
                return
        if self.on_message is not None:
            self._guarded(self.on_message, message, sender)

    def _lost(self, address: Any) -> None:
        key = _key(address)
        error = f"the actor at {address} is gone"
        waiting: list[asyncio.Future[Any]] = list(self._waiting.get(key, ()))
        if self._admin is not None and address == self._admin:
            waiting.extend(self._creating.values())
        for future in waiting:
            if not future.done():
                future.set_exception(TransportError(error))
        if self.on_lost is not None:
            self._guarded(self.on_lost, address)

    def _undelivered(self, address: Any, message: Any) -> None:
        engine = self._engine
        if engine is None or engine._closed:
            return
        if self.on_dead_letter is not None:
            self._guarded(self.on_dead_letter, address, message)
            return
        if self._admin is None or address == self._admin or isinstance(message, DeadEnvelope):
            return
        letter = DeadEnvelope(ActorAddress(address.addressDetails), message)
        engine.send(engine.link_to(self._admin.addressDetails), *engine.encode(letter), None)

    def _guarded(self, callback: Callable[..., None], *args: Any) -> None:
        try:
            callback(*args)
        except Exception:
            _log.exception("a callback of Outside failed")


def _key(address: Any) -> Any:
    details = address.addressDetails
    return details.key if isinstance(details, EndpointAddress) else str(details)


__all__ = ["Outside", "SendStatus"]
