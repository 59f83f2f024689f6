"""What kernels say to each other: operations between hosts, many to a frame.

An operation is a tuple ``(code, …)``; user payloads inside are encoded on their own, at the
moment of sending, so that a payload which cannot be decoded spoils only itself and later
changes of a message do not travel. All operations of one turn to one host leave as one frame:
an idle link sends at once, a busy one packs what has gathered.

Invariants:
    R1  Operations from one host to another are applied in the order they were said.
    R2  A frame for, or from, another incarnation of a host is dropped.
    R3  When a host goes down, every link, monitor, call and name that crosses to it is
        settled, once.
    R4  Hosts of other nodes (*foreign* ones) share no names and tables with this host, and when
        a frame from or to one is lost, R3 applies (``kernel/foreign.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from foundation.errors import CodecError, NoConnection
from foundation.kernel.codec import dumps, dumps_frame, loads
from foundation.kernel.foreign import Foreign
from foundation.kernel.peer import Peer, bounded, pack_reason, unpack_reason
from foundation.kernel.process import SYS, Caller, Process
from foundation.kernel.reports import Notice
from foundation.kernel.starts import Starts
from foundation.kernel.values import Crash, Pid, Ref

if TYPE_CHECKING:
    from foundation.kernel.kernel import Kernel

SEND, CALL, REPLY, FAIL, LINK, UNLINK, EXIT, MONITOR, DEMONITOR, DOWN, SPAWN = range(11)

MAX_OPS = 2000  # in one frame: bounds the memory and the pause of the receiver
MAX_FRAME = 16 * 1024 * 1024  # bytes at which a frame of several operations is divided


class Remote:
    """The side of a kernel that faces other hosts."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.peers: dict[str, Peer] = {}
        self.neighbours: dict[str, Peer] = {}  # those of this node
        self.foreign = Foreign(kernel, self)
        self.accept_code = False  # by value, in starts from other nodes
        self._dirty: dict[str, Peer] = {}
        self._exported: dict[int, Caller] = {}  # callers that another host is to answer
        self._export = 0
        self._sweep_at = 16  # so many exported callers, before those answered are dropped
        self._buried: dict[str, int] = {}  # hosts that went down: their last incarnation
        self._call_ref = 0
        self.frames_in = self.frames_out = self.ops_in = self.ops_out = self.bytes_out = 0
        self.on_host: list[Callable[[str, bool], None]] = []  # told of hosts up and down
        self.on_gone: list[Callable[[Pid], None]] = []  # told of deaths in other hosts
        names, starts = kernel.names, Starts(kernel, self)
        self.handlers: dict[Any, Callable[..., Any]] = {
            SEND: self._on_send,
            CALL: self._on_call,
            REPLY: self._on_reply,
            FAIL: self._on_fail,
            LINK: self._on_link,
            UNLINK: self._on_unlink,
            EXIT: self._on_exit,
            MONITOR: self._on_monitor,
            DEMONITOR: self._on_demonitor,
            DOWN: self._on_down,
            SPAWN: starts.on_spawn,
            "answer": self._on_answer,
            "spawn_cancel": starts.on_cancel,
            "alias": lambda host, alias, payload: kernel.deliver(alias, loads(payload)),
            # What hosts that trace say to each other (``scope/taps.py``) means nothing here.
            "traced": lambda host, _, op: self.handlers[op[0]](host, *op[1:]),
            "tracing": lambda host, answer: None,
            "claim": names.on_claim,
            "granted": names.on_granted,
            "release": names.on_release,
            "name_up": names.on_up,
            "name_down": names.on_down,
            "name_probe": names.on_probe,
            "name_probed": names.on_probed,
        }

    # Hosts

    def host_up(self, host: str, incarnation: int) -> bool:
        """Another host can be reached from now on; False when that is no news, or too old."""
        if self._buried.get(host, -1) >= incarnation:
            return False  # a late word of a dead incarnation
        known = self.peers.get(host)
        if known is not None:
            if known.incarnation >= incarnation:
                return False
            self.host_down(host, "killed")
        self.peers[host] = self.neighbours[host] = Peer(host, incarnation)
        if self._kernel.names.authority is None:
            for name, pid in self._kernel.names.items():
                self.op(host, ("name_up", name, pid))
        elif self._kernel.names.authority == host:
            self._kernel.names.authority_up()
        for told in self.on_host:
            told(host, True)
        return True

    def host_down(self, host: str, reason: Any = "noconnection") -> None:
        """A host has gone: settle all that crosses to it with *reason* (R3)."""
        peer = self.peers.pop(host, None)
        if peer is None:
            return
        self._dirty.pop(host, None)
        kernel = self._kernel
        if self.neighbours.pop(host, None) is not None:
            if reason == "killed":
                self.bury(host, peer.incarnation)
            kernel.names.forget_host(host)
            for told in self.on_host:
                told(host, False)
        else:
            self.foreign.went_down(peer)
        for caller in list(peer.calls.values()):
            kernel.answer(caller, False, reason)
        for local, remote in list(peer.links):
            kernel.signals.linked_exit(remote, local, reason)
        for ref, (watcher, _, target) in list(peer.monitors.items()):
            kernel.signals.down(watcher, ref, target, reason)
        for ref, pid in peer.watched.items():
            process = kernel.procs.get(pid)
            if process is not None and process.watchers is not None:
                process.watchers.pop(ref, None)
        kernel.wake()

    def bury(self, host: str, incarnation: int) -> None:
        """Never meet that life of *host* again; its last words may still be on their way."""
        self._buried[host] = max(self._buried.get(host, -1), incarnation)

    def reachable(self, pid: Pid) -> bool:
        """Whether the host of *pid* is up, in the incarnation of *pid*."""
        return self._peer(pid) is not None

    def _peer(self, pid: Pid) -> Peer | None:
        peer = self.peers.get(pid[0])
        return peer if peer is not None and peer.incarnation == pid[1] else None

    # Saying

    def op(self, host: str, operation: tuple[Any, ...]) -> None:
        """Say *operation* to *host*; dropped when it is not up."""
        peer = self.peers.get(host)
        if peer is not None:
            self._say(peer, operation)

    def broadcast(self, operation: tuple[Any, ...]) -> None:
        """Say *operation* to every host of this node that is up."""
        for peer in self.neighbours.values():
            self._say(peer, operation)

    def _say(self, peer: Peer, operation: tuple[Any, ...]) -> None:
        if not peer.ops:
            self._dirty[peer.host] = peer
            self._kernel.wake()
        peer.ops.append(operation)

    def touch(self, peer: Peer) -> None:
        """Send a frame to *peer* at the end of this turn, be there operations or not."""
        self._dirty[peer.host] = peer
        self._kernel.wake()

    def flush(self) -> None:
        """Send what has gathered, at the end of a turn."""
        if not self._dirty:
            return
        dirty, self._dirty = self._dirty, {}
        for host, peer in dirty.items():
            ops, peer.ops = peer.ops, []
            for start in range(0, len(ops) or 1, MAX_OPS):
                try:
                    self._send_ops(peer, ops[start : start + MAX_OPS])
                except Exception as error:  # the other hosts, and this one, must go on
                    self._complain(f"a frame to {host} could not be sent: {error}")

    def _send_ops(self, peer: Peer, ops: list[tuple[Any, ...]]) -> None:
        kernel = self._kernel
        head = [kernel.address, kernel.incarnation, peer.incarnation]
        association = peer.association
        if association is not None:
            head += association.head()
        frame = dumps_frame(head, ops)
        if len(frame) > MAX_FRAME and len(ops) > 1:
            half = len(ops) // 2
            self._send_ops(peer, ops[:half])
            self._send_ops(peer, ops[half:])
            return
        if association is not None:
            association.sent += 1
        self.frames_out += 1
        if self.foreign.muted and self.foreign.is_muted(peer.host):
            return
        self.ops_out, self.bytes_out = self.ops_out + len(ops), self.bytes_out + len(frame)
        kernel.driver.send_frame(peer.host, frame)

    def on_frame(self, frame: bytes) -> None:
        """Apply a frame that came from another host.

        Raises:
            CodecError: it is not a frame.
        """
        decoded = loads(frame)
        if type(decoded) is not list or len(decoded) not in (4, 7):
            raise CodecError("not a frame of a kernel")
        host, incarnation, mine, *association, ops = decoded
        if mine != self._kernel.incarnation:
            return  # R2
        if self.foreign.muted and self.foreign.is_muted(host):
            return
        peer = self.peers.get(host)
        if association and (peer is None or peer.incarnation != incarnation):
            self.foreign.keep_early(host, frame)
            return
        if peer is None or peer.incarnation != incarnation:
            return  # R2
        if (association or peer.association) and not self.foreign.admit(peer, association):
            return
        self.frames_in += 1
        self.ops_in += len(ops)
        handlers = self.handlers
        for operation in ops:
            handler = handlers.get(operation[0])
            if handler is None:
                self._complain(f"unknown operation {operation[0]!r} from {host}")
                continue
            try:
                handler(host, *operation[1:])
            except Exception as error:  # the operations after it are no worse for it
                self._complain(f"operation {operation[0]!r} from {host}: {error}")

    def _complain(self, text: str) -> None:
        self._kernel.driver.report(Notice("warning", text))

    # Messages and calls

    def send(self, pid: Pid, kind: int, message: Any) -> None:
        """Send a message to a process of another host; at most once, silently."""
        peer = self._peer(pid)
        if peer is not None:
            self._say(peer, (SEND, pid[2], kind, bounded(dumps(message))))

    def _on_send(self, host: str, serial: int, kind: int, payload: bytes) -> None:
        kernel = self._kernel
        process = kernel.procs.get(Pid(kernel.address, kernel.incarnation, serial))
        if process is None:
            return
        process.mailbox.append((kind, loads(payload)))
        if process.idle:
            kernel.ready(process)
        elif process.waiting is not None:
            process.parked_message()

    def call(
        self, sink: Any, pid: Pid, target: Pid, request: Any, system: bool = False
    ) -> Caller:
        """Send a call to another host and return the token its sink waits for."""
        peer = self._peer(target)
        if peer is None:
            self._kernel.counts.calls_failed += 1
            error = NoConnection("noconnection", target, request)
            error.definite = True  # it was not sent
            raise error
        payload = bounded(dumps(request))
        caller = self._token(peer, sink, pid, target)
        self._say(peer, (CALL, target[2], pid[2], caller.ref, payload, system))
        return caller

    def _token(self, peer: Peer, sink: Any, pid: Pid, target: Any) -> Caller:
        self._call_ref += 1
        caller = Caller(sink, pid, target, None, self._call_ref)
        peer.calls[caller.ref] = caller
        return caller

    def forget_call(self, caller: Caller) -> None:
        """Nobody waits for *caller* any more."""
        target = caller.server
        peer = self.peers.get(target.host) if type(target) is Pid else None
        if peer is not None:
            peer.calls.pop(caller.ref, None)

    def _on_call(
        self, host: str, serial: int, sender: int, ref: int, payload: bytes, system: bool
    ) -> None:
        kernel = self._kernel
        caller_pid = Pid(host, self.peers[host].incarnation, sender)
        process = kernel.procs.get(Pid(kernel.address, kernel.incarnation, serial))
        if process is None:
            self.op(host, (FAIL, ref, dumps("noproc")))
            return
        try:
            request = loads(payload)
        except CodecError as error:
            self.op(host, (FAIL, ref, dumps(Crash.from_exception(error))))
            return
        caller = Caller(None, caller_pid, process, request, ref)
        if system:
            process.mailbox.append((SYS, caller))
            process.set_extra("overtakers", True)
        else:
            process.mailbox.append(caller)
        if process.idle:
            kernel.ready(process)
        elif process.waiting is not None:
            process.parked_message()

    def answer(self, caller: Caller, ok: bool, value: Any, untaken: bool = False) -> None:
        """Send the answer to a call that came from another host."""
        peer = self._peer(caller.pid)
        if peer is None:
            return
        payload = bounded(dumps(value)) if ok else pack_reason(value)
        if type(caller.server) is Pid:
            peer.spawning.pop(caller.ref, None)
        if caller.ref < 0:
            self._say(peer, ("answer", -caller.ref, ok, payload, untaken))
        elif ok:
            self._say(peer, (REPLY, caller.ref, payload))
        else:
            self._say(peer, (FAIL, caller.ref, payload, untaken))

    def export(self, caller: Caller) -> list[Any]:
        """Return *caller* as plain data, for a process in another host that is to answer it."""
        if caller.sink is None and caller.ref < 0:
            return [caller.pid, caller.ref]  # it came from elsewhere; pass it on as it is
        if len(self._exported) >= self._sweep_at:
            self._exported = {n: old for n, old in self._exported.items() if not old.done}
            self._sweep_at = 2 * len(self._exported) + 16
        self._export += 1
        self._exported[self._export] = caller
        return [self._kernel.outside, -self._export]

    def _on_answer(
        self, host: str, number: int, ok: bool, payload: bytes, untaken: bool
    ) -> None:
        caller = self._exported.pop(number, None)
        if caller is not None:
            self._answered(caller, ok, payload, untaken)

    def _on_reply(self, host: str, ref: int, payload: bytes) -> None:
        caller = self.peers[host].calls.pop(ref, None)
        if caller is not None:
            self._answered(caller, True, payload)

    def _answered(
        self, caller: Caller, ok: bool, payload: bytes, untaken: bool = False
    ) -> None:
        try:
            value = loads(payload)
        except CodecError as error:
            ok, value = False, Crash.from_exception(error)
        self._kernel.answer(caller, ok, value, untaken)

    def _on_fail(self, host: str, ref: int, payload: bytes, untaken: bool = False) -> None:
        caller = self.peers[host].calls.pop(ref, None)
        if caller is not None:
            self._answered(caller, False, payload, untaken)

    # Links and exits

    def _here(self, serial: int) -> Pid:
        return Pid(self._kernel.address, self._kernel.incarnation, serial)

    def _there(self, host: str, serial: int) -> Pid:
        return Pid(host, self.peers[host].incarnation, serial)

    def link(self, local: Pid, pid: Pid) -> None:
        """Link a local process with one of another host; its ``links`` has it already."""
        peer = self._peer(pid)
        if peer is None:
            self._kernel.signals.linked_exit(pid, local, "noconnection")
            return
        peer.links[(local, pid)] = None
        self._say(peer, (LINK, local.serial, pid.serial))

    def _on_link(self, host: str, sender: int, serial: int) -> None:
        local, there = self._here(serial), self._there(host, sender)
        process = self._kernel.procs.get(local)
        if process is None:
            self.op(host, (EXIT, serial, sender, dumps("noproc"), True))
            return
        if process.links is None:
            process.links = {}
        process.links[there] = None
        self.peers[host].links[(local, there)] = None

    def unlink(self, local: Pid, pid: Pid) -> None:
        """Remove a link to another host."""
        peer = self._peer(pid)
        if peer is not None:
            peer.links.pop((local, pid), None)
            self._say(peer, (UNLINK, local.serial, pid.serial))

    def _on_unlink(self, host: str, sender: int, serial: int) -> None:
        local, there = self._here(serial), self._there(host, sender)
        self.peers[host].links.pop((local, there), None)
        process = self._kernel.procs.get(local)
        if process is not None and process.links is not None:
            process.links.pop(there, None)

    def exit(self, sender: Pid, pid: Pid, reason: Any, *, linked: bool) -> None:
        """Send an exit signal to a process of another host."""
        peer = self._peer(pid)
        if peer is not None:
            if linked:
                peer.links.pop((sender, pid), None)
            self._say(peer, (EXIT, sender.serial, pid.serial, pack_reason(reason), linked))

    def _on_exit(
        self, host: str, sender: int, serial: int, reason: bytes, linked: bool
    ) -> None:
        local, there = self._here(serial), self._there(host, sender)
        if not linked:
            self._kernel.signals.signal(there, local, unpack_reason(reason))
            return
        self.peers[host].links.pop((local, there), None)
        self._gone(there)
        self._kernel.signals.linked_exit(there, local, unpack_reason(reason))

    def _gone(self, pid: Pid) -> None:
        """A process of another host is dead: tables drop it before anyone is told."""
        self._kernel.names.forget_process(pid)
        for told in self.on_gone:
            told(pid)

    # Monitors

    def monitor(self, ref: Ref, watcher: Pid, pid: Pid, target: Any) -> None:
        """Monitor a process of another host."""
        peer = self._peer(pid)
        if peer is None:
            process = self._kernel.procs[watcher]
            self._kernel.driver.call_soon(
                lambda: self._kernel.signals.down(process.pid, ref, target, "noconnection")
            )
            return
        peer.monitors[ref] = (watcher, pid, target)
        self._say(peer, (MONITOR, ref, pid.serial, watcher.serial))

    def _on_monitor(self, host: str, ref: Ref, serial: int, watcher: int) -> None:
        local = self._here(serial)
        process = self._kernel.procs.get(local)
        if process is None:
            self.op(host, (DOWN, ref, dumps("noproc")))
            return
        if process.watchers is None:
            process.watchers = {}
        process.watchers[ref] = (self._there(host, watcher), None)
        self.peers[host].watched[ref] = local

    def demonitor(self, ref: Ref, watcher: Pid, pid: Pid) -> None:
        """Stop a monitor on another host."""
        peer = self._peer(pid)
        if peer is not None and peer.monitors.pop(ref, None) is not None:
            self._say(peer, (DEMONITOR, ref))

    def _on_demonitor(self, host: str, ref: Ref) -> None:
        pid = self.peers[host].watched.pop(ref, None)
        process = self._kernel.procs.get(pid) if pid is not None else None
        if process is not None and process.watchers is not None:
            process.watchers.pop(ref, None)

    def down(self, watcher: Pid, ref: Ref, pid: Pid, target: Any, reason: Any) -> None:
        """Tell a watcher in another host that the local *pid* ended."""
        peer = self._peer(watcher)
        if peer is not None:
            peer.watched.pop(ref, None)
            self._say(peer, (DOWN, ref, pack_reason(reason)))

    def _on_down(self, host: str, ref: Ref, reason: bytes) -> None:
        entry = self.peers[host].monitors.pop(ref, None)
        if entry is not None:
            watcher, pid, target = entry
            self._gone(pid)
            self._kernel.signals.down(watcher, ref, target, unpack_reason(reason))

    # Starting

    def spawn(self, host: str, sink: Any, parent: Process | None, request: Any) -> Caller:
        """Start a process in another host; the token resolves to its pid.

        *request* is ``(kind, payload, link, name, extra)``.
        """
        peer = self.peers.get(host)
        if peer is None:
            raise NoConnection("noconnection", host, request[0])
        kernel = self._kernel
        pid = parent.pid if parent is not None else kernel.outside
        ancestors = kernel.child_ancestors(parent) if parent is not None else ()
        payload = bounded(dumps((*request, pid if parent is not None else None, ancestors)))
        caller = self._token(peer, sink, pid, Pid(host, peer.incarnation, 0))
        self._say(peer, (SPAWN, caller.ref, pid.serial, payload))
        return caller
