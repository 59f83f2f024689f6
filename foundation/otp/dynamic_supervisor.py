"""DynamicSupervisor: children come and go at run time, thousands of them.

Example::

    class Sessions(DynamicSupervisor):
        max_children = 10_000

    pid = await DynamicSupervisor.start_child("sessions", Session.spec(user))
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, ClassVar

from foundation.errors import InvalidChildSpec
from foundation.kernel import ops
from foundation.kernel.values import Pid
from foundation.otp.child_spec import ChildSpec, to_spec
from foundation.otp.dynamic_engine import DynamicEngine
from foundation.otp.supervision import DynamicFlags, flags_of
from foundation.otp.supervisor import BaseSupervisor
from foundation.otp.supervisor_calls import Ask, Refused, ask, shared_spec


class DynamicSupervisor(BaseSupervisor):
    """Supervises children that are started by ``start_child``; strategy ``one_for_one``.

    Children have no ids, are stopped all at once, and with ``host="spread"`` in their specs
    they go over the worker hosts. Unlike OTP's, starts and restarts of several children
    overlap: one slow ``init`` delays nobody else.

    Class attributes, or ``DynamicFlags`` returned by ``init``:

    Attributes:
        max_children: how many children it may have, those being restarted included; None is
            no limit.
        extra_arguments: come before the arguments of each child's spec.
        max_restarts: restarts allowed within any ``max_seconds``. One more, and the supervisor
            stops all children and exits with ``shutdown``.
        max_seconds: seconds.
    """

    __engine__ = DynamicEngine

    max_children: ClassVar[int | None] = None
    extra_arguments: ClassVar[tuple[Any, ...]] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.flags()  # a wrong flag is an error where it is written

    def init(self, *args: Any, **flags: Any) -> Any:
        """Return how to supervise. Override it in subclasses.

        Runs in the new supervisor's process; may be ``async def``. Returns one of:
            None: as the class attributes say.
            ``DynamicFlags(…)``: as these say.
            ``Ignore()``: do not run.
        Raising, or returning anything else, fails the start.

        Args:
            **flags: fields of ``DynamicFlags`` that override the class attributes.
        """
        if args:
            raise InvalidChildSpec(
                f"a dynamic supervisor starts without children, got {args!r}; use start_child"
            )
        return self.flags(**flags)

    @classmethod
    def flags(cls, **overrides: Any) -> DynamicFlags:
        """Return the class attributes as flags, with *overrides*; None leaves one as it is.

        Raises:
            InvalidChildSpec: one is unknown or has a wrong value.
        """
        return flags_of(DynamicFlags, cls, overrides)

    @staticmethod
    def start_child(supervisor: Any, child: Any) -> Coroutine[Any, Any, Any]:
        """Start *child*, linked to the supervisor.

        Args:
            supervisor: pid, name or ``Via``.
            child: a ``ChildSpec``, a server class or ``(class, *args)``. Its id is not used.

        Returns:
            The pid; ``(pid, info)`` if its start function returned that; ``Ignored()``.

        Raises:
            InvalidChildSpec: at once, before the supervisor is asked: the spec is wrong.
            MaxChildren: the supervisor is full.
            AlreadyStarted: its name is held.
            StartError: it did not start; nothing is kept.
        """
        spec = child if type(child) is ChildSpec else to_spec(child)
        if spec.significant:
            raise InvalidChildSpec(
                f"child {spec.id!r} is significant, which means nothing under a dynamic "
                "supervisor: it has no auto_shutdown; use significant=False"
            )
        request = Ask("start_child", (shared_spec(spec, ops.current()),))
        return _started(supervisor, request, ops.call(supervisor, request, timeout=None))

    @staticmethod
    def terminate_child(supervisor: Any, pid: Pid) -> Coroutine[Any, Any, None]:
        """Stop the child *pid* by its shutdown rule and forget it.

        Raises:
            ChildNotFound: it is no child (any more): a restarted child has a new pid.
        """
        return ask(supervisor, "terminate_child", pid)


async def _started(supervisor: Any, request: Ask, reply: Coroutine[Any, Any, Any]) -> Any:
    value = await reply
    if type(value) is Refused:
        raise value.error(supervisor, request)
    return value
