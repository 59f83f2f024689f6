"""What is switched on by ``otp/sys.py`` in one server: suspension, statistics, trace, log.

A server without any of these has ``debug`` None and pays nothing. With some, this object runs
the slices instead of the server's own fast loop.

Invariants:
    B1  While suspended only system requests and the parent's exit are served; all other
        messages stay in the mailbox, in order.
    B2  When the last thing is switched off, ``process.debug`` is None again.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from foundation.kernel.codec import register
from foundation.kernel.process import CAST, SYS, UNSET, Caller
from foundation.kernel.reports import Notice

if TYPE_CHECKING:
    from foundation.otp.server_process import ServerProcess


@dataclass(frozen=True, slots=True)
class Event:
    """Something a server did.

    Attributes:
        at: seconds since the log was switched on.
        what: ``"call"``, ``"cast"`` or ``"info"`` came in; ``"reply"`` went out.
        text: the message as text, or who got the reply.
    """

    at: float
    what: str
    text: str


class Observer(Protocol):
    """Looks on while a server works; see ``sys.install``. What it raises is logged, once."""

    def came(self, process: ServerProcess, item: Any) -> None:
        """*item* is about to be handled: a ``Caller``, or ``(kind, message)``."""

    def handled(self, process: ServerProcess, item: Any) -> None:
        """*item* has been handled, awaits included, and the server runs on."""

    def ended(self, process: ServerProcess, reason: Any) -> None:
        """The process has ended, or (reason None) the observer is being removed."""

    def read(self, *args: Any) -> Any:
        """Answer ``sys.read``."""


class Debug:
    """The debugging state of one server process."""

    def __init__(self) -> None:
        self.suspended = False
        self.tracing = False
        self._kept = 0  # messages at the left of the mailbox known to be no system requests
        self._statistics: dict[str, Any] | None = None
        self._log: deque[Event] | None = None
        self._log_since = 0.0
        self._handling: Any = None
        self._observers: dict[str, Observer] = {}

    def switched_on(self) -> list[str]:
        """Name what is switched on."""
        parts = {
            "log": self._log is not None,
            "statistics": self._statistics is not None,
            "observers": bool(self._observers),
            "suspended": self.suspended,
            "trace": self.tracing,
        }
        return [name for name, on in parts.items() if on]

    def settle(self, process: ServerProcess) -> None:
        """Leave *process* if nothing is on any more (B2)."""
        if not self.switched_on():
            process.debug = None

    def suspend(self, process: ServerProcess) -> None:
        """Hold back ordinary messages from now on."""
        self.suspended = True
        self._kept = 0

    # Running

    def run(self, process: ServerProcess) -> None:
        """Run one slice of *process*, up to its budget."""
        budget = process.kernel.budget
        self._replied(process)
        while process.mailbox and budget and process.debug is self:
            budget -= 1
            if self.suspended:
                item = self._next_while_suspended(process)
                if item is None:
                    return
            else:
                item = process.mailbox.popleft()
            self._came(process, item)
            process.kernel.counts.handled += 1
            process.handle(item)
            if process.exiting is not UNSET and process.coro is None:
                process.kernel.die(process, process.exiting)
            if process.coro is not None or process.state != "running":
                return
            self._replied(process)

    def _next_while_suspended(self, process: ServerProcess) -> Any:
        """Take the first item that may be served now (B1); None when there is none."""
        mailbox = process.mailbox
        new = [mailbox.pop() for _ in range(len(mailbox) - self._kept)]
        while new:
            item = new.pop()
            if type(item) is tuple and (item[0] == SYS or process.is_parent_exit(item[1])):
                mailbox.extend(reversed(new))
                return item
            mailbox.append(item)
            self._kept += 1
        return None

    def _came(self, process: ServerProcess, item: Any) -> None:
        if type(item) is tuple and item[0] == SYS:
            return
        self._handling = item
        for key in list(self._observers):
            self._observe(process, key, "came", item)
        if self._statistics is not None:
            self._statistics["messages_in"] += 1
        if self._log is not None or self.tracing:
            if type(item) is Caller:
                self._event(process, "call", f"{item.request!r} from {item.pid!r}")
            else:
                self._event(process, "cast" if item[0] == CAST else "info", repr(item[1]))

    def _replied(self, process: ServerProcess) -> None:
        item, self._handling = self._handling, None
        if item is not None:
            for key in list(self._observers):
                self._observe(process, key, "handled", item)
        if type(item) is not Caller or not item.done:
            return
        if self._statistics is not None:
            self._statistics["replies"] += 1
        self._event(process, "reply", repr(item.pid))

    def _event(self, process: ServerProcess, what: str, text: str) -> None:
        text = text[:500]
        driver = process.kernel.driver
        if self._log is not None:
            self._log.append(Event(driver.now() - self._log_since, what, text))
        if self.tracing:
            who = process.name if process.name is not None else process.pid
            driver.report(Notice("info", f"trace {who!r}: {what} {text}"))

    def _observe(self, process: ServerProcess, key: str, what: str, arg: Any) -> None:
        try:
            getattr(self._observers[key], what)(process, arg)
        except Exception as error:  # it must not harm the server
            del self._observers[key]
            driver = process.kernel.driver
            driver.report(Notice("warning", f"observer {key!r} of {process!r} failed: {error!r}"))

    def _ended(self, process: Any, reason: Any) -> None:
        for key in list(self._observers):
            self._observe(process, key, "ended", reason)

    # Requests of otp/sys.py

    @staticmethod
    def install(process: ServerProcess, key: str, make: Any, args: tuple[Any, ...]) -> None:
        """Have ``make(process, *args)``, an observer, look on; another one of *key* goes."""
        observer = make(process, *args)
        debug = debug_of(process)
        if not process.get_extra("observed"):
            process.set_extra("observed", True)
            process.add_exit_hook(_ended)
        if key in debug._observers:
            debug._observe(process, key, "ended", None)
        debug._observers[key] = observer

    @staticmethod
    def remove(process: ServerProcess, key: str) -> bool:
        """Remove an observer; False when there is none of *key*."""
        debug = process.debug
        if debug is None or key not in debug._observers:
            return False
        debug._observe(process, key, "ended", None)
        debug._observers.pop(key, None)
        debug.settle(process)
        return True

    @staticmethod
    def read(process: ServerProcess, key: str, args: tuple[Any, ...]) -> Any:
        """Return what an observer answers.

        Raises:
            LookupError: there is none of *key*.
        """
        debug = process.debug
        if debug is None or key not in debug._observers:
            raise LookupError(f"no observer {key!r} is installed")
        return debug._observers[key].read(*args)

    @staticmethod
    def set_statistics(process: ServerProcess, flag: str) -> dict[str, Any] | None:
        """Switch statistics ``on`` or ``off``, or ``get`` them (None when off)."""
        now = process.kernel.driver.now()
        if flag == "get":
            found = None if process.debug is None else process.debug._statistics
            if found is None:
                return None
            return {"seconds": now - found["since"], **found, "since": found["since"]}
        debug = debug_of(process)
        debug._statistics = None
        if flag == "on":
            debug._statistics = {"since": now, "messages_in": 0, "replies": 0}
        debug.settle(process)
        return None

    @staticmethod
    def set_trace(process: ServerProcess, on: bool) -> None:
        """Report each event to the log, or stop that."""
        debug = debug_of(process)
        debug.tracing = on
        debug.settle(process)

    @staticmethod
    def set_log(process: ServerProcess, what: int | str) -> list[Event] | None:
        """Keep the last *what* events, ``get`` them, or switch it ``off``."""
        if what == "get":
            kept = None if process.debug is None else process.debug._log
            return list(kept or ())
        debug = debug_of(process)
        debug._log = None
        if what != "off":
            debug._log = deque(maxlen=int(what))
            debug._log_since = process.kernel.driver.now()
        debug.settle(process)
        return None


def _ended(process: Any, reason: Any) -> None:
    if process.debug is not None:
        process.debug._ended(process, reason)


def debug_of(process: ServerProcess) -> Debug:
    """Return the debugging state of *process*, made if need be."""
    if process.debug is None:
        process.debug = Debug()
    debug: Debug = process.debug
    return debug


register(Event, 81)
