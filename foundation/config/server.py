"""The server ``"foundation.config"`` of a node: drives the protocol, keeps the node's settings.

It lives in the control host and runs no code of users: values and defaults are plain data,
validators are bytes. What a path has goes into the metadata of the registry ``TABLE``, which
every host of the node can read without asking, and then to those who subscribed.

What is declared, set on this node, or known to be decided is kept by its host, not by this
process: after a restart, of the server or of its registry, all of it is there again.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from foundation.cluster import NodeDown, NodeUp, ViewChanged
from foundation.cluster import subscribe as subscribe_cluster
from foundation.cluster.api import cluster_of
from foundation.cluster.pubsub import local_broadcast
from foundation.config import functions
from foundation.config.declarations import Declaration, check_kind, unknown
from foundation.config.errors import (
    ConfigError,
    ConfigUncertain,
    QuorumNotReached,
)
from foundation.config.messages import (
    Declare,
    Get,
    GetQuorum,
    Reset,
    ResetClusterWide,
    Set,
    SetClusterWide,
    Status,
    seconds,
)
from foundation.config.names import SERVER, TABLE
from foundation.config.paths import Path, dotted, parse, topic
from foundation.config.plain import decode, encode
from foundation.config.protocol.machine import Machine
from foundation.config.protocol.values import (
    FORGOTTEN,
    LATE,
    OVERTAKEN,
    QUEUED,
    Applied,
    Greet,
    Outcome,
    Record,
    Send,
    node_of,
)
from foundation.config.settings import Kept, Setting, Settings
from foundation.config.values import DEFAULT, ConfigChanged, ConfigStatus, ConfigVersion
from foundation.facade import Failed
from foundation.kernel.ops import current
from foundation.kernel.reports import Notice
from foundation.otp import (
    Caller,
    GenServer,
    NoReply,
    Registry,
    Supervisor,
    cast,
    me,
    reply,
    send_after,
    spawn,
)
from foundation.otp.child_spec import ChildSpec
from foundation.otp.registry import delete_meta, install, put_meta
from foundation.otp.registry_write import wait

TICK = "tick"
KEPT = "config kept"  # where a kernel keeps what outlives the server
BUSY = {
    QUEUED: "it waited for other writes or reads of that path on this node",
    OVERTAKEN: "writes of that path on other nodes were before it each time",
}
UNKNOWN = {
    LATE: "some servers were asked to accept it, and when {} s were over this node had not heard "
    "of a majority that did",
    FORGOTTEN: "this node was out of the cluster while the write was under way, and the others no "
    "longer remember what it wrote then",
}


class Config(GenServer):
    """See the module docstring. The functions of the package are also here: ``Config.get(...)``."""

    def init(self) -> None:
        """Show what this host has kept; greet the servers of the nodes that are up."""
        process = current()
        cluster = cluster_of(process)
        seed = cluster.config.seed
        rng = random.Random(None if seed is None else f"{seed} config")
        self.node = cluster.node
        kept: Kept = process.kernel.tables.setdefault(KEPT, Kept())
        self.settings = Settings(kept)
        size = cluster.config.expected_size
        self.machine = Machine(process.pid, self.node, size, rng, kept.applied)
        self._show_all()
        self._asked: dict[int, tuple[Caller, Any]] = {}
        self._number = 0
        self._timer: Any = None
        self._timer_at = 0.0
        nodes = [name for name in subscribe_cluster().names if name != self.node]
        self.machine.start(self._now(), nodes)
        self._after()

    def handle_call(self, request: Any, caller: Caller) -> Any:
        """Serve the messages of ``messages.py``."""
        serve = self._SERVES.get(type(request))
        if serve is None:
            return super().handle_call(request, caller)
        try:
            return serve(self, request, caller)
        except (ConfigError, TypeError, ValueError) as error:
            return Failed(error)

    def handle_cast(self, request: Any) -> None:
        """Take a message of another server."""
        try:
            self.machine.receive(request, self._now())
        except Exception as error:  # whatever another version says, this server lives on
            text = f"config: a message of another server was dropped: {error!r}"
            current().kernel.driver.report(Notice("warning", text))
        self._after()

    def handle_info(self, message: Any) -> None:
        """Take events of the cluster, and the timer."""
        match message:
            case "tick":
                self._timer = None
                self.machine.tick(self._now())
            case NodeUp(node, _):
                self.machine.node_up(node, self._now())
            case NodeDown(node, _, _):
                self.machine.node_down(node, self._now())
            case ViewChanged(view):
                for node in [n for n in self.machine.peers.nodes if n not in view]:
                    self.machine.node_down(node, self._now())
            case _:
                super().handle_info(message)
        self._after()

    def _now(self) -> float:
        now: float = current().kernel.driver.now()
        return now

    # What the machine asks for

    def _after(self) -> None:
        """After each input of the machine: do what it asks for, set the timer."""
        while self.machine.effects:
            effects, self.machine.effects[:] = list(self.machine.effects), []
            for effect in effects:
                match effect:
                    case Send(to, message):
                        cast(to, message)
                    case Greet(node, message):
                        cast((SERVER, node), message)
                    case Applied(path, record):
                        self._applied(path, record)
                    case Outcome():
                        self._ended(effect)
        self._set_timer()

    def _set_timer(self) -> None:
        at = self.machine.next_wake
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at
        self._timer = send_after(max(0.0, at - self._now()), me(), TICK)

    def _applied(self, path: Path, record: Record) -> None:
        self._change([path], lambda: self.settings.apply(path, record))

    def _ended(self, outcome: Outcome) -> None:
        caller, request = self._asked.pop(outcome.token)
        path = dotted(parse(request.path))
        record = outcome.record
        if outcome.kind == "done":
            assert record is not None
            if isinstance(request, GetQuorum):
                reply(caller, self._agreed(parse(request.path), record))
            else:
                _reply_when_seen(caller, _version(record))
        elif outcome.kind == "refused":
            what = "read" if isinstance(request, GetQuorum) else "set"
            counts = (outcome.answered, outcome.needed)
            nodes = tuple(map(node_of, self.machine.peers.lives))
            busy = BUSY.get(outcome.why, "")
            error = QuorumNotReached(what, path, request.timeout, *counts, nodes, busy)
            reply(caller, Failed(error))
        else:
            why = UNKNOWN[outcome.why].format(request.timeout)
            reply(caller, Failed(ConfigUncertain(path, why)))

    def _agreed(self, path: Path, record: Record) -> tuple[Any, ...]:
        if record.value is not None:
            return (decode(record.value),)
        declared = self.settings.declared.get(path)
        return () if declared is None else (declared.default,)

    # Settings

    def _change(self, paths: list[Path], change: Callable[[], None]) -> None:
        """Change the settings of *paths*; show it to the hosts, and tell subscribers."""
        before = [self.settings.get(path) for path in paths]
        change()
        for path, old in zip(paths, before, strict=True):
            new = self.settings.get(path)
            if new != old:
                self._show(path, old, new)

    def _show(self, path: Path, old: Setting | None, new: Setting | None) -> None:
        if new is None:
            delete_meta(TABLE, path)
            new = Setting(None, DEFAULT)
        else:
            put_meta(TABLE, path, new)
        was = None if old is None else old.value
        event = ConfigChanged(path, was, new.value, new.version, new.source)
        local_broadcast(topic(path), event)

    def _show_all(self) -> None:
        """Show what there is, to hosts that have seen it or have not; nothing has changed."""
        for path in self.settings.paths():
            put_meta(TABLE, path, self.settings.get(path))
        for path, made in self.settings.declared.items():
            put_meta(TABLE, dotted(path), (made.kinds, made.validator))
        self._show_paths()

    def _show_paths(self) -> None:
        put_meta(TABLE, None, tuple(sorted(map(dotted, self.settings.declared))))

    def _declared(self, path: Path) -> Declaration:
        found = self.settings.declared.get(path)
        if found is None:
            raise unknown(dotted(path), map(dotted, self.settings.declared))
        return found

    def _checked(self, request: Any) -> tuple[Path, bytes]:
        path = parse(request.path)
        data = encode(dotted(path), request.value)
        check_kind(dotted(path), request.value, self._declared(path).kinds)
        return path, data

    # Requests

    def _get(self, request: Get, caller: Caller) -> Any:
        path = parse(request.path)
        found = self.settings.get(path)
        if found is None:
            raise unknown(dotted(path), map(dotted, self.settings.declared))
        return found.value

    def _set(self, request: Set, caller: Caller) -> Any:
        path, data = self._checked(request)
        self._change([path], lambda: self.settings.local.update({path: decode(data)}))
        _reply_when_seen(caller, None)
        return NoReply()

    def _reset(self, request: Reset, caller: Caller) -> Any:
        local = self.settings.local
        paths = sorted(local) if request.path is None else [parse(request.path)]

        def change() -> None:
            for path in paths:
                local.pop(path, None)

        self._change(paths, change)
        _reply_when_seen(caller, None)
        return NoReply()

    def _declare(self, request: Declare, caller: Caller) -> Any:
        path = parse(request.path)
        made = Declaration(tuple(request.kinds), request.default, request.validator)
        encode(dotted(path), made.default)
        if made.default is not None:
            check_kind(dotted(path), made.default, made.kinds)
        if made.validator is not None and type(made.validator) is not bytes:
            raise TypeError(f"Declare: validator must be bytes, got {made.validator!r}")
        self._change([path], lambda: self.settings.declared.update({path: made}))
        put_meta(TABLE, dotted(path), (made.kinds, made.validator))
        self._show_paths()
        _reply_when_seen(caller, None)
        return NoReply()

    def _set_cluster_wide(self, request: SetClusterWide, caller: Caller) -> Any:
        path, data = self._checked(request)
        return self._write(request, caller, path, data)

    def _reset_cluster_wide(self, request: ResetClusterWide, caller: Caller) -> Any:
        return self._write(request, caller, parse(request.path), None)

    def _write(self, request: Any, caller: Caller, path: Path, data: bytes | None) -> Any:
        now = self._now()
        self.machine.write(
            self._wait(request, caller), path, data, now + seconds(request.timeout), now
        )
        self._after()
        return NoReply()

    def _read(self, request: GetQuorum, caller: Caller) -> Any:
        path, now = parse(request.path), self._now()
        deadline = now + seconds(request.timeout)
        self.machine.read(self._wait(request, caller), path, deadline, now)
        self._after()
        return NoReply()

    def _wait(self, request: Any, caller: Caller) -> int:
        self._number += 1
        self._asked[self._number] = (caller, request)
        return self._number

    def _status(self, request: Status, caller: Caller) -> ConfigStatus:
        machine = self.machine
        configuration = machine.acceptor.configuration
        return ConfigStatus(
            node=self.node,
            available=machine.available,
            members=tuple(map(node_of, configuration.members)),
            present=tuple(map(node_of, machine.peers.lives)),
            majority=machine.peers.needed(configuration, False),
            number=configuration.number,
            paths=len(self.settings.paths()),
            local=tuple(map(dotted, sorted(self.settings.local))),
        )

    _SERVES: dict[type, Callable[..., Any]] = {
        Get: _get,
        GetQuorum: _read,
        Set: _set,
        SetClusterWide: _set_cluster_wide,
        Reset: _reset,
        ResetClusterWide: _reset_cluster_wide,
        Declare: _declare,
        Status: _status,
    }

    @classmethod
    def spec(cls, **options: Any) -> ChildSpec:
        """Return the child specification; the options are those of ``ChildSpec``."""
        return super().spec(**{"host": "control", "name": SERVER, **options})

    declare = staticmethod(functions.declare)
    get = staticmethod(functions.get)
    paths = staticmethod(functions.paths)
    reset = staticmethod(functions.reset)
    reset_cluster_wide = staticmethod(functions.reset_cluster_wide)
    set = staticmethod(functions.set)
    set_cluster_wide = staticmethod(functions.set_cluster_wide)
    status = staticmethod(functions.status)
    subscribe = staticmethod(functions.subscribe)
    unsubscribe = staticmethod(functions.unsubscribe)
    validate = staticmethod(functions.validate)
    version = staticmethod(functions.version)


class Parts(Supervisor):
    """The registry and the server of a node; with the registry goes what the server showed."""

    strategy = "rest_for_one"

    def init(self) -> list[ChildSpec]:
        """Return them."""
        return [Registry.spec(name=TABLE), Config.spec()]


def _version(record: Record) -> ConfigVersion:
    return ConfigVersion(record.number, record.node)


def _reply_when_seen(caller: Caller, value: Any) -> None:
    """Answer when all hosts of this node show what was changed."""
    if current().kernel.remote.neighbours:
        spawn(_wait_and_reply, caller, value)
    else:
        reply(caller, value)


async def _wait_and_reply(caller: Caller, value: Any) -> None:
    process = current()
    sync = install(process.kernel).sync
    await wait(process, lambda done: sync.all(lambda: done(None)))
    reply(caller, value)
