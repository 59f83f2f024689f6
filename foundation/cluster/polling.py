"""Asking all hosts of a node the same thing at once: what they measure, what is set in them.

    polled = await poll_hosts("measures")
    polled.answers["a/w1"]                     # what the function "measures" returned there

Each host of a node in a cluster has a ``HostPoll``; whoever has something to be asked for puts a
function into its ``serves``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from foundation.cluster.api import cluster_of
from foundation.kernel.codec import dumps, loads
from foundation.kernel.ops import FutureSink, current

if TYPE_CHECKING:
    from foundation.kernel.kernel import Kernel

TABLE = "host poll"  # where a kernel keeps its HostPoll


@dataclass(frozen=True)
class Polled:
    """What the hosts of a node have answered.

    Attributes:
        answers: by host address.
        failures: by host address, what the function raised there, as text.
        silent: hosts that have not answered in time.
    """

    answers: dict[str, Any]
    failures: dict[str, str]
    silent: list[str]


class _Round:
    """One question under way."""

    def __init__(self, hosts: list[str], done: Callable[[Polled], None]) -> None:
        self.answers: dict[str, Any] = {}
        self.failures: dict[str, str] = {}
        self.waiting = dict.fromkeys(hosts)
        self.done = done

    def take(self, host: str, ok: bool, value: Any) -> bool:
        """Take an answer; whether that was the last one."""
        if host in self.waiting:
            del self.waiting[host]
            (self.answers if ok else self.failures)[host] = value
        return not self.waiting

    def finish(self) -> None:
        """Tell what there is."""
        self.done(Polled(self.answers, self.failures, list(self.waiting)))


class HostPoll:
    """Asks the hosts of its node, and answers; one in each host.

    Attributes:
        serves: by name, what this host answers; returns what can travel between hosts.
    """

    def __init__(self, kernel: Kernel) -> None:
        self.serves: dict[str, Callable[..., Any]] = {}
        self._kernel = kernel
        self._number = 0
        self._rounds: dict[int, tuple[_Round, Any]] = {}
        kernel.tables[TABLE] = self
        kernel.remote.handlers["poll"] = self._on_poll
        kernel.remote.handlers["polled"] = self._on_polled

    def ask(
        self,
        service: str,
        args: tuple[Any, ...],
        timeout: float,
        done: Callable[[Polled], None],
    ) -> None:
        """Ask all hosts of this node, this one included; *done* gets what came in time."""
        kernel = self._kernel
        self._number += 1
        number = self._number
        hosts = [kernel.address, *kernel.remote.neighbours]
        handle = kernel.driver.call_later(timeout, lambda: self._finish(number))
        self._rounds[number] = (_Round(hosts, done), handle)
        kernel.remote.broadcast(("poll", number, service, dumps(args)))
        # Between two turns, as in the other hosts: not in the middle of a slice.
        kernel.driver.call_soon(lambda: self._here(number, service, args))

    def _here(self, number: int, service: str, args: tuple[Any, ...]) -> None:
        if not self._kernel.closed:
            self._take(number, self._kernel.address, *self._serve(service, args))

    def _serve(self, service: str, args: tuple[Any, ...]) -> tuple[bool, Any]:
        try:
            return True, self.serves[service](*args)
        except Exception as error:  # who asks is told; the host goes on
            return False, f"{type(error).__name__}: {error}"

    def _on_poll(self, host: str, number: int, service: str, args: bytes) -> None:
        given: Any = loads(args)
        ok, value = self._serve(service, given)
        self._kernel.remote.op(host, ("polled", number, ok, dumps(value)))

    def _on_polled(self, host: str, number: int, ok: bool, value: bytes) -> None:
        self._take(number, host, ok, loads(value))

    def _take(self, number: int, host: str, ok: bool, value: Any) -> None:
        entry = self._rounds.get(number)
        if entry is not None and entry[0].take(host, ok, value):
            self._finish(number)

    def _finish(self, number: int) -> None:
        entry = self._rounds.pop(number, None)
        if entry is not None:
            entry[1].cancel()
            entry[0].finish()
            self._kernel.wake()


async def poll_hosts(service: str, *args: Any, timeout: float = 1.0) -> Polled:
    """Have all hosts of this node answer; wait until they have, or *timeout* seconds.

    Args:
        service: name of what they are asked for (``HostPoll.serves``).
        *args: for the function of that name.
        timeout: seconds to wait.

    Raises:
        NotInProcess, NotInCluster: as ``foundation.cluster.view``.
    """
    process = current()
    cluster_of(process)
    sink = FutureSink(process.kernel.driver.new_future())

    def done(polled: Polled) -> None:
        sink.resolve(None, True, polled)

    poll: HostPoll = process.kernel.tables[TABLE]
    poll.ask(service, args, timeout, done)
    polled: Polled = await sink.future
    return polled


def serve_hosts(kernel: Kernel, service: str, function: Callable[..., Any]) -> None:
    """Have the host of *kernel* answer polls for *service* with what *function* returns."""
    poll: HostPoll = kernel.tables[TABLE]
    poll.serves[service] = function
