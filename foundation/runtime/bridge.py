"""Between servers and plain Thespian actors, both ways.

From outside to a server: send ``Envelope(to, message, kind)`` to any host's address; a call is
answered by ``Answer(ok, value)``. A dedicated server also takes plain messages at its own
address: each is a call, and what it replies (other than None) is sent back as it is.

From a server to an actor: ``tell(address, message)`` and ``await ask(address, message)``.
"""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from foundation.errors import CallExit, NodeError, Unsendable
from foundation.kernel.codec import unsendable
from foundation.kernel.ops import current
from foundation.kernel.process import CAST, INFO
from foundation.kernel.reports import Notice
from foundation.kernel.values import Crash
from foundation.runtime.messages import Answer, Envelope

if TYPE_CHECKING:
    from foundation.runtime.host import Host


class _ReplyTo:
    """Sink of a call that came from a Thespian program."""

    def __init__(self, answer: Callable[[bool, Any], None]) -> None:
        self._answer = answer

    def resolve(self, token: Any, ok: bool, value: Any) -> None:
        """Send the answer."""
        self._answer(ok, value if ok else value.reason)


class Bridge:
    """The bridge of one host actor; ``kernel.tables["thespian"]``."""

    def __init__(self, actor: Any, host: Host) -> None:
        self._actor = actor
        self._host = host
        # A list, because an ActorAddress has no hash, and equals itself in two guises while its
        # actor is being started.
        self._asked: list[tuple[Any, asyncio.Future[Any]]] = []
        self._children: list[tuple[Any, Callable[[], None]]] = []
        host.kernel.tables["thespian"] = self

    # From Thespian to servers

    def receive(self, message: Any, sender: Any) -> None:
        """Take a message that is not of the host protocol."""
        if isinstance(message, Envelope):
            self._deliver(message, sender)
        elif not self._answered(message, sender):
            self._plain(message, sender)

    def _deliver(self, envelope: Envelope, sender: Any) -> None:
        kernel = self._host.kernel
        if envelope.kind in ("cast", "info"):
            kind = CAST if envelope.kind == "cast" else INFO
            kernel.deliver(envelope.to, kernel.isolate(envelope.message), kind)
            kernel.wake()
        else:
            self._call(
                envelope.to,
                envelope.message,
                lambda ok, value: self._actor.send(sender, _answer(ok, value)),
            )

    def _plain(self, message: Any, sender: Any) -> None:
        pid = self._actor.main_process() if self._host.config.role == "dedicated" else None
        if pid is None:
            text = f"host {self._host.config.address} got {message!r}, which is no Envelope"
            self._host.driver.report(Notice("warning", text))
            return

        def answer(ok: bool, value: Any) -> None:
            if value is not None or not ok:
                said = _answer(ok, value)
                self._actor.send(sender, said.value if said.ok else said)

        self._call(pid, message, answer)

    def _call(self, to: Any, message: Any, answer: Callable[[bool, Any], None]) -> None:
        kernel = self._host.kernel
        try:
            kernel.request(_ReplyTo(answer), kernel.outside, to, message)
        except CallExit as error:
            answer(False, error.reason)

    # From servers to Thespian

    def tell(self, address: Any, message: Any) -> None:
        """Send *message* to the actor at *address*."""
        _check(message)
        self._actor.send(address, message)

    async def ask(self, address: Any, message: Any, timeout: float | None) -> Any:
        """Send *message* and wait for the next message from *address*."""
        _check(message)
        entry = (address, self._host.loop.create_future())
        self._asked.append(entry)
        self._actor.send(address, message)
        try:
            async with asyncio.timeout(timeout):
                return await entry[1]
        finally:
            if entry in self._asked:
                self._asked.remove(entry)

    def _answered(self, message: Any, sender: Any) -> bool:
        for entry in self._asked:
            address, future = entry
            if not future.done() and address == sender:
                self._asked.remove(entry)
                future.set_result(message)
                return True
        return False

    async def real_address(self, address: Any) -> Any:
        """Wait until the child actor at *address* has a final, sendable address; return that."""
        while True:
            found = self._actor._myRef._addrManager.exportAddr(address)
            if found is not None:
                return found
            await asyncio.sleep(0.005)

    # Actors as supervised children

    def start_actor(self, actor_class: Any, gone: Callable[[], None]) -> Any:
        """Create a child actor; *gone* is called when it has exited."""
        address = self._actor.createActor(actor_class)
        self._children.append((address, gone))
        return address

    def stop_actor(self, address: Any) -> None:
        """Ask a child actor to exit."""
        from thespian.actors import ActorExitRequest

        self._actor.send(address, ActorExitRequest(recursive=True))

    def actor_exited(self, address: Any) -> None:
        """Thespian says that a child actor is gone; may be said twice."""
        for entry in self._children:
            if entry[0] == address:
                self._children.remove(entry)
                entry[1]()
                return


def _check(message: Any) -> None:
    """Raise Unsendable now: Thespian would say so in its log only."""
    try:
        pickle.dumps(message)
    except Exception as error:
        raise unsendable(message, error) from error


def _answer(ok: bool, value: Any) -> Answer:
    try:
        _check(value)
    except Unsendable as error:
        return Answer(False, Crash.from_exception(error) if ok else repr(value))
    return Answer(ok, value)


def bridge() -> Bridge:
    """Return the bridge of the current process's host.

    Raises:
        NodeError: the host is no Thespian actor (the embedding program, the simulator).
    """
    found = current().kernel.tables.get("thespian")
    if found is None:
        raise NodeError(
            "this process does not run in a Thespian actor; give its child spec host='worker' "
            "and start the node with hosts of 1 or more"
        )
    return found  # type: ignore[no-any-return]


def tell(address: Any, message: Any) -> None:
    """Send *message* to the plain Thespian actor at *address*."""
    bridge().tell(address, message)


async def ask(address: Any, message: Any, *, timeout: float | None = 5.0) -> Any:
    """Send *message* to a plain Thespian actor and wait for its next message to this host.

    Thespian's messages carry no correlation: asks to one actor are answered in order.

    Raises:
        TimeoutError: no answer within *timeout* seconds.
    """
    return await bridge().ask(address, message, timeout)


__all__ = ["Bridge", "ask", "bridge", "tell"]
