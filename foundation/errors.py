"""Every exception that Foundation raises, in one tree.

FoundationError
 ├── CallExit                a call failed because of how the server is or ended
 │    ├── NoProc             no such process or name           (also LookupError)
 │    ├── CallTimeout        no reply in time                  (also TimeoutError)
 │    ├── CallingSelf        a process called itself
 │    │    └── WouldDeadlock the supervisor waits for the very process that called it
 │    └── NoConnection       the server's host or node is gone (also ConnectionError)
 ├── StartError              a process could not be started
 │    ├── AlreadyStarted     its name is held by a running process
 │    └── HostUnavailable    the host it should start in is not up
 ├── ChildError              a supervisor refused a request
 │    ├── AlreadyPresent, ChildNotFound, ChildRunning, ChildRestarting, MaxChildren
 ├── InvalidChildSpec        a child specification or supervisor flag is wrong (also ValueError)
 ├── NameTaken               the name is registered to another process
 ├── RegistryError           a registry refused a request
 │    ├── AlreadyRegistered, NotRegistered, NotUnique
 │    ├── UnknownRegistry
 │    │    └── UnknownDistributedRegistry
 │    └── ClaimTimeout       a key was not claimed in time            (also TimeoutError)
 ├── SysError                a request of ``otp/sys.py`` failed in the server, which lives on
 ├── NotInProcess            a process-only function was called elsewhere  (also RuntimeError)
 ├── BlockingCall            a plain `def` handler tried to wait           (also RuntimeError)
 ├── Unsendable              a message cannot be copied or serialised      (also TypeError)
 ├── CodecError              bytes from a peer could not be decoded        (also ValueError)
 ├── TransportError          the transport could not start or reach a peer (also ConnectionError)
 │    └── CookieError        no usable cookie, or the peer's differs
 ├── NodeError               a node could not be started, or has stopped
 ├── ScopeError              tracing or recording refused a request
 │    └── ReplayError        a file cannot be replayed                (also ValueError)
 └── ClusterError            something that only a cluster can do failed
      ├── NotInCluster       this node is not part of a cluster
      ├── ClusterTimeout     nodes did not come together in time          (also TimeoutError)
      └── TrackerError       presence refused a request
           ├── AlreadyTracked, NotTracked

``Exit`` is not in the tree: raising it is how a process ends itself with a reason.
"""

from __future__ import annotations

from typing import Any


class Exit(BaseException):
    """Raise in a callback to end the current process with *reason*.

    A ``BaseException`` so that ``except Exception`` in user code does not swallow it.

    Args:
        reason: any picklable value; ``"normal"``, ``"shutdown"`` and ``Shutdown(x)`` are clean.
    """

    def __init__(self, reason: Any = "normal") -> None:
        super().__init__(reason)
        self.reason = reason


class FoundationError(Exception):
    """The root of all errors of this library."""


class CallExit(FoundationError):
    """A call failed; *reason* is the server's exit reason, the same one links and monitors see.

    Attributes:
        reason: why, e.g. ``Crash(...)``, ``"normal"``, ``"killed"``.
        server: what was called.
        request: the request, as the caller passed it.
        timeout: seconds the caller was willing to wait, or None.
        definite: True when the request was certainly not carried out, so that it is safe to make
            the call again: nobody was there, or the server ended before it took the request.
    """

    definite = False

    def __init__(
        self, reason: Any, server: Any = None, request: Any = None, timeout: float | None = None
    ) -> None:
        super().__init__(reason, server, request, timeout)
        self.reason = reason
        self.server = server
        self.request = request
        self.timeout = timeout

    def __str__(self) -> str:
        return f"call {_short(self.request)} to {self.server!r} failed: {self._why()}"

    def _why(self) -> str:
        return f"the server exited with reason {_short(self.reason)}"


class NoProc(CallExit, LookupError):
    """Nobody holds that pid or name (any more)."""

    definite = True

    def _why(self) -> str:
        return (
            "no such process: it has ended or was never started under this name; "
            "start it first, or call it by name so that a restarted one is found"
        )


class CallTimeout(CallExit, TimeoutError):
    """No reply came in time. Indefinite: the request may still be carried out."""

    def _why(self) -> str:
        return (
            f"no reply within {self.timeout} s; the request may still be carried out; "
            "raise timeout=, or find out what keeps the server busy"
        )


class CallingSelf(CallExit):
    """A process called itself, which could never be answered."""

    definite = True

    def _why(self) -> str:
        return "a process cannot call itself; call the function directly instead"


class WouldDeadlock(CallingSelf):
    """A child called its own supervisor while that waits for it to start or to end."""

    def _why(self) -> str:
        return (
            "the supervisor is waiting for this process to start or to end, so it could never "
            "answer; return Continue(...) from init and call it in handle_continue"
        )


