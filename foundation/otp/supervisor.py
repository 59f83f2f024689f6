"""Supervisor: starts children in order, restarts what fails, stops all in reverse order.

Smallest example::

    class Bank(Supervisor):
        strategy = "one_for_one"

        def init(self):
            return [
                Account.spec(100, name="ann"),
                Account.spec(name="bob", restart="transient"),
            ]

or, without a class: ``await Supervisor.start_link([Account.spec(100, name="ann")])``.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, ClassVar

from foundation.errors import InvalidChildSpec
from foundation.otp import gen_server
from foundation.otp.child_spec import ChildSpec, to_spec
from foundation.otp.gen_server import GenServer
from foundation.otp.supervision import ChildCounts, ChildInfo, SupFlags, flags_of
from foundation.otp.supervisor_calls import ask
from foundation.otp.supervisor_engine import SupervisorEngine
from foundation.otp.supervisor_process import SupervisorProcess

_NOT_FOR_SUPERVISORS = (
    "handle_call",
    "handle_cast",
    "handle_info",
    "handle_continue",
    "terminate",
)


class BaseSupervisor(GenServer):
    """What ``Supervisor`` and ``DynamicSupervisor`` have in common."""

    __process_class__ = SupervisorProcess
    __is_supervisor__: ClassVar[bool] = True
    __engine__: ClassVar[type[GenServer]]

    max_restarts: ClassVar[int] = 3
    max_seconds: ClassVar[float] = 5.0

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        wrong = [name for name in _NOT_FOR_SUPERVISORS if name in vars(cls)]
        if wrong:
            raise TypeError(
                f"{cls.__qualname__}.{wrong[0]} would never be called: a supervisor only "
                "supervises; put it into a GenServer among its children"
            )

    @staticmethod
    def which_children(supervisor: Any) -> Coroutine[Any, Any, list[ChildInfo]]:
        """Return the children of *supervisor*, last started first."""
        return ask(supervisor, "which_children")

    @staticmethod
    def count_children(supervisor: Any) -> Coroutine[Any, Any, ChildCounts]:
        """Count the children of *supervisor*."""
        return ask(supervisor, "count_children")

    @staticmethod
    async def stop(
        supervisor: Any, reason: Any = "normal", *, timeout: float | None = None
    ) -> None:
        """Stop *supervisor* and all its children; return when they are gone.

        Args:
            supervisor: pid, name or ``Via``.
            reason: its exit reason; its children get ``shutdown``.
            timeout: seconds to wait; None waits for ever. It stops in any case.

        Raises: as ``gen_server.stop``.
        """
        await gen_server.stop(supervisor, reason, timeout=timeout)


class Supervisor(BaseSupervisor):
    """Supervises a list of children, known beforehand, in a fixed order.

    Class attributes, or ``SupFlags`` returned by ``init``:

    Attributes:
        strategy: ``"one_for_one"``: only the failed child is restarted; ``"one_for_all"``: all
            are; ``"rest_for_one"``: it and those started after it are.
        max_restarts: restarts allowed within any ``max_seconds``. One more, and the supervisor
            stops all children and exits with ``shutdown``.
        max_seconds: seconds.
        auto_shutdown: ``"never"``, ``"any_significant"`` or ``"all_significant"``: the
            supervisor exits with ``shutdown`` when any (all) of its significant children have
            ended by themselves and are not restarted.
    """

    __engine__ = SupervisorEngine

    strategy: ClassVar[str] = "one_for_one"
    auto_shutdown: ClassVar[str] = "never"

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.flags()  # a wrong flag is an error where it is written

    def init(self, *args: Any, **flags: Any) -> Any:
        """Return what to supervise. Override it in subclasses.

        Runs in the new supervisor's process; may be ``async def``. Returns one of:
            a list of children: each a ``ChildSpec``, a server class or ``(class, *args)``.
            ``(SupFlags(…), [children…])``: flags other than the class attributes.
            ``Ignore()``: do not run.
        Raising, or returning anything else, fails the start.

        Args:
            *args: of a subclass: its own. Here: the list of children.
            **flags: of a subclass: its own. Here: fields of ``SupFlags``.
        """
        if len(args) > 1 or not isinstance(args[0] if args else [], (list, tuple)):
            raise InvalidChildSpec(f"Supervisor takes one list of children, got {args!r}")
        return self.flags(**flags), list(args[0]) if args else []

    @classmethod
    def flags(cls, **overrides: Any) -> SupFlags:
        """Return the class attributes as flags, with *overrides*; None leaves one as it is.

        Raises:
            InvalidChildSpec: one is unknown or has a wrong value.
        """
        return flags_of(SupFlags, cls, overrides)

    @staticmethod
    def start_child(supervisor: Any, child: Any) -> Coroutine[Any, Any, Any]:
        """Add *child* as the last one and start it.

        Args:
            supervisor: pid, name or ``Via``.
            child: a ``ChildSpec``, a server class or ``(class, *args)``.

        Returns:
            The pid; ``(pid, info)`` if its start function returned that; ``Ignored()``.

        Raises:
            AlreadyStarted: a child with this id is running.
            AlreadyPresent: one is specified, but not running.
            StartError: it did not start; nothing is kept.
            InvalidChildSpec: the spec is wrong.
        """
        return ask(supervisor, "start_child", to_spec(child))

    @staticmethod
    def terminate_child(supervisor: Any, id: Any) -> Coroutine[Any, Any, None]:
        """Stop the child *id* by its shutdown rule; it is not restarted.

        Its spec is kept for ``restart_child``, unless it is temporary. Does nothing when it is
        down already.

        Raises:
            ChildNotFound: there is none.
        """
        return ask(supervisor, "terminate_child", id)

    @staticmethod
    def restart_child(supervisor: Any, id: Any) -> Coroutine[Any, Any, Any]:
        """Start the child *id*, which is down; return as ``start_child``.

        Raises:
            ChildRunning, ChildRestarting, ChildNotFound: it is not down.
            StartError: it did not start; its spec is kept.
        """
        return ask(supervisor, "restart_child", id)

    @staticmethod
    def delete_child(supervisor: Any, id: Any) -> Coroutine[Any, Any, None]:
        """Forget the child *id*, which is down.

        Raises:
            ChildRunning, ChildRestarting, ChildNotFound: it is not down.
        """
        return ask(supervisor, "delete_child", id)

    @staticmethod
    def get_childspec(supervisor: Any, id: Any) -> Coroutine[Any, Any, ChildSpec]:
        """Return the spec of the child *id* (or with the pid *id*).

        Raises:
            ChildNotFound: there is none.
        """
        return ask(supervisor, "get_childspec", id)

    @staticmethod
    def which_child(supervisor: Any, id: Any) -> Coroutine[Any, Any, ChildInfo]:
        """Return the line of ``which_children`` of the child *id*.

        Raises:
            ChildNotFound: there is none.
        """
        return ask(supervisor, "which_child", id)
