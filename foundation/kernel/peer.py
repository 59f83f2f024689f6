"""What a host knows of another host, and what of it travels between them."""

from __future__ import annotations

from typing import Any

from foundation.errors import CodecError, Unsendable
from foundation.kernel.association import Association
from foundation.kernel.codec import dumps, loads, register_custom
from foundation.kernel.process import Caller, FunctionProcess, Process
from foundation.kernel.values import Crash, Pid, Ref

MAX_REASON = 10_000  # characters of a reason that cannot travel as it is
MAX_PAYLOAD = 200 * 1024 * 1024  # bytes of one message; below every transport's largest frame
PROCESS_KINDS: dict[str, type[Process]] = {"function": FunctionProcess}


def register_kind(process_class: type[Process]) -> None:
    """Make *process_class* startable from other hosts, under its ``kind``."""
    PROCESS_KINDS[process_class.kind] = process_class


class Peer:
    """What this host shares with one other host; *association*: with one of another node."""

    __slots__ = (
        "association", "calls", "host", "incarnation", "links", "monitors", "ops", "spawning",
        "watched",
    )  # fmt: skip

    def __init__(
        self, host: str, incarnation: int, association: Association | None = None
    ) -> None:
        self.host = host
        self.incarnation = incarnation
        self.association = association
        self.ops: list[tuple[Any, ...]] = []
        self.links: dict[tuple[Pid, Pid], None] = {}  # (local, remote)
        self.monitors: dict[Ref, tuple[Pid, Pid, Any]] = {}  # ref -> (watcher, watched, as)
        self.watched: dict[Ref, Pid] = {}  # their monitors on processes of ours
        self.calls: dict[int, Caller] = {}
        self.spawning: dict[int, Process] = {}  # their starts, until acknowledged


def bounded(payload: bytes) -> bytes:
    """Return *payload*; raise Unsendable when it is too long to travel."""
    if len(payload) > MAX_PAYLOAD:
        raise Unsendable(
            f"a message of {len(payload)} bytes is longer than the {MAX_PAYLOAD} that may travel "
            "between hosts; send it in parts, or put it into a file and send the name"
        )
    return payload


def pack_reason(reason: Any) -> bytes:
    """Encode an exit reason, whatever it is."""
    try:
        return bounded(dumps(reason))
    except Unsendable as error:
        try:
            return dumps(repr(reason)[:MAX_REASON])
        except Exception:
            return dumps(Crash.from_exception(error))


def unpack_reason(reason: bytes) -> Any:
    """Return an exit reason; one that cannot be read here must not keep a death untold."""
    try:
        return loads(reason)
    except CodecError as error:
        return Crash.from_exception(error)


def _export_caller(caller: Caller) -> list[Any]:
    if type(caller.server) is Pid:
        if caller.ref < 0:
            return [caller.pid, caller.ref]
        raise Unsendable("a caller can be sent by the server that got it, once its call is there")
    return caller.server.kernel.remote.export(caller)  # type: ignore[no-any-return]


def _import_caller(fields: list[Any]) -> Caller:
    pid, ref = fields
    return Caller(None, pid, pid, None, ref)


register_custom(Caller, 43, _export_caller, _import_caller)
