"""The mailbox of a process while its host is traced: knows of each message where it came from.

All ways into a process end in ``mailbox.append`` and all ways out begin with ``popleft``, ``pop``
or ``del``; so this, in place of the plain deque, sees every message of a host, and a host that is
not traced has not a single instruction more.

Some of the kernel takes messages out to look at them and puts them back (``sys.suspend``, parked
servers, supervisors); the identity of an item tells that it is the same message.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from foundation.kernel.process import SYS, Caller, Process, Receive
from foundation.otp.task_process import Go
from foundation.scope.events import Cause, Hop

if TYPE_CHECKING:
    from foundation.scope.tracer import Tracer

_MISSING: Any = object()
_SPARE = 64  # notes of items that left without a trace, before they are swept out


def untraced(item: Any) -> bool:
    """Whether *item* is no message of a user: a system request, or the ``Go`` of a task."""
    return type(item) is not Caller and (item[0] == SYS or type(item[1]) is Go)


class TracedMailbox(deque[Any]):
    """See the module docstring.

    Attributes:
        cause: what the process is handling, or has handled last.
    """

    __slots__ = ("_before", "_last", "_notes", "cause", "process", "tracer")

    def __init__(self, tracer: Tracer, process: Process, cause: Cause) -> None:
        super().__init__(process.mailbox)
        self.tracer = tracer
        self.process = process
        self.cause: Cause = cause
        self._notes: dict[int, tuple[Any, Cause]] = {}  # id of an item -> the item, its event
        self._last: Any = None  # the item taken last, and its event
        self._before: Cause = None  # the cause before that

    def append(self, item: Any) -> None:
        """Take a message in, or back."""
        super().append(item)
        if id(item) in self._notes:
            return
        last = self._last
        if last is not None and last[0] is item:
            self._put_back(*last)
        elif not untraced(item):
            self._notes[id(item)] = (item, self.tracer.arrived(self.process, item))

    def _put_back(self, item: Any, event: Cause) -> None:
        self._notes[id(item)] = (item, event)
        if type(event) is Hop:
            event.taken = None
        self._last, self.cause = None, self._before

    def popleft(self) -> Any:
        """Take the next message out, to be handled."""
        item = super().popleft()
        self._taken(item)
        return item

    def pop(self, *args: Any) -> Any:
        """Take the latest message out: for a ``receive`` that waits, or to look at it."""
        item = super().pop(*args)
        process = self.process
        sorting = getattr(process, "debug", None) is not None and process.debug.suspended  # type: ignore[attr-defined]
        if type(process.waiting) is Receive and not sorting and not untraced(item):
            self._taken(item)
        return item

    def __delitem__(self, index: Any) -> None:
        item = self[index]
        super().__delitem__(index)
        self._taken(item)

    def _taken(self, item: Any) -> None:
        if type(item) is not Caller and type(item[1]) is Go:
            return  # a part of its start: what that is caused by goes on
        found = self._notes.pop(id(item), _MISSING)
        event: Cause = None if found is _MISSING else found[1]
        if type(event) is Hop and self.tracer.active:
            event.taken = self.tracer.clock.tick()
        self._before, self.cause = self.cause, event
        self._last = None if found is _MISSING else (item, event)
        if len(self._notes) > 2 * len(self) + _SPARE:
            here = {id(each) for each in self}
            self._notes = {key: note for key, note in self._notes.items() if key in here}