class NoConnection(CallExit, ConnectionError):
    """The host or node of the server cannot be reached. Indefinite unless it was so before."""

    def _why(self) -> str:
        if self.definite:
            return "the server's host or node is not up; the request was not sent"
        return "the connection to the server's host was lost; the request may have been carried out"


class StartError(FoundationError):
    """A process could not be started; *reason* says why."""

    def __init__(self, reason: Any, what: str = "process") -> None:
        super().__init__(reason, what)
        self.reason = reason
        self.what = what

    def __str__(self) -> str:
        return f"{self.what} could not start: {_cause(self.reason)}"


class AlreadyStarted(StartError):
    """The name (or child id) is already taken by the running process *pid*."""

    def __init__(self, pid: Any, what: str = "process") -> None:
        super().__init__(("already_started", pid), what)
        self.args = (pid, what)
        self.pid = pid

    def __str__(self) -> str:
        return f"{self.what} is already started as {self.pid!r}; stop it or choose another name"


class HostUnavailable(StartError):
    """The host in which it should start is not up; supervisors wait for it."""


class ChildError(FoundationError):
    """A supervisor refused a request about the child *id*."""

    text = "the supervisor refused the request"

    def __init__(self, id: Any = None) -> None:
        super().__init__(id)
        self.id = id

    def __str__(self) -> str:
        return f"child {self.id!r}: {self.text}"


class AlreadyPresent(ChildError):
    """A child with this id is specified but not running."""

    text = "is specified but not running; use restart_child or delete_child"


class ChildNotFound(ChildError):
    """The supervisor has no such child."""

    text = "not found under this supervisor"


class CannotMove(FoundationError):
    """A distributed child was not moved; *why* says where it goes on, and how."""

    def __init__(self, id: Any, to: str | None, why: str) -> None:
        super().__init__(id, to, why)
        self.id = id
        self.to = to
        self.why = why

    def __str__(self) -> str:
        where = "where it belongs" if self.to is None else repr(self.to)
        return f"child {self.id!r} was not moved to {where}: {self.why}"


class ChildRunning(ChildError):
    """The child is running, so it cannot be restarted or deleted."""

    text = "is running; terminate_child it first"


class ChildRestarting(ChildError):
    """The child is between two restart attempts."""

    text = "is being restarted; terminate_child ends the attempts"


class MaxChildren(ChildError):
    """The dynamic supervisor is full."""

    text = "max_children is reached; terminate a child or raise the limit"


class InvalidChildSpec(FoundationError, ValueError):
    """A child specification, supervisor flag or start option is wrong."""


class NameTaken(FoundationError):
    """*name* is registered to *pid* already (or the process has a name)."""

    def __init__(self, name: Any, pid: Any) -> None:
        super().__init__(name, pid)
        self.name = name
        self.pid = pid

    def __str__(self) -> str:
        return (
            f"name {self.name!r} cannot be registered: {self.pid!r} holds it or another name; "
            "unregister first or choose another name"
        )


class RegistryError(FoundationError):
    """A registry refused a request."""


class AlreadyRegistered(RegistryError):
    """The key of a unique registry is held by *pid*."""

    def __init__(self, key: Any, pid: Any) -> None:
        super().__init__(key, pid)
        self.key = key
        self.pid = pid

    def __str__(self) -> str:
        return f"key {self.key!r} is already registered to {self.pid!r}"


class NotRegistered(RegistryError, LookupError):
    """The current process has no entry under *key* in *registry*."""

    def __init__(self, registry: Any, key: Any) -> None:
        super().__init__(registry, key)
        self.registry = registry
        self.key = key

    def __str__(self) -> str:
        return (
            f"this process holds no key {self.key!r} in registry {self.registry!r}; only the "
            "process that registered a key can change its value"
        )


class NotUnique(RegistryError, ValueError):
    """*what* works in registries with unique keys only; *registry* allows duplicates."""

    def __init__(self, registry: Any, what: str) -> None:
        super().__init__(registry, what)
        self.registry = registry
        self.what = what

    def __str__(self) -> str:
        return (
            f"{self.what} needs unique keys, but registry {self.registry!r} was started with "
            "keys='duplicate'; start one with keys='unique', or use lookup() and dispatch()"
        )


class UnknownRegistry(RegistryError, LookupError):
    """No registry of that name runs on this node."""

    def __init__(self, name: Any) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return (
            f"unknown registry {self.name!r}: list Registry.spec(name={self.name!r}) under a "
            "supervisor, before the servers that use it"
        )


class UnknownDistributedRegistry(UnknownRegistry):
    """No distributed registry of that name runs on this node."""

    def __str__(self) -> str:
        return (
            f"unknown distributed registry {self.name!r}: list DistributedRegistry.spec(name="
            f"{self.name!r}) under a supervisor of this node (each node needs one), before the "
            "servers that use it, in a node that is started with cluster=. Those of the facades "
            "are started by foundation.start(), but not with hosts=0, stock=True, an actor_system "
            "on a stock base, or facades=False"
        )


