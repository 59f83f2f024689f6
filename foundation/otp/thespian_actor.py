"""A plain Thespian actor as a supervised child.

``ThespianActor.spec(MyActor)`` in a supervisor's list starts *MyActor* under a small server that
stands for it: it ends when the actor's process ends (reason ``killed``), stops the actor when it
is stopped itself, and passes messages on, so that ``call``, ``cast`` and ``send`` reach the actor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from foundation.errors import InvalidChildSpec
from foundation.kernel import ops
from foundation.kernel.codec import register
from foundation.kernel.process import Caller
from foundation.otp.child_spec import ChildSpec
from foundation.otp.gen_server import GenServer
from foundation.otp.results import Stop
from foundation.runtime.bridge import Bridge, bridge


@dataclass(frozen=True, slots=True)
class GetAddress:
    """A call that a ``ThespianActor`` answers itself: the ``ActorAddress`` of the actor."""


@dataclass(frozen=True, slots=True)
class _Gone:
    """The actor has exited."""


class ThespianActor(GenServer):
    """Stands for one plain Thespian actor. Runs in worker hosts, whose actor is the parent.

    A call is passed on, and answered by the next message the actor sends back; calls are
    answered in order, because Thespian's messages carry no correlation.
    """

    __spec_options__: ClassVar[dict[str, Any]] = {"host": "worker"}

    def init(self, actor_class: Any, timeout: float | None = None) -> None:
        """Create the actor.

        Args:
            actor_class: an importable subclass of ``thespian.actors.Actor``.
            timeout: seconds a passed-on call may take; None leaves it to the caller.

        Raises:
            NodeError: this host is no Thespian actor.
        """
        ops.trap_exit()
        self.timeout = timeout
        process = ops.current()
        kernel, pid = process.kernel, process.pid

        def gone() -> None:
            kernel.deliver(pid, _Gone())

        self._bridge: Bridge = bridge()
        self.address = self._bridge.start_actor(actor_class, gone)

    async def handle_call(self, request: Any, caller: Caller) -> Any:
        """Pass a call on."""
        if isinstance(request, GetAddress):
            return await self._bridge.real_address(self.address)
        return await self._bridge.ask(self.address, request, self.timeout)

    def handle_cast(self, request: Any) -> None:
        """Pass a cast on."""
        self._bridge.tell(self.address, request)

    def handle_info(self, message: Any) -> Any:
        """End with the actor; pass anything else on."""
        if isinstance(message, _Gone):
            return Stop("killed")
        self._bridge.tell(self.address, message)
        return None

    def terminate(self, reason: Any) -> None:
        """Stop the actor."""
        self._bridge.stop_actor(self.address)

    def format_status(self, status: dict[str, Any]) -> Any:
        """Show the actor's address."""
        return {"address": str(status.get("address"))}

    @classmethod
    def spec(cls, *args: Any, **options: Any) -> ChildSpec:
        """Return a child spec; the first argument is the actor class. See ``GenServer.spec``."""
        if not args or not isinstance(args[0], type):
            raise InvalidChildSpec(
                f"ThespianActor.spec takes an Actor class first, got {args[:1]!r}"
            )
        options.setdefault("id", args[0])
        return super().spec(*args, **options)


register(GetAddress, 41, ())
register(_Gone, 42, ())
