"""Agent: a server that is nothing but a value.

Example::

    await Agent.start_link(dict, name="cache")
    await Agent.update("cache", lambda state: {**state, "a": 1})
    await Agent.get("cache", lambda state: state["a"])            # 1

The functions run in the agent, one at a time, with the state as first argument. What they
return to the caller is a copy, so the state changes by ``update``, ``get_and_update`` and ``cast``
only. A function shares the variables of its surroundings with the agent when both live in one
host; pass arguments (which are copied) instead of relying on that.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from types import CoroutineType
from typing import Any, NamedTuple

from foundation.kernel import ops
from foundation.kernel.codec import register
from foundation.kernel.process import Caller
from foundation.kernel.values import BadReturn
from foundation.otp.gen_server import GenServer, stop
from foundation.otp.results import NoReply, Reply, Stop

Function = Callable[..., Any]


class Request(NamedTuple):
    """What an agent is asked: *op* is ``get``, ``update``, ``get_and_update`` or ``cast``."""

    op: str
    function: Function
    args: tuple[Any, ...]


class Agent(GenServer):
    """Holds a state; see the module docstring.

    ``Agent.start_link(function, *args, name=…)``, ``Agent.start`` and ``Agent.spec`` take the
    function that makes the first state, and its arguments, otherwise as in ``GenServer``. All
    functions may be ``async def``; the agent is busy while one awaits.
    """

    def init(self, function: Function, *args: Any, **kwargs: Any) -> Any:
        """Make the first state. Raising fails the start."""
        state = function(*args, **kwargs)
        if type(state) is CoroutineType:
            return self._init_later(state)
        self._begin(state)
        return None

    async def _init_later(self, state: Coroutine[Any, Any, Any]) -> None:
        self._begin(await state)

    def _begin(self, state: Any) -> None:
        self.state = ops.current().kernel.isolate(state)

    def handle_call(self, request: Any, caller: Caller) -> Any:
        """Run the function of *request*."""
        if type(request) is not Request:
            return super().handle_call(request, caller)
        value = request.function(self.state, *request.args)
        if type(value) is CoroutineType:
            return self._later(request.op, value)
        return self._done(request.op, value)

    def handle_cast(self, request: Any) -> Any:
        """Run the function of *request*; its value is the new state."""
        if type(request) is not Request:
            return super().handle_cast(request)
        value = request.function(self.state, *request.args)
        if type(value) is CoroutineType:
            return self._later(request.op, value)
        return self._done(request.op, value)

    async def _later(self, op: str, value: Coroutine[Any, Any, Any]) -> Any:
        return self._done(op, await value)

    def _done(self, op: str, value: Any) -> Any:
        if op == "get":
            return Reply(value)
        if op == "get_and_update":
            if type(value) is not tuple or len(value) != 2:
                return Stop(BadReturn(repr(value)[:500], "get_and_update"))
            # The reply leaves as a copy, so it may be a part of the new state.
            self.state = value[1]
            return Reply(value[0])
        self.state = value
        return NoReply() if op == "cast" else None

    # What clients use

    @staticmethod
    def get(
        agent: Any, function: Function, *args: Any, timeout: float | None = 5.0
    ) -> Coroutine[Any, Any, Any]:
        """Return ``function(state, *args)``.

        Args:
            agent: pid, name or ``Via``.
            function: runs in the agent; raising ends the agent and fails this call.
            *args: for *function*.
            timeout: seconds to wait; None waits for ever. When it passes, the function may
                still be run.

        Raises:
            as ``call``.
        """
        return ops.call(agent, Request("get", function, args), timeout=timeout)

    @staticmethod
    def update(
        agent: Any, function: Function, *args: Any, timeout: float | None = 5.0
    ) -> Coroutine[Any, Any, None]:
        """Make ``function(state, *args)`` the new state; arguments as ``get``."""
        return ops.call(agent, Request("update", function, args), timeout=timeout)

    @staticmethod
    def get_and_update(
        agent: Any, function: Function, *args: Any, timeout: float | None = 5.0
    ) -> Coroutine[Any, Any, Any]:
        """Run *function*, which returns ``(value, new state)``; return the value.

        Arguments as ``get``. Anything but a pair ends the agent with ``BadReturn``.
        """
        return ops.call(agent, Request("get_and_update", function, args), timeout=timeout)

    @staticmethod
    def cast(agent: Any, function: Function, *args: Any) -> None:
        """Make ``function(state, *args)`` the new state, without waiting; never fails."""
        ops.cast(agent, Request("cast", function, args))

    @staticmethod
    async def stop(
        agent: Any, reason: Any = "normal", *, timeout: float | None = None
    ) -> None:
        """Stop *agent*; see ``foundation.otp.stop``."""
        await stop(agent, reason, timeout=timeout)


register(Request, 86)