class ClaimTimeout(RegistryError, TimeoutError):
    """A key could not be claimed in time. It is certain that it was not.

    Attributes:
        registry: the registry's name.
        key: that was claimed.
        timeout: seconds.
        why: what was waited for.
    """

    def __init__(self, registry: Any, key: Any, timeout: float, why: str) -> None:
        super().__init__(registry, key, timeout, why)
        self.registry = registry
        self.key = key
        self.timeout = timeout
        self.why = why

    def __reduce__(self) -> Any:  # OSError's, of which this is one, keeps two arguments
        return type(self), (self.registry, self.key, self.timeout, self.why)

    def __str__(self) -> str:
        return (
            f"key {self.key!r} of the distributed registry {self.registry!r} could not be "
            f"claimed within {self.timeout} s: {self.why}; try again, or raise timeout="
        )


class SysError(FoundationError):
    """The request *op* of ``otp/sys.py`` failed with *reason* in *server*, which lives on."""

    def __init__(self, reason: Any, server: Any = None, op: str = "request") -> None:
        super().__init__(reason, server, op)
        self.reason = reason
        self.server = server
        self.op = op

    def __str__(self) -> str:
        return (
            f"sys.{self.op} failed in {self.server!r}: {_short(self.reason)}; "
            "the server's state is unchanged"
        )


class NotInProcess(FoundationError, RuntimeError):
    """A function that needs a current process was called outside any process."""


class BlockingCall(FoundationError, RuntimeError):
    """A plain ``def`` handler tried to wait for something."""


class Unsendable(FoundationError, TypeError):
    """A message cannot be copied or serialised."""


class CodecError(FoundationError, ValueError):
    """Bytes that came from a peer are not a valid frame or message."""


class TransportError(FoundationError, ConnectionError):
    """The transport could not start, listen or reach a peer."""


class CookieError(TransportError):
    """There is no usable cookie, or the peer's cookie differs."""


class NodeError(FoundationError):
    """A node could not be started, or has stopped."""


class ClusterError(FoundationError):
    """Something that only a cluster can do failed."""


class NotInCluster(ClusterError):
    """This node is not part of a cluster."""


class ClusterTimeout(ClusterError, TimeoutError):
    """Not enough nodes came together in time.

    Attributes:
        wanted: how many were waited for.
        timeout: for how many seconds.
        view: who was there in the end.
        settled: whether those agreed.
        refused: why another node did not let this one in, if one did not.
    """

    def __init__(
        self, wanted: int, timeout: float, view: Any, settled: bool, refused: str = ""
    ) -> None:
        super().__init__(wanted, timeout, view, settled, refused)
        self.wanted = wanted
        self.timeout = timeout
        self.view = view
        self.settled = settled
        self.refused = refused

    def __reduce__(self) -> Any:  # OSError's, of which this is one, keeps two arguments
        return type(self), (
            *(self.wanted, self.timeout, self.view, self.settled),
            self.refused,
        )

    def __str__(self) -> str:
        there = ", ".join(self.view.names) or "nobody"
        state = "" if self.settled else ", and they do not agree yet"
        refused = f"; {self.refused}" if self.refused else ""
        return (
            f"{self.wanted} nodes were waited for, {len(self.view)} are there after "
            f"{self.timeout} s ({there}){state}{refused}; check that the others run, have the same "
            "cluster name and cookie, and that discovery finds them (log level INFO shows more)"
        )


class TrackerError(ClusterError):
    """Presence refused a request."""


class AlreadyTracked(TrackerError):
    """The process is tracked under that topic and key already; ``update`` changes it."""


class NotTracked(TrackerError):
    """The process is not tracked under that topic and key."""


class ScopeError(FoundationError):
    """Tracing, or the recording of a server, refused a request."""


class ReplayError(ScopeError, ValueError):
    """A file is no recording of a server, or cannot be replayed here."""


def _cause(reason: Any) -> str:
    """Name the supervisors and the child on the way to what kept a tree from starting."""
    path = []
    while (failed := getattr(reason, "detail", None)) is not None and hasattr(failed, "reason"):
        path.append(f"child {failed.id!r}")
        reason = failed.reason
    return ": ".join([*path, _short(reason)])


def _short(value: Any, limit: int = 300) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


class ClusterConfigError(NodeError):
    """A setting of a ``ClusterConfig`` is wrong.

    Attributes:
        field: which.
        text: what is wrong with it.
    """

    def __init__(self, field: str, text: str) -> None:
        super().__init__(field, text)
        self.field = field
        self.text = text

    def __str__(self) -> str:
        return f"cluster: {self.text}"
