"""Thespian's transport contract on top of the engine: one asyncio loop per process.

``run`` is ``run_forever``: the actor's handler is called from the read callback, so a message
costs one turn of the loop, and ``asyncio.get_running_loop()`` works inside ``receiveMessage``.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from typing import Any

from thespian.actors import ActorExitRequest, DeadEnvelope, WakeupMessage, WatchMessage
from thespian.system.addressManager import ActorLocalAddress, CannotPickleAddress
from thespian.system.messages.multiproc import ChildMayHaveDied
from thespian.system.timing import ExpirationTimer, timePeriodSeconds
from thespian.system.transport import (
    ExternalInterfaceTransportInit,
    ReceiveEnvelope,
    SendStatus,
    Thespian__Run_Expired,
    Thespian__Run_HandlerResult,
    Thespian__Run_Terminated,
    Thespian__UpdateWork,
    TransmitIntent,
    TransmitOnly,
)

from foundation.transport import wire
from foundation.transport.addresses import (
    EndpointAddress,
    TXOnlyAdminAddress,
    new_incarnation,
)
from foundation.transport.config import TransportConfig
from foundation.transport.endpoints import (
    Clone,
    Endpoint,
    EndpointsMixin,
    default_config,
    own_details,
)
from foundation.transport.engine import ENVELOPE, OBJECT, Engine
from foundation.transport.loops import close_loop, disown_loop, hidden_running_loop, new_loop
from foundation.transport.routing import RoutingMixin

BATCH = 128  # messages handled before other callbacks of the loop get a turn
_NOTHING: Any = object()


class AsyncioTransport(EndpointsMixin, RoutingMixin, Engine):
    """The transport object of one process (see the contract in Thespian's own bases).

    Attributes:
        myAddress: Thespian's name for our address.
        txOnly: this system may only dial out.
    """

    def __init__(self, init: Any, *args: Any, config: TransportConfig | None = None) -> None:
        self._external = False
        if isinstance(init, ExternalInterfaceTransportInit):
            capabilities = args[0]
            config = config or default_config()
            self._become_external(self.getAdminAddr(capabilities), False)
            details = EndpointAddress(config.host, 0, new_incarnation())
        elif isinstance(init, Clone):
            config = init.original.config
            self._become_external(init.original._adminAddr, init.original.txOnly)
            details = EndpointAddress(config.host, 0, new_incarnation())
        else:
            config = init.config
            self._adminAddr, self.txOnly = init.admin, init.tx_only
            details = own_details(init)
        assert config is not None
        super().__init__(config, new_loop(config), details)
        self._thread: int | None = None if self._external else threading.get_ident()
        self.ack_on_receipt = self._external or bool(getattr(init, "logger", False))
        self._logger_details: EndpointAddress | None = None
        self.myAddress = self.address
        self._addressMgr: Any = None
        self._running = False
        self._handler: Any = TransmitOnly
        self._result: Any = _NOTHING
        self._error: BaseException | None = None
        self._draining = False
        self._ending = False
        self._completed = False
        self._pump_handle: Any = None
        self._foreign: deque[Any] = deque()
        self._wakeups: dict[object, Any] = {}  # timers that have not fired
        self._watched: dict[int, None] = {}

    def _become_external(self, admin: Any, tx_only: bool) -> None:
        self._external = True
        self._adminAddr = admin
        self.txOnly = tx_only

    # -- sending -------------------------------------------------------------------------------

    def scheduleTransmit(
        self, manager: Any, intent: Any, has_exclusive_flag: bool = False
    ) -> None:
        """Take over *intent*; serialise now, complete later, exactly once."""
        if manager is not None:
            target, message = manager.prepMessageSend(intent.targetAddr, intent.message)
            if message is SendStatus.DeadTarget:
                intent.tx_done(SendStatus.Sent)
                return
            if target is None:
                raise CannotPickleAddress(intent.targetAddr)
            intent.changeTargetAddr(target)
            intent.changeMessage(message)
        message = intent.message
        if isinstance(message, Thespian__UpdateWork):
            intent.tx_done(SendStatus.Sent)
            return
        if intent.targetAddr.addressDetails == self.details:
            self._from_thread(self._send_to_self, intent)
            return
        intent = self.forward_if_needed(intent)
        if intent is None:
            return
        kind, payload = self.encode(intent.message)
        if threading.get_ident() == self._thread:
            self.send(self.link_to(intent.targetAddr.addressDetails), kind, payload, intent)
        else:
            self._from_thread(self._send_encoded, intent, kind, payload)

    def send_bytes(self, target: Any, payload: bytes, failed: Any) -> bool:
        """The short way for small messages: no intent, no address manager, no pickle.

        Args:
            target: an `ActorAddress`.
            payload: the message.
            failed: called as ``failed(target, payload)`` when the target is dead.

        Returns:
            False when this message must go the long way.
        """
        details = target._aaddr
        if type(details) is ActorLocalAddress:
            real = details.addressManager.exportAddr(target)
            if real is None:
                return False
            details = real._aaddr
        if type(details) is not EndpointAddress or threading.get_ident() != self._thread:
            return False
        link = details.link
        if link is None or link.engine is not self:
            if details == self.details:
                return False
            link = self.link_to(details)
        if len(payload) > self.config.max_frame:
            return False
        self.send(link, wire.BYTES, payload, (failed, target, payload))
        return True

    def _send_encoded(self, intent: Any, kind: int, payload: bytes) -> None:
        self.send(self.link_to(intent.targetAddr.addressDetails), kind, payload, intent)

    def _send_to_self(self, intent: Any) -> None:
        self.inbox.append((self.myAddress, OBJECT, intent.message))
        self.pending += 1
        self.loop.call_soon(self.complete, intent, SendStatus.Sent)
        self._pump_soon()

    def _from_thread(self, function: Any, *args: Any) -> None:
        """Run *function* in the loop's thread: now, or when it gets to it."""
        if threading.get_ident() == self._thread:
            function(*args)
            return
        self._foreign.append((function, args))
        if self._running:
            self.loop.call_soon_threadsafe(self._drain_foreign)

    def _drain_foreign(self) -> None:
        while self._foreign:
            function, args = self._foreign.popleft()
            function(*args)

    def after_completion(self) -> None:
        """`TransmitOnly` returns after each completion, a drain after the last one."""
        self._completed = True
        if self._running:
            self._check_stop()

    def deadAddress(self, manager: Any, address: Any) -> None:
        """The actor at *address* has exited.

        Its connection is about to break, and what it wrote before (answers, acknowledgements)
        is still to be read, so only messages without a connection are completed here.
        """
        details = address.addressDetails
        if isinstance(details, ActorLocalAddress):
            real = manager.exportAddr(address) if manager else None
            if real is None:
                return
            details = real.addressDetails
        link = self.links.get(details.key) if isinstance(details, EndpointAddress) else None
        if (
            link
            and link.conn is None
            and not (link.dialling or link.scheduled or link.retiring)
        ):
            queue, link.queue = link.queue, deque()
            for _kind, _payload, entry in queue:
                self.loop.call_soon(self.complete, entry, SendStatus.DeadTarget)

    def lostRemote(self, address: Any) -> None:
        """Drop the connections with that system, unless only it may dial."""
        lost = address.addressDetails
        if isinstance(lost, TXOnlyAdminAddress):
            return
        for conn in self.connections():
            if conn.link is not None and conn.link.details == lost:
                conn.lost("its system has left")

    # -- receiving -----------------------------------------------------------------------------

    def run(self, handler: Any, maximumDuration: Any = None) -> Any:
        """Thespian's loop; see the module text."""
        self._handler = handler
        self._result, self._error = _NOTHING, None
        self._draining = self._completed = False
        if self._external:
            self._thread = threading.get_ident()
        self._running = True
        timer = None
        try:
            self._drain_foreign()
            self._prepare_run(handler)
            if self._result is _NOTHING:
                if maximumDuration is not None:
                    seconds = max(0.0, timePeriodSeconds(maximumDuration))
                    timer = self.loop.call_later(seconds, self._stop, Thespian__Run_Expired())
                with hidden_running_loop():
                    while self._result is _NOTHING:  # whoever else stops the loop
                        self.loop.run_forever()
            self.flush()
        finally:
            self._running = False
            if self._external:
                self._thread = None
            if timer is not None:
                timer.cancel()
            self._handler = TransmitOnly
        if self._error is not None:
            raise self._error
        return self._result

    def _prepare_run(self, handler: Any) -> None:
        if handler is TransmitOnly or isinstance(handler, TransmitOnly):
            self._handler = TransmitOnly
            if not self._external:
                # An actor runs like this only at its end: it will handle nothing any more.
                self._ending = True
                self.refuse_inbox()
            if self.pending == 0:
                self._result = 0
            elif self._external:
                # After one look at the sockets: the peer may have gone since the last call.
                self.loop.call_soon(self.loop.call_soon, self._check_stop)
        elif handler is None:
            self.pump()
        else:
            self._pump_soon()

    def _stop(self, result: Any) -> None:
        if self._result is _NOTHING and self._running:
            self._result = result
            if self.loop.is_running():
                self.loop.stop()

    def _check_stop(self) -> None:
        if self._handler is TransmitOnly:
            if not self._external:
                self._stop(self.pending)
            elif self.unwritten() == 0:
                self._release_written()
                self._stop(0)
        elif self._draining and self.pending == 0:
            self._stop(Thespian__Run_Terminated())

    def after_write(self) -> None:
        """A program's ``tell`` ends when the kernel has the message.

        Acknowledgements come when a message was handled, which may take an hour. A message
        that turns out undeliverable later is reported by a later call.
        """
        if self._external and self._running and self._handler is TransmitOnly:
            self._check_stop()

    def _release_written(self) -> None:
        """A finished ``tell`` must not abort a later call: only its dead letter remains."""
        for conn in self.connections():
            for index, entry in enumerate(conn.unacked):
                if entry is not None and type(entry) is not tuple:
                    conn.unacked[index] = (self._dead_letter, entry.targetAddr, entry.message)

    def _dead_letter(self, target: Any, message: Any) -> None:
        if target != self._adminAddr and not isinstance(message, DeadEnvelope):
            letter = TransmitIntent(self._adminAddr, DeadEnvelope(target, message))
            self.scheduleTransmit(None, letter)

    def _pump_soon(self) -> None:
        if self._pump_handle is None:
            self._pump_handle = self.loop.call_soon(self._pump_again)

    def _pump_again(self) -> None:
        self._pump_handle = None
        self.pump()
        if self._running and self._draining:
            self._check_stop()

    def pump(self) -> None:
        """Hand queued messages to the current run's handler, a batch at a time."""
        handler, inbox = self._handler, self.inbox
        if not self._running or handler is TransmitOnly or self._draining:
            if self._ending and inbox:
                self.refuse_inbox()
            return
        budget = BATCH
        while inbox and budget and self._result is _NOTHING and not self._draining:
            budget -= 1
            envelope = self._next_envelope()
            if envelope is None:
                continue
            if handler is None:
                self._stop(envelope)
                break
            try:
                result = handler(envelope)
            except BaseException as error:
                self._error = error
                self._stop(None)
                break
            if not result:
                self._stop(Thespian__Run_HandlerResult(result))
        self.relieve()
        self.flush()
        if inbox and self._result is _NOTHING:
            self._pump_soon()

    def _next_envelope(self) -> Any:
        """Take one message; it counts as handled from here on (nothing is written before the
        handler has returned, so a crash in it leaves the message unacknowledged)."""
        source, kind, payload = self.inbox.popleft()
        if kind == wire.BYTES:
            if not self.ack_on_receipt:
                self.owe(source)
            return ReceiveEnvelope(source.sender, payload)
        if kind == ENVELOPE:
            return payload
        if kind == OBJECT:
            return self.unwrap(ReceiveEnvelope(source, payload))
        message = self._decode(source, payload)
        if message is _NOTHING:
            return None
        return self.unwrap(ReceiveEnvelope(source.sender, message))

    def _decode(self, source: Any, payload: bytes) -> Any:
        if not self.ack_on_receipt:
            self.owe(source)
        try:
            return self.decode(payload)
        except Exception as error:
            self.report_unreadable(source, error)
            return _NOTHING

    # -- control -------------------------------------------------------------------------------

    def abort_run(self, drain: bool = False) -> None:
        """End the current `run`; with *drain* once nothing is pending."""
        if not self._running:
            return
        if not drain:
            self._stop(Thespian__Run_Terminated())
            return
        self._draining = True
        if not self._external:
            self._ending = True
        self._pump_soon()

    def interrupt_wait(
        self, signal_shutdown: bool = False, check_children: bool = False
    ) -> None:
        """From a signal handler: deliver the news through the loop."""
        if self._closed:
            return
        if signal_shutdown:
            self.loop.call_soon_threadsafe(self._deliver, ActorExitRequest())
        if check_children:
            self.loop.call_soon_threadsafe(self._deliver, ChildMayHaveDied())

    def _deliver(self, message: Any) -> None:
        self.inbox.append((None, ENVELOPE, ReceiveEnvelope(self.myAddress, message)))
        self.pump()

    def addWakeup(self, period: Any, payload: Any) -> None:
        """Deliver a `WakeupMessage` after *period*."""
        timer = ExpirationTimer(period)
        seconds = max(0.0, timePeriodSeconds(period))
        token = object()
        self._wakeups[token] = timer
        self.loop.call_later(seconds, self._wake, token, payload)

    def _wake(self, token: object, payload: Any) -> None:
        timer = self._wakeups.pop(token)
        self._deliver(WakeupMessage(timer.duration, payload))

    def set_watch(self, filenos: list[int]) -> None:
        """Fire one `WatchMessage` when one of *filenos* is readable, then stop watching."""
        if not filenos and not self._watched:
            return
        for fileno in self._watched:
            self.loop.remove_reader(fileno)
        self._watched = {}
        for fileno in filenos:
            try:
                self.loop.add_reader(fileno, self._on_watch)
                self._watched[fileno] = None
            except (OSError, ValueError):  # a regular file, or closed: not worth a process
                continue

    def _on_watch(self) -> None:
        import select

        poll = select.poll()
        for fileno in self._watched:
            poll.register(fileno, select.POLLIN)
        ready = [fileno for fileno, _event in poll.poll(0)]
        if ready:
            self.set_watch([])
            self._deliver(WatchMessage(ready))

    def _updateStatusResponse(self, response: Any) -> None:
        for link in set(self.links.values()):
            entries = [entry for _kind, _payload, entry in link.queue]
            for conn in link.conns:
                entries.extend(conn.unacked)
            for entry in entries:
                message = entry[2] if type(entry) is tuple else getattr(entry, "message", "")
                response.addPendingMessage(self.myAddress, link.address, str(message))
        for source, _kind, payload in self.inbox:
            sender = getattr(source, "sender", None) or self.myAddress
            response.addReceivedMessage(sender, self.myAddress, str(payload))
        response.addWakeups([(self.myAddress, timer) for timer in self._wakeups.values()])
        for peer, count in self.refused_peers.items():
            response.addKeyVal(f"refused connections from {peer}", count)

    # -- ending --------------------------------------------------------------------------------

    def close(self) -> None:
        """Fail what is pending and release everything; idempotent; harmless in a fork."""
        if getattr(self, "_closed", True) or os.getpid() != self._pid:
            return
        for function, args in self._foreign:
            if function in (self._send_encoded, self._send_to_self):
                self.pending += 1
                self.complete(args[0], SendStatus.Failed)
        self._foreign.clear()
        self.set_watch([])
        self.shut()
        close_loop(self.loop)

    def __del__(self) -> None:
        self.close()

    def abandon(self) -> None:
        """In a forked child: see `Engine.abandon`."""
        super().abandon()
        disown_loop(self.loop)


__all__ = ["AsyncioTransport", "Endpoint"]
