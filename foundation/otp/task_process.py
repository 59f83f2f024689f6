"""The process that runs one task.

    begin ─▶ (waiting for GO, when the owner is not its parent or lives elsewhere) ─▶ running
          ─▶ result sent to the owner's alias ─▶ dead

Invariants:
    K1  A task that must wait runs nothing before ``GO``, so its owner monitors it, and is
        linked to it, from the first line of its function.
    K2  A task that waits ends when its owner does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from foundation.kernel.codec import register
from foundation.kernel.peer import register_kind
from foundation.kernel.process import UNSET, FunctionProcess, Killed
from foundation.kernel.reports import CrashReport
from foundation.kernel.values import Alias, Down, Pid, Ref, is_clean, reason_of

if TYPE_CHECKING:
    from foundation.kernel.kernel import Kernel


class Go(NamedTuple):
    """The message of its owner that a task waits for."""


class Order(NamedTuple):
    """How to run a task: the first argument of each.

    Attributes:
        callers: who asked for it, nearest first; the first is its owner.
        reply_to: where its result goes; None throws it away.
        ref: what its result is marked with.
        wait: whether to wait for ``Go``.
    """

    callers: tuple[Pid, ...] = ()
    reply_to: Alias | None = None
    ref: Ref | None = None
    wait: bool = False


class TaskProcess(FunctionProcess):
    """Runs one function and sends its result to who awaits it."""

    __slots__ = ("order", "owner_watch")

    kind = "task"

    def __init__(
        self, kernel: Kernel, pid: Pid, parent: Pid | None, payload: tuple[Any, ...]
    ) -> None:
        _, (order, function, *args), kwargs = payload
        super().__init__(kernel, pid, parent, (function, tuple(args), kwargs))
        self.order = Order(*order)
        self.owner_watch: Ref | None = None

    def begin(self) -> None:
        """Run the function, or wait for ``Go``."""
        if self.order.callers:
            self.set_extra("callers", self.order.callers)
        if self.order.wait:
            self.state = "waiting"
            self.owner_watch = self.kernel.signals.monitor(self, self.order.callers[0])
            self.kernel.acknowledge(self, True, self.pid)
        else:
            super().begin()

    def run(self) -> None:
        """Run one slice."""
        if self.state == "starting":
            self.begin()
        if self.state == "waiting":
            self._look_for_go()
            if self.state == "waiting":
                self.idle = True
                return
            if self.state == "running":
                super().begin()
        if self.state != "dead":
            super().run()

    def _look_for_go(self) -> None:
        for index, item in enumerate(self.mailbox):
            if type(item) is tuple and type(item[1]) is Go:
                del self.mailbox[index]
                if self.owner_watch is not None:
                    self.kernel.signals.demonitor(self, self.owner_watch, flush=True)
                self.state = "running"
                return
            if type(item) is tuple and type(item[1]) is Down:
                self.kernel.die(self, "shutdown")  # its owner has ended (K2)
                return

    def finished(self, value: Any) -> None:
        """Send the result, then end with ``normal``."""
        order = self.order
        if self.exiting is UNSET and order.reply_to is not None:
            try:
                value = self.kernel.isolate(value)
                self.kernel.deliver(order.reply_to, (order.ref, value))
            except Exception as error:
                self.crashed(error)
                return
        super().finished(value)

    def crashed(self, error: BaseException) -> None:
        """End with the reason that *error* stands for; say who had started it."""
        if self.exiting is not UNSET:
            reason = self.exiting
        elif isinstance(error, Killed):
            reason = error.reason
        else:
            reason = reason_of(error)
            if not is_clean(reason):
                self._report(reason)
        self.kernel.die(self, reason)

    def _report(self, reason: Any) -> None:
        callers = self.order.callers
        self.kernel.driver.report(
            CrashReport(
                pid=self.pid,
                name=self.name,
                kind="Task",
                reason=reason,
                last_message=_describe(self.function, self.args),
                client=callers[0] if callers else self.parent,
                ancestors=self.get_extra("ancestors", ()),
                callers=callers,
            )
        )

    def last_message(self) -> str:
        """Name the function."""
        return _describe(self.function, self.args)


def _describe(function: Callable[..., Any], args: tuple[Any, ...]) -> str:
    name = getattr(function, "__qualname__", None) or repr(function)
    try:
        text = f"{name}({', '.join(map(repr, args))})"
    except Exception:
        text = f"{name}(…)"
    return text if len(text) <= 500 else text[:497] + "..."


register_kind(TaskProcess)
register(Order, 82)
register(Go, 83)
