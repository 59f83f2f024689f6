"""Three defects of Thespian 4.0's core, mended from outside.

1. ``RATE_THROTTLE`` puts a sender to sleep for 0.1 s above about 4,480 messages a second.
2. ``identify()`` formats every message for debug lines that are thrown away.
3. ``ChildActorExited`` is lost when two children die close together, and a late-bound loop
   variable mistakes one child for another when an actor shuts down.

`install` touches only processes that belong to a system of this transport (admin, actors,
logger), never the program that started it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import thespian
from thespian.actors import ChildActorExited, PoisonMessage
from thespian.system import systemCommon
from thespian.system.addressManager import ActorLocalAddress
from thespian.system.transport import ReceiveEnvelope, SendStatus, TransmitIntent
from thespian.system.utilis import partition

from foundation.errors import TransportError

SUPPORTED = "4.0."
NO_THROTTLE = 10**12


class LazyText:
    """A text that is made only when somebody looks at it."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[], str]) -> None:
        self._make = make

    def __str__(self) -> str:
        return self._make()

    __repr__ = __str__


def check_version() -> None:
    """Refuse to patch a Thespian that was not looked at.

    Raises:
        TransportError: another minor version is installed.
    """
    version = str(getattr(thespian, "__version__", ""))
    if not version.startswith(SUPPORTED):
        from importlib.metadata import version as installed

        version = installed("thespian")
    if not version.startswith(SUPPORTED):
        raise TransportError(
            f"thespian {version} is not supported; install thespian>=4.0.1,<4.1"
        )


@functools.cache
def install() -> None:
    """Mend defects 1 and 2 in this process."""
    check_version()
    systemCommon.RATE_THROTTLE = NO_THROTTLE
    for cls in (TransmitIntent, ReceiveEnvelope):
        eager = cls.identify
        cls.identify = _lazily(eager)
        cls.__str__ = eager


def _lazily(eager: Callable[[Any], str]) -> Callable[[Any], LazyText]:
    def identify(self: Any) -> LazyText:
        return LazyText(functools.partial(eager, self))

    return identify


class ChildExits:
    """Mends defect 3; mixed into the admin and the manager of each actor."""

    _child_procs: list[Any]
    transport: Any
    myAddress: Any

    def _childExited(self, address: Any) -> None:
        """Forget the named child only; the others are reported by `childDied`."""
        keep = []
        for child in getattr(self, "_child_procs", []):
            named = getattr(child, "childRealAddr", child.childAddr) == address
            if named and not self._checkChildLiveness(child):  # type: ignore[attr-defined]
                continue
            if named:  # it said goodbye and is still ending: reap it later, silently
                child.reported = True
            keep.append(child)
        self._child_procs = keep

    def _dead_children(self) -> list[Any]:
        alive, dead = partition(
            self._checkChildLiveness,  # type: ignore[attr-defined]
            getattr(self, "_child_procs", []),
        )
        self._child_procs = list(alive)
        return [each for each in dead if not getattr(each, "reported", False)]

    def childDied(self) -> bool:
        """Report every child that has died, each once."""
        logger = getattr(self, "asLogProc", None)
        if logger is not None and not self._checkChildLiveness(logger):  # type: ignore[attr-defined]
            self._logger_died()
        for child in self._dead_children():
            address = getattr(child, "childRealAddr", child.childAddr)
            self._poison_unstarted(address)
            intent = TransmitIntent(self.myAddress, ChildActorExited(address))
            self.transport.scheduleTransmit(None, intent)
        return True

    def _logger_died(self) -> None:
        """Only the admin has a logger."""

    def _poison_unstarted(self, address: Any) -> None:
        """Messages that waited for the address of a child that never came up go back."""
        details = address.addressDetails
        if not isinstance(details, ActorLocalAddress):
            return
        if details.addressManager.exportAddr(address) is not None:
            return
        for intent in self._awaitingAddressUpdate.remove_intents_for_address(address):  # type: ignore[attr-defined]
            poison = PoisonMessage(intent.message, "Child Aborted")
            self._receiveQueue.append(ReceiveEnvelope(self.myAddress, poison))  # type: ignore[attr-defined]
            intent.tx_done(SendStatus.Failed)

    def _childInaccessible(self, child: Any, intent: Any) -> Any:
        """Thespian passes the loop's last child; the intent knows the right one."""
        return self._handleChildExited(intent.targetAddr)  # type: ignore[attr-defined]


class QuickSending:
    """Sends without the throttle's clock and without the intent's text."""

    transport: Any
    _addrManager: Any

    def _send_intent(self, intent: Any, curtime: Any = None) -> None:
        try:
            self.transport.scheduleTransmit(self._addrManager, intent)
        except Exception:
            # Thespian's own path tries again: it parks messages for children whose address is
            # not known yet, and turns other failures into poison messages.
            self._send_intent_to_transport(intent)  # type: ignore[attr-defined]
