"""Which messages a trace wants: ``of=`` of ``start_trace``, as a value that travels."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from foundation.errors import ScopeError
from foundation.kernel.codec import dumps, loads
from foundation.kernel.values import Pid
from foundation.scope.events import Event
from foundation.scope.own import is_own

if TYPE_CHECKING:
    from foundation.kernel.kernel import Kernel


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to record.

    Attributes:
        pids: messages from and to these processes;
        names: and from and to those that hold these names then.
        function: or those that it returns True for, as bytes: control hosts do not load it.
        home: the node that *function* comes from.
        application: or those from and to processes that are not Foundation's own.
    """

    pids: tuple[Pid, ...] = ()
    names: tuple[Any, ...] = ()
    function: bytes = b""
    home: str = ""
    application: bool = False


APPLICATION = Wanted(application=True)  # all but what processes of Foundation tell each other


def wanted(of: Any, home: str) -> Wanted | None:
    """Return what ``of=`` stands for; None: everything.

    Raises:
        ScopeError: it is nothing of what it may be.
        Unsendable: the function cannot travel.
    """
    if of is None or isinstance(of, Wanted):
        return of
    if callable(of) and not isinstance(of, type):
        return Wanted(function=dumps(of), home=home)
    each = of if isinstance(of, (list, tuple, frozenset)) and type(of) is not Pid else [of]
    if not each:
        raise ScopeError("start_trace: of=[] would record nothing; leave it out for everything")
    wrong = [one for one in each if not isinstance(one, (str, Pid))]
    if wrong:
        raise ScopeError(
            "start_trace: of= must be a pid, a name (str), a list of these, or a function that "
            f"takes an Event and returns True or False; got {wrong[0]!r}"
        )
    pids = tuple(one for one in each if isinstance(one, Pid))
    return Wanted(pids, tuple(one for one in each if not isinstance(one, Pid)))


def matcher(wanted: Wanted | None, kernel: Kernel) -> Callable[[Any], bool]:
    """Return the function that says of a ``Hop`` whether to record it, in the host of *kernel*.

    Raises:
        CodecError: the user's function cannot be loaded here.
    """
    if wanted is None:
        return lambda hop: True
    if wanted.function:
        if kernel.address.endswith("/control"):
            return lambda hop: False  # it runs no user code
        code = kernel.address.startswith(f"{wanted.home}/") or kernel.remote.accept_code
        function: Any = loads(wanted.function, allow_code=code)
        return lambda hop: bool(function(_event(hop)))
    if wanted.application:
        return _of_application(kernel)
    return _Listed(wanted.pids, wanted.names, kernel)


def _event(hop: Any) -> Event:
    event: Event = hop.event()
    return event


def _of_application(kernel: Kernel) -> Callable[[Any], bool]:
    """Match what has an end in this host that is not Foundation's; of the rest, other hosts say."""

    def foreign(pid: Pid) -> bool:
        process = kernel.procs.get(pid)
        return process is not None and not is_own(process, kernel)

    return lambda hop: foreign(hop.receiver) or foreign(hop.sender)


class _Listed:
    """Matches by pid and name."""

    def __init__(self, pids: Iterable[Pid], names: Iterable[Any], kernel: Kernel) -> None:
        self._pids = set(pids)
        self._names = tuple(names)
        self._kernel = kernel

    def __call__(self, hop: Any) -> bool:
        if hop.sender in self._pids or hop.receiver in self._pids:
            return True
        for name in self._names:
            pid = self._kernel.names.lookup(name)
            if pid is not None and pid in (hop.sender, hop.receiver):
                self._pids.add(pid)  # its last events come when it has lost the name
                return True
        return False
