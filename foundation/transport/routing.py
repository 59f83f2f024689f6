"""Thespian's "Admin Routing": messages to other machines go through the admins."""

from __future__ import annotations

import logging
import pickle
from typing import Any

from thespian.system.transport import (
    ForwardMessage,
    ReceiveEnvelope,
    SendStatus,
    TransmitIntent,
)

from foundation.transport.addresses import RoutedEndpointAddress

_log = logging.getLogger("foundation.transport")


class RoutingMixin:
    """Wraps messages for relays, and relays them."""

    myAddress: Any
    txOnly: bool
    _adminAddr: Any
    _addressMgr: Any

    def forward_if_needed(self, intent: Any) -> Any:
        """Wrap *intent*'s message for the first relay; None when it is complete already."""
        target = intent.targetAddr
        details = target.addressDetails
        if type(details) is not RoutedEndpointAddress or isinstance(
            intent.message, ForwardMessage
        ):
            return intent
        routing = [hop or self._adminAddr for hop in details.routing if hop != self.myAddress]
        if (
            self.txOnly
            and routing
            and routing[0] != self._adminAddr
            and self.myAddress != self._adminAddr
        ):
            routing.insert(0, self._adminAddr)
        if not routing or routing == [target] or details.isLocalAddr():
            return intent
        message: Any = ForwardMessage(intent.message, target, self.myAddress, routing)
        relay = message.fwdTargets[0]
        if self._addressMgr is not None:
            relay, message = self._addressMgr.prepMessageSend(relay, message)
            if message is SendStatus.DeadTarget:
                intent.tx_done(SendStatus.Sent)
                return None
        # The layers above judge the outcome by the original target.
        intent.addCallback(
            lambda _result, done: done.changeTargetAddr(target),
            lambda _result, done: done.changeTargetAddr(target),
        )
        intent.changeMessage(message)
        intent.changeTargetAddr(relay)
        return intent

    def unwrap(self, envelope: Any) -> Any:
        """The envelope to deliver; None when it was passed on to the next relay."""
        message = envelope.message
        if type(message) is not ForwardMessage:
            return envelope
        if message.fwdTo == self.myAddress:
            return ReceiveEnvelope(message.fwdFrom, message.fwdMessage)
        if not message.fwdTargets:
            _log.error("a forwarded message for %s has no further relay", message.fwdTo)
            return None
        relay = message.fwdTargets[0]
        message.fwdTargets = message.fwdTargets[1:]
        self.scheduleTransmit(self._addressMgr, TransmitIntent(relay, message))  # type: ignore[attr-defined]
        return None

    def decode(self, payload: bytes) -> Any:
        """Unpickle a message of an authenticated peer."""
        return pickle.loads(payload)

    def report_unreadable(self, source: Any, error: Exception) -> None:
        """A message cannot be unpickled here, e.g. its module is missing."""
        _log.warning("dropped an unreadable message from %s: %r", source.sender, error)
