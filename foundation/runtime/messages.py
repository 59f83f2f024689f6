"""What hosts say to each other besides frames, as Thespian messages (pickled).

A frame of kernel operations is plain ``bytes``. Everything here is rare: starting, meeting and
losing hosts. ``Envelope`` and ``Answer`` are public: they are how any Thespian program talks to
any server.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class HostConfig:
    """Tells a new host who it is; its first message.

    Attributes:
        address: ``"<node>/<host>"``.
        incarnation: which life of that host.
        role: ``"control"``, ``"worker"`` or ``"dedicated"``.
        authority: address of the host that decides names.
        peers: the hosts it may talk to at once: ``(address, incarnation, actor address)``.
        options: see ``HostOptions``.
        workers: how many worker hosts the node has; the control host starts them.
        program: for the control host: the operating-system pid of the program.
        borrowed: the Thespian system is the user's, and is not to be ended with the node.
    """

    address: str
    incarnation: int
    role: str
    authority: str
    peers: tuple[tuple[str, int, Any], ...]
    options: HostOptions
    workers: int = 0
    program: int = 0
    borrowed: bool = False


@dataclass(frozen=True)
class HostOptions:
    """Settings common to all hosts of a node.

    Attributes:
        sys_path: entries of ``sys.path`` of the program that started the node.
        installers: ``"module:function"``, each called with the kernel of every host.
        share_messages: see ``Kernel``.
        log_level: level of the ``foundation`` logger in the hosts.
        hog_seconds: a handler that runs longer is reported.
        extensions: of upper floors; the ``attach(host)`` of each is called in every host, and
            returns what is to be closed with it.
    """

    sys_path: tuple[str, ...] = ()
    installers: tuple[str, ...] = ()
    share_messages: bool = False
    log_level: int = 40
    hog_seconds: float = 0.5
    extensions: tuple[Any, ...] = ()


@dataclass(frozen=True)
class HostReady:
    """A host is up: its answer to ``HostConfig``."""

    address: str
    incarnation: int
    os_pid: int


@dataclass(frozen=True)
class HostFailed:
    """From the control host to the program: it cannot be what its ``HostConfig`` says."""

    error: str


@dataclass(frozen=True)
class NodeFailed:
    """From the control host to the program: the node cannot go on."""

    error: str


@dataclass(frozen=True)
class PeerUp:
    """From the control host: this host can be talked to."""

    address: str
    incarnation: int
    actor: Any


@dataclass(frozen=True)
class Hello:
    """From a host to one it has just heard of, before its first frame."""

    address: str
    incarnation: int
    actor: Any


@dataclass(frozen=True)
class PeerDown:
    """From the control host: that life of that host is over."""

    address: str
    incarnation: int
    reason: str = "killed"


@dataclass(frozen=True)
class NodeReady:
    """From the control host to the program: all worker hosts are up."""

    os_pids: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Goodbye:
    """From the program to the control host: the node is being shut down in order.

    And back, when no host is in the middle of its start.
    """


@dataclass(frozen=True)
class Envelope:
    """A message for a server, from any Thespian program, sent to the address of any host.

    Attributes:
        to: a pid, a registered name or a ``Via``.
        message: what to deliver.
        kind: ``"call"`` (the sender gets an ``Answer``), ``"cast"`` or ``"info"``.
    """

    to: Any
    message: Any
    kind: str = "call"

    def __post_init__(self) -> None:
        if self.kind not in ("call", "cast", "info"):
            raise ValueError(f"kind must be 'call', 'cast' or 'info', got {self.kind!r}")


@dataclass(frozen=True)
class Answer:
    """The answer to an ``Envelope`` of kind ``"call"``.

    Attributes:
        ok: whether there is a reply.
        value: the reply, or the exit reason.
    """

    ok: bool
    value: Any


@dataclass(frozen=True)
class Inspect:
    """From a tool to the control host: describe all hosts."""

    number: int


@dataclass(frozen=True)
class Inspected:
    """The answer.

    Attributes:
        number: of the request.
        hosts: what each host said of itself, see ``inspect.snapshot``.
        missing: hosts that did not answer in time.
    """

    number: int
    hosts: dict[str, dict[str, Any]]
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Look:
    """From a tool to the control host: show the cluster, in a bounded size.

    Attributes:
        rows: how many processes of each host, and lines of each part, are described.
        match: those that have this text in their name, class or pid come first.
        whole: ask the other nodes, too.
        servers: call these, too: by a label, (name of the server, request). What they reply must
            be plain data.
    """

    rows: int = 100
    match: str = ""
    whole: bool = True
    servers: dict[str, tuple[Any, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Looked:
    """The answer: see ``Overlook.gather_whole``."""

    found: dict[str, Any]
